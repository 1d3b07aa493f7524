"""Worker processes: loky, through joblib. They exit when their parent process dies."""

from __future__ import annotations

import atexit
import contextlib
import errno
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import InvalidStateError
from contextlib import contextmanager
from typing import Any

from facet_nb.core.backends.base import (
    Backend,
    CallArgs,
    Function,
    WorkerDied,
    until_cancelled,
)
from facet_nb.core.backends.caller import CallerState, call
from facet_nb.core.cancel import CancelToken
from facet_nb.core.errors import PlanError, RunCancelled, explain_system

#: Time after a cancellation in which a task may still end by itself, in s; then it is killed.
_GRACE_S = 0.2

#: Module in which loky keeps its reusable executor.
_LOKY = "joblib.externals.loky.reusable_executor"


class LokyLock:
    """Lock for loky's process-wide reusable executor.

    Without it, two threads that use different numbers of workers, or one of which is cancelled,
    deadlock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: int | None = None

    def is_mine(self) -> bool:
        """Whether the calling thread holds the lock."""
        return self._owner == threading.get_ident()

    def take(self, cancel: CancelToken) -> None:
        """Acquire the lock; raise :class:`RunCancelled` if the run is cancelled meanwhile."""
        while not self._lock.acquire(timeout=0.05):  # a cancellation cannot interrupt acquire
            cancel.check()
        self._owner = threading.get_ident()

    def give(self) -> None:
        """Release the lock."""
        self._owner = None
        self._lock.release()


_loky_lock = LokyLock()

_inherited: list[Any] = []


def _reset_after_fork() -> None:
    """Make a forked child forget the lock and the workers of its parent."""
    # Otherwise loky would send calls to an executor whose threads exist in the parent only, and
    # wait forever. The inherited executor is kept, since its finalizers would end the parent's
    # workers.
    global _loky_lock
    _loky_lock = LokyLock()
    loky = sys.modules.get(_LOKY)
    if getattr(loky, "_executor", None) is not None:
        _inherited.append(loky._executor)  # type: ignore[union-attr]
        loky._executor = loky._executor_kwargs = None  # type: ignore[union-attr]
        loky._executor_lock = threading.RLock()  # type: ignore[union-attr]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


_ending: set[int] = set()


def _end_workers_with_this_process() -> None:
    """Make a child of ``multiprocessing`` (e.g. of ``ProcessPoolExecutor``) end its workers."""
    # At its exit such a child waits for its own children, and loky's idle for five minutes.
    if multiprocessing.parent_process() is None or os.getpid() in _ending:
        return
    _ending.clear()
    _ending.add(os.getpid())
    from multiprocessing.util import Finalize

    # Finalizers with a priority run before multiprocessing waits for the children.
    Finalize(None, _end_workers, exitpriority=100)


def _end_workers() -> None:
    executor = getattr(sys.modules.get(_LOKY), "_executor", None)
    if executor is not None:
        executor.terminate(kill_workers=True)  # joblib's method, which removes its folders as well
        _forget_folders(executor)


def _forget_folders(executor: Any) -> None:
    """Make loky's resource tracker forget folders that joblib registered, but did not create."""
    # We map no arrays through joblib, so its folders never exist. Else joblib's atexit handlers do
    # this, which a forked child of multiprocessing does not run: the tracker then warns of a leak.
    # A spawned one does run them, and to forget a folder twice is an error of the tracker.
    manager = getattr(executor, "_temp_folder_manager", None)
    from joblib.externals.loky.backend import resource_tracker

    handlers = getattr(manager, "_finalizers", {})
    for key, folder in getattr(manager, "_cached_temp_folders", {}).items():
        if not os.path.exists(folder):
            resource_tracker.unregister(folder, "folder")
            if key in handlers:
                atexit.unregister(handlers[key])


