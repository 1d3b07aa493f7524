"""References to samples that workers can open: in memory, or in a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FileArray:
    """Samples in a file, which each process maps for itself."""

    path: str
    shape: tuple[int, int]
    dtype: str = "float64"

    def open(self) -> np.ndarray:
        """Return the mapped samples as a plain array."""
        # Not the memmap itself: its subclass would spread to all results of a processor.
        return np.asarray(np.memmap(self.path, dtype=self.dtype, mode="r+", shape=self.shape))


@dataclass(frozen=True)
class RamArray:
    """Samples in this process's memory; only for workers that share it."""

    array: np.ndarray

    def open(self) -> np.ndarray:
        """Return the array."""
        return self.array


ArrayRef = RamArray | FileArray
