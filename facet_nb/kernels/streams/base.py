"""What all streams are, and the samples that they keep."""

from __future__ import annotations

import threading
from typing import Protocol

import numpy as np

#: Rooms that a thread keeps for its next channel.
_KEPT = 8


class Stream(Protocol):
    """One channel on its way through a kernel.

    What is returned may be overwritten by the next call; what is given is not kept.
    """

    def push(self, x: np.ndarray) -> np.ndarray:
        """Take the next samples, shape (n,); return the next of the result, shape (m,)."""

    def finish(self) -> np.ndarray:
        """Return what is left, at the end of the signal."""


class _Rooms(threading.local):
    """Memory of streams that are done, for the next ones of the same thread.

    Memory that is new costs more time than what is done to the samples in it.
    """

    def __init__(self) -> None:
        self.free: list[np.ndarray] = []

    def take(self, n: int, dtype: np.dtype) -> np.ndarray:
        """Return room for `n` numbers or more; what is in it is left from before."""
        n_bytes = n * dtype.itemsize
        for i, room in enumerate(self.free):
            if len(room) >= n_bytes:
                return self.free.pop(i)[: len(room) // dtype.itemsize * dtype.itemsize].view(dtype)
        raw = np.empty(n_bytes + 64, np.uint8)
        first = -raw.ctypes.data % 64
        return raw[first : first + n_bytes].view(dtype)

    def give(self, room: np.ndarray) -> None:
        """Take back what :meth:`take` returned."""
        if len(room):
            self.free.append(room.view(np.uint8))
            self.free.sort(key=len)
            del self.free[:-_KEPT]


rooms = _Rooms()


class Buffer:
    """The last samples of a signal; positions count from the signal's beginning.

    Attributes
    ----------
    start, stop : int
        The first sample that is kept, and the one after the last.
    """

    def __init__(self, dtype: np.dtype) -> None:
        self._room = np.empty(0, dtype)
        self._low = 0
        self.start = self.stop = 0

    @property
    def data(self) -> np.ndarray:
        """The samples that are kept, shape (stop - start,)."""
        return self._room[self._low : self._low + self.stop - self.start]

    def append(self, x: np.ndarray) -> None:
        """Add the next samples."""
        self.extend(len(x))[...] = x

    def extend(self, n: int) -> np.ndarray:
        """Add room for the next `n` samples; return it, to be filled."""
        kept = self.stop - self.start
        if self._low + kept + n > len(self._room):
            self._make_room(kept, n)
        self.stop += n
        return self._room[self._low + kept : self._low + kept + n]

    def _make_room(self, kept: int, n: int) -> None:
        """Move what is kept to the beginning of the room, or of a larger one.

        A quarter of the room is free then, so that samples are moved once for each third of them
        that comes.
        """
        size = kept + n
        old, room = self.data, self._room
        if 4 * size > 3 * len(room):
            self._room = rooms.take(size + size // 3 + 1, room.dtype)
        self._room[:kept] = old
        self._low = 0

    def drop(self, position: int) -> None:
        """Forget all before `position`."""
        position = min(position, self.stop)
        if position > self.start:
            self._low += position - self.start
            self.start = position

    def close(self) -> None:
        """Forget all: nothing may be read any more."""
        rooms.give(self._room)
        self._room, self.start = self._room[:0], self.stop

    def piece(self, start: int, stop: int) -> np.ndarray:
        """Return samples `start` … `stop` of the signal; a view."""
        low = self._low - self.start
        return self._room[low + start : low + stop]
