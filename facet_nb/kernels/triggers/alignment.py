"""Alignment of epochs to a template, by cross-correlation over a few lags."""

from __future__ import annotations

import numpy as np


def best_lags(
    x: np.ndarray,
    starts: np.ndarray,
    templates: np.ndarray,
    max_lag: int,
    which: np.ndarray | None = None,
) -> np.ndarray:
    """Return for each epoch the lag of the largest cross-correlation with its template.

    The epoch is extended by `max_lag` samples at its end, and by zeros beyond that, as in FACETpy
    and MATLAB FACET.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal.
    starts : ndarray of int, shape (n_epochs,)
        First sample of each epoch.
    templates : ndarray, shape (n_templates, n_samples) or (n_samples,)
        Waveforms, or one for all.
    max_lag : int
        Largest lag in either direction, in samples.
    which : ndarray of int, shape (n_epochs,) | None
        Index of the template of each epoch; by default each epoch has its own.

    Returns
    -------
    ndarray of int, shape (n_epochs,)
        Lags, in samples, positive if the signal is late; 0 if the piece is not complete.
    """
    n_samples = templates.shape[-1]
    lags = np.zeros(len(starts), dtype=np.int64)
    padded = np.zeros(n_samples + 2 * max_lag)
    for i, start in enumerate(np.asarray(starts).tolist()):
        stop = start + n_samples + max_lag
        if start < 0 or stop > len(x):
            continue
        padded[max_lag:] = x[start:stop]
        if templates.ndim == 1:
            template = templates
        else:
            template = templates[i if which is None else which[i]]
        lags[i] = int(np.correlate(padded, template, "valid").argmax()) - max_lag
    return lags


def refine_lags(
    x: np.ndarray, starts: np.ndarray, template: np.ndarray, max_lag: int
) -> np.ndarray:
    """Return for each epoch the lag of the largest Pearson correlation, with sub-sample accuracy.

    The fraction of a sample follows from a parabola through the maximum and its neighbours. It is
    accurate to a few hundredths of a sample where the waveform is well above the noise.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal.
    starts : ndarray of int, shape (n_epochs,)
        First sample of each epoch.
    template : ndarray, shape (n_samples,)
        Waveform.
    max_lag : int
        Largest lag in either direction, in samples.

    Returns
    -------
    ndarray of float, shape (n_epochs,)
        Lags, in samples; 0 if the surroundings are not complete.
    """
    n = len(template)
    shape = template - template.mean()
    lags = np.zeros(len(starts))
    for i, start in enumerate(starts):
        low, high = start - max_lag, start + n + max_lag
        if low < 0 or high > len(x):
            continue
        piece = np.lib.stride_tricks.sliding_window_view(x[low:high], n)
        spread = piece.std(axis=1)
        if not np.all(spread > 0):
            continue
        r = (piece @ shape) / spread
        k = int(np.argmax(r))
        lags[i] = k - max_lag + _vertex(r, k)
    return lags


def _vertex(r: np.ndarray, k: int) -> float:
    """Return the vertex of the parabola through ``r[k-1:k+2]``, relative to `k`."""
    if k == 0 or k == len(r) - 1:
        return 0.0
    before, here, after = r[k - 1 : k + 2]
    bend = before - 2.0 * here + after
    return float(0.5 * (before - after) / bend) if bend < 0 else 0.0
