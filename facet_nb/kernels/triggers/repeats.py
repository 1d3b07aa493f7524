"""Find the slices within a volume, if only volumes are marked."""

from __future__ import annotations

import numpy as np

from facet_nb.kernels import fft

#: Smallest normalised correlation of two slices that share a template.
MIN_ALIKE = 0.9

#: Shortest slice, in s.
MIN_SLICE_S = 0.015

#: Largest interval between the last slice and the end of the volume that is not a pause, in slices.
_NO_PAUSE = 0.02

#: Number of lags per sample.
FINE = 16


def find_repeats(template: np.ndarray, period: float, sfreq: float) -> tuple[int, float]:
    """Return how many times a waveform repeats within a template, and its period in samples.

    Parameters
    ----------
    template : ndarray, shape (n_times,)
        Mean volume, high-passed, from the start of a volume to the start of the next.
    period : float
        Samples from one volume to the next.
    sfreq : float
        Sampling rate, in Hz.

    Returns
    -------
    n_repeats : int
        Number of slices in the volume (with multiband: groups of slices); 1 if nothing repeats.
    distance : float
        Samples from one slice to the next; `period` if there is only one.

    Notes
    -----
    The distance is the lag of the largest autocorrelation (normalised by the energy of the
    overlapping parts), divided by the largest integer for which the autocorrelation is about as
    large. Only silence may follow the last slice.
    """
    like = _correlate_with_itself(template)
    least = max(16, int(MIN_SLICE_S * sfreq)) * FINE
    most = (len(template) // 2 + 2) * FINE
    if most <= least:
        return 1, period
    lag = least + int(np.argmax(like[least:most]))
    if like[lag] < MIN_ALIKE:
        return 1, period
    lag = _divide(like, lag, least)
    n_whole = round(period / (lag / FINE))
    if abs(period - n_whole * lag / FINE) <= max(1.0, _NO_PAUSE * lag / FINE):
        return n_whole, period / n_whole
    n = _count_loud(template, lag / FINE)
    if n < 2:
        return 1, period
    last = _highest(like, (n - 1) * lag, FINE * (n - 1) // 2 + FINE)
    return n, last / FINE / (n - 1)


def _correlate_with_itself(x: np.ndarray) -> np.ndarray:
    """Return the normalised autocorrelation of `x` at lags of 0, 1/FINE … len(x) − 1."""
    n = len(x)
    n_fft = fft.next_fast_len(2 * n, real=True)
    spectrum = fft.rfft(x, n_fft)
    products = FINE * fft.irfft(np.abs(spectrum) ** 2, FINE * n_fft)[: FINE * (n - 1) + 1]
    energy = np.concatenate([[0.0], np.cumsum(x**2)])
    scale = np.sqrt(np.maximum(energy[n:0:-1] * (energy[n] - energy[:n]), 0.0))
    scale = np.interp(np.arange(len(products)) / FINE, np.arange(n), scale)
    quiet = scale <= 1e-3 * energy[n]
    return np.where(quiet, 0.0, products / np.where(quiet, 1.0, scale))


def _divide(like: np.ndarray, lag: int, least: int) -> int:
    """Return the shortest lag of which `lag` is a multiple, with about the same correlation."""
    for m in range(lag // least, 1, -1):
        shorter = _highest(like, round(lag / m), FINE // 2)
        if like[shorter] >= max(MIN_ALIKE, 0.95 * like[lag]):
            return shorter
    return lag


def _highest(like: np.ndarray, lag: int, reach: int) -> int:
    """Return the lag of the largest correlation around `lag`."""
    low = max(lag - reach, 1)
    return low + int(np.argmax(like[low : lag + reach + 1]))


def _count_loud(template: np.ndarray, lag: float) -> int:
    """Return the number of waveforms from the start on; 0 if anything but silence follows them."""
    n = int(len(template) / lag)
    bounds = np.rint(np.arange(n + 1) * lag).astype(int)
    energy = np.add.reduceat(np.square(template[: bounds[-1]]), bounds[:-1])
    loud = energy > 0.5 * np.max(energy)
    count = int(np.argmin(loud)) if not loud.all() else n
    rest = np.square(template[bounds[count] :]).sum()
    return count if rest < 0.5 * np.max(energy) else 0
