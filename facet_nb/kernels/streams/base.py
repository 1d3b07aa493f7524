"""The protocol of streams, their sample buffers, and the base of streams that subtract."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, Self

import numpy as np

from facet_nb.kernels.compiled.dispatch import aligned_empty

#: Number of free arrays that a thread keeps for its next channels.
_KEPT = 8


class Stream(Protocol):
    """Process one channel piece by piece.

    A returned array is valid until the next call only. Arrays passed in are copied.
    """

    def push(self, x: np.ndarray) -> np.ndarray:
        """Add the next samples, shape (n,); return the samples that are final, shape (m,)."""

    def finish(self) -> np.ndarray:
        """Return the remaining samples, at the end of the signal."""


class _BufferPool(threading.local):
    """Memory of finished streams, reused by the next streams of the same thread."""

    # Reused because page faults of new memory cost more time than the kernels themselves.

    def __init__(self) -> None:
        self.free: list[np.ndarray] = []

    def take(self, n: int, dtype: np.dtype) -> np.ndarray:
        """Return an array of `n` elements or more; its contents are undefined."""
        n_bytes = n * dtype.itemsize
        for i, array in enumerate(self.free):
            if len(array) >= n_bytes:
                return self.free.pop(i)[: len(array) // dtype.itemsize * dtype.itemsize].view(dtype)
        return aligned_empty(n, dtype)

    def give_back(self, array: np.ndarray) -> None:
        """Return an array of :meth:`take` to the pool."""
        if len(array):
            self.free.append(array.view(np.uint8))
            self.free.sort(key=len)
            del self.free[:-_KEPT]


buffer_pool = _BufferPool()


class Buffer:
    """A sliding window over a signal; positions are counted from the start of the signal.

    Parameters
    ----------
    dtype : dtype
        Type of the samples.

    Attributes
    ----------
    start, stop : int
        Position of the first sample in the window, and of the one after the last.
    """

    def __init__(self, dtype: np.dtype) -> None:
        self._array = np.empty(0, dtype)
        self._low = 0
        self.start = self.stop = 0

    @property
    def data(self) -> np.ndarray:
        """The samples in the window, shape (stop - start,)."""
        return self._array[self._low : self._low + self.stop - self.start]

    def append(self, x: np.ndarray) -> None:
        """Add the next samples."""
        self.extend(len(x))[...] = x

    def extend(self, n: int) -> np.ndarray:
        """Extend the window by `n` samples; return them, for the caller to fill."""
        kept = self.stop - self.start
        if self._low + kept + n > len(self._array):
            self._make_room(kept, n)
        self.stop += n
        return self._array[self._low + kept : self._low + kept + n]

    def _make_room(self, kept: int, n: int) -> None:
        """Move the window to the start of its array, or of a larger array."""
        size = kept + n
        old, array = self.data, self._array
        # At least a quarter of the array is free afterwards, so that each sample is moved about
        # three times at most: the cost of appending stays linear.
        if 4 * size > 3 * len(array):
            self._array = buffer_pool.take(size + size // 3 + 1, array.dtype)
        self._array[:kept] = old
        self._low = 0

    def drop(self, position: int) -> None:
        """Drop the samples before `position`."""
        position = min(position, self.stop)
        if position > self.start:
            self._low += position - self.start
            self.start = position

    def close(self) -> None:
        """Drop all samples and give the memory back."""
        buffer_pool.give_back(self._array)
        self._array, self.start = self._array[:0], self.stop

    def piece(self, start: int, stop: int) -> np.ndarray:
        """Return a view of the samples from `start` to `stop` (exclusive) of the signal."""
        low = self._low - self.start
        return self._array[low + start : low + stop]


class SubtractionStream(ABC):
    """Base of streams that subtract templates from a copy of the signal.

    Parameters
    ----------
    dtype : dtype
        Type of the samples.

    Attributes
    ----------
    x, work : Buffer
        The signal, from which templates are made, and its copy, which becomes the result.
    next : int
        The next epoch or block to correct.
    done : int
        Number of samples that were returned.
    """

    def __init__(self, dtype: np.dtype | type = float) -> None:
        self.x, self.work = Buffer(np.dtype(dtype)), Buffer(np.dtype(dtype))
        self.next = self.done = 0

    @classmethod
    def make(cls, layout: Any, *arguments: Any, **options: Any) -> Self | None:
        """Return a stream, or None if the epochs of `layout` are not in order."""
        create: Callable[..., Self] = cls
        return create(layout, *arguments, **options) if layout.is_ordered else None

    def push(self, x: np.ndarray) -> np.ndarray:
        """Add the next samples; return the samples that are final."""
        self.x.append(x)
        self.work.append(x)
        return self._advance()

    def finish(self) -> np.ndarray:
        """Return the remaining samples."""
        left = self._advance().copy()  # closing gives the memory of the view away
        self.x.close()
        self.work.close()
        return left

    @abstractmethod
    def _advance(self) -> np.ndarray:
        """Subtract all templates that can be made by now; return :meth:`_emit`."""

    def _emit(self, stop: int, keep: int) -> np.ndarray:
        """Return the samples up to `stop`; drop those before `keep`, which no template needs."""
        stop = max(stop, self.done)
        self._finalize(stop)
        result = self.work.piece(self.done, stop)
        self.done = stop
        for buffer in (self.x, self.work):
            buffer.drop(min(keep, stop))
        return result

    def _finalize(self, stop: int) -> None:  # noqa: B027 - a hook
        """Complete the result up to `stop`; by default there is nothing left to do."""
