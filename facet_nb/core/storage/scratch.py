"""Scratch files: space is reserved up front; a file is deleted with its last array."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import stat
import tempfile
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from facet_nb.core.errors import FacetError
from facet_nb.core.storage import folder_lock
from facet_nb.core.storage.arrays import FileArray, check_size, say_gone
from facet_nb.kernels.pages import find_map, forget

__all__ = [
    "FileArray",
    "check_room",
    "check_whole",
    "create",
    "find_file",
    "find_map",
    "find_root",
    "forget",
    "is_spilled",
    "make_folder",
    "make_private",
    "remove_folder",
    "reserve",
    "sweep",
]


def _name_host() -> str:
    """Return a name of this machine without separators, which no other machine shares."""
    node = platform.node()
    short = re.sub(r"[^A-Za-z0-9]", "", node)[:32] or "host"
    return short + hashlib.sha256(node.encode()).hexdigest()[:8]


#: Part of a folder's name: a network file system may not pass locks on to other machines.
_HOST = _name_host()

#: Locked file in a folder.
_LOCK = "lock"

_FOLDER = re.compile(rf"facet_nb-{_HOST}-(\d+)-\w+")

#: Files of :func:`create` whose array still exists.
_ours: set[str] = set()

#: Locks of the folders of this process, by path: a folder whose lock is free is abandoned.
_locks: dict[str, IO[str]] = {}


#: A folder is made so often before it is used without a lock.
_ATTEMPTS = 6

#: Held while a folder is made: sweeping it on another thread would release its lock.
_making = threading.Lock()


def _forget_locks() -> None:
    # A forked child does not inherit locks; closing its copies of the files would release nothing.
    global _making
    _making = threading.Lock()
    _locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)


def find_root() -> Path:
    """Return the folder for scratch files: ``FACET_NB_TMPDIR``, or the system's temporary one."""
    # Absolute: workers and later calls may be in another working folder.
    return Path(os.environ.get("FACET_NB_TMPDIR") or tempfile.gettempdir()).absolute()


def make_folder() -> Path:
    """Return a new folder for scratch files."""
    root = find_root()
    with _making:
        sweep(root)  # killed processes leave their folders behind
        for attempt in range(_ATTEMPTS):
            try:
                folder = Path(tempfile.mkdtemp(prefix=f"facet_nb-{_HOST}-{os.getpid()}-", dir=root))
            except OSError as error:
                raise FacetError(
                    f"cannot create a temporary folder in {root}: {error.strerror}. Set "
                    "FACET_NB_TMPDIR to a folder that can be written to, or use "
                    "backend='threading'."
                ) from error
            lock = folder_lock.try_lock(folder / _LOCK)
            if lock is not None:
                _locks[str(folder)] = lock
                break
            # Another process has swept it before it was locked, or there are no locks here.
            if attempt < _ATTEMPTS - 1:
                shutil.rmtree(folder, ignore_errors=True)
    return folder


def remove_folder(folder: str | Path) -> None:
    """Remove a folder of :func:`make_folder`."""
    _empty(Path(folder))
    lock = _locks.pop(str(folder), None)
    if lock is not None:
        lock.close()
    shutil.rmtree(folder, ignore_errors=True)


