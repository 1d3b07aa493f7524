"""Exact median across channels, many samples side by side.

Each sample's bracket of its median starts as the range of its channels. A pass over the channels
counts those below a pivot and finds the values next to it; linear interpolation of the ranks
between the ends of the bracket gives the next pivot. Normal data need 5 passes, whatever the number
of channels, the worst data (each channel 10 times the last) as many as there are channels; no
value is ever moved. Importing this module imports numba.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import from_dtype, types

from facet_nb.kernels.compiled.dispatch import as_rows
from facet_nb.kernels.compiled.vectors import (
    aligned_empty,
    compile_entry,
    inner,
    is_any,
    like,
    load_bytes,
    pointer,
    prefetch,
    select,
    store,
)

#: Bytes worked on side by side: two of the widest registers, so that one can wait for its sums.
_BYTES = 128

#: Bytes of each channel that are copied to neighbouring places at once, so that a pass stays in
#: cache: fastest of 256 to 4096 (64 channels float64, 384 channels float32).
_TILE = 1024


def median_across(x: np.ndarray) -> np.ndarray:
    """Return the median of the channels, sample by sample.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Signals, float32 or float64, any unit.

    Returns
    -------
    ndarray, shape (n_times,)
        Medians, of the type of `x`; equal to ``np.median(x, axis=0)``, nan where a channel is nan.
    """
    medians = np.empty(x.shape[1], x.dtype)
    _run(x, medians, np.empty((0, 0), x.dtype))
    return medians


def subtract_median(x: np.ndarray, out: np.ndarray) -> None:
    """Write `x` less :func:`median_across` of it to `out`, while the samples are in cache.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Signals, float32 or float64, any unit.
    out : ndarray, shape (n_channels, n_times)
        Where to put the result, of the type of `x`; samples of a row are neighbours.
    """
    _run(x, np.empty(0, x.dtype), out)


def _run(x: np.ndarray, medians: np.ndarray, out: np.ndarray) -> None:
    n_tile = _TILE // x.itemsize
    tile = aligned_empty((len(x) + 1) * n_tile, x.dtype)
    _compile(x.dtype.char)(as_rows(x), medians, out, tile, n_tile, _BYTES // x.itemsize)


@lru_cache
def _compile(char: str) -> Any:
    """Return the loop for one type of numbers; one for all layouts, read-only or not."""
    number = from_dtype(np.dtype(char))
    rows = types.Array(number, 2, "A", readonly=True)
    target, vector = types.Array(number, 2, "A"), types.Array(number, 1, "C")
    return compile_entry(_fill, rows, vector, target, vector, types.intp, types.intp)


def _fill(x, medians, out, tile, n_tile, width):  # pragma: no cover - compiled
    """Fill `medians` or `out`, unless they are empty, tile by tile.

    In a tile are groups of `width` samples; in each, the channels in order; then the medians.
    """
    n_channels, n_times = x.shape
    source, row = pointer(x), x.strides[0] // x.itemsize
    target, target_row = pointer(out), out.strides[0] // out.itemsize
    values, group = pointer(tile), n_channels * width
    found = n_channels * n_tile
    for start in range(0, n_times, n_tile):
        size = min(n_tile, n_times - start)
        for channel in range(n_channels):
            first, place = channel * row + start, channel * width
            _gather(source, first, size, values, place, group, width)
        for i in range((size + width - 1) // width):
            store(values, found + i * width, _find(values, i * group, n_channels, width))
        for i in range(size if medians.size else 0):
            medians[start + i] = values[found + i]
        for channel in range(out.shape[0]):
            first, place = channel * target_row + start, channel * width
            _subtract(values, place, group, found, size, target, first, width)


@inner
def _gather(x, first, n, values, place, step, width):  # pragma: no cover - compiled
    """Copy `n` samples, `width` to each group; beyond the end, the last one again."""
    n_whole = n // width
    for i in range(n_whole):
        prefetch(x, first + n + i * width)
        prefetch(x, first + n + i * width + width // 2)
        store(values, place + i * step, load_bytes(x, first + i * width, _BYTES))
    if n_whole * width < n:
        for i in range(width):
            values[place + n_whole * step + i] = x[first + min(n_whole * width + i, n - 1)]


@inner
def _subtract(values, place, step, found, n, out, first, width):  # pragma: no cover - compiled
    """Write `n` samples of a channel less their medians."""
    n_whole = n // width
    for i in range(n_whole):
        prefetch(out, first + n + i * width)
        prefetch(out, first + n + i * width + width // 2)
        lanes = load_bytes(values, place + i * step, _BYTES)
        store(out, first + i * width, lanes - load_bytes(values, found + i * width, _BYTES))
    for i in range(n - n_whole * width):
        median = values[found + n_whole * width + i]
        out[first + n_whole * width + i] = values[place + n_whole * step + i] - median


@inner
def _find(values, first, n, width):  # pragma: no cover - compiled
    """Return medians of `n` neighbouring lanes, from place `first`.

    ``low`` and ``high`` are values of the sample, of ranks `rank_low` and `rank_high` counted from
    0; the median lies between them. Each pass moves one of them by at least one value.
    """
    low, high, total, broken = _find_range(values, first, n, width)
    one, half = like(low, 1), like(low, 0.5)
    lower, upper = like(low, (n - 1) // 2), like(low, n // 2)  # ranks of the middle one or two
    is_even = lower < upper
    rank_low, rank_high = like(low, 0), like(low, n - 1)
    pivot = total / like(low, n)
    # At most n passes; nan would otherwise go on for ever.
    for _ in range(n + 1):
        is_open = low < high
        if not is_any(is_open):
            break
        pivot = select((low < pivot) & (pivot <= high), pivot, high)
        n_below, below, above = _split(values, first, n, width, pivot)
        goes_down = lower < n_below
        next_low, next_rank_low = (
            select(goes_down, low, above),
            select(goes_down, rank_low, n_below),
        )
        next_high = select(goes_down, below, high)
        next_rank_high = select(goes_down, n_below - one, rank_high)
        # Found: the pivot parts the middle two, or an end of the bracket is the middle one.
        parts = is_even & (n_below == upper)
        next_low, next_high = select(parts, below, next_low), select(parts, above, next_high)
        is_low, is_high = next_rank_low == lower, next_rank_high == upper
        middle = half * (next_low + next_high)
        middle = select(is_even, middle, select(is_low, next_low, next_high))
        found = is_open & (parts | (is_even & is_low & is_high))
        found = found | (is_open & ((lower == upper) & (is_low | is_high)))
        low = select(found, middle, select(is_open, next_low, low))
        high = select(found, middle, select(is_open, next_high, high))
        rank_low = select(is_open, next_rank_low, rank_low)
        rank_high = select(is_open, next_rank_high, rank_high)
        share = (half * (lower + upper) - rank_low) / (rank_high - rank_low)
        pivot = low + (high - low) * share
    return select(broken, like(low, np.nan), low)


@inner
def _find_range(values, first, n, width):  # pragma: no cover - compiled
    """Return smallest, largest, sum, and where a value is nan."""
    low = high = load_bytes(values, first, _BYTES)
    total = like(low, 0)
    broken = low < low
    for i in range(first, first + n * width, width):
        value = load_bytes(values, i, _BYTES)
        low = select(value < low, value, low)
        high = select(high < value, value, high)
        total = total + value
        broken = broken | (value != value)  # true for nan only
    return low, high, total, broken


@inner
def _split(values, first, n, width, pivot):  # pragma: no cover - compiled
    """Return the number of values below the pivot, and the values next to it on either side."""
    n_below = like(pivot, 0)
    one = like(pivot, 1)
    highest, lowest = like(pivot, np.inf), like(pivot, -np.inf)
    below, above = lowest, highest
    for i in range(first, first + n * width, width):
        value = load_bytes(values, i, _BYTES)
        is_below = value < pivot
        n_below = select(is_below, n_below + one, n_below)
        # Choose first, compare then: the other way round, each pass waits for its last comparison.
        left, right = select(is_below, value, lowest), select(is_below, highest, value)
        below, above = select(below < left, left, below), select(right < above, right, above)
    return n_below, below, above
