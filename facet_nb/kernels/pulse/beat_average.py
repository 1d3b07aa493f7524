"""Templates of the pulse artifact from neighbouring beats."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from facet_nb.kernels.templates.averaging import take_epochs

#: Number of beats whose medians are computed at once, to bound the memory.
_PORTION = 16


def average_neighbours(epochs: np.ndarray, method: str, n_side: int) -> np.ndarray:
    """Return a template for each beat, averaged over itself and its neighbours.

    Parameters
    ----------
    epochs : ndarray, shape (n_beats, n_samples)
        Beats, in V.
    method : {"mean", "median", "gmean"}
        Mean, median, or Gaussian-weighted mean (standard deviation 0.4 times `n_side` beats).
    n_side : int
        Number of neighbours on either side; fewer at the ends.

    Returns
    -------
    ndarray, shape (n_beats, n_samples)
        Templates, in V.
    """
    if method == "median":
        return _take_medians(epochs, n_side)
    n = len(epochs)
    apart = np.arange(n)[:, np.newaxis] - np.arange(n)
    width = 0.4 * n_side if method == "gmean" else np.inf
    weights = np.where(np.abs(apart) <= n_side, np.exp(-0.5 * (apart / width) ** 2), 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights @ epochs


def _take_medians(epochs: np.ndarray, n_side: int) -> np.ndarray:
    n, size = len(epochs), 2 * n_side + 1
    out = np.empty_like(epochs)
    inner = range(n_side, n - n_side) if n >= size else range(0)
    for k in set(range(n)) - set(inner):
        out[k] = np.median(epochs[max(0, k - n_side) : k + n_side + 1], axis=0)
    for first in inner[::_PORTION]:
        part = epochs[first - n_side : min(first + _PORTION, inner[-1] + 1) + n_side]
        neighbours = sliding_window_view(part, size, axis=0)
        out[first : first + len(neighbours)] = np.median(neighbours, axis=-1)
    return out


def find_borders(peaks: np.ndarray, half: int, n_times: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (low, high) of the samples from which each beat's template is subtracted.

    They extend `half` samples to either side of the peak. Where beats are closer, the border is
    half-way between them, so that no sample is corrected twice.
    """
    middle = (peaks[:-1] + peaks[1:] + 1) // 2
    low, high = peaks - half, peaks + half + 1
    low[1:] = np.maximum(low[1:], middle)
    high[:-1] = np.minimum(high[:-1], middle)
    return np.clip(low, 0, n_times), np.clip(high, 0, n_times)


def subtract_beats(
    x: np.ndarray,
    peaks: np.ndarray,
    half: int,
    write: int,
    method: str,
    n_side: int,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Subtract the template of each beat, scaled by least squares, from one channel.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, in V.
    peaks : ndarray of int, shape (n_beats,)
        Middle of each artifact, rising.
    half : int
        Half-length of a template, in samples.
    write : int
        Number of samples to correct on either side of the middle, at most `half`.
    method, n_side
        As in :func:`average_neighbours`.
    out : ndarray, shape (n_times,) | None
        Array for the result.

    Returns
    -------
    ndarray, shape (n_times,)
        Corrected signal, in V.
    """
    epochs = take_epochs(x, peaks - half, 2 * half + 1)
    epochs -= x.mean()
    templates = average_neighbours(epochs, method, n_side)
    power = np.einsum("ij,ij->i", templates, templates)
    gains = np.einsum("ij,ij->i", epochs, templates)
    gains = np.divide(gains, power, out=np.zeros(len(peaks)), where=power > 0)
    templates *= gains[:, np.newaxis]
    out = np.empty_like(x) if out is None else out
    out[...] = x
    for k, (low, high) in enumerate(zip(*find_borders(peaks, write, len(x)), strict=True)):
        if low < high:
            first = int(low - peaks[k] + half)
            out[low:high] -= templates[k, first : first + int(high - low)]
    return out
