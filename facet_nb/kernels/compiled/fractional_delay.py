"""Fractional delays of pieces of a signal, 32 samples at a time.

Importing this module imports Numba. The NumPy fallbacks are in
:mod:`facet_nb.kernels.resampling.double_rate_signal`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import from_dtype, types

from facet_nb.kernels.compiled.entry import compile_entry
from facet_nb.kernels.compiled.vectors import (
    inner,
    like,
    load_bytes,
    muladd,
    pointer,
    store,
)

#: Bytes of one AVX-512 register.
BYTES = 64


def delay_rows(
    x: np.ndarray, places: np.ndarray, parts: np.ndarray, taps: np.ndarray, out: np.ndarray
) -> None:
    """Fill each row of `out` with a filtered piece of `x`.

    Parameters
    ----------
    x : ndarray, shape (n,)
        Signal, contiguous.
    places : ndarray of int64, shape (n_rows,)
        Index in `x` of the sample under the first tap, for the first sample of each row.
    parts : ndarray of int64, shape (n_rows,)
        Index of the filter of each row.
    taps : ndarray, shape (n_filters, n_taps)
        Filters.
    out : ndarray, shape (n_rows, n_samples)
        The result; rows are contiguous.
    """
    _compile_delay(x.dtype.char)(x, places, parts, taps, out)


def add_rows(
    even: np.ndarray, odd: np.ndarray, places: np.ndarray, which: np.ndarray, rows: np.ndarray
) -> None:
    """Add row ``which[i]`` at position ``places[i]`` to a signal that is split into two parts.

    Samples of a row that lie outside of the signal are left out.

    Parameters
    ----------
    even, odd : ndarray, shape (n,)
        Samples 0, 2, 4 … and 1, 3, 5 … of the signal; changed in place.
    places, which : ndarray of int64, shape (n_pieces,)
        Position of each piece in the signal, and its row.
    rows : ndarray, shape (n_rows, n_samples)
        Rows to add.
    """
    _compile_add(even.dtype.char)(even, odd, places, which, rows)


@lru_cache
def _compile_delay(char: str) -> Any:
    number = from_dtype(np.dtype(char))
    whole = types.Array(types.int64, 1, "C", readonly=True)
    signal = types.Array(number, 1, "C", readonly=True)
    table = types.Array(number, 2, "C", readonly=True)
    return compile_entry(_delay, signal, whole, whole, table, types.Array(number, 2, "A"))


@lru_cache
def _compile_add(char: str) -> Any:
    number = from_dtype(np.dtype(char))
    whole = types.Array(types.int64, 1, "C", readonly=True)
    signal = types.Array(number, 1, "C")
    table = types.Array(number, 2, "C", readonly=True)
    return compile_entry(_add, signal, signal, whole, whole, table)


def _delay(x, places, parts, taps, out):  # pragma: no cover - compiled
    n_taps, n, step = taps.shape[1], out.shape[1], out.strides[0] // out.itemsize
    signal, table, target = pointer(x), pointer(taps), pointer(out)
    width = BYTES // x.itemsize
    for row in range(len(places)):
        filters = (table, parts[row] * n_taps, n_taps)
        _filter(signal, places[row], filters, target, row * step, n, width)


@inner
def _filter(x, first, filters, out, goal, n, width):  # pragma: no cover - compiled
    """Filter `n` samples, in groups of four vectors."""
    # The last group overlaps the one before it: its samples are computed twice, to the same values,
    # which needs no code for a remainder.
    wide = 4 * width
    if n < wide:
        _filter_few(x, first, filters, out, goal, n)
        return
    i = 0
    while i < n:
        i = min(i, n - wide)
        _filter_wide(x, first + i, filters, out, goal + i, width)
        i += wide


@inner
def _filter_wide(x, i, filters, out, goal, width):  # pragma: no cover - compiled
    taps, k, n_taps = filters
    zero = like(load_bytes(x, i, BYTES), 0)
    a, b, c, d = zero, zero, zero, zero
    for t in range(n_taps):
        w = like(zero, taps[k + t])
        a = muladd(load_bytes(x, i + t, BYTES), w, a)
        b = muladd(load_bytes(x, i + t + width, BYTES), w, b)
        c = muladd(load_bytes(x, i + t + 2 * width, BYTES), w, c)
        d = muladd(load_bytes(x, i + t + 3 * width, BYTES), w, d)
    store(out, goal, a)
    store(out, goal + width, b)
    store(out, goal + 2 * width, c)
    store(out, goal + 3 * width, d)


@inner
def _filter_few(x, first, filters, out, goal, n):  # pragma: no cover - compiled
    taps, k, n_taps = filters
    for i in range(n):
        total = taps[k] * x[first + i]
        for t in range(1, n_taps):
            total += taps[k + t] * x[first + i + t]
        out[goal + i] = total


def _add(even, odd, places, which, rows):  # pragma: no cover - compiled
    n, n_samples = even.size, rows.shape[1]
    for i in range(len(places)):
        place = places[i]
        row = rows[which[i]]
        for part in range(2):
            target = odd if part else even
            begin = (place + 1 - part) // 2  # index in `target` of the row's first sample for it
            skip = 2 * begin + part - place
            count = (n_samples - skip + 1) // 2
            for k in range(max(0, -begin), min(count, n - begin)):
                target[begin + k] += row[skip + 2 * k]
