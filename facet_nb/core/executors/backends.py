"""Where batches run. The only module that imports joblib (:mod:`.cluster` has Dask).

A backend says what it can do (``isolates``: workers are other processes, and see none of this
one's memory; ``kills``: a cancelled run ends what is in the middle of a task; ``near``: workers are
on this machine) and yields results as they arrive; everything else is the loop's business.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import queue
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from facet_nb.core.errors import PlanError, RunCancelled
from facet_nb.core.executors import cluster
from facet_nb.core.executors.cancel import CancelToken
from facet_nb.core.executors.orphans import watch_parent

#: After a cancel, a task that does not end by itself within this time is killed (processes).
_GRACE_S = 0.2

#: Where loky keeps the workers of this process.
_LOKY = "joblib.externals.loky.reusable_executor"


class WorkerDied(Exception):
    """A worker process ended without an answer."""


class Backend:
    """Runs calls in this process, one after another."""

    name = "serial"
    isolates = False
    kills = False
    near = True

    def run(
        self, function: Callable, calls: Sequence[tuple], n_jobs: int, cancel: CancelToken
    ) -> Iterator[Any]:
        """Yield ``function(*call)`` for each call, in any order.

        If the caller does not take all results, `cancel` is set: give a token of its own.
        """
        for call in calls:
            cancel.check()
            yield function(*call)


class ThreadBackend(Backend):
    """Threads of this process."""

    name = "threading"

    def run(
        self, function: Callable, calls: Sequence[tuple], n_jobs: int, cancel: CancelToken
    ) -> Iterator[Any]:
        """Yield ``function(*call)`` for each call, as they end."""
        work = _Counted(function, cancel)
        try:
            with _keep_log_level():
                yield from self._run(work, calls, n_jobs, cancel)
        finally:
            work.wait()

    def _run(
        self, function: Callable, calls: Sequence[tuple], n_jobs: int, cancel: CancelToken
    ) -> Iterator[Any]:
        # Not joblib's threads: it keeps three more that only wait, and the budget counts them.
        # Nor a ThreadPoolExecutor's: one that hangs would keep the process from ending.
        waiting, turn = _until(calls, cancel), threading.Lock()
        box: queue.SimpleQueue[tuple[Any, BaseException | None] | None] = queue.SimpleQueue()

        def take() -> tuple | None:
            with turn:
                return next(waiting, None)

        def work() -> None:
            while (call := take()) is not None:
                try:
                    box.put((function(*call), None))
                except BaseException as error:
                    box.put((None, error))
                    return
            box.put(None)

        left = min(n_jobs, len(calls))
        for _ in range(left):
            threading.Thread(target=work, name="facet_nb-outer", daemon=True).start()
        complete = False
        try:
            while left:
                answer = box.get()
                if answer is None:
                    left -= 1
                    continue
                if answer[1] is not None:
                    raise answer[1]
                cancel.check()
                yield answer[0]
            cancel.check()
            complete = True
        finally:
            if not complete:
                cancel.cancel()


class _Turn:
    """Who uses loky's workers: they are one set for the whole process.

    Two threads that use them at once, with different numbers of workers or where one is
    cancelled, wait for one another for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: int | None = None

    def is_mine(self) -> bool:
        """Whether the calling thread has the turn."""
        return self._owner == threading.get_ident()

    def take(self, cancel: CancelToken) -> None:
        """Wait for the turn; a cancelled run waits no longer."""
        while not self._lock.acquire(timeout=0.05):
            cancel.check()
        self._owner = threading.get_ident()

    def give(self) -> None:
        """End the turn."""
        self._owner = None
        self._lock.release()


_turn = _Turn()


_inherited: list[Any] = []


def _begin_anew() -> None:
    """In a forked child: nobody has the turn, and the parent's workers are not its own.

    loky would send calls to an executor whose threads stayed in the parent, and wait for ever.
    The inherited executor is kept: its finalizers belong to the parent, too.
    """
    global _turn
    _turn = _Turn()
    loky = sys.modules.get(_LOKY)
    if getattr(loky, "_executor", None) is not None:
        _inherited.append(loky._executor)  # type: ignore[union-attr]
        loky._executor = loky._executor_kwargs = None  # type: ignore[union-attr]
        loky._executor_lock = threading.RLock()  # type: ignore[union-attr]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


_ending: set[int] = set()


def _end_workers_with_this_process() -> None:
    """In a child of ``multiprocessing`` (a ``ProcessPoolExecutor``'s worker): end workers first.

    Such a child waits for its own children at its end, and loky's wait five minutes for work.
    """
    if multiprocessing.parent_process() is None or os.getpid() in _ending:
        return
    _ending.clear()
    _ending.add(os.getpid())
    from multiprocessing.util import Finalize

    Finalize(None, _end_workers, exitpriority=100)


def _end_workers() -> None:
    executor = getattr(sys.modules.get(_LOKY), "_executor", None)
    if executor is not None:
        executor.terminate(kill_workers=True)  # joblib's: its temporary folders, too


