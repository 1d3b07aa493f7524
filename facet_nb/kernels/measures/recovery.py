"""Agreement of a signal with the ground truth, and properties of a removed signal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from facet_nb.kernels.compiled.dispatch import find_compiled, is_float

_ORDER = 4


@dataclass(frozen=True)
class Agreement:
    """Agreement of a signal with the ground truth.

    Attributes
    ----------
    snr_db : float
        10 log10(Σ truth² / Σ error²), in dB; infinite if the signals are equal, nan if
        the truth is zero.
    nrmse : float
        Root of Σ error² / Σ truth².
    correlation : float
        Pearson correlation; nan if one of the two is constant.
    """

    snr_db: float
    nrmse: float
    correlation: float


def design_band(sfreq: float, fmin: float, fmax: float) -> np.ndarray:
    """Return a Butterworth band-pass of order 4 as second-order sections; edges in Hz."""
    from scipy.signal import butter

    return butter(_ORDER, (fmin, fmax), "bandpass", fs=sfreq, output="sos")


def filter_band(x: np.ndarray, sos: np.ndarray) -> np.ndarray:
    """Return `x`, shape (n_times,), filtered forwards and backwards."""
    from scipy.signal import sosfiltfilt

    return sosfiltfilt(sos, x)


def agreement(x: np.ndarray, truth: np.ndarray) -> Agreement:
    """Compare a signal with the ground truth, without any filtering or scaling.

    Parameters
    ----------
    x, truth : ndarray, shape (n_times,)
        Signals, in the same unit.

    Returns
    -------
    Agreement
        Remaining artifact and lost EEG both count as errors.
    """
    kept, error = float(truth @ truth), float(np.sum(np.square(x - truth)))
    if kept == 0:
        return Agreement(np.nan, np.nan, np.nan)
    ratio = error / kept
    snr_db = -10.0 * np.log10(ratio) if ratio else np.inf
    return Agreement(float(snr_db), float(np.sqrt(ratio)), correlate(x, truth))


def correlate(x: np.ndarray, y: np.ndarray) -> float:
    """Return the Pearson correlation of two signals; nan if one is constant."""
    a, b = x - np.mean(x), y - np.mean(y)
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm else float("nan")


def unlocked_share(noise: np.ndarray, starts: np.ndarray, length: int) -> tuple[float, float]:
    r"""Return how much of a removed signal does not repeat from epoch to epoch.

    With the mean epoch :math:`m` of N epochs :math:`e_k`, the power that is not locked is

    .. math:: u = \frac{1}{(N-1) L} \sum_k \sum_t (e_k(t) - m(t))^2

    the unbiased variance about the mean epoch: pure noise of variance σ² gives σ² for any N.

    Parameters
    ----------
    noise : ndarray, shape (n_times,)
        Removed signal, in V.
    starts : ndarray of int, shape (n_epochs,)
        First samples of the epochs; epochs that do not lie within the signal are ignored.
    length : int
        Samples in an epoch, L.

    Returns
    -------
    power : float
        u, in V²; nan if there are fewer than two epochs.
    share : float
        u over the mean square of all epochs; nan if nothing was removed.
    """
    starts = np.asarray(starts)
    whole = starts[(starts >= 0) & (starts + length <= len(noise))]
    n = len(whole)
    if n < 2:
        return float("nan"), float("nan")
    mean, squares = np.zeros(length), 0.0
    for start in whole:
        mean += noise[start : start + length]
        squares += float(np.sum(np.square(noise[start : start + length])))
    mean /= n
    within = sum(float(np.sum(np.square(noise[s : s + length] - mean))) for s in whole)
    power = within / ((n - 1) * length)
    total = squares / (n * length)
    return power, power / total if total else float("nan")


def find_clipped(x: np.ndarray, limit: float | None = None, least: int = 3) -> np.ndarray:
    """Return which samples are saturated.

    Samples are saturated if their magnitude reaches `limit`, or if they belong to a run of `least`
    or more equal samples at the largest or smallest value of the signal: a saturated amplifier
    repeats its extreme value, which noisy EEG hardly ever does.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal as it was recorded, in V.
    limit : float | None
        Magnitude that the recorder cannot exceed, in V.
    least : int
        Length of the shortest run, in samples.

    Returns
    -------
    ndarray of bool, shape (n_times,)
        True where saturated; nowhere if the signal is constant.
    """
    clipped = np.zeros(len(x), dtype=bool)
    low, high = np.min(x), np.max(x)
    if not high > low:
        return clipped
    for extreme in (low, high):
        for start, stop in find_runs(x == extreme, least):
            clipped[start:stop] = True
    if limit is not None:
        clipped |= np.abs(x) >= limit
    return clipped


def find_edges(x: np.ndarray, least: int = 3) -> np.ndarray:
    """Return the extreme values of a window, and whether the signal stays at them.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Signals as they were recorded, in V.
    least : int
        Length of the shortest run of equal samples.

    Returns
    -------
    ndarray, shape (n_channels, 4)
        Largest and smallest value; the same again where it is repeated, NaN elsewhere.
    """
    compiled = find_compiled("edges", "find_edges")
    if compiled is not None and x.size and is_float(x) and x.strides[1] == x.itemsize:
        found: np.ndarray = compiled(x, least)
        return found
    edges = np.stack([x.max(axis=1), x.min(axis=1)], axis=1)
    kept = np.full_like(edges, np.nan)
    for k in range(2):
        # A run holds one of these samples.
        some = (x[:, least - 1 :: least] == edges[:, k, np.newaxis]).any(axis=1)
        for row in np.flatnonzero(some & (edges[:, 0] > edges[:, 1])).tolist():
            at = x[row] == edges[row, k]
            if np.count_nonzero(at) >= least and find_runs(at, least):
                kept[row, k] = edges[row, k]
    return np.concatenate([edges, kept], axis=1)


def find_runs(flags: np.ndarray, least: int) -> Iterable[tuple[int, int]]:
    """Return (start, stop) of each run of at least `least` True values."""
    edges = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    long = stops - starts >= least
    return [(int(a), int(b)) for a, b in zip(starts[long], stops[long], strict=True)]


def find_constant(x: np.ndarray, least: int) -> list[tuple[int, int]]:
    """Return (start, stop) of each run of `least` or more equal samples of a signal."""
    # Such a run holds two equal samples of a coarse grid: few places of few signals are looked at.
    step = max(1, least // 2)
    grid = x[::step]
    near = step * np.flatnonzero(grid[1:] == grid[:-1])
    if not len(near):
        return []
    breaks = np.flatnonzero(np.diff(near) > 2 * step) + 1
    found = []
    for places in np.split(near, breaks):
        start, stop = max(0, places[0] - step), places[-1] + 2 * step + 1
        part = x[start:stop]
        runs = find_runs(part[1:] == part[:-1], max(least - 1, 1))
        found += [(int(start) + a, int(start) + b + 1) for a, b in runs]
    return found


def find_untouched(noise: np.ndarray, least: int) -> np.ndarray:
    """Return which samples a correction left unchanged.

    Parameters
    ----------
    noise : ndarray, shape (n_times,)
        Removed signal, in V.
    least : int
        Length of the shortest run, in samples: a removed signal crosses zero, but does not stay
        there.

    Returns
    -------
    ndarray of bool, shape (n_times,)
        True in runs where at most a millionth of the RMS was removed.
    """
    untouched = np.zeros(len(noise), dtype=bool)
    scale = float(np.sqrt(np.mean(np.square(noise)))) if len(noise) else 0.0
    for start, stop in find_runs(np.abs(noise) <= 1e-6 * scale, least):
        untouched[start:stop] = True
    return untouched
