"""The arrays of a run: in private memory, in shared memory, or in files that workers map."""

from __future__ import annotations

import contextlib
import mmap
import os
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facet_nb.core.errors import FacetError
from facet_nb.core.memory import spare_pages
from facet_nb.core.storage import scratch, shared_memory
from facet_nb.core.storage.arrays import ArrayRef, FileArray, RamArray, say_gone
from facet_nb.core.storage.row_io import write_rows
from facet_nb.kernels.views import as_slice

#: Arrays from this size on, in bytes, get ordinary pages instead of huge ones.
_LARGE = 32 << 20

#: Most memory that is kept for the next arrays of the same size, in bytes: two stages' results of
#: 32 channels of two minutes. All of them are of one size.
_KEPT = 384 << 20


def fresh_array(shape: tuple[int, int]) -> np.ndarray:
    """Return uninitialised float64 samples in this process's memory.

    Raises
    ------
    FacetError
        If there is not enough.
    """
    n_bytes = 8 * int(shape[0]) * int(shape[1])  # Python's integers do not overflow
    try:
        if n_bytes < _LARGE or not hasattr(mmap, "MADV_NOHUGEPAGE"):
            return np.empty(shape)
        memory = _take_pages(n_bytes)
        array = np.frombuffer(memory, dtype=np.float64).reshape(shape)
        if hasattr(mmap, "MADV_FREE"):
            # All views of the samples refer to this one.
            weakref.finalize(array.base, _keep_pages, memory).atexit = False
        return array
    except (MemoryError, OSError, OverflowError, ValueError) as error:
        raise FacetError(
            f"there is no memory for {shape[0]} channels of {shape[1]} samples "
            f"({1e-9 * n_bytes:.1f} GB). Lower the sampling rate, or keep samples in files with "
            'memory_budget="…".'
        ) from error


def _map_pages(n_bytes: int) -> mmap.mmap:
    """Return new memory, whose pages are taken when they are written."""
    # numpy asks for huge pages. A virtual machine that returns free memory to its host has to
    # fetch these again, which takes up to 2 s of CPU time per GB.
    # MAP_PRIVATE: writes of a forked child must not reach its parent.
    memory = mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    return memory


def _take_pages(n_bytes: int) -> mmap.mmap:
    """Return memory, with the pages of an earlier array of this size if they were kept."""
    # To write to pages for the first time takes a twelfth of the default chain's time.
    with contextlib.suppress(IndexError):  # another thread may be faster
        memory = spare_pages.pop()
        if len(memory) == n_bytes:
            return memory
        del memory  # before others take its place
        spare_pages.clear()
    return _map_pages(n_bytes)


def _keep_pages(memory: mmap.mmap) -> None:
    """Keep the pages of an array that is gone; the system takes them when memory is short."""
    size = len(memory)
    if any(len(kept) != size for kept in spare_pages):
        spare_pages.clear()
    if size * (len(spare_pages) + 1) <= _KEPT:
        memory.madvise(mmap.MADV_FREE)
        spare_pages.append(memory)


