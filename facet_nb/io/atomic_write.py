"""Write files atomically: a recording appears under its name only when it is complete.

Writers write into a hidden folder beside the target. When all files are there and have been read
back, they are moved to their names, the header file last. A run that is killed leaves a hidden
folder behind, never half a recording; a later export to the same place removes it.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from facet_nb.core.errors import FacetError
from facet_nb.io.messages import unusable, unwritable

#: Hidden folders carry machine and process id, so that a later export recognises stale ones.
_STAGE = re.compile(r"\.facet_nb-(?P<machine>.+)-(?P<pid>\d+)-\w+\.part")

_STALE_S = 3600.0

#: End of the name of the file that tells how a recording was made.
PROVENANCE = "_provenance.json"


def check_name(path: Path) -> None:
    """Raise :class:`ValidationError` if no file can have this name."""
    try:
        path.lstat()
    except ValueError as error:  # NUL
        raise unusable(path, f"no file can have this name ({error})", "Give another one") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise unusable(path, "this name is too long", "Give a shorter one") from error


def check_target(path: Path, overwrite: bool, parts: Iterable[Path] = ()) -> None:
    """Check that a file can be created at `path`, without creating anything.

    Parameters
    ----------
    path : Path
        The file.
    overwrite : bool
        Whether existing files may be replaced.
    parts : iterable of Path
        Further files of the recording.

    Raises
    ------
    ValidationError
        If a file exists and `overwrite` is False, or is a folder.
    FacetError
        If its folder can neither be created nor written to.
    """
    for file in (path, *parts):
        check_name(file)
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
        what = f"no permission to write to {above}"
        raise unwritable(path, what, "Give a path in another folder, or change its permissions")
    # The administrator may write everywhere, by permissions; /proc and /sys take no files from him.
    if hasattr(os, "statvfs") and os.statvfs(above).f_blocks == 0:
        try:
            os.rmdir(tempfile.mkdtemp(prefix=_prefix(), suffix=".part", dir=above))
        except OSError as error:
            raise _failed(path, error) from error


@contextmanager
def stage(path: Path, n_bytes: int, outdated: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield a hidden folder; on exit, move the files in it beside `path`.

    Parameters
    ----------
    path : Path
        The header file, which appears last.
    n_bytes : int
        Approximate size of all files.
    outdated : sequence of Path
        Files about an earlier recording `path`, which are removed with it.

    Raises
    ------
    FacetError
        If the folder cannot be created or written to, or the disk is full; it is then removed.
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
        _publish(folder, path, outdated)
    except FacetError:
        raise
    except OSError as error:
        raise _failed(path, error) from error
    except MemoryError as error:
        what = f"there is not enough memory to write {n_bytes / 1e6:.0f} MB"
        remedy = "Free memory, or write .fif, which needs the least"
        raise unwritable(path, what, remedy) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def reserve(file: Path, n_bytes: int) -> None:
    """Preallocate a file, which makes writing it several times faster.

    Raises
    ------
    OSError
        If the disk is full.
    """
    with file.open("wb") as sink:
        if hasattr(os, "posix_fallocate") and n_bytes:
            os.posix_fallocate(sink.fileno(), 0, n_bytes)


def write_all(sink: BinaryIO, x: np.ndarray) -> None:
    """Write an array to an unbuffered file, where one call may write only a part."""
    todo = np.ascontiguousarray(x).reshape(-1).view(np.uint8).data
    while len(todo):
        todo = todo[sink.write(todo) :]


def _machine() -> str:
    return re.sub(r"\W", "_", platform.node())[:40] or "here"


def _prefix() -> str:
    return f".facet_nb-{_machine()}-{os.getpid()}-"


def _sweep(parent: Path) -> None:
    """Remove hidden folders older than an hour whose process on this machine has ended."""
    for folder in parent.glob(".facet_nb-*.part"):
        match = _STAGE.fullmatch(folder.name)
        if match is None or match["machine"] != _machine():
            continue
        try:
            old = time.time() - folder.stat().st_mtime > _STALE_S
        except FileNotFoundError:
            continue  # another export has just ended
        if old and _has_ended(int(match["pid"])):
            shutil.rmtree(folder, ignore_errors=True)


def _has_ended(pid: int) -> bool:
    """Whether no process of this machine has the number `pid`; if in doubt, False."""
    if os.name == "nt":  # os.kill would end the process there
        try:
            import psutil
        except ImportError:
            return False
        return not psutil.pid_exists(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # of another user
        return False
    return False


def _publish(folder: Path, path: Path, outdated: Sequence[Path]) -> None:
    """Move the files in `folder` beside `path`, and remove those that are outdated."""
    files = sorted(folder.iterdir())
    for file in files:
        _sync(file)
    notes = [file.name for file in files if file.name.endswith(PROVENANCE)]
    parts = [file.name for file in files if file.name not in (path.name, *notes)]
    _replace(folder, path, parts, notes)
    written = {file.name for file in files}
    for file in outdated:  # provenance of the file that was here before
        if file.name not in written:
            file.unlink(missing_ok=True)
    _sync(path.parent)


def _replace(folder: Path, path: Path, parts: list[str], notes: list[str]) -> None:
    """Move a file, its `parts` and its `notes` beside `path`: all of them, or none."""
    # While the parts are replaced, no header may combine old ones with new ones: it goes first and
    # comes last. Without parts it is replaced at once, so that there is always a whole file.
    # Windows refuses to move a file that is open, and the old ones must then come back.
    leaving = [path.name, *parts, *notes] if parts else notes
    moved: list[str] = []
    placed: list[str] = []
    try:
        for name in leaving:
            if (path.parent / name).exists():
                os.replace(path.parent / name, folder / f"old-{name}")
                moved.append(name)
        for name in (*notes, *reversed(parts), path.name):
            os.replace(folder / name, path.parent / name)
            placed.append(name)
    except BaseException:
        for name in placed:
            (path.parent / name).unlink()
        for name in reversed(moved):
            os.replace(folder / f"old-{name}", path.parent / name)
        raise


def _sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        return  # some systems cannot open folders
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_space(path: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if free < n_bytes:
        raise unwritable(
            path,
            f"it needs {n_bytes / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free",
            f"Free space in {path.parent}, or give a path on another disk",
        )


def _failed(path: Path, error: OSError) -> FacetError:
    what = error.strerror or " ".join(str(error).split()) or type(error).__name__
    return unwritable(path, what, "Check the permissions of its folder and the free space")
