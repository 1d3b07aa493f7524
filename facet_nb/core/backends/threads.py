"""Threads of this process."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

from facet_nb.core.backends.base import Backend, CallArgs, Function, until_cancelled
from facet_nb.core.cancel import CancelToken
from facet_nb.core.errors import FacetError


class ThreadBackend(Backend):
    """Threads of this process."""

    name = "threading"
    label = "threads"
    short_label = "thr"
    rank = 1
    color = "#0072B2"
    compared = True

    def run(
        self, function: Function, calls: CallArgs, n_jobs: int, cancel: CancelToken
    ) -> Iterator[Any]:
        """Yield ``function(*call)`` for each call as they finish."""
        work = _CountedFunction(function, cancel)
        try:
            with _keep_log_level():
                yield from self._run(work, calls, n_jobs, cancel)
        finally:
            work.wait()

    def _run(
        self, function: Function, calls: CallArgs, n_jobs: int, cancel: CancelToken
    ) -> Iterator[Any]:
        # Not joblib's threads: it keeps three more that only wait, and the budget counts them.
        # Nor a ThreadPoolExecutor's: one that hangs would keep the process from ending.
        waiting, turn = until_cancelled(calls, cancel), threading.Lock()
        box: queue.SimpleQueue[tuple[Any, BaseException | None] | None] = queue.SimpleQueue()

        def take() -> tuple[Any, ...] | None:
            with turn:  # a generator cannot be advanced by two threads at once
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
            # In a copy of the context: numpy.errstate of the caller must hold here, too.
            run = copy_context().run
            thread = threading.Thread(target=run, args=(work,), name="facet_nb-outer", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                # Threads that were started would go on with the calls.
                cancel.cancel()
                raise FacetError(
                    f"a thread cannot be started ({error}): use fewer n_jobs, or raise the limit "
                    "on processes (ulimit -u) or on memory."
                ) from error
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


class _CountedFunction:
    """A function that counts how many of its calls are running."""

    def __init__(self, function: Callable[..., Any], cancel: CancelToken) -> None:
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
        """Wait until no call is running."""
        # A run that has ended must not write to its arrays any more: the caller owns them now.
        with self.changed:
            self.changed.wait_for(lambda: self.running == 0)


@contextmanager
def _keep_log_level() -> Iterator[None]:
    """Restore MNE's log level afterwards."""
    # verbose= sets the level and restores it: interleaved in several threads, it stays wrong.
    logger = logging.getLogger("mne")
    level = logger.level
    try:
        yield
    finally:
        if logger.level != level:
            logger.setLevel(level)
