"""Where samples lie while batches run: in this process, or in files that workers map."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facet_nb.core.errors import FacetError

_FOLDER = re.compile(r"facet_nb-(\d+)-")


@dataclass(frozen=True)
class RamArray:
    """Samples of this process; only for workers that share its memory."""

    array: np.ndarray

    def open(self) -> np.ndarray:
        """Return the array."""
        return self.array


@dataclass(frozen=True)
class FileArray:
    """Samples in a file, mapped by whoever opens them."""

    path: str
    shape: tuple[int, int]

    def open(self) -> np.ndarray:
        """Return the mapped array, float64."""
        return np.memmap(self.path, dtype=np.float64, mode="r+", shape=self.shape)


ArrayRef = RamArray | FileArray


class Store:
    """Arrays of one run.

    Parameters
    ----------
    shared : bool
        Whether workers of other processes must reach the arrays. They then lie in a temporary
        folder (``FACET_NB_TMPDIR``, else the system's) that is removed at the end.
    """

    def __init__(self, shared: bool) -> None:
        self.shared = shared
        self._folder: Path | None = None
        self._files: dict[int, tuple[FileArray, np.ndarray]] = {}
        self._count = 0

    @property
    def folder(self) -> Path:
        """The temporary folder, made when first asked for."""
        if self._folder is None:
            root = os.environ.get("FACET_NB_TMPDIR") or tempfile.gettempdir()
            sweep(Path(root))
            self._folder = Path(tempfile.mkdtemp(prefix=f"facet_nb-{os.getpid()}-", dir=root))
        return self._folder

    def share(self, array: np.ndarray) -> ArrayRef:
        """Return a reference to samples; written to a file once if they must be shared."""
        if not self.shared:
            return RamArray(array)
        known = self._files.get(id(array))
        if known is not None and known[1] is array:
            return known[0]
        ref = self._new_file(array.shape)
        mapped = ref.open()
        mapped[...] = array
        self._files[id(array)] = (ref, array)
        return ref

    def allocate(self, shape: tuple[int, int]) -> tuple[ArrayRef, np.ndarray]:
        """Return a reference to new samples of `shape`, and the array."""
        if not self.shared:
            array = np.empty(shape)
            return RamArray(array), array
        ref = self._new_file(shape)
        array = ref.open()
        self._files[id(array)] = (ref, array)
        return ref, array

    def release(self, array: np.ndarray) -> None:
        """Remove the file of `array`, if it has one."""
        known = self._files.get(id(array))
        if known is not None and known[1] is array:
            del self._files[id(array)]
            with contextlib.suppress(FileNotFoundError):
                os.remove(known[0].path)

    def to_ram(self, array: np.ndarray) -> np.ndarray:
        """Return `array` in this process's memory; its file is removed."""
        known = self._files.get(id(array))
        if known is None or not isinstance(array, np.memmap):
            return array
        copy = np.array(array)
        self.release(array)
        return copy

    def breadcrumbs(self, n: int) -> FileArray | None:
        """Return a place where batches note which step they are at, or None in one process."""
        if not self.shared:
            return None
        ref = self._new_file((n, 1))
        ref.open()[...] = -1.0
        return ref

    def close(self) -> None:
        """Remove everything."""
        self._files.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _new_file(self, shape: tuple[int, ...]) -> FileArray:
        self._count += 1
        path = self.folder / f"{self._count}.f64"
        n_bytes = max(8, 8 * int(np.prod(shape)))
        try:
            with open(path, "wb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, n_bytes)
                else:
                    file.truncate(n_bytes)
        except OSError as error:
            raise FacetError(
                f"no room for {n_bytes / 1e6:.0f} MB in {self.folder}: {error.strerror}. Set "
                "FACET_NB_TMPDIR to a folder on a larger disk, or use backend='threading'."
            ) from error
        return FileArray(str(path), tuple(shape))


def sweep(root: Path) -> None:
    """Remove folders of processes that no longer live (after a kill)."""
    for folder in root.glob("facet_nb-*-*"):
        match = _FOLDER.match(folder.name)
        if match and not _alive(int(match.group(1))):
            shutil.rmtree(folder, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
