"""Slow, obvious filters and resamplers, and signals to try them on."""

from __future__ import annotations

import numpy as np


def band_limited(rng, n_times, fraction, n_channels=1):
    """White noise below a fraction of the Nyquist frequency, periodic in its length."""
    spectrum = np.fft.rfft(rng.standard_normal((n_channels, n_times)), axis=-1)
    spectrum[:, int(fraction * spectrum.shape[1]) :] = 0
    return np.fft.irfft(spectrum, n_times, axis=-1)


def sines(t, freqs, phases):
    """A sum of sines at times `t`, in s."""
    return sum(np.sin(2 * np.pi * f * t + p) for f, p in zip(freqs, phases, strict=True))


def convolve_reflected(x, taps):
    """Zero-phase FIR by direct convolution over the odd reflection, zeros beyond it."""
    half = len(taps) // 2
    reach = min(half, len(x) - 1)
    left = 2 * x[0] - x[reach:0:-1]
    right = 2 * x[-1] - x[-2 : -reach - 2 : -1]
    zeros = np.zeros(half - reach)
    extended = np.concatenate([zeros, left, x, right, zeros])
    return np.array([np.dot(extended[i : i + len(taps)], taps[::-1]) for i in range(len(x))])


def cross_correlate(x, start, template, max_lag):
    """Best lag by writing out every sum."""
    piece = x[start : start + len(template) + max_lag]
    sums = []
    for lag in range(-max_lag, max_lag + 1):
        total = 0.0
        for i, value in enumerate(template):
            if 0 <= i + lag < len(piece):
                total += value * piece[i + lag]
        sums.append(total)
    return int(np.argmax(sums)) - max_lag
