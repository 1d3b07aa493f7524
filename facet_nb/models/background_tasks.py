"""A piece of work on a thread of its own, whose outcome waits until it is fetched."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came out of a piece of work.

    Attributes
    ----------
    key : object
        Which work it was.
    value : object
        Its result; None if it failed.
    error : Exception | None
        What went wrong.
    """

    key: Any
    value: Any = None
    error: Exception | None = None


class BackgroundTasks:
    """Does one thing after another on daemon threads; results are fetched with :meth:`take`.

    Parameters
    ----------
    on_news : callable | None
        Called, in the work's thread, when there is something to fetch.
    """

    def __init__(self, on_news: Callable[[], None] | None = None) -> None:
        self.on_news = on_news
        self._done: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def start(self, key: Any, work: Callable[[], Any]) -> None:
        """Begin to do `work`; return at once."""
        self._threads = [t for t in self._threads if t.is_alive()]
        thread = threading.Thread(
            target=self._do, args=(key, work), name="facet_nb-background", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def take(self) -> list[Outcome]:
        """Return what has been done since the last call."""
        found = []
        while not self._done.empty():
            found.append(self._done.get())
        return found

    def join(self, timeout_s: float | None = None) -> None:
        """Wait for the work that is under way, at most `timeout_s` each."""
        for thread in list(self._threads):
            thread.join(timeout_s)

    def _do(self, key: Any, work: Callable[[], Any]) -> None:
        try:
            outcome = Outcome(key, work())
        except Exception as error:  # reported by whoever fetches it
            outcome = Outcome(key, error=error)
        self._done.put(outcome)
        if self.on_news is not None:
            self.on_news()
