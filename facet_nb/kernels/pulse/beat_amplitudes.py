"""Size and delay of each heartbeat's artifact, from all channels together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy.linalg import solveh_banded

from facet_nb.kernels.pulse.beats import Beats, fit_waves, render
from facet_nb.kernels.templates.averaging import take_epochs

#: What sizes and delays are expected to be like, as a standard deviation: half of the usual size,
#: and 50 ms. Beats whose artifact cannot be told from EEG get the usual artifact.
PRIOR_SIZE, PRIOR_DELAY_S = 0.5, 0.05

#: Frequencies that share one decision about how much of a wave is artifact.
N_SMOOTH = 9


@dataclass(frozen=True)
class Measured:
    """How each beat departs from the mean artifact.

    Attributes
    ----------
    sizes : ndarray, shape (n_beats,)
        Size less 1.
    delays : ndarray, shape (n_beats,)
        Delay, in samples.
    size_evidence, delay_evidence : float
        Variance over beats, relative to that of the same measure taken between beats, where there
        is no artifact to measure: about 1 if all of it is EEG.
    """

    sizes: np.ndarray
    delays: np.ndarray
    size_evidence: float
    delay_evidence: float


def list_slow(n_beats: int, n_waves: int) -> np.ndarray:
    """Return `n_waves` slow cosines over the beats (the first is constant), one per column."""
    at = (np.arange(n_beats) + 0.5) / n_beats
    return np.cos(np.pi * at[:, np.newaxis] * np.arange(n_waves))


def measure_beats(
    channels: Iterable[np.ndarray], beats: Beats, sfreq: float, weights: np.ndarray | None = None
) -> Measured:
    """Return how far each beat departs from the waves in size and delay.

    Parameters
    ----------
    channels : iterable of ndarray, shape (n_times,)
        High-passed channels.
    beats : Beats
        Where beats are, and their mean artifact (slow waves).
    sfreq : float
        Sampling rate, in Hz.
    weights : ndarray, shape (n_times,) | None
        Weight of each sample.

    Returns
    -------
    Measured
        Sizes and delays of all beats.

    Notes
    -----
    Each beat's residual is projected onto its wave and the wave's derivative; channels count by
    the inverse of their residual variance, so that EEG, which differs between channels, averages
    out while size and delay, which do not, stay. Beats that overlap are solved for together.
    """
    n, n_waves = len(beats.starts), beats.scores.shape[1]
    n_fft = fft.next_fast_len(2 * beats.n_samples, real=True)
    spectra = np.zeros((2 * n_waves, 2 * n_waves, n_fft // 2 + 1), dtype=complex)
    seen = np.zeros((n, 2, 2))
    places = (beats.starts, _place_between(beats.starts))
    for x in channels:
        waves = fit_waves(x, beats, weights=weights)
        residual = x - render(waves, beats, len(x))
        noise = float(np.var(residual))
        if noise <= 0:
            continue
        waves = shrink_waves(waves, take_epochs(residual, beats.starts, beats.n_samples))
        slopes = -np.gradient(waves, axis=1)
        both = fft.rfft(np.concatenate([waves, slopes]), n_fft, axis=1)
        spectra += np.conj(both)[:, np.newaxis] * both[np.newaxis] / noise
        if weights is not None:
            residual *= weights
        for place, starts in enumerate(places):
            epochs = take_epochs(residual, starts, beats.n_samples)
            for part, shape in enumerate((waves, slopes)):
                rows = beats.scores @ shape
                seen[:, part, place] += np.einsum("ij,ij->i", epochs, rows) / noise
    band = _band_of_overlaps(beats, fft.irfft(spectra, n_fft, axis=-1))
    band[0] += np.tile([PRIOR_SIZE**-2, (PRIOR_DELAY_S * sfreq) ** -2], n)
    found = solveh_banded(band, seen.reshape(2 * n, 2), lower=True).reshape(n, 2, 2)
    evidence = [_vary(found[:, part, 0]) / _vary(found[:, part, 1]) for part in (0, 1)]
    return Measured(found[:, 0, 0], found[:, 1, 0], *evidence)


def spread_of(values: np.ndarray) -> float:
    """Return the standard deviation that a normal distribution with this median deviation has."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _vary(values: np.ndarray) -> float:
    """Return the variance, where values count up to five standard deviations from the median."""
    middle, reach = float(np.median(values)), 5.0 * spread_of(values)
    return max(float(np.var(np.clip(values, middle - reach, middle + reach))), 1e-300)


def _place_between(starts: np.ndarray) -> np.ndarray:
    """Return places half-way to the next beat."""
    steps = np.diff(starts)
    return starts + np.append(steps, steps[-1:] if len(steps) else [0]) // 2


