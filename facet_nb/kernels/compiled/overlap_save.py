"""Overlap-save filtering of several blocks at once; see native/overlap_save.h and native/fft.h."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from facet_nb.kernels.compiled.dispatch import aligned_empty
from facet_nb.kernels.compiled.library import count_step, count_vector_bytes, find_kernel

__all__ = ["can_overwrite", "filter_rows", "filter_sum", "order"]

#: Transforms that remain after the first two passes.
SIXTEEN = 16

#: Longest transform whose points follow one another without gaps.
_SMALL = 1024

#: Number of blocks that are copied before the result overwrites them.
_N_KEPT = 2

#: Unused points between the 16 parts of a transform; see :func:`count_places`.
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
        :func:`order`.
    out : ndarray, shape (n_channels, n_times)
        Array for the result, of the type of `x`; the rows of both are contiguous. It may be `x` if
        :func:`can_overwrite` is true.
    before : int
        Number of samples of `x` before the first sample of `out`. `x` may be a piece of a longer
        signal, with additional samples on either side.
    """
    n_fft, width = len(spectrum), count_vector_bytes() // x.itemsize
    hop = n_fft - n_taps + 1
    n_edges = _count_edges(x.shape[1], out.shape, n_fft, hop, width, before)
    if x.ctypes.data == out.ctypes.data:
        n_edges += 1 + _N_KEPT
    _run(x, None, n_taps, spectrum, out, before, n_edges)


def can_overwrite(n_taps: int, n_fft: int, dtype: np.dtype) -> bool:
    """Return whether the result of :func:`filter_rows` may replace its input."""
    # A group overwrites what is kept for the next one, of which only the first block needs it.
    width = count_vector_bytes() // dtype.itemsize
    return n_fft <= min(3, width) * (n_fft - n_taps + 1)


def filter_sum(
    x: np.ndarray, second: np.ndarray, n_taps: int, spectrum: np.ndarray, out: np.ndarray
) -> None:
    """Filter one signal, or filter two signals and add the results, by overlap-save.

    Parameters
    ----------
    x, second : ndarray of float64, shape (n_known,)
        Signals that start half a filter before the first sample of `out` and hold all blocks.
        `second` may be empty.
    n_taps : int
        Length of the filters: odd.
    spectrum : ndarray of complex, shape (n_fft,)
        Spectrum of the filter, in the order of :func:`order`, divided by `n_fft`; for two signals,
        that of the first filter minus i times that of the second.
    out : ndarray of float64, shape (n_times,)
        Array for the result.
    """
    other = second[np.newaxis] if len(second) else None
    _run(x[np.newaxis], other, n_taps, spectrum, out[np.newaxis], n_taps // 2, 0)


def _run(
    x: np.ndarray,
    second: np.ndarray | None,
    n_taps: int,
    spectrum: np.ndarray,
    out: np.ndarray,
    before: int,
    n_edges: int,
) -> None:
    n_fft, width = len(spectrum), count_vector_bytes() // x.itemsize
    point, each = 2 * width, spectrum.itemsize // x.itemsize
    n_part = count_places(n_fft // SIXTEEN) + GAP
    points = aligned_empty(point * SIXTEEN * n_part, x.dtype)
    tile = aligned_empty((width + 1) * SIXTEEN * point, x.dtype)
    edges = aligned_empty(n_edges * n_fft, x.dtype)
    run = find_kernel("overlap_save", x.dtype.char)
    run(
        *(x, count_step(x), x.shape[1], before, out, count_step(out), *out.shape),
        *(n_fft, n_fft - n_taps + 1, spectrum.view(x.dtype), find_twiddles(n_fft, x.dtype.char)),
        *(points, point * n_part, tile, edges, second, each),
    )


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


def count_places(n: int) -> int:
    """Return the length of `n` points in memory, in points.

    After two passes there are 16 transforms, each followed by a gap of one point.
    """
    # Without gaps, the 16 transforms would be a power of two apart, and their points would map to
    # the same few cache sets.
    return n if n <= _SMALL else n + SIXTEEN


def order(n: int) -> np.ndarray:
    """Return the frequency index of each point after a forward transform, shape (n,)."""
    if n <= 2:
        return np.arange(n)
    quarter = 4 * order(n // 4)
    return np.concatenate([quarter + i for i in range(4)])


@lru_cache(maxsize=8)
def find_twiddles(n: int, char: str) -> np.ndarray:
    """Return the twiddle factors of all passes, shape (2 n,).

    The pass over m points starts at index ``2 * (n - m)``, with w, w², w³ of its m / 4 angles.
    """
    passes = []
    m = n
    while m > 4:
        angle = -2j * np.pi / m * np.arange(m // 4)[:, np.newaxis] * np.arange(1, 4)
        passes.append(np.exp(angle).view(float).ravel())
        m //= 4
    factors = np.concatenate([*passes, np.zeros(2 * m)]).astype(char)
    factors.flags.writeable = False
    return factors
