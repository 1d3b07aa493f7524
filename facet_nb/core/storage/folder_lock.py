"""A lock on a folder that dies with its owner."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from facet_nb.core.errors import FacetError

#: Folders that runs of this process hold: a process does not lock itself out.
_held: dict[Path, object] = {}


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold `folder` for one run; a killed process holds nothing.

    Raises
    ------
    FacetError
        If another run holds it, of this process or of any other.
    """
    place, mine = folder.resolve(), object()
    if _held.setdefault(place, mine) is not mine:  # in one go: threads may ask at once
        raise _taken(folder, "another run of this process")
    try:
        with _open(folder, place / "lock") as file:
            if not _lock(file):
                file.seek(0)
                raise _taken(folder, file.read(200).strip() or "another process")
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}")
            file.flush()
            yield
    finally:
        del _held[place]


def _open(folder: Path, path: Path) -> IO[str]:
    try:
        return open(path, "a+", encoding="utf-8")
    except OSError as error:
        raise FacetError(
            f"checkpoint={str(folder)!r} cannot be written to: {error.strerror}. Give a folder "
            "of your own."
        ) from error


def _lock(file: IO[str]) -> bool:
    """Lock a file until it is closed; a child of a fork does not have the lock."""
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

    file.seek(1 << 20)  # beyond the text, which others shall read
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    return True


def _taken(folder: Path, owner: str) -> FacetError:
    return FacetError(
        f"checkpoint={str(folder)!r} is in use by {owner}: wait for its end, or give another "
        "folder. (A run that was killed holds no folder.)"
    )
