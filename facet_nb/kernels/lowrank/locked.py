"""What recurs with the volume and not with the slice: preparation pulses, rectified excitation.

A slice's artifact is learned from all slices, with amplitudes that are seen above the EEG bands.
What only some slices of a volume hold, at low frequencies, stays. It is estimated here as the mean
over volumes of what the slices' model leaves, in short windows, and only where it exceeds noise:
EEG is lost in these windows and frequencies only.

All functions take one channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facet_nb.kernels import fft
from facet_nb.kernels.lowrank.highband import cut, remove_trend
from facet_nb.kernels.templates.subsample import (
    HALO,
    Layout,
    epochs_of,
    sample,
    subtract,
    transform,
)

#: Length of the windows, in s; a volume has at least two of them.
WINDOW_S = 0.2

#: Multiple of the noise power that a mean must exceed; noise alone does so with exp(-5), 0.7 %.
EXCESS = 5.0

#: Smallest strength in the reference channel for which the mean is subtracted: recordings without
#: such an artifact have up to 0.2, those with one 1 to 20 (``benchmarks/quality.py``).
PRESENT = 0.5

#: Smallest number of volumes.
MIN_VOLUMES = 8

#: Largest number of slices in a volume that is searched for, and of values of a slice.
_MOST_SLICES, _N_VALUES = 160, 8

#: Samples that are transformed at once.
_SAMPLES_AT_ONCE = 1 << 17

#: Smallest ratio of variances, between the slices of a volume and within, that shows a volume.
_CLEAR = 2.0

#: The same for means of slices, in standard errors: EEG alone has up to 4. Lines of the spectrum on
#: either side of one of the volume's, up to which they are its surroundings.
_CLEAR_MEANS, _BESIDE = 5.0, 8


@dataclass(frozen=True)
class LockedMean:
    """What recurs with the volume.

    Attributes
    ----------
    waveform : ndarray, shape (n_samples,)
        The mean volume where it exceeds noise, 0 elsewhere, in V.
    strength : float
        Its energy relative to that of the noise in the mean.
    """

    waveform: np.ndarray
    strength: float

    def measure_spread(self, n_samples: int) -> float:
        """Return the part of a volume's slices that its energy is spread over, from 0 to 1.

        `n_samples` is the length of a slice; 1 if all of them hold the same energy.
        """
        bounds = np.arange(0, len(self.waveform), n_samples)
        energy = np.add.reduceat(np.square(self.waveform), bounds)
        return float(np.sum(energy)) ** 2 / max(float(np.sum(energy**2)) * len(energy), 1e-300)


def find_locked(
    x: np.ndarray, layout: Layout, sfreq: float, which: np.ndarray | None = None
) -> LockedMean:
    """Return what recurs with the volume in a signal without its slices' artifacts.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, in V.
    layout : Layout
        Positions of the volumes.
    sfreq : float
        Sampling rate, in Hz.
    which : ndarray of int | None
        The volumes that are averaged; None for all.

    Returns
    -------
    LockedMean
        All zero if there are fewer than :data:`MIN_VOLUMES` complete volumes.
    """
    which = np.arange(len(layout.first)) if which is None else which
    which = which[layout.usable[which]]
    n = layout.n_samples
    half = min(int(0.5 * WINDOW_S * sfreq), n // 4)
    if len(which) < MIN_VOLUMES or half < 4:
        return LockedMean(np.zeros(n), 0.0)
    piece, inner = cut(x, layout, which)
    # Its straight lines join means over whole volumes, and do not see what recurs with these.
    piece = remove_trend(piece, inner, sfreq)
    window = np.sin(np.pi * (np.arange(2 * half) + 0.5) / (2 * half))
    n_windows = -(-n // half)
    total: np.ndarray = np.zeros((n_windows, half + 1), dtype=complex)
    power = np.zeros((n_windows, half + 1))
    at_once = _count_at_once(layout)
    for low in range(0, len(which), at_once):
        part = np.arange(low, min(low + at_once, len(which)))
        for epoch in epochs_of(transform(piece, inner, part), inner):
            spectra = _cut_windows(epoch, window, half, n_windows)
            total += spectra
            power += spectra.real**2 + spectra.imag**2
    mean = total / len(which)
    size = mean.real**2 + mean.imag**2
    noise = np.maximum(power / len(which) - size, 0.0) / (len(which) - 1)
    # Noise is alike in all windows but those in which the artifact itself changes.
    noise = np.maximum(noise, noise.mean(axis=0))
    strength = float(np.sum(_find_gain(size, noise) * size) / max(float(np.sum(noise)), 1e-300))
    # A level of all windows is the other side of what exceeds it in a few, and no artifact.
    level = fft.rfft(window)
    mean -= np.median(mean[:, 0].real) / level[0].real * level
    mean *= _find_gain(mean.real**2 + mean.imag**2, noise)
    return LockedMean(_add_windows(mean, window, half, n), strength)


def _find_gain(size: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return the part of a mean that exceeds noise; `size` is its power."""
    return np.maximum(0.0, 1.0 - EXCESS * noise / np.where(size > 0, size, np.inf))


