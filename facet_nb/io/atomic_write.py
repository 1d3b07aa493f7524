"""Where a recording goes to: a file that appears only when it is complete.

Writers write into a hidden folder beside the target. When everything is in it, and has been read
back, the files are moved to their names: first the parts, last the one that people open. A run
that is killed leaves a hidden folder behind, never half a recording; a later export into the same
place sweeps it away.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import psutil

from facet_nb.core.errors import FacetError
from facet_nb.io.messages import unusable, unwritable

#: Hidden folders are named by their machine and process, so that others know the dead ones.
_STAGE = re.compile(r"\.facet_nb-(?P<machine>.+)-(?P<pid>\d+)-\w+\.part")

_STALE_S = 3600.0


def check_target(path: Path, overwrite: bool, parts: Iterable[Path] = ()) -> None:
    """Check that a file can be made at `path`, without making anything.

    Parameters
    ----------
    path : Path
        The file.
    overwrite : bool
        Whether it may exist.
    parts : iterable of Path
        Files that come with it.

    Raises
    ------
    ValidationError
        If it exists and `overwrite` is off, or is a folder.
    FacetError
        If its folder can neither be made nor written to.
    """
    for file in (path, *parts):
        if file.is_dir():
            raise unusable(file, "this is a folder", "Give the name of a file in it")
        if file.exists() and not overwrite:
            raise unusable(file, "it exists", "Give another name, or overwrite=True")
    above = path.parent
    while not above.exists() and above != above.parent:
        above = above.parent
    if not above.is_dir():
        raise unwritable(path, f"{above} is a file, not a folder", "Give a path in another folder")
    if not os.access(above, os.W_OK | os.X_OK):
        what = f"you may not write to {above}"
        raise unwritable(path, what, "Give a path in another folder, or change its permissions")


@contextmanager
def stage(path: Path, n_bytes: int) -> Iterator[Path]:
    """Yield a hidden folder; afterwards what was written into it moves beside `path`.

    Parameters
    ----------
    path : Path
        The file that people will open; the last to appear.
    n_bytes : int
        About how much will be written.

    Raises
    ------
    FacetError
        If the folder cannot be made or written to, or the disk is full; nothing is left of it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        folder = Path(tempfile.mkdtemp(prefix=_prefix(), suffix=".part", dir=path.parent))
    except OSError as error:
        raise _failed(path, error) from error
    try:
        _check_space(path, n_bytes)
        yield folder
        _publish(folder, path)
    except FacetError:
        raise
    except OSError as error:
        raise _failed(path, error) from error
    except MemoryError as error:
        what = f"there is not enough memory to write {n_bytes / 1e6:.0f} MB"
        remedy = "Close what else uses memory, or write .fif, which takes the least"
        raise unwritable(path, what, remedy) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def reserve(file: Path, n_bytes: int) -> None:
    """Take the room of a file before it is written, which makes writing several times cheaper.

    Raises
    ------
    OSError
        If the disk is full.
    """
    with file.open("wb") as sink:
        if hasattr(os, "posix_fallocate") and n_bytes:
            os.posix_fallocate(sink.fileno(), 0, n_bytes)


def write_all(sink: BinaryIO, x: np.ndarray) -> None:
    """Write an array to a file that is open without a buffer."""
    todo = np.ascontiguousarray(x).reshape(-1).view(np.uint8).data
    while len(todo):
        todo = todo[sink.write(todo) :]


def _machine() -> str:
    return re.sub(r"\W", "_", platform.node())[:40] or "here"


def _prefix() -> str:
    return f".facet_nb-{_machine()}-{os.getpid()}-"


def _sweep(parent: Path) -> None:
    """Remove hidden folders of this machine's processes that are gone for more than an hour."""
    for folder in parent.glob(".facet_nb-*.part"):
        match = _STAGE.fullmatch(folder.name)
        if match is None or match["machine"] != _machine():
            continue
        try:
            old = time.time() - folder.stat().st_mtime > _STALE_S
        except FileNotFoundError:
            continue  # another export has just ended
        if old and not psutil.pid_exists(int(match["pid"])):
            shutil.rmtree(folder, ignore_errors=True)


def _publish(folder: Path, path: Path) -> None:
    """Move what is in `folder` beside `path`; while the parts change there is no header."""
    files = sorted(folder.iterdir())
    for file in files:
        _sync(file)
    parts = [file for file in files if file.name != path.name]
    if parts:
        path.unlink(missing_ok=True)
    for part in parts:
        os.replace(part, path.parent / part.name)
    os.replace(folder / path.name, path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Bring a file, or the names in a folder, from the system's memory to the disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        return  # some systems do not open folders
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_space(path: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if free < n_bytes:
        raise unwritable(
            path,
            f"it takes {n_bytes / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free",
            f"Make room in {path.parent}, or give a path on another disk",
        )


def _failed(path: Path, error: OSError) -> FacetError:
    what = error.strerror or " ".join(str(error).split()) or type(error).__name__
    return unwritable(path, what, "Check that its folder can be written to and the disk has room")
