"""Memory shared by the processes of this machine: anonymous files that are not on a disk.

A file created by ``memfd_create`` is stored in memory, and is freed with the last process that has
it open or mapped, even if that is killed. Nothing is left in ``/dev/shm``, and its size (64 MB in
many containers) is no limit. Workers open the file through ``/proc/<pid>/fd`` of the run's process.
"""

from __future__ import annotations

import mmap
import os
import sys

import numpy as np

from facet_nb.core.memory import find_available
from facet_nb.core.storage.arrays import FileArray

#: Shared memory is used if the available memory is this many times the size of the samples.
_AMPLE = 4


def is_usable() -> bool:
    """Whether this system has such memory, and the user has not named a folder instead."""
    named = os.environ.get("FACET_NB_TMPDIR")
    return sys.platform == "linux" and hasattr(os, "memfd_create") and not named


def is_ample(n_bytes: int) -> bool:
    """Whether the machine or the container has ample memory for `n_bytes`."""
    return find_available()[0] >= _AMPLE * n_bytes


def create(shape: tuple[int, int]) -> tuple[FileArray, int]:
    """Return new float64 samples in shared memory, and the file descriptor to be closed."""
    import fcntl  # not on every system

    descriptor = os.memfd_create("facet_nb", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, max(8, 8 * shape[0] * shape[1]))  # an empty file cannot be mapped
    # It must never shrink: processes that map it would end with SIGBUS.
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return FileArray(f"/proc/{os.getpid()}/fd/{descriptor}", shape), descriptor


def holds(ref: FileArray) -> bool:
    """Whether samples are in shared memory, which never shrinks; see :func:`create`."""
    return ref.path.startswith("/proc/")


def take_over(descriptor: int, shape: tuple[int, int]) -> np.ndarray:
    """Return samples of shared memory as private memory, without a copy."""
    # MAP_PRIVATE: writes of a forked child must not reach its parent.
    n_bytes = max(8, 8 * shape[0] * shape[1])
    memory = mmap.mmap(descriptor, n_bytes, flags=mmap.MAP_PRIVATE)
    count = shape[0] * shape[1]
    return np.frombuffer(memory, dtype=np.float64, count=count).reshape(shape)