class ProcessBackend(Backend):
    """loky processes, through joblib."""

    name = "multiprocessing"
    label = "processes"
    short_label = "proc"
    rank = 2
    color = "#D55E00"
    compared = True
    isolates = True
    kills = True

    def run(
        self, function: Function, calls: CallArgs, n_jobs: int, cancel: CancelToken
    ) -> Iterator[Any]:
        """Yield ``function(*call)`` for each call as they finish."""
        # A daemonic process may not start processes. A run that a listener starts inside another
        # run cannot use the workers of that run. Their calls run in this process.
        if multiprocessing.current_process().daemon or _loky_lock.is_mine():
            yield from Backend.run(self, function, calls, n_jobs, cancel)
            return
        _loky_lock.take(cancel)
        _end_workers_with_this_process()
        try:
            yield from self._run(function, calls, n_jobs, cancel)
        finally:
            _loky_lock.give()

    def _run(
        self, function: Function, calls: CallArgs, n_jobs: int, cancel: CancelToken
    ) -> Iterator[Any]:
        _check_semaphores()
        from joblib import Parallel, delayed, parallel_config

        state = CallerState.take()
        with parallel_config(backend="loky", **self._options()):
            parallel = Parallel(
                # joblib runs a single job in this process, where a crash would end the run.
                n_jobs=max(2, n_jobs),
                return_as="generator_unordered",
                # Calls that joblib bundles would be reported, and lost with a worker, together.
                batch_size=1,
                pre_dispatch="2*n_jobs",  # so that a free worker finds its next call waiting
                max_nbytes=None,  # arrays are in files or shared memory already
            )
            try:
                results = parallel(
                    delayed(call)(state, function, *args) for args in until_cancelled(calls, cancel)
                )
            except (OSError, RuntimeError) as error:
                raise _explain_no_workers(error) from error
        complete = False
        with self._watch(parallel, cancel):
            try:
                for result in results:
                    cancel.check()
                    yield result
                cancel.check()
                complete = True
            except Exception as error:
                raise self._explain(error, cancel) from error
            finally:
                if not complete:
                    cancel.cancel()
                    _exhaust(results)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    results.close()

    def _options(self) -> dict[str, Any]:
        # joblib maps nothing here, but would still create a folder in /dev/shm for each run.
        folder = tempfile.gettempdir()
        return {
            "inner_max_num_threads": 1,
            "initializer": watch_parent,
            "initargs": (os.getpid(),),
            "temp_folder": folder,
        }

    @contextmanager
    def _watch(self, parallel: Any, cancel: CancelToken) -> Iterator[None]:
        """Kill busy workers when the run is cancelled."""
        done = threading.Event()

        def watch() -> None:
            looked = 0.0
            while not done.is_set():
                if time.monotonic() - looked > _INTERVAL_S:
                    looked = time.monotonic()
                    _continue_workers()
                    _fail_lost_calls()
                if cancel.wait(0.05):
                    if not done.wait(_GRACE_S) and hasattr(parallel, "_abort"):
                        with warnings.catch_warnings():
                            warnings.simplefilter("ignore")
                            parallel._abort()
                    return

        watcher = threading.Thread(target=watch, name="facet_nb-cancel", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    def _explain(self, error: Exception, cancel: CancelToken) -> Exception:
        if cancel.cancelled and not isinstance(error, RunCancelled):
            return RunCancelled("the run was cancelled; the context you gave is unchanged.")
        if type(error).__name__ in ("TerminatedWorkerError", "BrokenProcessPool"):
            return WorkerDied(str(error))
        # Calls return their errors: these are loky's own.
        if isinstance(error, (OSError, RuntimeError)):
            return _explain_no_workers(error)
        return error


def _continue_workers() -> None:
    """Resume workers that were stopped by a signal: a run would wait for them forever."""
    # A scheduler that suspends a job stops this process as well, so that nothing is sent then.
    executor = getattr(sys.modules.get(_LOKY), "_executor", None)
    if not hasattr(signal, "SIGCONT"):
        return
    for pid in list(getattr(executor, "_processes", None) or ()):
        with contextlib.suppress(OSError):  # it has ended
            os.kill(pid, signal.SIGCONT)


def _fail_lost_calls() -> None:
    """Fail the calls of an executor that has lost a thread: their results would never arrive."""
    # Without memory a thread ends, e.g. when it cannot start another; loky does not notice.
    executor = getattr(sys.modules.get(_LOKY), "_executor", None)
    queue = getattr(executor, "_call_queue", None)
    threads = getattr(executor, "_executor_manager_thread", None), getattr(queue, "_thread", None)
    ended = [t for t in threads if t is not None and t.ident is not None and not t.is_alive()]
    lost = list((getattr(executor, "_pending_work_items", None) or {}).values())
    if not ended or not lost:
        return
    _end_processes(executor)
    for item in lost:
        with contextlib.suppress(InvalidStateError):  # it was cancelled meanwhile
            item.future.set_exception(RuntimeError(f"the thread {ended[0].name} has ended"))


def _end_processes(executor: Any) -> None:
    for worker in list((getattr(executor, "_processes", None) or {}).values()):
        worker.terminate()


def _check_semaphores() -> None:
    """Raise :class:`PlanError` where semaphores, which loky needs, cannot be made."""
    # joblib would fall back to threads, and fail with an AssertionError about our options.
    try:
        multiprocessing.get_context("spawn").Semaphore(1)
    except (ImportError, OSError) as error:
        raise _explain_no_workers(error) from error


def _explain_no_workers(error: Exception) -> PlanError:
    if isinstance(error, RuntimeError) or getattr(error, "errno", None) in _SCARCE:
        _drop_executor()
        return PlanError(f"worker processes cannot be started: {explain_system(error) or error}")
    return PlanError(
        f"worker processes cannot be started: they need semaphores, which the system keeps in "
        f"/dev/shm ({error}). Make /dev/shm writable and larger, or use backend='threading'."
    )


#: Errors of a system without memory, processes or open files left.
_SCARCE = (errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE)


def _drop_executor() -> None:
    """Forget an executor without threads, which loky would try to join forever."""
    loky = sys.modules.get(_LOKY)
    executor = getattr(loky, "_executor", None)
    if executor is not None:
        _end_processes(executor)
        loky._executor = loky._executor_kwargs = None  # type: ignore[union-attr]


def _exhaust(results: Iterator[Any]) -> None:
    """Wait for running calls."""
    # Closing joblib's generator early kills the workers, and starting new ones takes 1 s. Calls
    # that do not end soon are killed by ProcessBackend._watch.
    with contextlib.suppress(Exception):  # the run has failed already, with an error of its own
        for _ in results:
            pass


#: Interval at which a worker checks whether its parent is alive, in s.
_INTERVAL_S = 1.0


def watch_parent(owner: int) -> None:
    """Exit this worker process once its parent `owner` has died; the workers' initializer."""
    # A killed parent cannot stop its workers: a busy one would finish its task, and an idle one
    # would stay for five minutes. The parent may already be dead when this is called.
    if os.name == "posix" and os.getppid() != owner:
        os._exit(1)
    # Ctrl-C in a terminal goes to workers as well: their owner stops them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    thread = threading.Thread(target=_watch, args=(os.getppid(),), name="facet_nb-parent")
    thread.daemon = True
    thread.start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_INTERVAL_S)
    os._exit(1)  # sys.exit would end this thread only
