"""From a run's thread to the kernel's loop, not more often than an eye can follow."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

#: Ten times a second: faster is not seen, and each update is a message to the browser.
INTERVAL_S = 0.1
#: Between events the clock goes on all the same.
TICK_S = 0.5
#: Share of a core that updates may take: where one is dear, they come less often. Sending the
#: messages takes half as much again, on another thread.
SHARE = 0.005


class Pump:
    """Calls `drain` on the loop of whoever builds it, coalesced.

    However often :meth:`wake` is called, and from whichever thread, `drain` runs on the loop only,
    at most every `interval_s`, and less often, down to every `tick_s`, where it takes more than
    :data:`SHARE` of that time. As long as it returns True it is called again after `tick_s`
    without being woken. Without a running loop nothing happens: whoever waits drains.

    Parameters
    ----------
    drain : callable
        Takes what is new; returns whether there is more to come.
    interval_s : float
        Shortest time between two calls, in s.
    tick_s : float
        Longest time between two calls while there is more to come, in s.
    """

    def __init__(
        self, drain: Callable[[], bool], interval_s: float = INTERVAL_S, tick_s: float = TICK_S
    ) -> None:
        self.drain = drain
        self.interval_s = interval_s
        self.tick_s = tick_s
        self._lock = threading.Lock()
        self._woken = False
        self._last_s = float("-inf")
        self._pause_s = interval_s
        self._timer: asyncio.TimerHandle | None = None
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None  # plain Python: there is no loop to call on

    @property
    def attached(self) -> bool:
        """Whether there is a loop that runs."""
        return self._loop is not None and self._loop.is_running()

    def wake(self) -> None:
        """Say that there is something new; returns at once, from any thread."""
        with self._lock:
            if self._woken or self._loop is None or not self._loop.is_running():
                return
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._arrange)
            except RuntimeError:
                self._loop = None  # it was closed meanwhile; nobody looks any more
                self._woken = False

    def _arrange(self) -> None:
        assert self._loop is not None  # it is what calls
        wait_s = max(0.0, self._last_s + self._pause_s - self._loop.time())
        self._set_timer(wait_s)

    def _set_timer(self, wait_s: float) -> None:
        assert self._loop is not None
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(wait_s, self._flush)

    def _flush(self) -> None:
        assert self._loop is not None
        with self._lock:
            self._woken = False
        self._timer = None
        self._last_s, began_s = self._loop.time(), time.thread_time()
        more = self.drain()
        pause_s = (time.thread_time() - began_s) / SHARE
        self._pause_s = max(self.interval_s, min(pause_s, self.tick_s))
        if more and self._timer is None:
            self._set_timer(self.tick_s)
