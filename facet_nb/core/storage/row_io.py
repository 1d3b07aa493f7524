"""Read and write single channels in chunks of time.

Channels in files are accessed with ``preadv`` and ``pwrite``. In a mapped file, each page of 4 KB
would cause a page fault, which takes longer than filtering its samples.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import numpy as np

from facet_nb.core.storage.arrays import FileArray, check_size
from facet_nb.core.storage.page_cache import bypasses_cache, drop
from facet_nb.kernels.pages import forget

if TYPE_CHECKING:
    from facet_nb.core.storage.arrays import ArrayRef


def spread_rows(n_samples: int) -> int:
    """Return about `n_samples`, as the length of rows that are transposed or copied side by side.

    It is eight more than a multiple of 16. Rows whose distance is a power of two share few lines of
    the CPU's cache: transposing 64 rows of 4096 samples takes seven times as long as of 4104.
    """
    return n_samples // 16 * 16 + 8


class Row(Protocol):
    """Samples of one channel."""

    n_times: int

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return a copy of some samples, shape (stop - start,), in V."""

    def write(self, start: int, x: np.ndarray) -> None:
        """Write samples, beginning at position `start`."""

    def drop(self, start: int, stop: int) -> None:
        """Drop some samples of a large file from the page cache."""


class MappedRow:
    """A channel of an array in memory, or of a mapped array.

    Parameters
    ----------
    samples : ndarray, shape (n_times,)
        The channel.
    """

    def __init__(self, samples: np.ndarray) -> None:
        self.samples = samples
        self.n_times = len(samples)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return a copy of some samples."""
        x = np.array(self.samples[start:stop])
        forget(self.samples)
        return x

    def write(self, start: int, x: np.ndarray) -> None:
        """Write samples, beginning at position `start`."""
        self.samples[start : start + len(x)] = x
        forget(self.samples)

    def drop(self, start: int, stop: int) -> None:
        """Do nothing: pages are dropped by each read and write."""


class FileRow:
    """A channel of a file, through an open descriptor.

    Parameters
    ----------
    descriptor : int
        Descriptor of the open file.
    ref : FileArray
        Shape and data type of its samples.
    row : int
        The channel.
    large : bool
        Whether the file is too large for the page cache.
    """

    def __init__(self, descriptor: int, ref: FileArray, row: int, large: bool = False) -> None:
        # preadv and pwrite take a position: threads can share the descriptor without a lock.
        self.descriptor, self.large = descriptor, large
        self.dtype = np.dtype(ref.dtype)
        self.n_times = ref.shape[1]
        self.begin = row * self.n_times

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return a copy of some samples."""
        x = np.empty(max(0, min(stop, self.n_times) - start), self.dtype)
        self.read_into(x, start)
        return x

    def read_into(self, x: np.ndarray, start: int = 0) -> None:
        """Fill `x`, shape (n,), with samples from `start` on."""
        todo, at = x.view(np.uint8).data, (self.begin + start) * self.dtype.itemsize
        while len(todo):  # Linux transfers at most 2 GiB in one call
            n = os.preadv(self.descriptor, [todo], at)
            if not n:
                raise OSError(f"a scratch file ends {len(todo)} bytes too early.")
            todo, at = todo[n:], at + n

    def write(self, start: int, x: np.ndarray) -> None:
        """Write samples, beginning at position `start`."""
        x = np.ascontiguousarray(x, self.dtype)
        todo, at = x.view(np.uint8).data, (self.begin + start) * self.dtype.itemsize
        while len(todo):
            n = os.pwrite(self.descriptor, todo, at)
            todo, at = todo[n:], at + n

    def drop(self, start: int, stop: int) -> None:
        """Drop some samples of a large file from the page cache."""
        start, stop = max(start, 0), min(stop, self.n_times)
        if self.large and stop > start:
            size = self.dtype.itemsize
            drop(self.descriptor, (self.begin + start) * size, (stop - start) * size)


@contextmanager
def open_rows(ref: ArrayRef) -> Iterator[Callable[[int], Row]]:
    """Open samples; yield a function that returns the :class:`Row` of a channel."""
    if not isinstance(ref, FileArray) or not hasattr(os, "preadv"):
        samples = ref.open()
        yield lambda row: MappedRow(samples[row])
        return
    descriptor = os.open(ref.path, os.O_RDWR)
    try:
        check_size(descriptor, ref.n_bytes)
        large = bypasses_cache(descriptor)
        yield lambda row: FileRow(descriptor, ref, row, large)
    finally:
        os.close(descriptor)


def read_rows(ref: FileArray, channels: Sequence[int]) -> np.ndarray:
    """Return channels of a file, in memory, shape (n_channels, n_times)."""
    result = np.empty((len(channels), ref.shape[1]), ref.dtype)
    with open_rows(ref) as find_row:
        for x, channel in zip(result, channels, strict=True):
            row = find_row(channel)
            if isinstance(row, FileRow):
                row.read_into(x)
            else:
                x[...] = row.read(0, row.n_times)
    return result


def write_rows(ref: FileArray, channels: Sequence[int], samples: np.ndarray) -> None:
    """Write channels to a file; `samples` has shape (n_channels, n_times)."""
    with open_rows(ref) as find_row:
        for x, channel in zip(samples, channels, strict=True):
            find_row(channel).write(0, x)