class _Counted:
    """A function for threads, which knows how many of its calls are under way."""

    def __init__(self, function: Callable, cancel: CancelToken) -> None:
        self.function = function
        self.cancel = cancel
        self.running = 0
        self.changed = threading.Condition()

    def __call__(self, *args: Any) -> Any:
        with self.changed:
            self.running += 1
        try:
            self.cancel.check()
            return self.function(*args)
        finally:
            with self.changed:
                self.running -= 1
                self.changed.notify_all()

    def wait(self) -> None:
        """Wait until no call is under way: whoever stops a run owns what still computes."""
        with self.changed:
            self.changed.wait_for(lambda: self.running == 0)


@contextmanager
def _keep_log_level() -> Iterator[None]:
    """Restore MNE's log level: ``verbose=`` in several threads at once leaves a wrong one."""
    logger = logging.getLogger("mne")
    level = logger.level
    try:
        yield
    finally:
        if logger.level != level:
            logger.setLevel(level)


class ProcessBackend(ThreadBackend):
    """loky processes, through joblib."""

    name = "multiprocessing"
    isolates = True
    kills = True

    def run(
        self, function: Callable, calls: Sequence[tuple], n_jobs: int, cancel: CancelToken
    ) -> Iterator[Any]:
        """Yield ``function(*call)`` for each call, as they end.

        A daemonic process may not have workers, and a listener's run inside a run may not have
        its workers: their calls run here.
        """
        if multiprocessing.current_process().daemon or _turn.is_mine():
            yield from Backend.run(self, function, calls, n_jobs, cancel)
            return
        _turn.take(cancel)
        _end_workers_with_this_process()
        try:
            yield from self._run(function, calls, n_jobs, cancel)
        finally:
            _turn.give()

    def _run(
        self, function: Callable, calls: Sequence[tuple], n_jobs: int, cancel: CancelToken
    ) -> Iterator[Any]:
        from joblib import Parallel, delayed, parallel_config

        with parallel_config(backend="loky", **self._options()):
            parallel = Parallel(
                n_jobs=max(2, n_jobs),
                return_as="generator_unordered",
                batch_size=1,
                pre_dispatch="2*n_jobs",  # a worker that is done finds its next call
                max_nbytes=None,
            )
            results = parallel(delayed(function)(*call) for call in _until(calls, cancel))
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
        # Nothing is mapped by joblib; it would make a folder in /dev/shm for each run all the same.
        folder = tempfile.gettempdir()
        return {
            "inner_max_num_threads": 1,
            "initializer": watch_parent,
            "initargs": (os.getpid(),),
            "temp_folder": folder,
        }

    @contextmanager
    def _watch(self, parallel: Any, cancel: CancelToken) -> Iterator[None]:
        """Kill workers that are in the middle of a task when somebody cancels."""
        done = threading.Event()

        def watch() -> None:
            while not done.is_set():
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
        return error


class DaskBackend(Backend):
    """Workers of a Dask cluster, on machines that share a file system."""

    name = "dask"
    isolates = True
    near = False

    def run(
        self, function: Callable, calls: Sequence[tuple], n_jobs: int, cancel: CancelToken
    ) -> Iterator[Any]:
        """Yield ``function(*call)`` for each call, as they end."""
        return cluster.run_calls(function, calls, n_jobs, cancel)


_BACKENDS: dict[str, type[Backend]] = {
    "serial": Backend,
    "threading": ThreadBackend,
    "multiprocessing": ProcessBackend,
    "dask": DaskBackend,
}


def get_backend(name: str) -> Backend:
    """Return a backend by name.

    Raises
    ------
    PlanError
        If there is none.
    """
    if name not in _BACKENDS:
        raise PlanError(f"unknown backend {name!r}: use one of {', '.join(_BACKENDS)}.")
    return _BACKENDS[name]()


def count_cores(backend: str = "serial") -> int:
    """Return the cores that this process may use (affinity and container limits count).

    For ``"dask"``: the threads of the cluster's workers.
    """
    from joblib import cpu_count

    threads = cluster.count_threads() if backend == "dask" else None
    return int(cpu_count()) if threads is None else threads


def dumps(thing: Any) -> bytes:
    """Return `thing` as a pickle, classes and functions of a notebook included."""
    try:
        import cloudpickle  # joblib's own, from 1.6 on
    except ImportError:
        from joblib.externals import cloudpickle
    return cloudpickle.dumps(thing)


def check_picklable(named: Sequence[tuple[str, Any]]) -> None:
    """Raise :class:`PlanError` that names every object which cannot go to another process."""
    failed = []
    for name, thing in named:
        try:
            dumps(thing)
        except Exception as error:  # whatever its __reduce__ raises
            failed.append(f"{name} ({error})")
    if failed:
        raise PlanError(
            f"cannot be sent to worker processes: {'; '.join(failed)}. Use backend='threading', "
            "or keep open files, locks and connections out of the processor's attributes."
        )


def _exhaust(results: Iterator[Any]) -> None:
    """Let calls under way end: closing joblib's generator kills workers, and new ones cost 1 s.

    What does not end soon is killed by :meth:`ProcessBackend._watch`.
    """
    with contextlib.suppress(Exception):  # the run has its error already
        for _ in results:
            pass


def _until(calls: Sequence[tuple], cancel: CancelToken) -> Iterator[tuple]:
    for call in calls:
        if cancel.cancelled:
            return
        yield call
