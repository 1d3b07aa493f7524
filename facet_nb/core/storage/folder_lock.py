"""A lock on a folder that is released when its process ends, however it ends."""

from __future__ import annotations

import errno
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

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
            with suppress(OSError):  # a full disk: it is for messages only
                file.truncate(0)
                file.write(f"process {os.getpid()} on {platform.node()}")
                file.flush()
            yield
    finally:
        del _held[path]


def _open(folder: Path, path: Path) -> IO[str]:
    try:
        return open_plain(path, "r+")
    except OSError as error:
        raise FacetError(
            f"checkpoint={str(folder)!r} cannot be written to: {explain(error)}. Choose a folder "
            "that you may write to."
        ) from error


#: Symbolic links are not followed: another user with write access to the folder could make this
#: process overwrite any file of its user.
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def open_plain(path: str | Path, mode: str, flags: int = 0) -> IO[Any]:
    """Open a file for reading and writing, and create it if need be, for this user only.

    Parameters
    ----------
    path : path
        The file; a symbolic link is an error.
    mode : str
        As for :func:`os.fdopen`.
    flags : int
        Further flags of :func:`os.open`.

    Raises
    ------
    OSError
        If it cannot be opened.
    """
    # Windows has no O_NOFOLLOW.
    if os.path.islink(path):
        raise OSError(errno.ELOOP, "it is a symbolic link", str(path))
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINKS | _BINARY | flags, 0o600)
    try:
        return os.fdopen(descriptor, mode, encoding=None if "b" in mode else "utf-8")
    except BaseException:
        os.close(descriptor)
        raise


_BINARY = getattr(os, "O_BINARY", 0)


def explain(error: OSError) -> str:
    """Return the reason of an error, in words."""
    if error.errno == errno.ELOOP:
        return f"{error.filename} is a symbolic link, which is not followed"
    return error.strerror or str(error)


def try_lock(path: Path, create: bool = True) -> IO[str] | None:
    """Lock a file until it is closed, or return None if that cannot be done.

    Parameters
    ----------
    path : Path
        The file.
    create : bool
        Whether to create it.
    """
    # A process loses its lock if it opens the file again and closes it: see Python's fcntl.
    if not create and not path.is_file():
        return None
    try:
        file: IO[str] = open_plain(path, "r+")
    except OSError:
        return None
    try:
        locked = _lock(file)
    except OSError:  # a file system without locks
        locked = False
    if not locked or not _is_at(file, path):
        file.close()
        return None
    return file


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether a file still exists: another process that held its lock may have deleted it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


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

    file.seek(1 << 20)  # beyond the text, so that other processes can read it
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
