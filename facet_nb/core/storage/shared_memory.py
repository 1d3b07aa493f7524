"""Memory that workers of this machine share: files without a name, which no disk holds.

A file that ``memfd_create`` makes lies in memory, and goes with the last process that has it open
or mapped, however that ends: nothing is left in ``/dev/shm``, whose size (64 MB in many containers)
does not count either. Workers open it by the number that it has in the process of the run.
"""

from __future__ import annotations

import mmap
import os
import sys

import numpy as np

from facet_nb.core.memory import find_available
from facet_nb.core.storage.arrays import FileArray

#: Samples go to shared memory if there is this many times as much of it.
_AMPLE = 4


def is_usable() -> bool:
    """Whether there is such memory here, and nobody has named a folder for scratch files."""
    named = os.environ.get("FACET_NB_TMPDIR")
    return sys.platform == "linux" and hasattr(os, "memfd_create") and not named


def is_ample(n_bytes: int) -> bool:
    """Whether the machine, or the container, has `n_bytes` to spare."""
    return find_available()[0] >= _AMPLE * n_bytes


def create(shape: tuple[int, int]) -> tuple[FileArray, int]:
    """Return new samples in shared memory, float64, and the file's descriptor: the caller's."""
    descriptor = os.memfd_create("facet_nb", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, max(8, 8 * shape[0] * shape[1]))
    return FileArray(f"/proc/{os.getpid()}/fd/{descriptor}", shape), descriptor


def take_over(descriptor: int, shape: tuple[int, int]) -> np.ndarray:
    """Return samples of shared memory as this process's own: what a forked child writes is its own.

    They are not copied, and stay as long as the array does.
    """
    n_bytes = max(8, 8 * shape[0] * shape[1])
    memory = mmap.mmap(descriptor, n_bytes, flags=mmap.MAP_PRIVATE)
    count = shape[0] * shape[1]
    return np.frombuffer(memory, dtype=np.float64, count=count).reshape(shape)
