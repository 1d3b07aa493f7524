"""Samples at which the amplifier was saturated: what the artifact was there, and the EEG around.

All functions take one channel.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: Fewest samples at a limit of the amplifier, largest part of all samples, and how many times more
#: there are than at the value next to it.
_FEWEST, _MOST, _TIMES = 12, 0.3, 4

#: Number of times that the artifact beyond the limits is estimated.
_N_ROUNDS = 4


def find_limits(x: np.ndarray) -> tuple[float, float]:
    """Return the least and the largest value that was recorded; infinite without saturation.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal as it was recorded, in V.
    """
    return _find_limit(x, -1), _find_limit(x, 1)


def _find_limit(x: np.ndarray, sign: int) -> float:
    """Return the largest value if samples are cut off there; infinity else. -1: the least."""
    highest = float(x.max(initial=-np.inf) if sign > 0 else x.min(initial=np.inf))
    # Counting takes a tenth of the time of listing, and is enough for most signals.
    is_at = x == highest
    if not _FEWEST <= np.count_nonzero(is_at) <= _MOST * len(x):
        return sign * np.inf
    at = np.flatnonzero(is_at)
    # Without EEG, an artifact repeats its peak, but what lies beside it, too.
    beside = x[np.maximum(at - 1, 0)]
    if len(np.unique(beside)) < _FEWEST:
        return sign * np.inf
    rest = x[~is_at]
    second = rest.max() if sign > 0 else rest.min()
    enough = len(at) >= _TIMES * np.count_nonzero(x == second)
    return highest if enough else sign * np.inf


def restore(
    x: np.ndarray, limits: tuple[float, float], correct: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return the signal with saturated samples as they would be without limits.

    They are what the templates have there, and the EEG beside them.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, in V.
    limits : tuple of float
        Least and largest value.
    correct : callable
        Subtracts templates that are learned from a signal: ``correct(signal) -> rest``.
    """
    low, high = x <= limits[0], x >= limits[1]
    at, known = np.flatnonzero(low | high), np.flatnonzero(~(low | high))
    x = x.copy()
    beyond = high[at]
    for _ in range(_N_ROUNDS):
        rest = correct(x)
        new = x[at] - rest[at] + np.interp(at, known, rest[known])
        x[at] = np.where(beyond, np.maximum(new, limits[1]), np.minimum(new, limits[0]))
    return x


def bridge(x: np.ndarray, row: np.ndarray, limits: tuple[float, float]) -> None:
    """Change a template, in place, so that saturated samples become what lies beside them.

    Parameters
    ----------
    x, row : ndarray, shape (n_samples,)
        Signal of an epoch and its template, in V.
    limits : tuple of float
        Least and largest value of the signal.
    """
    lost = (x <= limits[0]) | (x >= limits[1])
    at, known = np.flatnonzero(lost), np.flatnonzero(~lost)
    if len(at) and len(known):
        row[at] = x[at] - np.interp(at, known, x[known] - row[known])
