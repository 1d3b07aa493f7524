"""Least-mean-squares (LMS) adaptive filter."""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.compiled.dispatch import find_loop


def cancel_adaptively(
    signal: np.ndarray, reference: np.ndarray, n_taps: int, step: float
) -> np.ndarray:
    """Return the part of `signal` that an adaptive filter of `reference` predicts.

    Parameters
    ----------
    signal : ndarray, shape (n_times,)
        Signal, any unit.
    reference : ndarray, shape (n_times,)
        Noise that the signal may contain in filtered form.
    n_taps : int
        Length of the filter.
    step : float
        Step size of the adaptation.

    Returns
    -------
    ndarray, shape (n_times,)
        The prediction; 0 for the first ``n_taps - 1`` samples.

    References
    ----------
    Widrow, B., et al. (1975). Adaptive noise cancelling: principles and applications. Proceedings
    of the IEEE, 63(12), 1692-1716. doi:10.1109/PROC.1975.10036
    """
    loop = find_loop("cancel_adaptively", cancel_in_numpy)
    return loop(np.ascontiguousarray(signal), np.ascontiguousarray(reference), n_taps, step)


def cancel_in_numpy(
    signal: np.ndarray, reference: np.ndarray, n_taps: int, step: float
) -> np.ndarray:
    """Return the result of :func:`cancel_adaptively` to rounding, in NumPy."""
    predicted = np.zeros(len(signal))
    weights = np.zeros(n_taps)
    for i in range(n_taps - 1, len(signal)):
        past = reference[i - n_taps + 1 : i + 1]
        y = float(weights @ past)
        predicted[i] = y
        weights = weights + 2.0 * step * (signal[i] - y) * past
    return predicted