class Store:
    """Arrays of one run.

    Parameters
    ----------
    shared : bool
        Whether worker processes need access to the arrays. They are then stored in a temporary
        folder (in ``FACET_NB_TMPDIR``, or the system's) that is removed at the end.
    spill : bool
        Whether results are stored in files of their own, which exist as long as the arrays do.
    memory : bool
        Whether workers can map memory of this process (:mod:`.shared_memory`): arrays are then
        stored there instead of in files, if there is ample memory.
    """

    def __init__(self, shared: bool = False, spill: bool = False, memory: bool = False) -> None:
        self.shared = shared
        self.spill = spill
        self.memory = memory
        self._descriptors: dict[str, int] = {}
        self._folder: Path | None = None
        self._files: dict[int, tuple[FileArray, np.ndarray]] = {}
        self._adopted: dict[int, tuple[FileArray, np.ndarray]] = {}
        # Weak as well: a later array may get the id of one that is gone.
        self._maps: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self._count = 0
        # Weak references: the store must not keep samples alive that a run has dropped.
        self._finite: weakref.ref[np.ndarray] | None = None
        self._private: weakref.ref[np.ndarray] | None = None

    def note_result(self, result: np.ndarray, private: bool) -> None:
        """Record the samples after a stage as finite.

        They are `private` if no user-defined step has seen them, which could keep a reference.
        """
        self._finite = weakref.ref(result)
        self._private = self._finite if private else None

    def is_checked(self, samples: np.ndarray) -> bool:
        """Whether `samples` are known to be finite."""
        return self._finite is not None and self._finite() is samples

    def forget_private(self) -> None:
        """Record that a user-defined step has seen the samples."""
        self._private = None

    def destination(
        self,
        data: np.ndarray,
        n_times: int,
        source: ArrayRef,
        lent: bool,
        readable_again: bool,
        may_overwrite: Callable[[], bool],
    ) -> tuple[ArrayRef, np.ndarray]:
        """Return a reference to the array for the result of a stage, and the array.

        Parameters
        ----------
        data : ndarray, shape (n_channels, n_times before)
            The input.
        n_times : int
            Samples after the stage.
        source : ArrayRef
            Where batches find the input.
        lent : bool
            Whether `source` is a copy of the input that only this stage uses.
        readable_again : bool
            Whether the input can be read again, so that the result may replace it.
        may_overwrite : callable
            Whether the result may replace an input that only this run has seen.
        """
        # Overwriting is safe only if nothing else can read these samples later: no user-defined
        # step may have kept them, and no other process or file (a checkpoint, e.g.) holds them.
        private = self._private is not None and self._private() is data
        private = private and not (self.shared or self.spill or self.holds(data))
        if data.shape[1] == n_times and (readable_again or (private and may_overwrite())):
            return source, data
        if data.shape[1] == n_times and lent:
            return source, self.open(source)
        return self.allocate((len(data), n_times), data.dtype.name)

    @property
    def folder(self) -> Path:
        """The temporary folder, created on first use."""
        if self._folder is None:
            self._folder = scratch.make_folder()
        return self._folder

    def share(self, array: Any) -> ArrayRef:
        """Return a reference to samples; samples to be shared are written to a file once."""
        if not isinstance(array, np.ndarray):
            array = array.open()  # deferred samples
        spilled = scratch.find_file(array)
        if spilled is not None:
            return spilled
        if not self.shared:
            return RamArray(array)
        known = self._files.get(id(array)) or self._adopted.get(id(array))
        if known is not None and known[1] is array:  # an id may be reused by a later array
            return known[0]
        ref = self._new_array(array.shape)
        write_rows(ref, range(len(array)), array)
        self._files[id(array)] = (ref, array)
        return ref

    def lend(
        self, array: np.ndarray, in_subprocess: bool
    ) -> tuple[ArrayRef, Callable[[Sequence[int]], None] | None]:
        """Return a shared-memory reference and a callback that copies rows into it on demand.

        The callback is None if all samples are there already. Otherwise only this stage uses the
        shared memory, so that a row may be overwritten once it has been read. Batches in this
        process (not `in_subprocess`) get the samples themselves.
        """
        spilled = scratch.find_file(array)
        if not in_subprocess:
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

        The samples are float64, except in a run on files, where they have `dtype`.
        """
        if self.spill:
            return scratch.create(shape, dtype)
        if not self.shared:
            array = fresh_array(shape)
            return RamArray(array), array
        ref = self._new_array(shape)
        return ref, self.open(ref)

    def open(self, ref: ArrayRef) -> np.ndarray:
        """Return samples that this store created, mapped; :meth:`holds` is true for them."""
        assert isinstance(ref, FileArray)
        array = ref.open()
        self._files[id(array)] = (ref, array)
        self._note_map(array)
        return array

    def take_over(self, array: np.ndarray) -> np.ndarray | None:
        """Return samples of shared memory as private memory; None if they are elsewhere."""
        known = self._files.get(id(array))
        if known is None or known[1] is not array or known[0].path not in self._descriptors:
            return None
        return shared_memory.take_over(self._descriptors[known[0].path], known[0].shape)

    def adopt(self, path: str, shape: tuple[int, int]) -> tuple[ArrayRef, np.ndarray]:
        """Return samples in a file that belongs to the caller and is not removed."""
        ref = FileArray(path, shape)
        array = ref.open()
        self._adopted[id(array)] = (ref, array)
        self._note_map(array)
        return (ref if self.shared or self.spill else RamArray(array)), array

    def holds(self, array: np.ndarray) -> bool:
        """Whether `array` is in a file of this store, or a view of one."""
        root = _root(array)
        return self._maps.get(id(root)) is root

    def _note_map(self, array: np.ndarray) -> None:
        root = _root(array)
        self._maps[id(root)] = root

    @property
    def has_maps(self) -> bool:
        """Whether any array of the run that is still referred to is in a file."""
        return bool(self._maps)

    def write(self, content: bytes) -> str:
        """Write `content` to a new file; return the path."""
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
        with contextlib.suppress(OSError):  # Windows: still mapped; removed with the folder
            os.remove(path)

    def make_table(self, n: int) -> FileArray:
        """Return a table in a file, shape (n, 2), for the heartbeats of tasks."""
        return self._new_file((n, 2))

    def close(self) -> None:
        """Remove all files and shared memory."""
        # The maps go first: Windows removes no file that is mapped.
        self._files.clear()
        self._adopted.clear()
        for path in list(self._descriptors):
            self._remove(path)
        if self._folder is not None:
            scratch.remove_folder(self._folder)
            self._folder = None

    def is_gone(self) -> bool:
        """Whether something else has removed the folder of this run."""
        return self._folder is not None and not self._folder.is_dir()

    def explain_loss(self, error: Exception) -> FacetError:
        """Return the error for a run whose folder was removed, of which `error` came."""
        gone = say_gone(f"the scratch folder {self._folder}")
        gone.__cause__ = error
        return gone

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
        self._count += 1
        path = self.folder / f"{self._count}.f64"
        scratch.reserve(path, n_bytes)
        return path


def _root(array: np.ndarray) -> object:
    """Return the object that owns the memory of `array`: an array, or a mapped file."""
    base: object = array
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    return base
