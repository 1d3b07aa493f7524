"""Zero-phase filtering with second-order sections: channels or sections at once.

Consecutive samples of a recursive filter depend on each other, but channels and sections do not:
16 channels are filtered by the instructions for one, and for few channels the sections run as a
pipeline (:mod:`facet_nb.kernels.compiled.sos_cascade`). Both give the same result for a channel,
whatever the other channels. It equals :func:`scipy.signal.sosfiltfilt` to the bit where SciPy is
compiled without fused multiply-add (on x86; elsewhere to rounding). Importing this module imports
Numba.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import from_dtype, types
from scipy.signal import sosfilt_zi

from facet_nb.kernels.compiled.dispatch import aligned_empty
from facet_nb.kernels.compiled.entry import compile_entry
from facet_nb.kernels.compiled.sos_cascade import WIDTH, cascade
from facet_nb.kernels.compiled.vectors import (
    beyond,
    convert,
    inner,
    load,
    pointer,
    prefetch,
    store,
    transpose,
)

#: Up to this number, channels are filtered one by one: faster than 16 mostly empty lanes.
_FEW = 3

#: Length of a chunk of the forward result, in elements: 4 MB. Longer signals are filtered forwards
#: a second time during the backward pass, chunk by chunk from saved states, to bound the memory.
_HELD = 1 << 19

#: Number of samples that are copied and filtered while they are in the L1 cache.
_TILE = 256


def filter_rows(x: np.ndarray, sos: np.ndarray, padlen: int, out: np.ndarray) -> None:
    """Filter each row forwards and backwards into `out`.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Signals, float32 or float64, any unit; sums are float64.
    sos : ndarray, shape (n_sections, 6)
        Second-order sections.
    padlen : int
        Number of samples by which the signal is extended at each end by odd reflection; less than
        n_times.
    out : ndarray, shape (n_channels, n_times)
        Array for the result, of the type of `x`; the rows of both are contiguous.
    """
    width = 1 if len(x) <= _FEW else WIDTH
    steady, by_section, by_lane = _tabulate(np.ascontiguousarray(sos, dtype=float).tobytes())
    table = by_lane if width == 1 else by_section
    n = x.shape[1] + 2 * padlen
    chunk = min(_HELD // width, n)
    held = aligned_empty(chunk * width, float)
    n_states = 2 * width * 8 * -(-len(sos) // 8)
    states = aligned_empty((-(-n // chunk) + 1) * n_states, float).reshape(-1, n_states)
    run = _compile(x.dtype.char)
    # The last group may be incomplete: the loop repeats its last row to fill the lanes.
    for first in range(0, len(x), width):
        rows = slice(first, first + width)
        run(x[rows], table, steady, padlen, out[rows], held, states, width)


def filter_between(
    x: np.ndarray, sos: np.ndarray, before: np.ndarray, behind: np.ndarray, out: np.ndarray
) -> None:
    """Filter pieces of signals forwards and backwards into `out`, from known states.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Pieces of the signals, float64, any unit.
    sos : ndarray, shape (n_sections, 6)
        Second-order sections.
    before, behind : ndarray, shape (n_sections, 2, n_channels)
        States of the forward filter before the first sample of `x`, and of the backward filter
        behind the last one.
    out : ndarray, shape (n_channels, n_times)
        Array for the result, float64; the rows of `x` and `out` are contiguous.
    """
    sections = np.ascontiguousarray(sos, dtype=float)
    held, run = aligned_empty(x.shape[1] * WIDTH, float), _compile_between()
    states = aligned_empty(2 * sections.shape[0] * 2 * WIDTH, float).reshape(2, -1, WIDTH)
    for first in range(0, len(x), WIDTH):
        rows = slice(first, first + WIDTH)
        states[...] = 0.0
        for state, given in zip(states, (before, behind), strict=True):
            part = given[:, :, rows].reshape(2 * len(sections), -1)
            state[:, : part.shape[1]] = part
        run(x[rows], sections, out[rows], held, states[0].reshape(-1), states[1].reshape(-1))


@lru_cache
def _tabulate(sos: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return steady states, the coefficients by section, and those in groups of 8 sections.

    Groups are aligned to the end of their 8 lanes, so that the result is always in the last lane.
    a0, which is 1, is replaced by the delay of the section in samples, or by -1 in empty lanes.
    """
    sections = np.frombuffer(sos).reshape(-1, 6)
    by_lane = np.zeros((-(-len(sections) // 8), 6, 8))
    by_lane[:, 3] = -1.0
    for i, group in enumerate(np.split(sections, range(8, len(sections), 8))):
        by_lane[i, :, 8 - len(group) :] = group.T
        by_lane[i, 3, 8 - len(group) :] = 2 * np.arange(len(group))
    return sosfilt_zi(sections), sections, by_lane.reshape(-1, 8)


@lru_cache
def _compile(char: str) -> Any:
    """Return the loop compiled for one type; one version serves all memory layouts."""
    number, double = from_dtype(np.dtype(char)), types.float64
    rows = types.Array(number, 2, "A", readonly=True)
    table = types.Array(double, 2, "C", readonly=True)
    target = types.Array(number, 2, "A")
    held, states = types.Array(double, 1, "C"), types.Array(double, 2, "C")
    arguments = (rows, table, table, types.intp, target, held, states, types.intp)
    return compile_entry(_filter, *arguments)


@lru_cache
def _compile_between() -> Any:
    """Return the loop over pieces, compiled; one version serves all memory layouts."""
    double = types.float64
    rows = types.Array(double, 2, "A", readonly=True)
    table = types.Array(double, 2, "C", readonly=True)
    target, work = types.Array(double, 2, "A"), types.Array(double, 1, "C")
    return compile_entry(_filter_piece, rows, table, target, work, work, work)


def _filter_piece(x, table, out, held, before, behind):  # pragma: no cover - compiled
    """Filter up to 16 rows forwards and backwards; both states are changed."""
    rows = (pointer(x), x.strides[0] // x.itemsize, x.shape[0], x.shape[1])
    target = (pointer(out), out.strides[0] // out.itemsize, out.shape[0], out.shape[1])
    values, coefficients = pointer(held), pointer(table)
    n, n_sections = x.shape[1], table.shape[0]
    state = pointer(before)
    _filter_forward(rows, 0, values, n, coefficients, n_sections, state, WIDTH)
    _filter_backward(values, n, coefficients, n_sections, pointer(behind), WIDTH, target, 0)


def _filter(x, table, steady, pad, out, held, states, width):  # pragma: no cover - compiled
    """Filter up to `width` rows forwards and backwards; the last of `states` is the current one."""
    rows = (pointer(x), x.strides[0] // x.itemsize, x.shape[0], x.shape[1])
    target = (pointer(out), out.strides[0] // out.itemsize, out.shape[0], out.shape[1])
    n_sections, n_chunks, n_states = steady.shape[0], states.shape[0] - 1, states.shape[1]
    values, coefficients, saved, at_rest = (
        pointer(held),
        pointer(table),
        pointer(states),
        pointer(steady),
    )
    state = beyond(saved, n_chunks * n_states)
    n, chunk = x.shape[1] + 2 * pad, held.size // width
    lead = n - (n_chunks - 1) * chunk  # the first chunk is the short one: the last is filtered once
    for lane in range(width):
        _init_state(state, at_rest, n_sections, width, lane, _extend(rows, lane, -pad))
    for i in range(n_chunks):
        for k in range(n_states):
            saved[i * n_states + k] = state[k]
        start, stop = max(0, lead + (i - 1) * chunk), lead + i * chunk
        n_in = stop - start
        _filter_forward(rows, start - pad, values, n_in, coefficients, n_sections, state, width)
    end = (min(n, chunk) - 1) * width
    for lane in range(width):
        _init_state(state, at_rest, n_sections, width, lane, values[end + lane])
    for i in range(n_chunks - 1, -1, -1):
        start, stop = max(0, lead + (i - 1) * chunk), lead + i * chunk
        n_in = stop - start
        if i < n_chunks - 1:
            again = beyond(saved, i * n_states)
            _filter_forward(rows, start - pad, values, n_in, coefficients, n_sections, again, width)
        _filter_backward(values, n_in, coefficients, n_sections, state, width, target, start - pad)


@inner
def _filter_forward(rows, time, values, n, table, n_sections, state, width):  # pragma: no cover
    """Fill `values` with the forward result of one chunk."""
    for start in range(0, n, _TILE):
        size = min(_TILE, n - start)
        _fill(rows, time + start, values, start * width, size, width)
        cascade(values, start * width, size, width, table, n_sections, state, width)


@inner
def _filter_backward(values, n, table, n_sections, state, width, target, time):  # pragma: no cover
    """Filter one chunk backwards, and write the samples that lie within the signal."""
    for start in range((n - 1) // _TILE * _TILE, -1, -_TILE):
        size = min(_TILE, n - start)
        end = (start + size - 1) * width
        cascade(values, end, size, -width, table, n_sections, state, width)
        _write(values, start * width, size, width, target, time + start)


@inner
def _init_state(state, steady, n_sections, width, lane, value):  # pragma: no cover - compiled
    """Set the state of one channel to its steady state for a constant input `value`."""
    for section in range(n_sections):
        group = section // 8 * 8
        skip = max(0, 8 - (n_sections - group))
        for i in range(2):
            place = (2 * section + i) * width + lane
            if width == 1:
                place = 2 * group + 8 * i + skip + section - group
            state[place] = steady[2 * section + i] * value


# ------------------------------------------------------------------------------ rows and vectors
# Rows are tuples: (pointer, elements between rows, number of rows, number of samples).
@inner
def _extend(rows, row, time):  # pragma: no cover - compiled
    """Return a sample of the extended signal; rows beyond the last repeat it."""
    x, step, n_rows, n = rows
    first = min(row, n_rows - 1) * step
    if time < 0:
        return 2.0 * np.float64(x[first]) - np.float64(x[first - time])
    if time >= n:
        return 2.0 * np.float64(x[first + n - 1]) - np.float64(x[first + 2 * (n - 1) - time])
    return np.float64(x[first + time])


@inner
def _fill(rows, time, values, place, n, width):  # pragma: no cover - compiled
    """Copy `n` samples from `time` on, so that the channels of a sample are contiguous."""
    begin, end = max(0, min(n, -time)), max(0, min(n, rows[3] - time))
    whole = begin
    while width == WIDTH and whole + 8 <= end:
        _fill_square(rows, 0, time + whole, values, place + whole * WIDTH)
        _fill_square(rows, 8, time + whole, values, place + whole * WIDTH + 8)
        whole += 8
    for lane in range(width):
        x, first = rows[0], min(lane, rows[2] - 1) * rows[1] + time
        for i in range(whole, end):
            values[place + i * width + lane] = np.float64(x[first + i])
        for i in range(begin):
            values[place + i * width + lane] = _extend(rows, lane, time + i)
        for i in range(end, n):
            values[place + i * width + lane] = _extend(rows, lane, time + i)


@inner
def _fill_square(rows, row, time, values, place):  # pragma: no cover - compiled
    """Copy 8 samples of 8 rows."""
    r0, r1 = _load_row(rows, row, time), _load_row(rows, row + 1, time)
    r2, r3 = _load_row(rows, row + 2, time), _load_row(rows, row + 3, time)
    r4, r5 = _load_row(rows, row + 4, time), _load_row(rows, row + 5, time)
    r6, r7 = _load_row(rows, row + 6, time), _load_row(rows, row + 7, time)
    columns = transpose((r0, r1, r2, r3, r4, r5, r6, r7))
    for i in range(8):
        store(values, place + i * WIDTH, convert(columns[i], values))


@inner
def _load_row(rows, row, time):  # pragma: no cover - compiled
    place = min(row, rows[2] - 1) * rows[1] + time
    prefetch(rows[0], place + _TILE // 2)
    return load(rows[0], place, 8)


@inner
def _write(values, place, n, width, rows, time):  # pragma: no cover - compiled
    """Copy `n` samples to the rows, from `time` on, except those outside of the signal."""
    x, step, n_rows, n_times = rows
    begin, end = max(0, min(n, -time)), max(0, min(n, n_times - time))
    whole = begin
    while width == WIDTH and whole + 8 <= end:
        _write_square(values, place + whole * WIDTH, rows, 0, time + whole)
        _write_square(values, place + whole * WIDTH + 8, rows, 8, time + whole)
        whole += 8
    for lane in range(min(width, n_rows)):
        for i in range(whole, end):
            x[lane * step + time + i] = values[place + i * width + lane]


@inner
def _write_square(values, place, rows, row, time):  # pragma: no cover - compiled
    """Copy 8 samples to 8 rows, or to as many as there are."""
    v0, v1 = load(values, place, 8), load(values, place + WIDTH, 8)
    v2, v3 = load(values, place + 2 * WIDTH, 8), load(values, place + 3 * WIDTH, 8)
    v4, v5 = load(values, place + 4 * WIDTH, 8), load(values, place + 5 * WIDTH, 8)
    v6, v7 = load(values, place + 6 * WIDTH, 8), load(values, place + 7 * WIDTH, 8)
    samples = transpose((v0, v1, v2, v3, v4, v5, v6, v7))
    x, step, n_rows, _ = rows
    for i in range(min(8, n_rows - row)):
        prefetch(x, (row + i) * step + time - _TILE)
        store(x, (row + i) * step + time, convert(samples[i], x))
