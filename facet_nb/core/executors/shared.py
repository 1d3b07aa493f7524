"""Memory that workers of this machine share: files without a name, which no disk holds.

A file that ``memfd_create`` makes lies in memory, and goes with the last process that has it open
or mapped, however that ends: nothing is left in ``/dev/shm``, whose size (64 MB in many containers)
does not count either. Workers open it by the number that it has in the process of the run.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable, Sequence

import numpy as np

from facet_nb.core.executors.scratch import FileArray
from facet_nb.core.limits import find_available

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


# ---------------------------------------------------------------------------------------- rows
def read_rows(ref: FileArray, channels: Sequence[int]) -> np.ndarray:
    """Return rows of a file, in memory: read, which takes a quarter of the time of mapped pages."""
    result = np.empty((len(channels), ref.shape[1]), ref.dtype)
    if not hasattr(os, "preadv"):
        result[...] = ref.open()[list(channels)]
        return result
    descriptor = os.open(ref.path, os.O_RDONLY)
    try:
        for row, channel in zip(result, channels, strict=True):
            _move_bytes(os.preadv, descriptor, row, channel)
    finally:
        os.close(descriptor)
    return result


def write_rows(ref: FileArray, channels: Sequence[int], samples: np.ndarray) -> None:
    """Put rows into a file."""
    samples = np.ascontiguousarray(samples, ref.dtype)
    if not hasattr(os, "pwritev"):
        ref.open()[list(channels)] = samples
        return
    descriptor = os.open(ref.path, os.O_RDWR)
    try:
        for row, channel in zip(samples, channels, strict=True):
            _move_bytes(os.pwritev, descriptor, row, channel)
    finally:
        os.close(descriptor)


def _move_bytes(
    move: Callable[[int, list[memoryview], int], int], descriptor: int, row: np.ndarray, i: int
) -> None:
    """Read or write row `i` of a file: the system may move less at a time."""
    left, place = memoryview(row.data).cast("B"), i * row.nbytes
    while len(left):
        n = move(descriptor, [left], place)
        if not n:
            raise OSError(f"the file of the samples ends before its row {i}")
        left, place = left[n:], place + n
