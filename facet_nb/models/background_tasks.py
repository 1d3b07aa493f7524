"""Background tasks: work on daemon threads whose outcomes are fetched later."""

from __future__ import annotations

import atexit
import queue
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: Time that running threads have when the interpreter exits, in s.
_EXIT_S = 10.0
#: Interval at which the end of work is looked for, in s.
_POLL_S = 0.05

_running: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


def start_thread(target: Callable[..., Any], *args: Any, name: str) -> threading.Thread:
    """Start a daemon thread, which the interpreter awaits for some seconds before it exits."""
    # A thread that is stopped within C++ code (transforms) would abort the process.
    thread = threading.Thread(target=target, args=args, name=name, daemon=True)
    _running.add(thread)
    thread.start()
    return thread


@atexit.register
def _await_threads() -> None:
    until = time.monotonic() + _EXIT_S
    for thread in list(_running):
        if thread.is_alive() and thread is not threading.current_thread():
            thread.join(max(0.0, until - time.monotonic()))


def wait_while(
    busy: Callable[[], bool],
    pause: Callable[[float], Any],
    cancel: Callable[[], Any],
    timeout: float | None,
) -> None:
    """Wait for the end of work, at most `timeout` seconds; a keyboard interrupt cancels it.

    Parameters
    ----------
    busy : callable
        Whether work is in progress; takes over its news, if nothing else does.
    pause : callable
        Waits for some seconds, or until there is news.
    cancel : callable
        Cancels the work, whose end is then awaited.
    timeout : float | None
        Longest time, in s.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        while busy() and (deadline is None or time.monotonic() < deadline):
            pause(_POLL_S)
    except KeyboardInterrupt:
        cancel()
        while busy():
            pause(_POLL_S)
        raise


@dataclass(frozen=True, eq=False)
class Outcome:
    """Outcome of a task.

    Attributes
    ----------
    key : object
        Key of the task.
    value : object
        Its result; None if it failed.
    error : Exception | None
        The error, if it failed.
    """

    key: Any
    value: Any = None
    error: Exception | None = None


class Notifier:
    """Base of models whose threads announce news: `on_news` is called in any thread."""

    on_news: Callable[[], None] | None = None

    def _notify(self) -> None:
        if self.on_news is not None:
            self.on_news()


class BackgroundTasks:
    """Runs tasks on daemon threads; their outcomes are fetched with :meth:`take`.

    Parameters
    ----------
    on_news : callable | None
        Called in the thread of a task when its outcome can be fetched.
    """

    def __init__(self, on_news: Callable[[], None] | None = None) -> None:
        self.on_news = on_news
        self._done: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def start(self, key: Any, work: Callable[[], Any]) -> None:
        """Start `work` on a new thread; return immediately."""
        self._threads = [t for t in self._threads if t.is_alive()]
        self._threads.append(start_thread(self._do, key, work, name="facet_nb-background"))

    def take(self) -> list[Outcome]:
        """Return the outcomes since the last call."""
        found = []
        while not self._done.empty():
            found.append(self._done.get())
        return found

    def join(self, timeout_s: float | None = None) -> None:
        """Wait for the running tasks, at most `timeout_s` for each."""
        for thread in list(self._threads):
            thread.join(timeout_s)

    def _do(self, key: Any, work: Callable[[], Any]) -> None:
        try:
            outcome = Outcome(key, work())
        except Exception as error:  # reported with the outcome
            outcome = Outcome(key, error=error)
        self._done.put(outcome)
        if self.on_news is not None:
            self.on_news()
