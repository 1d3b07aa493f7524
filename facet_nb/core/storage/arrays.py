"""References to samples that workers can open: in memory, or in a file."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from facet_nb.core.errors import FacetError


def say_gone(place: object) -> FacetError:
    """Return the error about a scratch file or folder that something else has removed."""
    return FacetError(
        f"{place} was removed while in use (by a cleaner of temporary files?): run again, with "
        "FACET_NB_TMPDIR set to a folder that is left alone."
    )


def check_size(file: str | int, n_bytes: int) -> None:
    """Raise FacetError if a file, given by path or descriptor, has less than `n_bytes`, or is gone.

    Reading a mapped file beyond its end ends the process with SIGBUS; and numpy and ``pwrite``
    extend such a file with zeros, which would become samples.
    """
    try:
        there = os.stat(file).st_size
    except FileNotFoundError as error:
        raise say_gone(file) from error
    if there < n_bytes:
        name = file if isinstance(file, str) else "a scratch file"
        raise FacetError(
            f"{name} was truncated while in use: {there} of {n_bytes} bytes are left. Run again, "
            "with FACET_NB_TMPDIR set to a folder that nothing else changes."
        )


@dataclass(frozen=True)
class FileArray:
    """Samples in a file, which each process maps for itself."""

    path: str
    shape: tuple[int, int]
    dtype: str = "float64"

    @property
    def n_bytes(self) -> int:
        """The size of the samples, in bytes."""
        return int(np.dtype(self.dtype).itemsize) * self.shape[0] * self.shape[1]

    def open(self) -> np.ndarray:
        """Return the mapped samples as a plain array."""
        check_size(self.path, self.n_bytes)
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
