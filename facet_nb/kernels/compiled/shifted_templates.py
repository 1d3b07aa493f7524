"""Averaged artifact subtraction with sub-sample alignment of one channel, block by block.

Epochs and templates are shifted by Kaiser-windowed sinc filters of :data:`TAPS` taps, one for each
1 / GRID of a sample, applied to several consecutive samples at a time. The NumPy fallback in
:mod:`facet_nb.kernels.templates.subsample_channel` multiplies by the responses of the same filters
in the Fourier domain. Importing this module imports Numba.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import from_dtype, types

from facet_nb.kernels.compiled.dispatch import aligned_empty
from facet_nb.kernels.compiled.entry import compile_entry
from facet_nb.kernels.compiled.vectors import (
    beyond,
    inner,
    like,
    load_bytes,
    muladd,
    pointer,
    size,
    store,
    total,
)
from facet_nb.kernels.means import find_mean
from facet_nb.kernels.templates.subsample import GRID, HALO, MARGIN, TAPS, Layout

#: Bytes of one AVX-512 register.
_BYTES = 64

#: Elements after each row: loops may run up to four registers past its end.
_SLACK = 64

_HALF = TAPS // 2


def correct_blocks(
    x: np.ndarray,
    layout: Layout,
    blocks: np.ndarray,
    taper: np.ndarray,
    filters: np.ndarray,
    n_seed: int,
    threshold: float,
    out: np.ndarray,
    mean: float | None = None,
) -> None:
    """Average a template for each block of epochs and subtract it, in place.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, float32 or float64, in V.
    layout : Layout
        Positions of the artifacts.
    blocks : ndarray of int, shape (n_blocks, 2)
        First epoch of each block, and the epoch after its last.
    taper : ndarray, shape (n_samples + 2 HALO,)
        Window of an epoch with its surroundings, of the type of `x`.
    filters : ndarray, shape (GRID + 1, TAPS)
        Filters that shift by -GRID/2 … GRID/2 parts of a sample, of the type of `x`.
    n_seed : int
        Number of epochs that enter a template regardless of their correlation.
    threshold : float
        Pearson correlation with the running mean above which the other epochs enter.
    out : ndarray, shape (n_times,)
        A copy of `x`, or `x` itself.
    mean : float | None
        Mean of the whole signal, in V; by default that of `x`, which is then the whole signal.
    """
    widest = int((blocks[:, 1] - blocks[:, 0]).max(initial=1))
    places, weights = _list_epochs(layout)
    n_row = count_row(layout.n_samples, x.itemsize)
    work = aligned_empty((2 * widest + 2) * n_row, x.dtype)
    gram = np.empty((widest + 2) * widest)
    run = _compile(x.dtype.char)
    lengths = n_row, layout.n_samples, n_seed
    mean = x.dtype.type(find_mean(x) if mean is None else mean)
    run(x, places, weights, blocks, taper, filters, *lengths, threshold, mean, out, work, gram)


def align_rows(
    x: np.ndarray,
    layout: Layout,
    which: np.ndarray,
    taper: np.ndarray,
    filters: np.ndarray,
    mean: float,
) -> np.ndarray:
    """Return aligned epochs of `x`, shape (n, n_samples + 2 MARGIN)."""
    out = np.empty((len(which), layout.n_samples + 2 * MARGIN), x.dtype)
    n_row = count_row(layout.n_samples, x.itemsize)
    work = aligned_empty(2 * n_row, x.dtype)
    places = layout.first[which], layout.part[which]
    _compile_align(x.dtype.char)(x, *places, taper, filters, n_row, mean, out, work)
    return out


def subtract_shifted(
    out: np.ndarray, rows: np.ndarray, layout: Layout, which: np.ndarray, filters: np.ndarray
) -> None:
    """Shift each template to the position of its artifact and subtract it, in place."""
    places, weights = _list_epochs(layout)
    n_row = count_row(layout.n_samples, rows.itemsize)
    work = aligned_empty(2 * n_row, rows.dtype)
    run = _compile_subtract(rows.dtype.char)
    run(out, rows, places[which], weights[which], layout.n_samples, filters, n_row, work)


def count_row(n_samples: int, itemsize: int) -> int:
    """Return the length of a row that holds one epoch with margins: whole cache lines."""
    line = _BYTES // itemsize
    return -(-(n_samples + 2 * HALO + 2 * _HALF + _SLACK) // line) * line


def _list_epochs(layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Return positions of epochs, shape (n_epochs, 5), and weights of their outer samples."""
    low, high, head, tail = layout.spans
    numbers = [layout.first, layout.part + GRID // 2, layout.usable, low, high]
    return np.stack(numbers, axis=1).astype(np.int64), np.stack([head, tail], axis=1)


def _array(number: Any, n: int, *, fixed: bool = False, order: Any = "C") -> types.Array:
    return types.Array(number, n, order, readonly=fixed)


@lru_cache
def _compile(char: str) -> Any:
    """Return the loop over blocks, compiled for one type."""
    number, integer, real = from_dtype(np.dtype(char)), types.int64, types.float64
    signal = _array(number, 1, fixed=True, order="A")
    places, weights = _array(integer, 2), _array(real, 2)
    table, vector = _array(number, 2, fixed=True), _array(number, 1, fixed=True)
    arguments = (signal, places, weights, places, vector, table, integer, integer, integer)
    more = (real, number, _array(number, 1, order="A"), _array(number, 1), _array(real, 1))
    return compile_entry(_correct, *arguments, *more)


@lru_cache
def _compile_align(char: str) -> Any:
    number, integer = from_dtype(np.dtype(char)), types.int64
    signal, which = _array(number, 1, fixed=True, order="A"), _array(integer, 1)
    table, vector = _array(number, 2, fixed=True), _array(number, 1, fixed=True)
    more = (integer, number, _array(number, 2), _array(number, 1))
    return compile_entry(_align, signal, which, which, vector, table, *more)


@lru_cache
def _compile_subtract(char: str) -> Any:
    number, integer, real = from_dtype(np.dtype(char)), types.int64, types.float64
    rows = _array(number, 2, fixed=True, order="A")
    table = _array(number, 2, fixed=True)
    arguments = (_array(number, 1, order="A"), rows, _array(integer, 2), _array(real, 2))
    return compile_entry(_subtract, *arguments, integer, table, integer, _array(number, 1))


# ------------------------------------------------------------------------------------- the loops
def _correct(
    x, places, weights, blocks, taper, filters, n_row, n_samples, n_seed, threshold, mean,
    out, work, gram,
):  # fmt: skip  # pragma: no cover - compiled
    """For each block: align its epochs, choose similar ones, average, shift back, subtract."""
    signal, window, table = pointer(x), pointer(taper), pointer(filters)
    rows, products = pointer(work), pointer(gram)
    target = pointer(out)
    widest = work.size // n_row // 2 - 1
    centred = beyond(rows, widest * n_row)
    spare = beyond(centred, widest * n_row)
    template = beyond(spare, n_row)
    sums = beyond(products, widest * widest)
    for block in range(len(blocks)):
        n_usable = 0
        for i in range(blocks[block, 0], blocks[block, 1]):
            if places[i, 2]:
                row = beyond(rows, n_usable * n_row)
                begin, filter_ = places[i, 0] - HALO, beyond(table, places[i, 1] * TAPS)
                _cut(signal, begin, n_samples, window, mean, spare, n_row)
                _convolve(spare, HALO - MARGIN, filter_, n_samples + 2 * MARGIN, row)
                n_usable += 1
        if n_usable == 0:
            continue
        for i in range(n_usable):
            _centre(rows, i * n_row + MARGIN, n_samples, beyond(centred, i * n_row))
        _multiply(centred, n_row, n_usable, n_samples, products)
        _choose(products, n_usable, n_seed, threshold, sums)
        _average(rows, n_row, n_usable, n_samples, sums, template)
        for i in range(blocks[block, 0], blocks[block, 1]):
            filter_ = beyond(table, (GRID - places[i, 1]) * TAPS)
            _convolve(template, MARGIN, filter_, n_samples + 1, spare)
            span = places[i, 3], places[i, 4], places[i, 0]
            _subtract_row(target, spare, span, weights[i, 0], weights[i, 1])


def _align(x, first, part, taper, filters, n_row, mean, out, work):  # pragma: no cover - compiled
    signal, window, table, spare = pointer(x), pointer(taper), pointer(filters), pointer(work)
    n_samples = out.shape[1] - 2 * MARGIN
    row = beyond(spare, n_row)
    for i in range(len(first)):
        filter_ = beyond(table, (part[i] + GRID // 2) * TAPS)
        _cut(signal, first[i] - HALO, n_samples, window, mean, spare, n_row)
        _convolve(spare, HALO - MARGIN, filter_, out.shape[1], row)
        for j in range(out.shape[1]):
            out[i, j] = row[j]


def _subtract(out, rows, places, weights, n_samples, filters, n_row, work):  # pragma: no cover
    target, table, template = pointer(out), pointer(filters), pointer(work)
    spare = beyond(template, n_row)
    for j in range(n_row):
        template[j] = 0
    for i in range(len(rows)):
        for j in range(rows.shape[1]):
            template[_HALF + j] = rows[i, j]
        filter_ = beyond(table, (GRID - places[i, 1]) * TAPS)
        _convolve(template, MARGIN, filter_, n_samples + 1, spare)
        span = places[i, 3], places[i, 4], places[i, 0]
        _subtract_row(target, spare, span, weights[i, 0], weights[i, 1])


# ------------------------------------------------------------------------------------ their parts
@inner
def _cut(x, begin, n_samples, taper, mean, row, n_row):  # pragma: no cover - compiled
    """Copy an epoch and its surroundings, tapered, with zeros for the filter on either side."""
    n = n_samples + 2 * HALO
    for i in range(_HALF):
        row[i] = 0
    for i in range(n):
        row[_HALF + i] = (x[begin + i] - mean) * taper[i]
    for i in range(_HALF + n, n_row):
        row[i] = 0


@inner
def _convolve(row, start, taps, n, out):  # pragma: no cover - compiled
    """Fill `out` with at least `n` filtered samples, from sample `start` of `row` on."""
    zero = like(load_bytes(row, 0, _BYTES), 0)
    width = size(zero)
    for i in range(0, n, 4 * width):
        first = start + i
        a, b, c, d = zero, zero, zero, zero
        for k in range(TAPS):
            tap = like(zero, taps[k])
            a = muladd(tap, load_bytes(row, first + k, _BYTES), a)
            b = muladd(tap, load_bytes(row, first + k + width, _BYTES), b)
            c = muladd(tap, load_bytes(row, first + k + 2 * width, _BYTES), c)
            d = muladd(tap, load_bytes(row, first + k + 3 * width, _BYTES), d)
        store(out, i, a)
        store(out, i + width, b)
        store(out, i + 2 * width, c)
        store(out, i + 3 * width, d)


@inner
def _centre(rows, first, n, out):  # pragma: no cover - compiled
    """Copy `n` samples minus their mean, followed by zeros."""
    zero = like(load_bytes(rows, first, _BYTES), 0)
    width = size(zero)
    n_whole = n // width * width
    sums, rest = zero, rows[0] * 0
    for i in range(0, n_whole, width):
        sums = sums + load_bytes(rows, first + i, _BYTES)
    for i in range(n_whole, n):
        rest += rows[first + i]
    mean = (total(sums) + rest) / n
    for i in range(0, n_whole, width):
        store(out, i, load_bytes(rows, first + i, _BYTES) - like(zero, mean))
    store(out, n_whole, zero)
    for i in range(n_whole, n):
        out[i] = rows[first + i] - mean


@inner
def _multiply(rows, step, n_rows, n, out):  # pragma: no cover - compiled
    """Fill `out` with the inner products of zero-padded rows."""
    zero = like(load_bytes(rows, 0, _BYTES), 0)
    width = size(zero)
    for i in range(n_rows):
        # Four products at a time share the loads of row i; the last ones may be computed twice.
        for j in range(0, i + 1, 4):
            at_b, at_c = min(j + 1, i) * step, min(j + 2, i) * step
            at_a, at_d = j * step, min(j + 3, i) * step
            a, b, c, d = zero, zero, zero, zero
            for k in range(0, n, width):
                own = load_bytes(rows, i * step + k, _BYTES)
                a = muladd(own, load_bytes(rows, at_a + k, _BYTES), a)
                b = muladd(own, load_bytes(rows, at_b + k, _BYTES), b)
                c = muladd(own, load_bytes(rows, at_c + k, _BYTES), c)
                d = muladd(own, load_bytes(rows, at_d + k, _BYTES), d)
            _put(out, n_rows, i, j, total(a))
            _put(out, n_rows, i, min(j + 1, i), total(b))
            _put(out, n_rows, i, min(j + 2, i), total(c))
            _put(out, n_rows, i, min(j + 3, i), total(d))


@inner
def _put(out, n, i, j, value):  # pragma: no cover - compiled
    out[i * n + j] = value
    out[j * n + i] = value


@inner
def _choose(gram, n, n_seed, threshold, sums):  # pragma: no cover - compiled
    """Set ``sums[n + j]`` to 1 if epoch j is similar to the sum of those chosen before, else to 0.

    See :func:`facet_nb.kernels.templates.averaging.choose_greedily`.
    """
    power = 0.0
    for j in range(n):
        sums[j] = 0.0
    for j in range(n):
        own = gram[j * n + j]
        scale = np.sqrt(max(power, 0.0) * own)
        alike = sums[j] / scale if scale > 0 else 0.0
        is_chosen = j < n_seed or alike > threshold
        sums[n + j] = 1.0 if is_chosen else 0.0
        if is_chosen:
            power += 2.0 * sums[j] + own
            for k in range(n):
                sums[k] += gram[j * n + k]


@inner
def _average(rows, step, n_rows, n_samples, sums, out):  # pragma: no cover - compiled
    """Fill `out` with the mean of the chosen rows, with zeros for the filter on either side."""
    zero = like(load_bytes(rows, 0, _BYTES), 0)
    width, n = size(zero), n_samples + 2 * MARGIN
    n_chosen = 0.0
    for j in range(n_rows):
        n_chosen += sums[n_rows + j]
    for i in range(_HALF):
        out[i] = 0
    for i in range(0, n, width):
        mean = zero
        for j in range(n_rows):
            if sums[n_rows + j] > 0:
                mean = mean + load_bytes(rows, j * step + i, _BYTES)
        store(out, _HALF + i, mean / like(zero, n_chosen))
    for i in range(_HALF + n, step):
        out[i] = 0


@inner
def _subtract_row(out, row, span, head, tail):  # pragma: no cover - compiled
    """Subtract a row over the duration of its artifact; the outer samples are weighted."""
    low, high, origin = span
    if low >= high:
        return
    if high - low == 1:
        out[low] -= row[low - origin] * head * tail
        return
    out[low] -= row[low - origin] * head
    width = size(load_bytes(row, 0, _BYTES))
    i = low + 1
    while i + width <= high - 1:
        store(out, i, load_bytes(out, i, _BYTES) - load_bytes(row, i - origin, _BYTES))
        i += width
    while i < high - 1:
        out[i] -= row[i - origin]
        i += 1
    out[high - 1] -= row[high - 1 - origin] * tail
