"""Pieces of a signal that is extended beyond its ends."""

from __future__ import annotations

import numpy as np


def segment(x: np.ndarray, start: int, stop: int, *, repeat: bool = False) -> np.ndarray:
    """Return ``x[start:stop]``, where the signal is extended by odd reflection.

    The reflection is about the first and the last sample, so that value and slope are continuous.
    A range within the signal is returned as a view.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal.
    start, stop : int
        Range, which may lie outside of the signal.
    repeat : bool
        Reflect repeatedly where one reflection is too short, instead of padding with zeros (as
        ``"reflect_limited"`` of MNE does).

    Returns
    -------
    ndarray, shape (stop - start,)
        The piece; a view of `x` where possible.
    """
    n = len(x)
    if start >= 0 and stop <= n:
        return x[start:stop]
    out = np.zeros(stop - start)
    low, high = max(start, 0), min(stop, n)
    if low < high:
        out[low - start : high - start] = x[low:high]
    before = np.arange(start, min(0, stop))
    after = np.arange(max(n, start), stop)
    head, tail = out[: len(before)], out[len(out) - len(after) :]
    # A single reflection is computed without the other end of the signal, so that a piece of a
    # signal that holds one end only gives the same bits.
    near = before > -n
    head[near] = 2 * x[0] - x[-before[near]]
    if repeat and not near.all():
        head[~near] = _unfold(x, before[~near])
    near = after <= 2 * (n - 1)
    tail[near] = 2 * x[-1] - x[2 * (n - 1) - after[near]]
    if repeat and not near.all():
        tail[~near] = _unfold(x, after[~near])
    return out


def _unfold(x: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return the signal at `index`, reflected as often as needed."""
    n = len(x)
    if n == 1:
        return np.full(len(index), x[0])
    period = 2 * (n - 1)
    turns, place = np.divmod(index, period)
    folded = np.where(place < n, place, period - place)
    rise = x[-1] - x[0]
    values = np.where(place < n, x[folded], 2 * x[-1] - x[folded])
    return values + 2 * rise * turns
