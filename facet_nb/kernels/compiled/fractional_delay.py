"""Fractional delays of pieces of a signal; see native/fractional_delay.h.

The NumPy fallbacks are in :mod:`facet_nb.kernels.resampling.double_rate_signal`.
"""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.compiled.library import count_step, find_kernel


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
