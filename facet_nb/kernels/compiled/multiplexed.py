"""Rows of channels, and numbers that are stored sample by sample; see native/multiplexed.h.

The NumPy fallbacks, with the same bits, are in :mod:`facet_nb.core.storage.multiplexed` and
:mod:`facet_nb.io.formats.brainvision`.
"""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.compiled.library import count_step, find_kernel


def take_rows(
    stored: np.ndarray, first: int, factors: np.ndarray, dtype: np.dtype | type
) -> np.ndarray:
    """Return the samples of some channels that follow one another, shape (n_rows, n_times).

    Parameters
    ----------
    stored : ndarray of int16, shape (n_times, n_channels)
        Numbers of all channels; contiguous.
    first : int
        The first channel.
    factors : ndarray of float64, shape (n_rows,)
        What the numbers of each channel, as float64, are multiplied by.
    dtype : data type
        Type of the samples, float32 or float64, to which the products are rounded.
    """
    out = np.empty((len(factors), len(stored)), dtype)
    run = find_kernel("take_rows", out.dtype.char)
    run(stored, *stored.shape, first, factors, len(factors), out)
    return out


def put_rows(rows: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Return the samples of all channels, each times its factor, one sample after another.

    Parameters
    ----------
    rows : ndarray, shape (n_channels, n_times)
        Samples, float32 or float64, each row contiguous.
    factors : ndarray, shape (n_channels,)
        Factors, of the type of `rows`.

    Returns
    -------
    ndarray, shape (n_times, n_channels)
        The products, of the type of `rows`.
    """
    out = np.empty(rows.shape[::-1], rows.dtype)
    run = find_kernel("put_rows", rows.dtype.char)
    run(rows, count_step(rows), *rows.shape, factors, out)
    return out
