"""A cache of arrays of limited size: the least recently used ones are dropped first."""

from __future__ import annotations

import mmap
import threading
from collections import OrderedDict
from collections.abc import Hashable

import numpy as np

#: Smallest array that gets pages of its own.
_PAGES = 1 << 16


class BlockCache:
    """Arrays by key, for all threads.

    Parameters
    ----------
    limit_bytes : int
        Largest sum of the arrays' sizes, in bytes. A larger array is not kept.

    Attributes
    ----------
    n_bytes, peak_bytes : int
        The sum of sizes now, and its maximum so far.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = int(limit_bytes)
        self.n_bytes = self.peak_bytes = 0
        self._lock = threading.Lock()
        self._blocks: OrderedDict[Hashable, np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return len(self._blocks)

    def get(self, key: Hashable) -> np.ndarray | None:
        """Return an array, read-only, or None."""
        with self._lock:
            found = self._blocks.get(key)
            if found is not None:
                self._blocks.move_to_end(key)
            return found

    def put(self, key: Hashable, array: np.ndarray) -> np.ndarray:
        """Keep `array`, which must own its memory; return it read-only."""
        # Readers get the array itself: one that wrote to it would change what others read later.
        array.flags.writeable = False
        # Kept, it would drop all other arrays, and then itself.
        if array.nbytes > self.limit_bytes:
            return array
        with self._lock:
            # Two threads may have computed the same block: its size counts once.
            known = self._blocks.pop(key, None)
            self.n_bytes += array.nbytes - (0 if known is None else known.nbytes)
            self._blocks[key] = array
            while self.n_bytes > self.limit_bytes:
                _, oldest = self._blocks.popitem(last=False)
                self.n_bytes -= oldest.nbytes
            self.peak_bytes = max(self.peak_bytes, self.n_bytes)
        return array

    def put_copy(self, key: Hashable, array: np.ndarray) -> np.ndarray:
        """Keep a copy of `array`, in memory that the system gets back when it leaves."""
        return self.put(key, copy_to_pages(array))

    def clear(self) -> None:
        """Drop all arrays."""
        with self._lock:
            self._blocks.clear()
            self.n_bytes = 0


def copy_to_pages(array: np.ndarray) -> np.ndarray:
    """Return a copy in pages of its own; a small one, or on Windows, is any copy.

    Blocks that come and go in the allocator's memory leave holes: 80 MB beside a cache of 64 MB.
    """
    if array.nbytes < _PAGES or not hasattr(mmap, "MAP_PRIVATE"):
        return array.copy()
    # Private: shared pages would show a forked process what this one writes later.
    # All pages at once, where the system can: a fault for each takes a third longer.
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_POPULATE", 0)
    pages = mmap.mmap(-1, array.nbytes, flags=flags)
    # The array holds the map: a thread may still read a block that the cache has dropped.
    own = np.frombuffer(pages, array.dtype).reshape(array.shape)
    own[...] = array
    return own
