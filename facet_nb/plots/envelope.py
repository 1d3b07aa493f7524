"""Long traces with few points."""

from __future__ import annotations

import numpy as np


def thin(times_s: np.ndarray, values: np.ndarray, n_bins: int = 1000) -> tuple:
    """Return at most two points a bin, the lowest and the highest, in their order in time.

    A line through them looks like a line through all samples, as long as a bin is no wider than a
    pixel; peaks are kept.

    Parameters
    ----------
    times_s, values : ndarray, shape (n_times,)
        The trace.
    n_bins : int
        How many bins.

    Returns
    -------
    times_s, values : ndarray, shape (n_points,)
        The trace itself if it is short, else its envelope.
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
