"""Load results from files into memory, and delete scratch files no longer referred to."""

from __future__ import annotations

from typing import Any

import numpy as np

from facet_nb.core import recording
from facet_nb.core.context import ProcessingContext
from facet_nb.core.storage import scratch
from facet_nb.core.storage.array_store import Store, fresh_array


def free_input(before: ProcessingContext, after: ProcessingContext, store: Store) -> None:
    """Delete the file of the samples before a stage, unless something refers to it."""
    raw = before._raw
    # Without workers, samples go with the last reference; files and shared memory do not.
    if not store.shared or raw is None or not raw.preload or not after.has_raw():
        return
    new, old = after.get_raw(), raw._data
    if new.preload and new._data is old:
        return
    # For samples in memory the file holds a copy, which can be deleted in any case.
    if not store.holds(old) or not refers_to(after, old):
        store.release(old)


def refers_to(context: ProcessingContext, array: np.ndarray) -> bool:
    """Whether the noise or the original recording of `context` refers to `array`."""
    found = False

    def look(base: Any) -> Any:
        nonlocal found
        found = found or base is array
        return base

    context._moved(look)  # visits all bases of the noise
    original = context.get_raw_original()
    return found or (original is not None and original.preload and original._data is array)


def load_results(context: ProcessingContext, store: Store) -> ProcessingContext:
    """Return `context` with all samples that lie in the run's files loaded into memory."""
    if not context.has_raw():
        return context

    def is_in_file(array: np.ndarray) -> bool:
        # With `spill`, results stay in their scratch files, which exist as long as the arrays.
        return store.holds(array) or (not store.spill and scratch.is_spilled(array))

    # By identity: the recording, its original and the noise may share one array. The array is kept
    # as well, as the id of one that is gone may be used again.
    moved: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def move(array: np.ndarray) -> np.ndarray:
        if not is_in_file(array):
            return array
        if id(array) not in moved:
            scratch.check_whole(array)
            own = store.take_over(array)
            if own is None:
                own = copy_rows(array, store.spill)
            moved[id(array)] = array, own
            store.release(array)  # at once: two copies of all arrays would double the peak memory
        return moved[id(array)][1]

    new = context._moved(move)
    raw = context.get_raw()
    if raw.preload and is_in_file(raw._data):
        new = new._derive(raw=recording.replace_data(raw, move(raw._data)))
    original = context.get_raw_original()
    if original is raw:
        new._raw_original = new._raw
    elif original is not None and original.preload and is_in_file(original._data):
        new._raw_original = recording.replace_data(original, move(original._data))
    return new


def copy_rows(array: np.ndarray, spill: bool) -> np.ndarray:
    """Return a copy of samples in a run's file: in memory or, with `spill`, in a scratch file."""
    result = scratch.create(array.shape)[1] if spill else fresh_array(array.shape)
    # Row by row: pages of the file are dropped before they add up to a second copy in memory.
    for row, values in zip(result, array, strict=True):
        row[...] = values
        scratch.forget(array, result)
    return result
