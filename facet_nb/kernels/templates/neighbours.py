"""Sliding averages: the template of an epoch is the mean of its nearest neighbours."""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.means import find_mean
from facet_nb.kernels.templates.averaging import is_complete, take_epochs


def average_sliding(
    x: np.ndarray,
    starts: np.ndarray,
    n_samples: int,
    *,
    window: int,
    threshold: float,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return a template for each epoch: the mean of its nearest neighbours, without itself.

    An epoch whose Pearson correlation with the mean of its neighbours does not exceed `threshold`
    enters no template. Near the ends, the window is shifted inward and keeps its length.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, in V.
    starts : ndarray of int, shape (n_epochs,)
        First sample of each epoch.
    n_samples : int
        Length of an epoch.
    window : int
        Number of neighbours in a template.
    threshold : float
        Correlation above which an epoch enters templates.
    out : ndarray, shape (n_epochs, n_samples) | None
        Array for the templates.

    Returns
    -------
    ndarray, shape (n_epochs, n_samples)
        Templates, in V, relative to the signal's mean.
    """
    epochs = take_epochs(x, starts, n_samples)
    epochs -= find_mean(x) if isinstance(x, np.ndarray) else x.mean()
    usable = is_complete(starts, n_samples, len(x))
    templates = np.empty_like(epochs) if out is None else out
    average_nearest(epochs, usable, window, templates)
    alike = usable & (correlate_rows(epochs, templates) > threshold)
    if np.array_equal(alike, usable):
        return templates
    enough = alike if alike.sum() > 1 else usable
    average_nearest(epochs, enough, window, templates)
    return templates


def average_nearest(epochs: np.ndarray, usable: np.ndarray, window: int, out: np.ndarray) -> None:
    """Fill `out` with the mean of the `window` usable epochs nearest to each, without itself."""
    order = np.flatnonzero(usable)
    if len(order) < 2:
        out[...] = 0.0
        return
    rank = np.searchsorted(order, np.arange(len(epochs)))
    take = min(window + 1, len(order))
    low = np.clip(rank - take // 2, 0, len(order) - take)
    # A running sum: each step of the window adds one epoch and subtracts another.
    total = epochs[order[low[0] : low[0] + take]].sum(axis=0)
    at = low[0]
    for i, first in enumerate(low):
        while at < first:
            total += epochs[order[at + take]] - epochs[order[at]]
            at += 1
        if usable[i]:
            np.subtract(total, epochs[i], out=out[i])
            out[i] /= take - 1
        else:
            np.divide(total, take, out=out[i])


def correlate_rows(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the Pearson correlation of corresponding rows; 0 where one of them is flat."""
    n = a.shape[1]
    mean_a, mean_b = a.mean(axis=1), b.mean(axis=1)
    # Sums over rows, not matrix products: the result of a row does not depend on other rows.
    cov = (a * b).sum(axis=1) - n * mean_a * mean_b
    power = (a * a).sum(axis=1) - n * mean_a**2
    power_b = (b * b).sum(axis=1) - n * mean_b**2
    scale = np.sqrt(np.clip(power, 0, None) * np.clip(power_b, 0, None))
    return np.divide(cov, scale, out=np.zeros(len(a)), where=scale > 0)