def subtract_locked(x: np.ndarray, layout: Layout, sfreq: float, which: np.ndarray) -> None:
    """Subtract what recurs with some volumes from `x`, in place; see :func:`find_locked`."""
    found = find_locked(x, layout, sfreq, which)
    if not found.strength:
        return
    n = layout.n_samples
    # The surroundings are those of a volume among others.
    around = np.zeros((1, layout.n_fft))
    around[0, : n + 2 * HALO] = found.waveform[np.arange(-HALO, n + HALO) % n]
    spectrum = fft.rfft(around, axis=-1)
    at_once = _count_at_once(layout)
    for low in range(0, len(which), at_once):
        part = which[low : low + at_once]
        rows = sample(np.repeat(spectrum, len(part), axis=0), layout, part)
        subtract(x, rows, layout, part)


def find_volume(x: np.ndarray, layout: Layout, sfreq: float) -> int:
    """Return after how many slices a signal recurs; 1 if it does not.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal without its slices' artifacts, in V.
    layout : Layout
        Positions of the slices.
    sfreq : float
        Sampling rate, in Hz.

    Returns
    -------
    int
        The smallest number with which hardly more is left than with any other, if the variance
        between the slices of a volume clearly exceeds that of a slice over volumes.
    """
    which = np.flatnonzero(layout.usable)
    most = min(_MOST_SLICES, len(which) // MIN_VOLUMES)
    if most < 2:
        return 1
    bounds = np.rint(np.linspace(0, layout.n_samples, _N_VALUES + 1)).astype(int)
    sums = np.concatenate([[0.0], np.cumsum(x - np.mean(x))])
    edges = layout.first[which, np.newaxis] + bounds
    values = np.diff(sums[edges], axis=1) / np.maximum(np.diff(bounds), 1)
    means = values.mean(axis=1)
    # Changes from slice to slice: drift is nearly constant over a slice.
    values = np.diff(values.ravel(), prepend=values[0, 0]).reshape(values.shape)
    energy = np.cumsum(np.einsum("kv,kv->k", values, values))
    ratios, rest = np.zeros(most + 1), np.full(most + 1, np.inf)
    for p in range(2, most + 1):
        n_volumes = len(values) // p
        # Rows of whole volumes: NumPy takes three times as long over short inner axes.
        folded = values[: n_volumes * p].reshape(n_volumes, -1)
        # Sums, divided: as NumPy's mean, which takes twice as long for so few numbers.
        mean = folded.sum(axis=0) / n_volumes
        slices = mean.reshape(p, -1)
        slices = slices - slices.sum(axis=0) / p
        # What differs from the mean, without an array of it: rounding is far below any noise.
        apart = float(energy[n_volumes * p - 1]) - n_volumes * float(mean @ mean)
        within = max(apart, 0.0) / max(n_volumes - 1, 1)
        ratios[p] = n_volumes * float(np.sum(slices**2)) / within if within > 0 else 0.0
        rest[p] = within / p
    best = float(ratios.max())
    if best < _CLEAR:
        return _find_in_means(means, most)
    # Multiples of the volume explain as much; its divisors leave more.
    rest[ratios < 0.5 * best] = np.inf
    return int(np.argmax(rest <= 1.02 * rest.min()))


def _find_in_means(means: np.ndarray, most: int) -> int:
    """Return after how many slices, at most, their means recur; 1 if they do not.

    What recurs is a line spectrum. The lines are compared with the spectrum beside them, because
    EEG is not white.
    """
    steps = np.diff(means)
    numbers = np.arange(2, min(most, len(steps) // (2 * _BESIDE)) + 1)
    excess = np.zeros(len(numbers))
    for i, p in enumerate(numbers):
        n_volumes = len(steps) // p
        power = np.abs(fft.rfft(steps[: n_volumes * p])) ** 2
        lines = n_volumes * np.arange(1, p // 2 + 1)
        away = np.arange(2, _BESIDE + 1)
        beside = np.add.outer(lines, np.concatenate([-away, away])).ravel()
        usual = power[beside[beside < len(power)]].mean()
        excess[i] = 0.5 * p * (power[lines].mean() / usual - 1.0) if usual > 0 else 0.0
    error = np.sqrt(0.5 * numbers)
    if np.all(excess < _CLEAR_MEANS * error):
        return 1
    # Divisors of the volume hold fewer of its lines; multiples hold the same, and more noise.
    return int(numbers[np.argmax(excess - 3.0 * error)])


def _count_at_once(layout: Layout) -> int:
    """Return the number of volumes that are transformed at once, to bound the memory."""
    return max(1, _SAMPLES_AT_ONCE // layout.n_fft)


# ------------------------------------------------------------------------------------- windows
def _cut_windows(epoch: np.ndarray, window: np.ndarray, half: int, n_windows: int) -> np.ndarray:
    """Return spectra of overlapping windows of a volume, shape (n_windows, half + 1)."""
    n = len(epoch)
    starts = half * np.arange(n_windows)
    # The last window ends in the next volume, which begins as this one does.
    places = (starts[:, np.newaxis] + np.arange(2 * half)) % (half * n_windows)
    padded = np.zeros(half * n_windows)
    padded[:n] = epoch
    return fft.rfft(padded[places] * window, axis=-1)


def _add_windows(spectra: np.ndarray, window: np.ndarray, half: int, n: int) -> np.ndarray:
    """Return the volume that windows make up, shape (n,)."""
    n_windows = len(spectra)
    pieces = fft.irfft(spectra, 2 * half, axis=-1) * window
    whole = np.zeros(half * n_windows)
    places = (half * np.arange(n_windows)[:, np.newaxis] + np.arange(2 * half)) % len(whole)
    np.add.at(whole, places, pieces)
    return whole[:n]
