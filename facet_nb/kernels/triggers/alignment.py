"""Alignment of epochs to a template, by cross-correlation over a few lags."""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.compiled.dispatch import find_loop


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
    starts = np.asarray(starts, dtype=np.int64)
    rows = np.ascontiguousarray(np.atleast_2d(templates), dtype=float)
    if which is None:
        which = np.zeros(len(starts), np.int64) if len(rows) == 1 else np.arange(len(starts))
    which = np.asarray(which, dtype=np.int64)
    find = find_loop("find_lags", _find_lags)
    if isinstance(x, np.ndarray):
        found: np.ndarray = find(np.ascontiguousarray(x, dtype=float), starts, rows, which, max_lag)
        return found
    # A lazily upsampled signal: only the samples of one epoch after another are made.
    lags, first = np.zeros(len(starts), dtype=np.int64), np.zeros(1, np.int64)
    for i, start in enumerate(starts.tolist()):
        stop = start + rows.shape[1] + max_lag
        if start >= 0 and stop <= len(x):
            lags[i] = find(x[start:stop], first, rows, which[i : i + 1], max_lag)[0]
    return lags


def _find_lags(
    x: np.ndarray, starts: np.ndarray, templates: np.ndarray, which: np.ndarray, max_lag: int
) -> np.ndarray:
    """Return the lags; see :func:`best_lags`."""
    n_samples = templates.shape[1]
    lags = np.zeros(len(starts), dtype=np.int64)
    padded = np.zeros(n_samples + 2 * max_lag)
    for i, (start, number) in enumerate(zip(starts.tolist(), which.tolist(), strict=True)):
        stop = start + n_samples + max_lag
        if start < 0 or stop > len(x):
            continue
        padded[max_lag:] = x[start:stop]
        lags[i] = int(np.correlate(padded, templates[number], "valid").argmax()) - max_lag
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