def _band_of_overlaps(beats: Beats, alike: np.ndarray) -> np.ndarray:
    """Return the inner products of all beats' waves and slopes, as a lower band matrix.

    `alike[i, j, lag]` is the correlation of part ``i`` with part ``j`` that begins `lag` earlier.
    """
    n, n_waves = beats.scores.shape
    starts = beats.starts
    reach = int(np.max(np.searchsorted(starts, starts + beats.n_samples) - np.arange(n)))
    band = np.zeros((2 * reach, 2 * n))
    for apart in range(reach):
        first = np.arange(n - apart)
        lags = starts[first + apart] - starts[first]
        first, lags = first[lags < beats.n_samples], lags[lags < beats.n_samples]
        for later, earlier in ((0, 0), (1, 0), (0, 1), (1, 1)):
            below = 2 * apart + later - earlier
            if below < 0:
                continue
            rows = slice(later * n_waves, (later + 1) * n_waves)
            columns = slice(earlier * n_waves, (earlier + 1) * n_waves)
            block = alike[rows, columns][:, :, lags]
            a, b = beats.scores[first + apart], beats.scores[first]
            band[below, 2 * first + earlier] = np.einsum("ki,ijk,kj->k", a, block, b)
    return band


def find_overlooked(
    channels: Iterable[np.ndarray], beats: Beats, candidates: np.ndarray, reach: int, least: float
) -> np.ndarray:
    """Return where beats begin that were overlooked, by the artifact that they left.

    Parameters
    ----------
    channels : iterable of ndarray, shape (n_times,)
        High-passed channels.
    beats : Beats
        The beats that are known.
    candidates : ndarray of int, shape (n_candidates,)
        First samples of beats that may have been overlooked; their waves may begin before the
        recording, or end after it.
    reach : int
        How far from there they may be, in samples.
    least : float
        Size, relative to the mean beat's, from which there is one.

    Returns
    -------
    ndarray of int, shape (n_found,)
        First samples, each within `reach` of its candidate, where the mean beat explains most of
        what is left in all channels.
    """
    seen = np.zeros((len(candidates), 2 * reach + 1))
    energy = np.zeros_like(seen)
    for x in channels:
        waves = fit_waves(x, beats)
        residual = x - render(waves, beats, len(x))
        noise = float(np.var(residual))
        if noise <= 0:
            continue
        shape = beats.scores.mean(axis=0) @ waves
        pieces = take_epochs(residual, candidates - reach, beats.n_samples + 2 * reach)
        inside = take_epochs(np.ones(len(x)), candidates - reach, beats.n_samples + 2 * reach)
        for i, (piece, known) in enumerate(zip(pieces, inside, strict=True)):
            seen[i] += np.correlate(piece, shape, "valid") / noise
            energy[i] += np.correlate(known, shape**2, "valid") / noise
    enough = energy > 0.2 * np.max(energy, initial=0.0)
    size = np.divide(seen, energy, out=np.zeros_like(seen), where=enough & (seen > 0))
    best = np.argmax(size**2 * energy, axis=1)
    rows = np.arange(len(candidates))
    found = (candidates - reach + best)[size[rows, best] >= least]
    return np.unique(found)


def choose_scores(slow: np.ndarray, measured: Measured, least_evidence: float) -> np.ndarray:
    """Return orthonormal scores: slow waves, and size and delay where there is evidence of them.

    Sizes count from -1 (no artifact at all) to 1 (twice the usual), delays up to four standard
    deviations, so that a beat that was none does not decide.
    """
    columns = [slow]
    if measured.size_evidence > least_evidence:
        columns.append(np.clip(measured.sizes, -1.0, 1.0)[:, np.newaxis])
    if measured.delay_evidence > least_evidence:
        reach = 4.0 * spread_of(measured.delays)
        middle = float(np.median(measured.delays))
        columns.append(np.clip(measured.delays, middle - reach, middle + reach)[:, np.newaxis])
    return np.linalg.qr(np.concatenate(columns, axis=1))[0]


def shrink_waves(waves: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Return waves without what EEG alone would have put into them.

    Parameters
    ----------
    waves : ndarray, shape (n_waves, n_samples)
        Waves fitted with orthonormal scores, in V.
    residual : ndarray, shape (n_epochs, n_samples)
        What is left in each beat, in V.

    Returns
    -------
    ndarray, shape (n_waves, n_samples)
        Waves, each frequency multiplied by the part of its power that is above the residual's.

    Notes
    -----
    With orthonormal scores a wave made of EEG has the power spectrum of one epoch of EEG, so that
    the mean spectrum of the residual is what to expect where there is no artifact: the gain is
    ``max(0, 1 - N(f) / P(f))``, both smoothed over nine frequencies (a Wiener filter).
    """
    n_samples = waves.shape[1]
    spectra = fft.rfft(waves, axis=1)
    noise = np.mean(np.abs(fft.rfft(residual, axis=1)) ** 2, axis=0)
    power = np.stack([_smooth(row) for row in np.abs(spectra) ** 2])
    gain = 1.0 - _smooth(noise) / np.maximum(power, np.finfo(float).tiny)
    return fft.irfft(spectra * np.clip(gain, 0.0, 1.0), n_samples, axis=1)


def _smooth(values: np.ndarray) -> np.ndarray:
    padded = np.pad(values, N_SMOOTH // 2, mode="edge")
    return np.convolve(padded, np.full(N_SMOOTH, 1.0 / N_SMOOTH), "valid")
