"""Fractional delays of pieces of a signal; see native/fractional_delay.h.

The NumPy fallbacks are in :mod:`facet_nb.kernels.resampling.double_rate_signal`.
"""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.compiled.library import count_step, find_kernel
from facet_nb.kernels.resampling.double_rate_grid import Sums


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
    run = find_kernel("delay_rows", x.dtype.char)
    n_rows, n_taps = len(places), taps.shape[1]
    run(x, places, parts, n_rows, taps, n_taps, out, count_step(out), out.shape[1])


def sum_rows(
    x: np.ndarray,
    places: np.ndarray,
    parts: np.ndarray,
    taps: np.ndarray,
    sums: Sums,
    out: np.ndarray,
) -> np.ndarray:
    """Fill `out` with the sum of rows as of :func:`delay_rows`, in their order.

    Parameters
    ----------
    x, places, parts, taps
        As in :func:`delay_rows`, in float64.
    sums : Sums
        Sums over the samples that the rows stand for.
    out : ndarray of float64, shape (n_samples,)
        The sum.

    Returns
    -------
    ndarray, shape (n_rows,)
        Pearson correlation of each row with the sum of all before it; 0 for the first.
    """
    n, n_head, n_tail = len(out), len(sums.plain_head), len(sums.plain_tail)
    head, tail = (np.ascontiguousarray(root.T) for root in (sums.head, sums.tail))
    correlations, spare = np.empty(len(places)), np.empty(n + 2 * (n_head + n_tail))
    find_kernel("sum_rows", "d")(
        *(x, places, parts, len(places), taps, taps.shape[1]),
        *(sums.plain_head, head, n_head, sums.plain_tail, tail, n_tail),
        *(sums.gain, float(sums.n_samples), out, n, spare, correlations),
    )
    return correlations


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
    run = find_kernel("add_rows", even.dtype.char)
    run(even, odd, len(even), places, which, len(places), rows, rows.shape[1])
