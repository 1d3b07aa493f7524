"""Compute the next window of a lazy recording while a viewer shows the last one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from facet_nb.core.errors import FacetError

logger = logging.getLogger("facet_nb")

#: Time without a read after which a viewer is taken to be showing something, in s. Programs that
#: read window after window ask for the next one sooner, and get no second thread beside them.
IDLE_S = 0.05

#: A window is computed in this many parts, between which it may be given up.
_PARTS = 4


@dataclass(frozen=True)
class ReadSpan:
    """Samples `start` to `stop` of some channels."""

    channels: tuple[int, ...]
    start: int
    stop: int

    def following(self, before: ReadSpan | None, n_times: int) -> ReadSpan | None:
        """Return the next window in the direction of travel; None if nobody travels.

        That is so if this one and the one before are equally long, of the same channels, and
        touch or overlap.
        """
        length = self.stop - self.start
        if before is None or before.channels != self.channels:
            return None
        step = self.start - before.start
        if length != before.stop - before.start or not 0 < abs(step) <= length:
            return None
        # Only what this window does not hold: the rest of the next one has just been computed.
        start = max(0, self.start + step if step < 0 else self.stop)
        stop = self.start if step < 0 else min(self.stop + step, n_times)
        return ReadSpan(self.channels, start, stop) if start < stop else None


class Prefetcher:
    """Reads ahead in a thread of its own, which ends when there is nothing to do.

    Parameters
    ----------
    read : callable
        ``read(channels, start, stop)`` computes samples, and leaves them in a cache.
    n_times : int
        Length of the recording.
    most : int
        Largest number of values of a window that is read ahead.
    """

    def __init__(
        self, read: Callable[[Sequence[int], int, int], Any], n_times: int, most: int
    ) -> None:
        self._read, self._n_times, self._most = read, n_times, most
        self._lock = threading.Lock()
        self._last: ReadSpan | None = None
        self._next: ReadSpan | None = None
        self._read_s = 0.0
        self._thread: threading.Thread | None = None

    def note(self, channels: Sequence[int], start: int, stop: int) -> None:
        """Take note of a read that is done."""
        now = ReadSpan(tuple(channels), start, stop)
        with self._lock:
            self._next = now.following(self._last, self._n_times)
            self._last, self._read_s = now, time.monotonic()
            if self._next is None or (stop - start) * len(now.channels) > self._most:
                self._next = None
            # A thread that an unexpected error has ended still stands here, and is replaced.
            elif self._thread is None or not self._thread.is_alive():
                # A daemon: what nobody has asked for must not keep a program from ending.
                self._thread = threading.Thread(target=self._work, name="read ahead", daemon=True)
                self._thread.start()

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until nothing is read ahead."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)

    def _work(self) -> None:
        while (span := self._take()) is not None:
            size = -(-(span.stop - span.start) // _PARTS)
            for start in range(span.start, span.stop, size):
                try:
                    self._read(span.channels, start, min(start + size, span.stop))
                except FacetError as error:  # who reads there meets it again
                    logger.debug("nothing is read ahead: %s", error)
                    break
                if self._is_over():
                    break

    def _take(self) -> ReadSpan | None:
        """Return what to read once nobody has read for a while; None if there is nothing."""
        while True:
            with self._lock:
                span, left_s = self._next, self._read_s + IDLE_S - time.monotonic()
                if span is None or left_s <= 0:
                    self._next = None
                    if span is None:
                        # Under the lock: a window noted from now on gets a thread of its own.
                        self._thread = None
                    return span
            # Without the lock: reads that are noted meanwhile must not wait.
            time.sleep(left_s)

    def _is_over(self) -> bool:
        """Whether somebody has read something else meanwhile."""
        with self._lock:
            return time.monotonic() - self._read_s < IDLE_S
