"""Background tasks: work on daemon threads whose outcomes are fetched later."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


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
        thread = threading.Thread(
            target=self._do, args=(key, work), name="facet_nb-background", daemon=True
        )
        self._threads.append(thread)
        thread.start()

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
