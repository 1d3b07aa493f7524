"""Spectra averaged over pieces of a signal, and their comparison."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def average_spectrum(
    pieces: Sequence[np.ndarray], sfreq: float, n_segment: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the power spectral density of a channel, averaged over all pieces (Welch).

    Segments (Hann window, 50 % overlap, mean removed) lie within one piece, and have equal weight.

    Parameters
    ----------
    pieces : sequence of ndarray, shape (n_times,)
        Parts of one channel, in V. Parts shorter than a segment are ignored.
    sfreq : float
        Sampling rate, in Hz.
    n_segment : int
        Length of a segment, in samples.

    Returns
    -------
    freqs : ndarray, shape (n_segment // 2 + 1,)
        Frequencies, in Hz.
    density : ndarray, shape (n_segment // 2 + 1,)
        Power spectral density, in V²/Hz; nan if no piece is long enough.

    References
    ----------
    Welch PD (1967) The use of fast Fourier transform for the estimation of power spectra. IEEE
    Trans Audio Electroacoust 15, 70-73. doi:10.1109/TAU.1967.1161901
    """
    from scipy.signal import welch

    step = n_segment - n_segment // 2
    freqs = np.fft.rfftfreq(n_segment, 1.0 / sfreq)
    total, n_all = np.zeros(len(freqs)), 0
    for piece in pieces:
        n = (len(piece) - n_segment) // step + 1
        if n > 0:
            total += n * welch(piece, fs=sfreq, nperseg=n_segment)[1]
            n_all += n
    return freqs, total / n_all if n_all else np.full(len(freqs), np.nan)


def band_power(
    freqs: np.ndarray, density: np.ndarray, bands: Sequence[tuple[float, float]]
) -> np.ndarray:
    """Return the mean density in each band, ``fmin ≤ f < fmax``.

    Parameters
    ----------
    freqs : ndarray, shape (n_freqs,)
        Frequencies, in Hz.
    density : ndarray, shape (n_freqs,)
        Power spectral density, in V²/Hz.
    bands : sequence of (fmin, fmax)
        Edges, in Hz.

    Returns
    -------
    ndarray, shape (n_bands,)
        Densities, in V²/Hz; nan for a band without any frequency.
    """
    inside = [(freqs >= fmin) & (freqs < fmax) for fmin, fmax in bands]
    return np.array([density[i].mean() if np.any(i) else np.nan for i in inside])


def percent_difference(power: np.ndarray, reference: np.ndarray) -> np.ndarray:
    r"""Return the absolute difference of powers from their references, in % of the latter.

    .. math:: 100 \, |c - n| / n

    Parameters
    ----------
    power, reference : ndarray
        Powers c and n, in the same unit, of the same shape.

    Returns
    -------
    ndarray
        Differences, 0 or more; nan where the reference is not above 0.
    """
    c, n = np.broadcast_arrays(np.asarray(power, float), np.asarray(reference, float))
    result = np.full(c.shape, np.nan)
    np.divide(100.0 * np.abs(c - n), n, out=result, where=n > 0)
    return result


def harmonic_power(
    freqs: np.ndarray, density: np.ndarray, f0: float, n_harmonics: int, tolerance_hz: float
) -> np.ndarray:
    """Return the mean density around the multiples of a frequency.

    Parameters
    ----------
    freqs : ndarray, shape (n_freqs,)
        Frequencies, in Hz.
    density : ndarray, shape (n_freqs,)
        Power spectral density, in V²/Hz.
    f0 : float
        Fundamental, in Hz.
    n_harmonics : int
        Number of multiples.
    tolerance_hz : float
        Largest distance of a frequency from a multiple, in Hz.

    Returns
    -------
    ndarray, shape (n_harmonics,)
        Densities, in V²/Hz; nan above the highest frequency, or where no frequency is in
        reach.
    """
    result = np.full(n_harmonics, np.nan)
    for k in range(1, n_harmonics + 1):
        near = np.abs(freqs - k * f0) <= tolerance_hz
        if k * f0 <= freqs[-1] and np.any(near):
            result[k - 1] = density[near].mean()
    return result


def decibels(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return 10 log10 of a ratio of powers; nan where one of them is not above 0."""
    a, b = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    result = np.full(a.shape, np.nan)
    valid = (a > 0) & (b > 0)
    result[valid] = 10.0 * (np.log10(a[valid]) - np.log10(b[valid]))
    return result
