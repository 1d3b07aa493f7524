"""Reduce long traces to few points."""

from __future__ import annotations

import numpy as np


def thin(times_s: np.ndarray, values: np.ndarray, n_bins: int = 1000) -> tuple:
    """Return the lowest and the highest point of each bin, in temporal order.

    A line through them looks like a line through all samples if a bin is not wider than a pixel;
    peaks are preserved.

    Parameters
    ----------
    times_s, values : ndarray, shape (n_times,)
        The trace.
    n_bins : int
        Number of bins.

    Returns
    -------
    times_s, values : ndarray, shape (n_points,)
        The trace itself if it is short, otherwise its envelope.
    """
    size = len(values) // n_bins
    if size < 3:
        return times_s, values
    whole = len(values) // size * size
    blocks = np.asarray(values)[:whole].reshape(-1, size)
    ends = np.stack([blocks.argmin(axis=1), blocks.argmax(axis=1)], axis=1)
    picks = (np.sort(ends, axis=1) + np.arange(len(blocks))[:, None] * size).ravel()
    rest = np.arange(whole, len(values))
    picks = np.unique(np.concatenate([[0], picks, rest, [len(values) - 1]]))
    return times_s[picks], values[picks]
