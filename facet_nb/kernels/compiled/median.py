"""Exact median across channels, for many samples at once.

The median of each sample is bracketed, at first by the range of its channels. A pass over the
channels counts the values below a pivot and finds the values next to it; linear interpolation of
the ranks at both ends of the bracket gives the next pivot. Normally distributed data need about 5
passes, whatever the number of channels; the worst data (each channel 10 times the last) need as
many as there are channels. No value is ever moved. Importing this module imports Numba.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import from_dtype, types

from facet_nb.kernels.compiled.dispatch import aligned_empty, as_rows
from facet_nb.kernels.compiled.entry import compile_entry
from facet_nb.kernels.compiled.vectors import (
    inner,
    is_any,
    like,
    load_bytes,
    pointer,
    prefetch,
    select,
    store,
)

#: Bytes of a vector: two AVX-512 registers, so that the latency of one hides behind the other.
_BYTES = 128

#: Bytes of each channel in a tile, which is copied to contiguous memory so that passes stay in
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
    """Write `x` minus its :func:`median_across` channels to `out`, in one pass over memory.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Signals, float32 or float64, any unit.
    out : ndarray, shape (n_channels, n_times)
        Array for the result, of the type of `x`, with contiguous rows.
    """
    _run(x, np.empty(0, x.dtype), out)


def _run(x: np.ndarray, medians: np.ndarray, out: np.ndarray) -> None:
    n_tile = _TILE // x.itemsize
    # One vector per group and channel, and one more for the medians.
    tile = aligned_empty((len(x) + 1) * n_tile, x.dtype)
    _compile(x.dtype.char)(as_rows(x), medians, out, tile, n_tile, _BYTES // x.itemsize)


@lru_cache
def _compile(char: str) -> Any:
    """Return the loop compiled for one type; one version serves all memory layouts."""
    number = from_dtype(np.dtype(char))
    rows = types.Array(number, 2, "A", readonly=True)
    target, vector = types.Array(number, 2, "A"), types.Array(number, 1, "C")
    return compile_entry(_fill, rows, vector, target, vector, types.intp, types.intp)


def _fill(x, medians, out, tile, n_tile, width):  # pragma: no cover - compiled
    """Fill `medians` or `out`, whichever is not empty, tile by tile.

    A tile holds groups of `width` samples, each with its channels in order, and then the medians.
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
    """Copy `n` samples, `width` to each group; repeat the last sample to fill the last group."""
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
    """Write `n` samples of a channel minus their medians."""
    n_whole = n // width
    for i in range(n_whole):
        prefetch(out, first + n + i * width)
        prefetch(out, first + n + i * width + width // 2)
        vector = load_bytes(values, place + i * step, _BYTES)
        store(out, first + i * width, vector - load_bytes(values, found + i * width, _BYTES))
    for i in range(n - n_whole * width):
        median = values[found + n_whole * width + i]
        out[first + n_whole * width + i] = values[place + n_whole * step + i] - median


@inner
def _find(values, first, n, width):  # pragma: no cover - compiled
    """Return the medians of `n` consecutive vectors, from index `first` on.

    The median lies between the values ``low`` and ``high``, whose ranks, counted from 0, are
    ``rank_low`` and ``rank_high``. Each pass moves one of them by at least one value.
    """
    low, high, total, broken = _find_range(values, first, n, width)
    one, half = like(low, 1), like(low, 0.5)
    lower, upper = like(low, (n - 1) // 2), like(low, n // 2)  # ranks of the middle one or two
    is_even = lower < upper
    rank_low, rank_high = like(low, 0), like(low, n - 1)
    pivot = total / like(low, n)
    # At most n passes; with NaN the bracket would never close.
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
        # Found: the pivot separates the middle two, or an end of the bracket is the middle value.
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
    """Return minimum, maximum and sum, and which samples contain NaN."""
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
        # Select before comparing: in the other order, each step waits for the previous comparison.
        left, right = select(is_below, value, lowest), select(is_below, highest, value)
        below, above = select(below < left, left, below), select(right < above, right, above)
    return n_below, below, above
