"""Twice the rate and half of it, compiled: long filters of many blocks side by side.

Overlap-save as in :mod:`facet_nb.kernels.compiled.overlap_save`, with spectra that are not real:
samples half-way
between two others. Where the rate is halved, even and odd samples are transformed each, multiplied,
and added: one transform back serves both. Importing this module imports numba.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import from_dtype, types

from facet_nb.kernels.compiled.fft import (
    BYTES,
    SIXTEEN,
    backward,
    find_twiddles,
    forward,
    load_four,
    order,
    store_four,
    transform_four,
    transform_four_back,
)
from facet_nb.kernels.compiled.overlap_save import _GAP, _begin, _end
from facet_nb.kernels.compiled.vectors import (
    address,
    aligned_empty,
    beyond,
    compile_entry,
    inner,
    like,
    load_bytes,
    muladd,
    pointer,
    store,
)

#: Length of the transforms: 16 times four short ones that fit into the innermost cache.
N_FFT = 16384


def sort_spectrum(taps: np.ndarray, char: str) -> np.ndarray:
    """Return what :func:`filter_sum` takes as the spectrum of a filter, shape (2 N_FFT,).

    Parameters
    ----------
    taps : ndarray, shape (2 half,)
        What multiplies the samples from ``half`` before the output's place to half - 1 after it.
    char : {"d", "f"}
        Type of the signals.
    """
    half = len(taps) // 2
    circle = np.zeros(N_FFT)
    circle[:half], circle[N_FFT - half :] = taps[half:], taps[:half]
    spectrum = np.conj(np.fft.fft(circle))[order(N_FFT)] / N_FFT
    return np.ascontiguousarray(spectrum).view(float).astype(char)


def count_work(itemsize: int) -> int:
    """Return the size of the work space that :func:`filter_sum` needs, in numbers."""
    return 2 * 2 * (BYTES // itemsize) * (N_FFT + SIXTEEN * _GAP)


def filter_sum(
    x: np.ndarray,
    second: np.ndarray,
    half: int,
    spectra: np.ndarray,
    out: np.ndarray,
    work: np.ndarray,
) -> None:
    """Filter one signal, or the sum of two, each with its own filter.

    Parameters
    ----------
    x, second : ndarray, shape (n,)
        Signals, from `half` samples before the first result on, as long as all pairs of blocks
        that give results. `second` may be empty.
    half : int
        Reach of the filters.
    spectra : ndarray, shape (1 or 2, 2 N_FFT)
        Their spectra (:func:`sort_spectrum`).
    out : ndarray, shape (n_times,)
        The result.
    work : ndarray, shape (count_work(itemsize),)
        Changed.
    """
    width = BYTES // x.itemsize
    columns = aligned_empty((2 * SIXTEEN + 1) * width * width + 2 * SIXTEEN * width, x.dtype)
    places = np.empty((width, 4), np.intp)
    run, factors = _compile(x.dtype.char), find_twiddles(N_FFT, x.dtype.char)
    run(x, second, N_FFT - 2 * half, spectra, factors, out, work, columns, places)


@lru_cache
def _compile(char: str) -> Any:
    number = from_dtype(np.dtype(char))
    signal = types.Array(number, 1, "C", readonly=True)
    spectra = types.Array(number, 2, "C", readonly=True)
    work = types.Array(number, 1, "C")
    places = types.Array(types.intp, 2, "C")
    arguments = (signal, signal, types.intp, spectra, signal, work, work, work, places)
    return compile_entry(_filter, *arguments)


def _filter(x, second, hop, spectra, factors, out, points, columns, places):  # pragma: no cover
    """Filter groups of `width` pairs of blocks."""
    n_fft, width = spectra.shape[1] // 2, len(places)
    n_part, n_pairs = n_fft // SIXTEEN, (out.size + 2 * hop - 1) // (2 * hop)
    step = 2 * width * (n_part + _GAP)
    target = (pointer(out), 0, out.size)
    z, w, where, h = pointer(points), pointer(factors), pointer(places), pointer(spectra)
    more = beyond(z, step * SIXTEEN)
    tile = pointer(columns)
    spare = beyond(tile, (2 * SIXTEEN + 1) * width * width)
    for first in range(0, n_pairs, width):
        size = (n_fft, hop, min(width, n_pairs - first), width)
        if second.size:
            _locate(pointer(second), first, size, where)
            _begin(where, tile, spare, more, step, w, size)
        _locate(pointer(x), first, size, where)
        _begin(where, tile, spare, z, step, w, size)
        for i in range(SIXTEEN):
            _transform(z, i * step, n_part, w, n_fft, width)
            if second.size:
                _transform(more, i * step, n_part, w, n_fft, width)
                _mix(z, more, i * step, h, 2 * i * n_part, 2 * n_fft, n_part, width)
            else:
                _multiply(z, i * step, h, 2 * i * n_part, n_part, width)
            _transform_back(z, i * step, n_part, w, n_fft, width)
        _end(z, step, w, tile, spare, target, where, size)


@inner
def _locate(x, first, size, places):  # pragma: no cover - compiled
    """Note for each lane where its two blocks begin, and the time of the output."""
    _, hop, n_items, width = size
    for lane in range(width):
        pair = first + min(lane, n_items - 1)  # lanes without a block do what the last one does
        places[4 * lane] = address(beyond(x, 2 * pair * hop))
        places[4 * lane + 1] = address(beyond(x, (2 * pair + 1) * hop))
        places[4 * lane + 2] = 0
        places[4 * lane + 3] = 2 * pair * hop


# -------------------------------------------------------------------------------- transforms
@inner
def _transform(z, place, n, factors, total, width):  # pragma: no cover - compiled
    """Transform `n` points, which are a part of `total` points after its first two passes."""
    step = 2 * width * (n // 4)
    for j in range(n // 4):
        points = (z, place + 2 * width * j, step)
        forward(points, points, width, factors, 2 * (total - n) + 6 * j)
    for q in range(4):
        _transform_leaf(z, place + q * step, n // 4, factors, total, width)


@inner
def _transform_leaf(z, place, n, factors, total, width):  # pragma: no cover - compiled
    m = n
    while m > 4:
        step = 2 * width * (m // 4)
        for j in range(m // 4):
            for first in range(j, n, m):
                points = (z, place + 2 * width * first, step)
                forward(points, points, width, factors, 2 * (total - m) + 6 * j)
        m //= 4
    for first in range(0, n, 4):
        i = place + 2 * width * first
        store_four(z, i, 2 * width, width, transform_four(load_four(z, i, 2 * width, width)))


@inner
def _transform_back(z, place, n, factors, total, width):  # pragma: no cover - compiled
    """Undo :func:`_transform`, times `n`."""
    step = 2 * width * (n // 4)
    for q in range(4):
        _transform_leaf_back(z, place + q * step, n // 4, factors, total, width)
    for j in range(n // 4):
        points = (z, place + 2 * width * j, step)
        backward(points, points, width, factors, 2 * (total - n) + 6 * j)


@inner
def _transform_leaf_back(z, place, n, factors, total, width):  # pragma: no cover - compiled
    for first in range(0, n, 4):
        i = place + 2 * width * first
        store_four(z, i, 2 * width, width, transform_four_back(load_four(z, i, 2 * width, width)))
    m = 4
    while m < n:
        m *= 4
        step = 2 * width * (m // 4)
        for j in range(m // 4):
            for first in range(j, n, m):
                points = (z, place + 2 * width * first, step)
                backward(points, points, width, factors, 2 * (total - m) + 6 * j)


@inner
def _multiply(z, place, spectrum, k, n, width):  # pragma: no cover - compiled
    """Multiply `n` points by a spectrum."""
    for point in range(n):
        i = place + 2 * width * point
        re, im = load_bytes(z, i, BYTES), load_bytes(z, i + width, BYTES)
        p, q = like(re, spectrum[k + 2 * point]), like(re, spectrum[k + 2 * point + 1])
        store(z, i, muladd(re, p, -(im * q)))
        store(z, i + width, muladd(re, q, im * p))


@inner
def _mix(z, more, place, spectra, k, second, n, width):  # pragma: no cover - compiled
    """Multiply `n` points of two transforms by their spectra, and add them."""
    for point in range(n):
        i, at = place + 2 * width * point, k + 2 * point
        re, im = load_bytes(z, i, BYTES), load_bytes(z, i + width, BYTES)
        p, q = like(re, spectra[at]), like(re, spectra[at + 1])
        a, b = muladd(re, p, -(im * q)), muladd(re, q, im * p)
        re, im = load_bytes(more, i, BYTES), load_bytes(more, i + width, BYTES)
        p, q = like(re, spectra[second + at]), like(re, spectra[second + at + 1])
        store(z, i, muladd(re, p, muladd(-im, q, a)))
        store(z, i + width, muladd(re, q, muladd(im, p, b)))
