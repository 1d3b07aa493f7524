"""Files for samples: room is taken before work starts, and they go when nobody refers to them."""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from facet_nb.core.errors import FacetError
from facet_nb.core.storage.arrays import FileArray
from facet_nb.kernels.pages import find_map, forget

__all__ = [
    "FileArray",
    "check_room",
    "create",
    "find_file",
    "find_map",
    "find_root",
    "forget",
    "is_spilled",
    "make_folder",
    "reserve",
    "sweep",
]

#: Containers that share a temporary folder do not see one another's processes.
_HOST = re.sub(r"[^A-Za-z0-9]", "", platform.node())[:32] or "host"

_FOLDER = re.compile(rf"facet_nb-{_HOST}-(\d+)-\w+")

#: Files of :func:`create` that somebody still refers to.
_ours: set[str] = set()


def find_root() -> Path:
    """Return where scratch files go: ``FACET_NB_TMPDIR``, else the system's temporary folder."""
    return Path(os.environ.get("FACET_NB_TMPDIR") or tempfile.gettempdir())


def make_folder() -> Path:
    """Return a new folder for scratch files; those of processes that were killed go first."""
    root = find_root()
    sweep(root)
    try:
        return Path(tempfile.mkdtemp(prefix=f"facet_nb-{_HOST}-{os.getpid()}-", dir=root))
    except OSError as error:
        raise FacetError(
            f"cannot make a temporary folder in {root}: {error.strerror}. Set "
            "FACET_NB_TMPDIR to a folder that can be written to, or use "
            "backend='threading'."
        ) from error


def reserve(path: Path, n_bytes: int) -> None:
    """Make a file that has room for `n_bytes`: a mapped file on a full disk is fatal.

    Raises
    ------
    FacetError
        If the disk is full.
    """
    try:
        with open(path, "wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, n_bytes)
            else:
                file.truncate(n_bytes)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise FacetError(
            f"no room for {n_bytes / 1e6:.0f} MB in {path.parent}: {error.strerror}. Set "
            "FACET_NB_TMPDIR to a folder on a larger disk, or use backend='threading'."
        ) from error


def check_room(n_bytes: int) -> None:
    """Raise :class:`FacetError` if the disk has no room for `n_bytes` of scratch files."""
    root = find_root()
    free = shutil.disk_usage(root).free
    if free < n_bytes:
        raise FacetError(
            f"the run needs {n_bytes / 1e9:.1f} GB of scratch files, and {free / 1e9:.1f} GB are "
            f"free in {root}. Set FACET_NB_TMPDIR to a folder on a larger disk, or give a larger "
            "memory_budget."
        )


def create(shape: Sequence[int], dtype: str = "float64") -> tuple[FileArray, np.ndarray]:
    """Return new samples in a file, and the mapped array.

    The file lives as long as the array or a view of it does, in this process.

    Raises
    ------
    FacetError
        If the disk is full.
    """
    ref_shape = (int(shape[0]), int(shape[1]))
    folder = make_folder()
    path = folder / "samples"
    try:
        reserve(path, max(8, np.dtype(dtype).itemsize * ref_shape[0] * ref_shape[1]))
    except FacetError:
        folder.rmdir()
        raise
    mapped = np.memmap(path, dtype=dtype, mode="r+", shape=ref_shape)
    _ours.add(str(path))
    weakref.finalize(mapped, _remove, str(path), os.getpid())
    return FileArray(str(path), ref_shape, dtype), np.asarray(mapped)


def _remove(path: str, pid: int) -> None:
    if os.getpid() != pid:
        return  # a forked child: the file is its parent's
    _ours.discard(path)
    shutil.rmtree(os.path.dirname(path), ignore_errors=True)


def find_file(array: Any) -> FileArray | None:
    """Return the file of :func:`create` that `array` is the whole of; None for other arrays."""
    mapped = find_map(array) if is_spilled(array) else None
    if mapped is None or array.shape != mapped.shape:
        return None
    if not array.flags.c_contiguous or array.dtype != mapped.dtype:
        return None
    return FileArray(str(mapped.filename), mapped.shape, mapped.dtype.name)


def is_spilled(array: Any) -> bool:
    """Whether `array` lies in a file of :func:`create`, wholly or as a view."""
    mapped = find_map(array)
    return mapped is not None and str(mapped.filename) in _ours


def sweep(root: Path) -> None:
    """Remove folders of this machine's processes that no longer live (after a kill)."""
    for folder in root.glob(f"facet_nb-{_HOST}-*"):
        match = _FOLDER.fullmatch(folder.name)
        if match and not _alive(int(match.group(1))):
            shutil.rmtree(folder, ignore_errors=True)
            remove_semaphores(int(match.group(1)))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def remove_semaphores(pid: int) -> None:
    """Remove the semaphores that loky made for process `pid`, one of ours, which was killed.

    A forced restart of a kernel ends the process that would have removed them, too.
    """
    for path in Path("/dev/shm").glob(f"sem.loky-{pid}-*"):
        with suppress(OSError):  # somebody else's, or gone already
            path.unlink()
