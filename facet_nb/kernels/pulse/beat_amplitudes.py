"""Amplitude and delay of each heartbeat's artifact, estimated from all channels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from facet_nb.kernels import fft
from facet_nb.kernels.pulse.beats import Beats, fit_waves, render
from facet_nb.kernels.templates.averaging import take_epochs

#: Prior standard deviations of size and delay: half of the mean size, and 50 ms. Beats whose
#: artifact cannot be distinguished from EEG thereby get the mean artifact.
PRIOR_SIZE, PRIOR_DELAY_S = 0.5, 0.05

#: Number of frequencies over which spectra are smoothed to shrink waves.
N_SMOOTH = 9


@dataclass(frozen=True)
class BeatDeviations:
    """Deviation of each beat from the mean artifact.

    Attributes
    ----------
    sizes : ndarray, shape (n_beats,)
        Size relative to the mean artifact, minus 1.
    delays : ndarray, shape (n_beats,)
        Delay, in samples.
    size_evidence, delay_evidence : float
        Variance over beats, divided by that of the same estimate at positions between beats: about
        1 if all of it is due to EEG.
    """

    sizes: np.ndarray
    delays: np.ndarray
    size_evidence: float
    delay_evidence: float


def list_slow(n_beats: int, n_waves: int) -> np.ndarray:
    """Return `n_waves` slow cosines over beats, one per column; the first is constant."""
    at = (np.arange(n_beats) + 0.5) / n_beats
    return np.cos(np.pi * at[:, np.newaxis] * np.arange(n_waves))


def measure_beats(
    channels: Iterable[np.ndarray], beats: Beats, sfreq: float, weights: np.ndarray | None = None
) -> BeatDeviations:
    """Estimate how each beat deviates from the mean artifact in size and delay.

    Parameters
    ----------
    channels : iterable of ndarray, shape (n_times,)
        High-passed channels.
    beats : Beats
        Positions of beats, and the scores of slow waves, which model the mean artifact.
    sfreq : float
        Sampling rate, in Hz.
    weights : ndarray, shape (n_times,) | None
        Weight of each sample.

    Returns
    -------
    BeatDeviations
        Sizes and delays of all beats.

    Notes
    -----
    The residual of each beat is projected onto its wave and the derivative of the wave. Channels
    are weighted by the inverse of their residual variance: EEG, which differs between channels,
    averages out, but size and delay, which channels share, do not. Overlapping beats are solved for
    jointly.
    """
    from scipy.linalg import solveh_banded  # loads a tenth of SciPy

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
    # The prior adds its precision to the diagonal (ridge regression).
    band[0] += np.tile([PRIOR_SIZE**-2, (PRIOR_DELAY_S * sfreq) ** -2], n)
    found = solveh_banded(band, seen.reshape(2 * n, 2), lower=True).reshape(n, 2, 2)
    evidence = [_vary(found[:, part, 0]) / _vary(found[:, part, 1]) for part in (0, 1)]
    return BeatDeviations(found[:, 0, 0], found[:, 1, 0], *evidence)


def spread_of(values: np.ndarray) -> float:
    """Return the standard deviation of the normal distribution with the same median deviation."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _vary(values: np.ndarray) -> float:
    """Return the variance of values clipped to five standard deviations from the median."""
    middle, reach = float(np.median(values)), 5.0 * spread_of(values)
    return max(float(np.var(np.clip(values, middle - reach, middle + reach))), 1e-300)


def _place_between(starts: np.ndarray) -> np.ndarray:
    """Return positions half-way to the next beat."""
    steps = np.diff(starts)
    return starts + np.append(steps, steps[-1:] if len(steps) else [0]) // 2


