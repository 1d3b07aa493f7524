"""A lock on a folder that is released when its process ends, however it ends."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from facet_nb.core.errors import FacetError

#: Folders locked by this process: file locks do not exclude other threads of the same process.
_held: dict[Path, object] = {}


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Lock `folder` for one run; the lock of a killed process is released.

    Raises
    ------
    FacetError
        If another run has locked it, in this or another process.
    """
    path, owner = folder.resolve(), object()
    if _held.setdefault(path, owner) is not owner:  # atomic: threads may do this at the same time
        raise _taken(folder, "another run of this process")
    try:
        with _open(folder, path / "lock") as file:
            if not _lock(file):
                file.seek(0)
                raise _taken(folder, file.read(200).strip() or "another process")
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}")
            file.flush()
            yield
    finally:
        del _held[path]


def _open(folder: Path, path: Path) -> IO[str]:
    try:
        return open(path, "a+", encoding="utf-8")
    except OSError as error:
        raise FacetError(
            f"checkpoint={str(folder)!r} cannot be written to: {error.strerror}. Choose a folder "
            "that you may write to."
        ) from error


def _lock(file: IO[str]) -> bool:
    """Lock a file until it is closed."""
    # lockf, not flock: a forked child does not inherit the lock, so it cannot outlive the owner.
    try:
        import fcntl
    except ImportError:  # Windows
        return _lock_first_byte(file)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _lock_first_byte(file: IO[str]) -> bool:
    import msvcrt

    file.seek(1 << 20)  # beyond the text, which other processes must be able to read
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    return True


def _taken(folder: Path, owner: str) -> FacetError:
    return FacetError(
        f"checkpoint={str(folder)!r} is in use by {owner}: wait until it has finished, or choose "
        "another folder. (The lock of a killed run is released.)"
    )
