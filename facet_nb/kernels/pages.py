"""Memory-mapped arrays: find the mapped file of a view, and release its pages."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np


def find_map(array: Any) -> np.memmap | None:
    """Return the memory map of which `array` is a view; None if it is in memory."""
    found = None
    while isinstance(array, np.ndarray):
        found = array if isinstance(array, np.memmap) else found
        array = array.base
    return found if isinstance(array, mmap.mmap) else None


def forget(*arrays: Any) -> None:
    """Release the resident pages of memory-mapped arrays; no data are lost.

    Written pages stay in the system's page cache until they reach the disk, and pages that are
    needed again are read again. Arrays in memory are left alone.
    """
    for array in arrays:
        mapped = find_map(array)
        # Copy-on-write pages exist in memory only: releasing them would discard what was written.
        if mapped is None or mapped.mode == "c" or not hasattr(mmap, "MADV_DONTNEED"):
            continue
        memory: Any = mapped
        # The base of a memmap is the mmap object itself, which offers madvise.
        while isinstance(memory, np.ndarray):
            memory = memory.base
        memory.madvise(mmap.MADV_DONTNEED)