def _band_of_overlaps(beats: Beats, alike: np.ndarray) -> np.ndarray:
    """Return the inner products of all beats' waves and slopes, as a lower band matrix.

    ``alike[i, j, lag]`` is the cross-correlation of parts i and j, where j starts `lag` earlier.
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
    """Return the positions of beats that were overlooked, from the artifact that they left.

    Parameters
    ----------
    channels : iterable of ndarray, shape (n_times,)
        High-passed channels.
    beats : Beats
        The known beats.
    candidates : ndarray of int, shape (n_candidates,)
        First samples of possible beats; their waves may extend beyond the recording.
    reach : int
        Largest distance from a candidate, in samples.
    least : float
        Smallest size of a beat, relative to the mean beat.

    Returns
    -------
    ndarray of int, shape (n_found,)
        First samples, each within `reach` of its candidate, at which the mean beat explains most of
        the residual of all channels.
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


def choose_scores(slow: np.ndarray, measured: BeatDeviations, least_evidence: float) -> np.ndarray:
    """Return orthonormal scores: slow waves, and size and delay if the evidence suffices.

    Sizes are clipped to -1 (no artifact) and 1 (twice the mean), and delays to four standard
    deviations, so that false detections have little influence.
    """
    columns = [slow]
    if measured.size_evidence > least_evidence:
        columns.append(np.clip(measured.sizes, -1.0, 1.0)[:, np.newaxis])
    if measured.delay_evidence > least_evidence:
        reach = 4.0 * spread_of(measured.delays)
        middle = float(np.median(measured.delays))
        columns.append(np.clip(measured.delays, middle - reach, middle + reach)[:, np.newaxis])
    return np.linalg.qr(np.concatenate(columns, axis=1))[0]


def measure_covariates(
    channels: Iterable[np.ndarray],
    beats: Beats,
    covariates: np.ndarray,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Return how much the shape of the artifact changes with known properties of the beats.

    Parameters
    ----------
    channels : iterable of ndarray, shape (n_times,)
        High-passed channels.
    beats : Beats
        Positions of beats, with the orthonormal scores of the waves that are already in the model.
    covariates : ndarray, shape (n_beats, n_covariates)
        Properties of the beats, e.g. the preceding interval.
    weights : ndarray, shape (n_times,) | None
        Weight of each sample.

    Returns
    -------
    ndarray, shape (n_covariates,)
        Power of each one's wave, divided by that of a wave of EEG alone: about 1 if the shape does
        not change with it. Mean over channels.

    Notes
    -----
    With orthonormal scores, a wave fitted to EEG alone has the power of one epoch of the residual.
    Each covariate counts beyond those before it.
    """
    n_before = beats.scores.shape[1]
    scores = np.linalg.qr(np.concatenate([beats.scores, covariates], axis=1))[0]
    both = Beats(beats.starts, beats.n_samples, scores)
    total, n = np.zeros(covariates.shape[1]), 0
    for x in channels:
        waves = fit_waves(x, both, weights=weights)
        residual = x - render(waves, both, len(x))
        epochs = take_epochs(residual, both.starts, both.n_samples)
        noise = float(np.mean(np.einsum("ij,ij->i", epochs, epochs)))
        if noise > 0:
            total += np.einsum("ij,ij->i", waves[n_before:], waves[n_before:]) / noise
            n += 1
    return total / max(n, 1)


def shrink_waves(waves: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Return waves with the expected contribution of EEG removed.

    Parameters
    ----------
    waves : ndarray, shape (n_waves, n_samples)
        Waves fitted with orthonormal scores, in V.
    residual : ndarray, shape (n_epochs, n_samples)
        Residual of each beat, in V.

    Returns
    -------
    ndarray, shape (n_waves, n_samples)
        Waves, each frequency multiplied by the fraction of its power that exceeds the residual's.

    Notes
    -----
    With orthonormal scores, a wave fitted to EEG alone has the power spectrum of one epoch of EEG,
    which is estimated by the mean spectrum N(f) of the residual. The gain is
    ``max(0, 1 - N(f) / P(f))``, where both spectra are smoothed over nine frequencies (Wiener
    filter).
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
