"""Minimum and maximum of a long signal per pixel, for plots."""

from __future__ import annotations

import numpy as np


def bound(x: np.ndarray, n_bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the minimum and maximum of each of about `n_bins` pieces of equal length.

    A vertical line between the two in each pixel looks like a plot of all samples, and no peak is
    lost, as long as a piece is not longer than a pixel. The last piece may be shorter.

    Parameters
    ----------
    x : array, shape (n_channels, n_times)
        Samples.
    n_bins : int
        Number of pieces. Shorter recordings are returned unchanged, as both bounds.

    Returns
    -------
    low, high : ndarray, shape (n_channels, n_pieces)
        Bounds of each piece.
    """
    size = -(-x.shape[1] // max(1, n_bins))
    if size <= 1:
        return x, x
    starts = np.arange(0, x.shape[1], size)
    return np.minimum.reduceat(x, starts, axis=1), np.maximum.reduceat(x, starts, axis=1)