def _empty(folder: Path) -> None:
    """Remove what a folder holds, but for its lock: who is killed here leaves what can be swept."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _LOCK:
                path.unlink(missing_ok=True)


def reserve(path: Path, n_bytes: int) -> None:
    """Create a file of `n_bytes` whose space on the disk is allocated.

    Raises
    ------
    FacetError
        If the disk is full.
    """
    # Writing to a mapped file on a full disk ends the process with SIGBUS.
    try:
        with folder_lock.open_plain(path, "r+b", os.O_TRUNC) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, n_bytes)
            else:
                file.truncate(n_bytes)
    except OSError as error:
        path.unlink(missing_ok=True)
        if not path.parent.is_dir():
            raise say_gone(f"the scratch folder {path.parent}") from error
        raise FacetError(
            f"no room for {n_bytes / 1e6:.0f} MB in {path.parent}: {error.strerror}. Set "
            "FACET_NB_TMPDIR to a folder on a larger disk, or use backend='threading'."
        ) from error


def check_room(n_bytes: int) -> None:
    """Raise :class:`FacetError` if the disk has no space for `n_bytes` of scratch files."""
    root = find_root()
    free = shutil.disk_usage(root).free
    if free < n_bytes:
        raise FacetError(
            f"the run needs {n_bytes / 1e9:.1f} GB of scratch files, and {free / 1e9:.1f} GB are "
            f"free in {root}. Set FACET_NB_TMPDIR to a folder on a larger disk, or use a larger "
            "memory_budget."
        )


def create(shape: Sequence[int], dtype: str = "float64") -> tuple[FileArray, np.ndarray]:
    """Return new samples in a file, and the mapped array.

    The file is deleted when this process holds no more reference to the array or a view of it.

    Raises
    ------
    FacetError
        If the disk is full.
    """
    ref_shape = (int(shape[0]), int(shape[1]))
    folder = make_folder()
    path = folder / "samples"
    try:
        # At least 8 bytes: an empty file cannot be mapped.
        reserve(path, max(8, np.dtype(dtype).itemsize * ref_shape[0] * ref_shape[1]))
    except FacetError:
        remove_folder(folder)
        raise
    mapped = np.memmap(path, dtype=dtype, mode="r+", shape=ref_shape)
    _ours.add(str(path))
    weakref.finalize(mapped, _remove, str(path), os.getpid())
    return FileArray(str(path), ref_shape, dtype), np.asarray(mapped)


def _remove(path: str, pid: int) -> None:
    if os.getpid() != pid:
        return  # a forked child: the file belongs to its parent
    _ours.discard(path)
    remove_folder(os.path.dirname(path))


def find_file(array: Any) -> FileArray | None:
    """Return the file of :func:`create` that `array` maps completely; None for other arrays."""
    mapped = find_map(array) if is_spilled(array) else None
    if mapped is None or array.shape != mapped.shape:
        return None
    if not array.flags.c_contiguous or array.dtype != mapped.dtype:
        return None
    return FileArray(str(mapped.filename), mapped.shape, mapped.dtype.name)


def make_private(samples: np.ndarray) -> np.ndarray:
    """Return samples to which anything may be written; those of a file are mapped, not copied."""
    mapped = find_map(samples)
    if mapped is None or mapped.shape != samples.shape or not samples.flags.c_contiguous:
        return samples.copy()
    path, kind, start = str(mapped.filename), mapped.dtype, mapped.offset
    return np.asarray(np.memmap(path, kind, "c", start, mapped.shape))


def check_whole(array: np.ndarray) -> None:
    """Raise :class:`FacetError` if the file that `array` maps was truncated, or ours removed."""
    mapped = find_map(array)
    if mapped is None:
        return
    path = str(mapped.filename)
    # A caller may remove a file that is still mapped: its samples stay.
    if path in _ours or os.path.exists(path):
        check_size(path, mapped.offset + mapped.nbytes)


def is_spilled(array: Any) -> bool:
    """Whether `array` is an array of :func:`create`, or a view of one."""
    mapped = find_map(array)
    return mapped is not None and str(mapped.filename) in _ours


def sweep(root: Path) -> None:
    """Remove the folders of processes of this machine that were killed."""
    for folder in root.glob(f"facet_nb-{_HOST}-*"):
        match = _FOLDER.fullmatch(folder.name)
        if not match or str(folder) in _locks:
            continue
        lock = _lock_abandoned(folder)
        if lock is not None:
            _empty(folder)
            if os.name != "posix":  # an open file cannot be removed
                lock.close()
            # While it is locked: otherwise its process could lock it, and lose what it writes.
            shutil.rmtree(folder, ignore_errors=True)
            lock.close()
            # On Windows, os.kill(pid, 0) is Ctrl-C; and there is no /dev/shm.
            if os.name == "posix" and not _alive(int(match.group(1))):
                remove_semaphores(int(match.group(1)))


def _lock_abandoned(folder: Path) -> IO[str] | None:
    """Return the lock of a folder that is ours and whose process has ended, or None."""
    # Not by its process number: that of another container means nothing here.
    try:
        status = folder.lstat()
    except OSError:  # removed by another process
        return None
    ours = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    if not stat.S_ISDIR(status.st_mode) or not ours:
        return None
    with suppress(OSError):  # its process was killed before it had a lock, or after
        folder.rmdir()  # fails unless it is empty
    return folder_lock.try_lock(folder / _LOCK, create=False)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # a process of another user
        return True
    return True


def remove_semaphores(pid: int) -> None:
    """Remove the semaphores that loky created for the killed process `pid`."""
    # loky's resource tracker would remove them, but a forced restart of a kernel kills it as well.
    for path in Path("/dev/shm").glob(f"sem.loky-{pid}-*"):
        with suppress(OSError):  # another user's, or removed already
            path.unlink()
