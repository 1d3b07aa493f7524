"""Samples in mapped files: which file it is, and giving back the memory that reading them took."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np


def find_map(array: Any) -> np.memmap | None:
    """Return the mapped file that `array` is a view of; None if it is in memory."""
    found = None
    while isinstance(array, np.ndarray):
        found = array if isinstance(array, np.memmap) else found
        array = array.base
    return found if isinstance(array, mmap.mmap) else None


def forget(*arrays: Any) -> None:
    """Give back the memory in which parts of mapped arrays were held; nothing is lost.

    What was written is the system's business from now on; what is read again comes from its cache
    or the disk. Arrays in memory stay as they are.
    """
    for array in arrays:
        mapped = find_map(array)
        if mapped is None or mapped.mode == "c" or not hasattr(mmap, "MADV_DONTNEED"):
            continue
        memory: Any = mapped
        while isinstance(memory, np.ndarray):
            memory = memory.base
        memory.madvise(mmap.MADV_DONTNEED)
