"""Overlap-save filtering of several blocks at once.

Two consecutive blocks form the real and the imaginary part of one complex signal; the spectrum of
a zero-phase filter is real and keeps them apart. 8 (float64) or 16 (float32) such signals, of one
or several channels, are transformed together, one per lane of a vector, so that the result of a
channel does not depend on the other channels. The first two passes of the transform are made while
samples are loaded into vectors, and the last two while they are stored: all points are touched
three times only. Importing this module imports Numba.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import from_dtype, types

from facet_nb.kernels.compiled.dispatch import aligned_empty
from facet_nb.kernels.compiled.entry import compile_entry
from facet_nb.kernels.compiled.fft import (
    BYTES,
    SIXTEEN,
    backward_sixteen,
    count_places,
    filter_points,
    find_place,
    find_twiddles,
    forward_sixteen,
    order,
)
from facet_nb.kernels.compiled.vectors import (
    address,
    at,
    beyond,
    inner,
    load_bytes,
    load_square,
    pointer,
    prefetch,
    store,
)

__all__ = ["filter_rows", "order"]

#: Unused points between the 16 parts of a transform; see
#: :func:`facet_nb.kernels.compiled.fft.count_places`.
GAP = 9


def filter_rows(
    x: np.ndarray, n_taps: int, spectrum: np.ndarray, out: np.ndarray, before: int = 0
) -> None:
    """Filter each row by overlap-save into `out`.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Signals, float32 or float64, any unit, extended beyond their ends as by
        :func:`facet_nb.kernels.filters.edges.segment`.
    n_taps : int
        Length of the filter: odd.
    spectrum : ndarray, shape (n_fft,)
        Real spectrum of the filter, of the type of `x`, in the order of
        :func:`facet_nb.kernels.compiled.fft.order`.
    out : ndarray, shape (n_channels, n_times)
        Array for the result, of the type of `x`; the rows of both are contiguous.
    before : int
        Number of samples of `x` before the first sample of `out`. `x` may be a piece of a longer
        signal, with additional samples on either side.
    """
    n_fft, width = len(spectrum), BYTES // x.itemsize
    hop = n_fft - n_taps + 1
    n_part = count_places(n_fft // SIXTEEN) + GAP
    points = aligned_empty(2 * width * SIXTEEN * n_part, x.dtype)
    columns = aligned_empty((2 * SIXTEEN + 1) * width * width + 2 * SIXTEEN * width, x.dtype)
    n_edges = _count_edges(x.shape[1], out.shape, n_fft, hop, width, before)
    edges = aligned_empty(n_edges * n_fft, x.dtype)
    places = np.empty((width, 4), np.intp)
    factors = find_twiddles(n_fft, x.dtype.char)
    run = _compile(x.dtype.char)
    run(x, hop, before, spectrum, factors, out, points, columns, edges, places)


def _count_edges(
    n_times: int, shape: tuple[int, int], n_fft: int, hop: int, width: int, before: int
) -> int:
    """Return how many blocks of one group may reach beyond the ends of their rows."""
    n_pairs = -(-shape[1] // (2 * hop))
    half = (n_fft - hop) // 2
    starts = np.arange(2 * n_pairs) * hop - half + before
    n_edges = int(np.count_nonzero((starts < 0) | (starts + n_fft > n_times)))
    n_rows = min(shape[0], (width - 1) // n_pairs + 2)
    return min(n_edges * n_rows, 2 * width)


@lru_cache
def _compile(char: str) -> Any:
    """Return the loop compiled for one type; one version serves all memory layouts."""
    number = from_dtype(np.dtype(char))
    rows, target = types.Array(number, 2, "A", readonly=True), types.Array(number, 2, "A")
    table, work = types.Array(number, 1, "C", readonly=True), types.Array(number, 1, "C")
    places = types.Array(types.intp, 2, "C")
    arguments = (rows, types.intp, types.intp, table, table, target, work, work, work, places)
    return compile_entry(_filter, *arguments)


def _filter(
    x, hop, before, spectrum, factors, out, points, columns, edges, places
):  # pragma: no cover
    """Filter all rows: groups of `width` pairs of blocks."""
    n_fft, (n_rows, n_times), width = spectrum.size, out.shape, len(places)
    n_pairs = (n_times + 2 * hop - 1) // (2 * hop)
    n_part, step = n_fft // SIXTEEN, points.size // SIXTEEN
    rows = (pointer(x), x.strides[0] // x.itemsize, x.shape[1])
    target = (pointer(out), out.strides[0] // out.itemsize, n_times)
    z, w, where, h = pointer(points), pointer(factors), pointer(places), pointer(spectrum)
    tile = pointer(columns)
    spare = beyond(tile, (2 * SIXTEEN + 1) * width * width)
    for first in range(0, n_rows * n_pairs, width):
        n_items = min(width, n_rows * n_pairs - first)
        size = (n_fft, hop, n_items, width)
        _locate(rows, target[1], first, n_pairs, size, pointer(edges), where, before)
        load_blocks(where, tile, spare, z, step, w, size)
        for i in range(SIXTEEN):
            filter_points(z, i * step, n_part, w, n_fft, h, i * n_part, spare, width)
        store_blocks(z, step, w, tile, spare, target, where, size)


@inner
def _locate(rows, step, first, n_pairs, size, edges, places, before):  # pragma: no cover
    """Write for each lane the addresses of its two blocks, the output row, and the time in it.

    Blocks that reach beyond the ends of their row are copied to `edges` and extended there.
    """
    x, x_step, n_times = rows
    n_fft, hop, n_items, width = size
    for lane in range(n_items):
        row, pair = (first + lane) // n_pairs, (first + lane) % n_pairs
        for part in range(2):
            start = before + (2 * pair + part) * hop - (n_fft - hop) // 2
            block = beyond(x, row * x_step + start)
            if start < 0 or start + n_fft > n_times:
                _extend(x, row * x_step, start, n_times, edges, n_fft)
                block = edges
                edges = beyond(edges, n_fft)
            places[4 * lane + part] = address(block)
        places[4 * lane + 2] = row * step
        places[4 * lane + 3] = 2 * pair * hop
    for i in range(4 * n_items, 4 * width):  # spare lanes repeat the last pair
        places[i] = places[i - 4]


@inner
def load_blocks(places, tile, spare, z, step, factors, size):  # pragma: no cover - compiled
    """Load the blocks into vectors and make the first two passes: 16 parts, `step` apart in `z`."""
    n_fft, _, _, width = size
    n_part, point = n_fft // SIXTEEN, 2 * width
    for j in range(0, n_part, width):
        for i in range(SIXTEEN):
            _gather(z, places, i * n_part + j, 0, tile, i, width)
            _gather(z, places, i * n_part + j, 1, tile, i, width)
        for k in range(width):
            column, place = k * SIXTEEN * point, find_place(j + k, n_part) * point
            _prefetch(z, place + width * point, step, width)
            source, goal = (tile, column, point), (z, place, step)
            forward_sixteen(source, goal, spare, width, factors, n_fft, n_fft, j + k)


@inner
def store_blocks(z, step, factors, tile, spare, target, places, size):  # pragma: no cover
    """Invert the first two passes and store the results in the output rows."""
    n_fft, hop, n_items, width = size
    n_part, point = n_fft // SIXTEEN, 2 * width
    for j in range(0, n_part, width):
        for k in range(width):
            column, place = k * SIXTEEN * point, find_place(j + k, n_part) * point
            _prefetch(z, place + width * point, step, width)
            source, goal = (z, place, step), (tile, column, point)
            backward_sixteen(source, goal, spare, width, factors, n_fft, n_fft, j + k)
        for i in range(SIXTEEN):
            time = i * n_part + j - (n_fft - hop) // 2
            if -width < time < hop:
                _scatter(tile, i, 0, target, places, time, hop, n_items, width)
                _scatter(tile, i, 1, target, places, time, hop, n_items, width)


# ------------------------------------------------------------------------------ rows and vectors
@inner
def _prefetch(z, i, step, width):  # pragma: no cover - compiled
    """Prefetch a column into cache."""
    for _ in range(SIXTEEN):
        prefetch(z, i)
        prefetch(z, i + width)
        i += step


@inner
def _gather(kind, places, time, part, tile, i, width):  # pragma: no cover - compiled
    """Load `width` samples of each block into point `i` of `width` columns."""
    square = beyond(tile, 2 * SIXTEEN * width * width)
    for lane in range(width):
        block = at(kind, places[4 * lane + part])
        prefetch(block, time + 2 * width)
        store(square, lane * width, load_bytes(block, time, BYTES))
    columns = load_square(square, 0, width, BYTES)
    for column in range(len(columns)):
        place = 2 * width * (column * SIXTEEN + i) + part * width
        store(tile, place, columns[column])


@inner
def _extend(x, row, start, n, block, n_block):  # pragma: no cover - compiled
    """Copy samples from `start` on, with odd reflection at the ends, and zeros beyond that."""
    begin, end = max(0, -start), max(0, min(n_block, n - start))
    for i in range(begin):
        time = start + i
        block[i] = 2 * x[row] - x[row - time] if time > -n else 0
    for i in range(begin, end):
        block[i] = x[row + start + i]
    for i in range(end, n_block):
        time = 2 * (n - 1) - start - i
        block[i] = 2 * x[row + n - 1] - x[row + time] if time >= 0 else 0


@inner
def _scatter(tile, i, part, target, places, time, hop, n_items, width):  # pragma: no cover
    """Store point `i` of the columns in the output, at `time` relative to the blocks' starts."""
    out, _, n_times = target
    square = beyond(tile, 2 * SIXTEEN * width * width)
    rows = load_square(tile, 2 * width * i + part * width, 2 * width * SIXTEEN, BYTES)
    for lane in range(len(rows)):
        store(square, lane * width, rows[lane])
    for lane in range(n_items):
        row, block = places[4 * lane + 2], places[4 * lane + 3] + part * hop
        n = min(hop, n_times - block)
        goal = row + block + time
        prefetch(out, goal + 3 * width)
        if time >= 0 and time + width <= n:
            store(out, goal, load_bytes(square, lane * width, BYTES))
        else:
            for k in range(max(0, -time), min(width, n - time)):
                out[goal + k] = square[lane * width + k]
