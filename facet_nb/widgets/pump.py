"""Forward events from worker threads to the kernel's event loop, at a limited rate."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

#: Shortest interval, in s: faster updates are not visible, and each is a message to the browser.
INTERVAL_S = 0.1
#: Interval of updates without events, in s, as the elapsed time changes.
TICK_S = 0.5
#: Share of a core that updates may use: expensive updates are less frequent. Sending the messages
#: takes another half of that, on another thread.
SHARE = 0.005


class Pump:
    """Calls `drain` on the event loop in which it was created, and merges requests.

    :meth:`wake` may be called from any thread and at any rate: `drain` runs on the event loop only,
    at most every `interval_s`. The interval grows up to `tick_s` if `drain` takes more than
    :data:`SHARE` of it. While `drain` returns True, it is called again after `tick_s` without a
    request. Without a running loop nothing happens; the caller that waits must drain.

    Parameters
    ----------
    drain : callable
        Applies new events; returns whether there are more to come.
    interval_s : float
        Shortest interval between two calls, in s.
    tick_s : float
        Longest interval between two calls while there are more to come, in s.
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
            self._loop = None  # plain Python without an event loop

    @property
    def attached(self) -> bool:
        """Whether there is a running event loop."""
        return self._loop is not None and self._loop.is_running()

    def wake(self) -> None:
        """Request a call of `drain`, from any thread; return immediately."""
        with self._lock:
            if self._woken or self._loop is None or not self._loop.is_running():
                return
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._arrange)
            except RuntimeError:
                self._loop = None  # the loop was closed in the meantime
                self._woken = False

    def _arrange(self) -> None:
        assert self._loop is not None  # the loop is the caller
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
