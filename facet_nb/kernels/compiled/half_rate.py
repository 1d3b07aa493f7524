"""Long filters that double or halve the sampling rate.

Overlap-save as in :mod:`facet_nb.kernels.compiled.overlap_save`, but with complex spectra, because
the output lies half-way between input samples. To halve the rate, even and odd samples are
transformed separately, multiplied by their spectra and added, so that a single backward transform
suffices. Importing this module imports Numba.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import from_dtype, types

from facet_nb.kernels.compiled.dispatch import aligned_empty
from facet_nb.kernels.compiled.fft import (
    BYTES,
    SIXTEEN,
    backward,
    backward_passes,
    find_twiddles,
    forward,
    forward_passes,
    load_four,
    order,
    store_four,
    transform_four,
    transform_four_back,
)
from facet_nb.kernels.compiled.overlap_save import GAP, load_blocks, store_blocks
from facet_nb.kernels.compiled.vectors import (
    address,
    beyond,
    compile_entry,
    inner,
    like,
    load_bytes,
    muladd,
    pointer,
    store,
)

#: Length of the transforms: 16 times four short ones that fit into the L1 cache.
N_FFT = 16384


def sort_spectrum(taps: np.ndarray, char: str) -> np.ndarray:
    """Return the spectrum of a filter as :func:`filter_sum` takes it, shape (2 N_FFT,).

    Parameters
    ----------
    taps : ndarray, shape (2 half,)
        Weights of the samples from `half` before to ``half - 1`` after the output's position.
    char : {"d", "f"}
        Type of the signals.
    """
    half = len(taps) // 2
    circle = np.zeros(N_FFT)
    circle[:half], circle[N_FFT - half :] = taps[half:], taps[:half]
    spectrum = np.conj(np.fft.fft(circle))[order(N_FFT)] / N_FFT
    return np.ascontiguousarray(spectrum).view(float).astype(char)


def count_work(itemsize: int) -> int:
    """Return the size of the scratch array that :func:`filter_sum` needs, in elements."""
    return 2 * 2 * (BYTES // itemsize) * (N_FFT + SIXTEEN * GAP)


def filter_sum(
    x: np.ndarray,
    second: np.ndarray,
    half: int,
    spectra: np.ndarray,
    out: np.ndarray,
    work: np.ndarray,
) -> None:
    """Filter one signal, or filter two signals and add the results.

    Parameters
    ----------
    x, second : ndarray, shape (n,)
        Signals that start `half` samples before the first output sample and cover all pairs of
        blocks. `second` may be empty.
    half : int
        Half the length of the filters.
    spectra : ndarray, shape (1 or 2, 2 N_FFT)
        Spectra of the filters (:func:`sort_spectrum`).
    out : ndarray, shape (n_times,)
        The result.
    work : ndarray, shape (count_work(itemsize),)
        Scratch memory.
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
    step = 2 * width * (n_part + GAP)
    target = (pointer(out), 0, out.size)
    z, w, where, h = pointer(points), pointer(factors), pointer(places), pointer(spectra)
    more = beyond(z, step * SIXTEEN)
    tile = pointer(columns)
    spare = beyond(tile, (2 * SIXTEEN + 1) * width * width)
    for first in range(0, n_pairs, width):
        size = (n_fft, hop, min(width, n_pairs - first), width)
        if second.size:
            _locate(pointer(second), first, size, where)
            load_blocks(where, tile, spare, more, step, w, size)
        _locate(pointer(x), first, size, where)
        load_blocks(where, tile, spare, z, step, w, size)
        for i in range(SIXTEEN):
            _transform(z, i * step, n_part, w, n_fft, width)
            # Multiply in the Fourier domain while this sixteenth of the points is in cache.
            if second.size:
                _transform(more, i * step, n_part, w, n_fft, width)
                _multiply_add(z, more, i * step, h, 2 * i * n_part, 2 * n_fft, n_part, width)
            else:
                _multiply(z, i * step, h, 2 * i * n_part, n_part, width)
            _transform_back(z, i * step, n_part, w, n_fft, width)
        store_blocks(z, step, w, tile, spare, target, where, size)


@inner
def _locate(x, first, size, places):  # pragma: no cover - compiled
    """Write for each lane the addresses of its two blocks, and the time of the output."""
    _, hop, n_items, width = size
    for lane in range(width):
        pair = first + min(lane, n_items - 1)  # spare lanes repeat the last pair
        places[4 * lane] = address(beyond(x, 2 * pair * hop))
        places[4 * lane + 1] = address(beyond(x, (2 * pair + 1) * hop))
        places[4 * lane + 2] = 0
        places[4 * lane + 3] = 2 * pair * hop


# -------------------------------------------------------------------------------- transforms
@inner
def _transform(z, place, n, factors, total, width):  # pragma: no cover - compiled
    """Transform `n` points: a part of a transform of `total` points after its first two passes."""
    step = 2 * width * (n // 4)
    for j in range(n // 4):
        points = (z, place + 2 * width * j, step)
        forward(points, points, width, factors, 2 * (total - n) + 6 * j)
    for q in range(4):
        _transform_leaf(z, place + q * step, n // 4, factors, total, width)


@inner
def _transform_leaf(z, place, n, factors, total, width):  # pragma: no cover - compiled
    forward_passes(z, place, n, factors, total, width)
    for first in range(0, n, 4):
        i = place + 2 * width * first
        store_four(z, i, 2 * width, width, transform_four(load_four(z, i, 2 * width, width)))


@inner
def _transform_back(z, place, n, factors, total, width):  # pragma: no cover - compiled
    """Invert :func:`_transform`, except for a factor of `n`."""
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
    backward_passes(z, place, n, 4, factors, total, width)


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
def _multiply_add(z, more, place, spectra, k, second, n, width):  # pragma: no cover - compiled
    """Multiply `n` points of two transforms by their spectra, and add the products."""
    for point in range(n):
        i, at = place + 2 * width * point, k + 2 * point
        re, im = load_bytes(z, i, BYTES), load_bytes(z, i + width, BYTES)
        p, q = like(re, spectra[at]), like(re, spectra[at + 1])
        a, b = muladd(re, p, -(im * q)), muladd(re, q, im * p)
        re, im = load_bytes(more, i, BYTES), load_bytes(more, i + width, BYTES)
        p, q = like(re, spectra[second + at]), like(re, spectra[second + at + 1])
        store(z, i, muladd(re, p, muladd(-im, q, a)))
        store(z, i + width, muladd(re, q, muladd(im, p, b)))
