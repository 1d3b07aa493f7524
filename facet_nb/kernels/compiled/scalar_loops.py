"""Plain loops; see native/lms.h and native/lags.h."""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.compiled.dispatch import aligned_empty
from facet_nb.kernels.compiled.library import find_kernel


def cancel_adaptively(
    signal: np.ndarray, reference: np.ndarray, n_taps: int, step: float
) -> np.ndarray:
    """Return the prediction of an LMS filter; see :mod:`facet_nb.kernels.filters.lms`."""
    weights = aligned_empty(n_taps, float)
    weights[...] = 0.0
    # Large arrays start at the same place of a page. Half a kilobyte further, the processor does
    # not take a sample that was just written for the one of the reference that is read next.
    predicted = np.zeros(len(signal) + 64)[64:]
    signals = (np.ascontiguousarray(x, dtype=float) for x in (signal, reference))
    find_kernel("lms", "d")(*signals, len(signal), n_taps, step, weights, predicted)
    return predicted


def find_lags(
    x: np.ndarray, starts: np.ndarray, templates: np.ndarray, which: np.ndarray, max_lag: int
) -> np.ndarray:
    """Return the lag of each epoch; see :func:`facet_nb.kernels.triggers.alignment.best_lags`.

    Parameters
    ----------
    x : ndarray of float64, shape (n_times,)
        Signal, contiguous.
    starts, which : ndarray of int64, shape (n_epochs,)
        First sample and template of each epoch.
    templates : ndarray of float64, shape (n_templates, n_samples)
        Waveforms, contiguous.
    max_lag : int
        Largest lag in either direction, in samples.
    """
    lags, n = np.zeros(len(starts), np.int64), templates.shape[1]
    # The kernel reads and writes through all samples of these arrays.
    if which.size and not 0 <= which.min() <= which.max() < len(templates):
        raise ValueError("`which` has templates that do not exist")
    space = np.zeros(n + 2 * max_lag + 8)
    find_kernel("find_lags", "d")(
        *(x, len(x), starts, len(starts), templates, which, n, max_lag, space, lags)
    )
    return lags
