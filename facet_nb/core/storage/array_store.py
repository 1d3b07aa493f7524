"""Where samples lie while batches run: in this process, or in files that workers map."""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facet_nb.core.storage import scratch, shared_memory
from facet_nb.core.storage.arrays import ArrayRef, FileArray, RamArray
from facet_nb.core.storage.row_io import as_slice, write_rows

#: From this size on memory is asked for in ordinary pages, in bytes.
_LARGE = 32 << 20


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


class Store:
    """Arrays of one run.

    Parameters
    ----------
    shared : bool
        Whether workers of other processes must reach the arrays. They then lie in a temporary
        folder (``FACET_NB_TMPDIR``, else the system's) that is removed at the end.
    spill : bool
        Whether results lie in files of their own, which live as long as the arrays do.
    memory : bool
        Whether workers can reach memory (:mod:`.shared`): then arrays are shared there instead of
        in files, if there is ample room.
    """

    def __init__(self, shared: bool, spill: bool = False, memory: bool = False) -> None:
        self.shared = shared
        self.spill = spill
        self.memory = memory
        self._descriptors: dict[str, int] = {}
        self._folder: Path | None = None
        self._files: dict[int, tuple[FileArray, np.ndarray]] = {}
        self._adopted: dict[int, tuple[FileArray, np.ndarray]] = {}
        self._maps: set[int] = set()
        self._count = 0

    @property
    def folder(self) -> Path:
        """The temporary folder, made when first asked for."""
        if self._folder is None:
            self._folder = scratch.make_folder()
        return self._folder

    def share(self, array: Any) -> ArrayRef:
        """Return a reference to samples; written to a file once if they must be shared."""
        if not isinstance(array, np.ndarray):
            array = array.open()  # an origin, which reads them
        spilled = scratch.find_file(array)
        if spilled is not None:
            return spilled
        if not self.shared:
            return RamArray(array)
        known = self._files.get(id(array)) or self._adopted.get(id(array))
        if known is not None and known[1] is array:
            return known[0]
        ref = self._new_array(array.shape)
        write_rows(ref, range(len(array)), array)
        self._files[id(array)] = (ref, array)
        return ref

    def lend(
        self, array: np.ndarray, far: bool
    ) -> tuple[ArrayRef, Callable[[Sequence[int]], None] | None]:
        """Return a reference to samples, and what puts rows of them there before they are used.

        The second is None where all of them are there already. Else they are in shared memory that
        nobody else knows of: whoever has used a row may write over it. What is not `far`, in other
        processes, needs nothing but the samples.
        """
        spilled = scratch.find_file(array)
        if not far:
            return (RamArray(array) if spilled is None else spilled), None
        known = self._files.get(id(array)) or self._adopted.get(id(array))
        if spilled is not None or known is not None or not self._has_room(array.nbytes):
            return self.share(array), None
        ref = self._new_memory(array.shape)
        return ref, lambda picks: write_rows(ref, picks, array[as_slice(picks)])

    def allocate(
        self, shape: tuple[int, int], dtype: str = "float64"
    ) -> tuple[ArrayRef, np.ndarray]:
        """Return a reference to new samples of `shape`, and the array.

        They are float64, but for those of a spilling run that works on a file of `dtype`.
        """
        if self.spill:
            return scratch.create(shape, dtype)
        if not self.shared:
            array = fresh_array(shape)
            return RamArray(array), array
        ref = self._new_array(shape)
        return ref, self.open(ref)

    def open(self, ref: ArrayRef) -> np.ndarray:
        """Return samples that this store made, mapped; :meth:`holds` is true."""
        assert isinstance(ref, FileArray)
        array = ref.open()
        self._files[id(array)] = (ref, array)
        self._maps.add(id(_root(array)))
        return array

    def take_over(self, array: np.ndarray) -> np.ndarray | None:
        """Return samples of shared memory as this process's own; None if they lie elsewhere."""
        known = self._files.get(id(array))
        if known is None or known[1] is not array or known[0].path not in self._descriptors:
            return None
        return shared_memory.take_over(self._descriptors[known[0].path], known[0].shape)

    def adopt(self, path: str, shape: tuple[int, int]) -> tuple[ArrayRef, np.ndarray]:
        """Return samples in a file of somebody else's, which stays; :meth:`holds` is true."""
        ref = FileArray(path, shape)
        array = ref.open()
        self._adopted[id(array)] = (ref, array)
        self._maps.add(id(_root(array)))
        return (ref if self.shared or self.spill else RamArray(array)), array

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
            self._remove(known[0].path)

    def _remove(self, path: str) -> None:
        if path in self._descriptors:
            os.close(self._descriptors.pop(path))
            return
        with contextlib.suppress(OSError):  # else it goes with the folder
            os.remove(path)

    def make_table(self, n: int) -> FileArray:
        """Return a table in a file, shape (n, 2), for what tasks tell of themselves."""
        return self._new_file((n, 2))

    def close(self) -> None:
        """Remove everything."""
        self._files.clear()
        self._adopted.clear()
        for path in list(self._descriptors):
            self._remove(path)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _has_room(self, n_bytes: int) -> bool:
        return self.memory and not self.spill and shared_memory.is_ample(n_bytes)

    def _new_array(self, shape: tuple[int, int]) -> FileArray:
        if self._has_room(8 * shape[0] * shape[1]):
            return self._new_memory(shape)
        return self._new_file(shape)

    def _new_memory(self, shape: tuple[int, int]) -> FileArray:
        ref, descriptor = shared_memory.create(shape)
        self._descriptors[ref.path] = descriptor
        return ref

    def _new_file(self, shape: tuple[int, int]) -> FileArray:
        path = self._new_path(max(8, 8 * int(np.prod(shape))))
        return FileArray(str(path), shape)

    def _new_path(self, n_bytes: int) -> Path:
        """Return a new file that has room for `n_bytes`: a mapped file on a full disk is fatal."""
        self._count += 1
        path = self.folder / f"{self._count}.f64"
        scratch.reserve(path, n_bytes)
        return path


def _root(array: np.ndarray) -> object:
    """Return what holds the memory of `array`: an array, or the map of a file."""
    base: object = array
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    return base
