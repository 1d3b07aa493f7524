"""Where samples lie while batches run: in this process, or in files that workers map."""

from __future__ import annotations

import contextlib
import mmap
import os
import platform
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facet_nb.core.errors import FacetError
from facet_nb.core.executors.orphans import remove_semaphores

#: From this size on memory is asked for in ordinary pages, in bytes.
_LARGE = 32 << 20

#: Containers that share a temporary folder do not see one another's processes.
_HOST = re.sub(r"[^A-Za-z0-9]", "", platform.node())[:32] or "host"
_FOLDER = re.compile(rf"facet_nb-{_HOST}-(\d+)-\w+")


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
        """Return the mapped array, float64 (a plain array, as processors expect one)."""
        return np.asarray(np.memmap(self.path, dtype=np.float64, mode="r+", shape=self.shape))


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
        self._adopted: dict[int, tuple[FileArray, np.ndarray]] = {}
        self._maps: set[int] = set()
        self._count = 0

    @property
    def folder(self) -> Path:
        """The temporary folder, made when first asked for."""
        if self._folder is None:
            root = os.environ.get("FACET_NB_TMPDIR") or tempfile.gettempdir()
            sweep(Path(root))
            prefix = f"facet_nb-{_HOST}-{os.getpid()}-"
            try:
                self._folder = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
            except OSError as error:
                raise FacetError(
                    f"cannot make a temporary folder in {root}: {error.strerror}. Set "
                    "FACET_NB_TMPDIR to a folder that can be written to, or use "
                    "backend='threading'."
                ) from error
        return self._folder

    def share(self, array: np.ndarray) -> ArrayRef:
        """Return a reference to samples; written to a file once if they must be shared."""
        if not self.shared:
            return RamArray(array)
        known = self._files.get(id(array)) or self._adopted.get(id(array))
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
            array = fresh_array(shape)
            return RamArray(array), array
        ref = self._new_file(shape)
        array = ref.open()
        self._files[id(array)] = (ref, array)
        self._maps.add(id(_root(array)))
        return ref, array

    def adopt(self, path: str, shape: tuple[int, int]) -> tuple[ArrayRef, np.ndarray]:
        """Return samples in a file of somebody else's, which stays; :meth:`holds` is true."""
        ref = FileArray(path, shape)
        array = ref.open()
        self._adopted[id(array)] = (ref, array)
        self._maps.add(id(_root(array)))
        return (ref if self.shared else RamArray(array)), array

    def holds(self, array: np.ndarray) -> bool:
        """Whether `array` lies in a file of this store, wholly or as a view."""
        return id(_root(array)) in self._maps

    @property
    def has_maps(self) -> bool:
        """Whether any samples lie in files."""
        return bool(self._maps)

    def write(self, content: bytes) -> str:
        """Put `content` into a file of its own; return the path."""
        path = self._new_path(len(content))
        path.write_bytes(content)
        return str(path)

    def release(self, array: np.ndarray) -> None:
        """Remove the file of `array`, if it has one."""
        known = self._files.get(id(array))
        if known is not None and known[1] is array:
            del self._files[id(array)]
            with contextlib.suppress(OSError):  # else it goes with the folder
                os.remove(known[0].path)

    def make_table(self, n: int) -> FileArray:
        """Return a table in a file, shape (n, 2), for what tasks tell of themselves."""
        return self._new_file((n, 2))

    def close(self) -> None:
        """Remove everything."""
        self._files.clear()
        self._adopted.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _new_file(self, shape: tuple[int, int]) -> FileArray:
        path = self._new_path(max(8, 8 * int(np.prod(shape))))
        return FileArray(str(path), shape)

    def _new_path(self, n_bytes: int) -> Path:
        """Return a new file that has room for `n_bytes`: a mapped file on a full disk is fatal."""
        self._count += 1
        path = self.folder / f"{self._count}.f64"
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
        return path


def _root(array: np.ndarray) -> object:
    """Return what holds the memory of `array`: an array, or the map of a file."""
    base: object = array
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    return base


def fresh_array(shape: tuple[int, int]) -> np.ndarray:
    """Return new samples in this process's memory, float64, not set to anything.

    Large ones come as ordinary pages: numpy asks for huge ones, which a virtual machine that gives
    free memory back has to fetch from its host, at up to 2 s of CPU for each GB.
    """
    n_bytes = 8 * int(np.prod(shape))
    if n_bytes < _LARGE or not hasattr(mmap, "MADV_NOHUGEPAGE"):
        return np.empty(shape)
    # Private: what a forked child writes is its own.
    memory = mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, dtype=np.float64).reshape(shape)


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
