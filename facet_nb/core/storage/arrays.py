"""References to samples that workers can open: in memory, or in a file."""

from __future__ import annotations

import mmap
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FileArray:
    """Samples in a file, mapped by whoever opens them."""

    path: str
    shape: tuple[int, int]
    dtype: str = "float64"

    def open(self) -> np.ndarray:
        """Return the mapped array (a plain array, as processors expect one)."""
        return np.asarray(np.memmap(self.path, dtype=self.dtype, mode="r+", shape=self.shape))


#: From this size on memory is asked for in ordinary pages, in bytes.
_LARGE = 32 << 20


@dataclass(frozen=True)
class RamArray:
    """Samples of this process; only for workers that share its memory."""

    array: np.ndarray

    def open(self) -> np.ndarray:
        """Return the array."""
        return self.array


ArrayRef = RamArray | FileArray


def fresh_array(shape: tuple[int, int]) -> np.ndarray:
    """Return new samples in this process's memory, float64, not set to anything.

    Large ones come as ordinary pages: numpy asks for huge ones, which a virtual machine that gives
    free memory back has to fetch from its host, at up to 2 s of CPU for each GB.
    """
    n_bytes = 8 * int(np.prod(shape))
    if n_bytes < _LARGE or not hasattr(mmap, "MADV_NOHUGEPAGE"):
        return np.empty(shape)
    # Private: what a forked child writes is its own.
    memory = mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, dtype=np.float64).reshape(shape)
