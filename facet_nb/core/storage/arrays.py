"""References to samples that workers can open: in memory, or in a file."""

from __future__ import annotations

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


@dataclass(frozen=True)
class RamArray:
    """Samples of this process; only for workers that share its memory."""

    array: np.ndarray

    def open(self) -> np.ndarray:
        """Return the array."""
        return self.array


ArrayRef = RamArray | FileArray
