"""Preparation of epochs for the gradient correction: spectra above the EEG bands, and drift.

All functions take one channel.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from facet_nb.kernels.templates.subsample import GRID, HALO, Layout, epochs_of, transform

#: Amplitudes are estimated above this frequency, or above this fraction of a low sampling rate.
EEG_EDGE_HZ = 70.0

EEG_EDGE_OF_RATE = 0.16

#: Shortest interval whose mean is regarded as drift, in s.
_TREND_S = 0.1

#: Number of epochs that are transformed at once, to bound the memory.
PORTION = 64


def cut(x: np.ndarray, layout: Layout, which: np.ndarray) -> tuple[np.ndarray, Layout]:
    """Return the samples around some epochs, in float64, and the layout of epochs in them."""
    low = max(0, int(layout.first[which[0]]) - HALO)
    high = min(len(x), int(layout.first[which[-1]]) + layout.n_samples + HALO)
    inner = replace(
        layout,
        first=layout.first[which] - low,
        part=layout.part[which],
        usable=np.ones(len(which), dtype=bool),
        n_times=high - low,
    )
    return x[low:high].astype(np.float64), inner


def transform_all(x: np.ndarray, layout: Layout, which: np.ndarray) -> np.ndarray:
    """Return the spectra of epochs, computed in portions."""
    out = np.empty((len(which), layout.n_fft // 2 + 1), dtype=complex)
    for low in range(0, len(which), PORTION):
        out[low : low + PORTION] = transform(x, layout, which[low : low + PORTION])
    return out


def find_band(layout: Layout, sfreq: float) -> np.ndarray:
    """Return which frequencies of the transforms lie above the EEG bands, bool."""
    freqs_hz = np.fft.rfftfreq(layout.n_fft, 1.0 / sfreq)
    edge_hz = min(EEG_EDGE_HZ, EEG_EDGE_OF_RATE * sfreq)
    return (freqs_hz >= edge_hz) & (freqs_hz < 0.499 * sfreq)


def transform_high(x: np.ndarray, layout: Layout, sfreq: float) -> np.ndarray:
    """Return spectra above the EEG bands, shape (n_epochs, n_freqs_above)."""
    # Epochs are cut from second differences, and the spectra divided by the response of the
    # differences: slow EEG would otherwise leak into all frequencies, from the steps at epoch ends.
    differences = np.zeros_like(x)
    step = np.diff(x)
    np.subtract(step[1:], step[:-1], out=differences[1:-1])
    del step
    band = find_band(layout, sfreq)
    gain = 2.0 * np.cos(2.0 * np.pi * np.flatnonzero(band) / layout.n_fft) - 2.0
    out = np.empty((len(layout.first), int(band.sum())), dtype=complex)
    for low in range(0, len(out), PORTION):
        which = np.arange(low, min(low + PORTION, len(out)))
        out[which] = transform(differences, layout, which)[:, band]
    out /= gain
    return out


def average_high(x: np.ndarray, layout: Layout) -> np.ndarray:
    """Return the mean of the second differences of epochs, shape (n_samples,)."""
    which = np.flatnonzero(layout.usable)
    piece, inner = cut(x, layout, which)
    piece[1:-1] = np.diff(piece, 2)
    piece[[0, -1]] = 0.0
    total = np.zeros(layout.n_fft // 2 + 1, dtype=complex)
    for low in range(0, len(which), PORTION):
        part = np.arange(low, min(low + PORTION, len(which)))
        total += transform(piece, inner, part).sum(axis=0)
    return epochs_of(total[np.newaxis] / len(which), layout)[0]


def measure_rest(x: np.ndarray, layout: Layout) -> float:
    """Return the median residual energy after subtracting the mean epoch, of second differences."""
    which = np.flatnonzero(layout.usable)
    if len(which) < 2:
        return np.inf
    piece, inner = cut(x, layout, which)
    piece[1:-1] = np.diff(piece, 2)
    piece[[0, -1]] = 0.0
    spectra = transform_all(piece, inner, np.arange(len(which)))
    spectra -= spectra.mean(axis=0)
    return float(np.median(np.sum(spectra.real**2 + spectra.imag**2, axis=1)))


def subtract_trend(x: np.ndarray, layout: Layout, sfreq: float) -> None:
    """Subtract a piecewise linear drift from a signal, in place.

    It connects means over intervals of about 0.1 s, or over one artifact where that is longer.
    """
    # The intervals extend from onset to onset of artifacts, with fractions of samples. The artifact
    # of a slice has zero mean, as gradients end where they started, so that the means are drift.
    onsets = layout.first + layout.part / GRID
    n_apart = max(1, round(_TREND_S * sfreq / layout.n_samples))
    ends = np.append(onsets, onsets[-1] + layout.n_samples)[::n_apart]
    if len(ends) < 2:
        ends = np.array([onsets[0], onsets[-1] + layout.n_samples])
    ends = np.clip(ends, 0, len(x))
    sums = np.concatenate([[0.0], np.cumsum(x)])
    whole = np.minimum(ends.astype(int), len(x) - 1)
    at_ends = sums[whole] + (ends - whole) * x[whole]
    means = np.diff(at_ends) / np.diff(ends)
    middles = 0.5 * (ends[1:] + ends[:-1]) - 0.5
    for low in range(0, len(x), 65_536):
        part = x[low : low + 65_536]
        part -= np.interp(np.arange(low, low + len(part)), middles, means)
