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


def bound_bins(x: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the minimum and maximum of each bin of `size` elements; the last may be shorter.

    Parameters
    ----------
    x : array, shape (n_channels, n_times)
        Samples; a bin with NaN gives NaN.
    size : int
        Elements of a bin, a power of two.

    Returns
    -------
    low, high : ndarray, shape (n_channels, n_bins)
        Bounds of each bin.
    """
    whole = x.shape[1] // size * size
    low = high = x[:, :whole]
    if size >= 64:  # measured: reducing long bins is faster, but slow for short ones
        bins = low.reshape(len(x), -1, size)
        low, high = bins.min(axis=2), bins.max(axis=2)
    else:
        while size > 1:
            low = np.minimum(low[:, ::2], low[:, 1::2])
            high = np.maximum(high[:, ::2], high[:, 1::2])
            size //= 2
    if whole == x.shape[1]:
        return low, high
    rest = x[:, whole:]
    return (
        np.concatenate([low, rest.min(axis=1, keepdims=True)], axis=1),
        np.concatenate([high, rest.max(axis=1, keepdims=True)], axis=1),
    )
