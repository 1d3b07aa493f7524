"""Worker processes: loky, through joblib."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from facet_nb.core.backends.base import Backend, WorkerDied, until_cancelled
from facet_nb.core.cancel import CancelToken
from facet_nb.core.errors import RunCancelled

#: After a cancel, a task that does not end by itself within this time is killed (processes).
_GRACE_S = 0.2

#: Where loky keeps the workers of this process.
_LOKY = "joblib.externals.loky.reusable_executor"


class LokyLock:
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


_loky_lock = LokyLock()

_inherited: list[Any] = []


def _reset_after_fork() -> None:
    """In a forked child: nobody has the turn, and the parent's workers are not its own.

    loky would send calls to an executor whose threads stayed in the parent, and wait for ever.
    The inherited executor is kept: its finalizers belong to the parent, too.
    """
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
        self, function: Callable, calls: Sequence[tuple], n_jobs: int, cancel: CancelToken
    ) -> Iterator[Any]:
        """Yield ``function(*call)`` for each call, as they end.

        A daemonic process may not have workers, and a listener's run inside a run may not have
        its workers: their calls run here.
        """
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
            results = parallel(delayed(function)(*call) for call in until_cancelled(calls, cancel))
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


def _exhaust(results: Iterator[Any]) -> None:
    """Let calls under way end: closing joblib's generator kills workers, and new ones cost 1 s.

    What does not end soon is killed by :meth:`ProcessBackend._watch`.
    """
    with contextlib.suppress(Exception):  # the run has its error already
        for _ in results:
            pass


#: How often a worker looks whether its parent lives.
_INTERVAL_S = 1.0


def watch_parent(owner: int) -> None:
    """End this process once its parent has died (a kill leaves it no time to say so).

    A loky worker in the middle of a task would go on for as long as that takes, an idle one for
    five minutes. It is the workers' initializer: called once in each, with the process that starts
    them, which may have died before a worker comes to this.
    """
    if os.name == "posix" and os.getppid() != owner:
        os._exit(1)
    thread = threading.Thread(target=_watch, args=(os.getppid(),), name="facet_nb-orphan")
    thread.daemon = True
    thread.start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_INTERVAL_S)
    os._exit(1)
