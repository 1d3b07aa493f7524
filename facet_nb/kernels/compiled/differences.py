"""Differences of averages of samples, and of samples here and there; see native/differences.h.

The NumPy fallbacks are in :mod:`facet_nb.kernels.measures.residual`; sums there may round in
another order.
"""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.compiled.library import count_step, find_kernel


def average_rows(x: np.ndarray, factor: int, out: np.ndarray) -> None:
    """Write differences of averages of neighbouring samples to `out`; the first is zero.

    Parameters
    ----------
    x : ndarray of float64, shape (n_rows, n_times)
        Samples, each row contiguous.
    factor : int
        Number of samples in an average.
    out : ndarray, shape (n_rows, n_averages)
        Array for the result, float32 or float64, contiguous; averages that `x` holds.
    """
    run = find_kernel("average_rows", out.dtype.char)
    run(x, count_step(x), len(x), factor, out, out.shape[1])


def pick_differences(x: np.ndarray, first: np.ndarray, lag: int, n: int) -> np.ndarray:
    """Return differences of samples from some places on, shape (n_rows, n_places, n).

    Parameters
    ----------
    x : ndarray of float64, shape (n_rows, n_times)
        Samples, each row contiguous.
    first : ndarray of int64, shape (n_places,)
        First sample of each place, at least ``n * lag`` before the last one.
    lag : int
        Distance of two samples.
    n : int
        Number of differences at a place.
    """
    out = np.empty((len(x), len(first), n))
    run = find_kernel("pick_differences", "d")
    run(x, count_step(x), len(x), first, len(first), lag, n, out)
    return out
