"""Sliding regression on reference signals (carbon-wire loops) and their delayed copies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Principal components of the regressors count if their power, relative to the strongest, is above.
_LEAST_POWER = 1e-6


@dataclass(frozen=True)
class WireFit:
    """Regressors, and the inverse of their Gram matrix for each window; shared by all channels.

    Attributes
    ----------
    wires : ndarray, shape (n_wires, n_times + 2 * reach)
        Reference signals of unit variance, padded with zeros.
    delays : ndarray of int, shape (n_delays,)
        Delays of their copies, in samples, from ``-reach`` to ``reach``.
    reach : int
        Largest delay.
    size : int
        Length of a window, even.
    inverses : ndarray, shape (n_windows, n_regressors, n_regressors)
        Pseudo-inverse of the Gram matrix of each window.
    """

    wires: np.ndarray
    delays: np.ndarray
    reach: int
    size: int
    inverses: np.ndarray

    @property
    def n_times(self) -> int:
        """Length of the recording, in samples."""
        return self.wires.shape[1] - 2 * self.reach


def list_windows(n_times: int, size: int) -> range:
    """Return the starts of windows: half a window apart, the first at minus half a window."""
    return range(-(size // 2), n_times, size // 2)


def hann(size: int) -> np.ndarray:
    """Return a Hann window whose copies, half its length apart, add up to one."""
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * (np.arange(size) + 0.5) / size)


def prepare_wires(wires: np.ndarray, *, size: int, reach: int, step: int) -> WireFit:
    """Prepare the regression of channels on reference signals.

    Parameters
    ----------
    wires : ndarray, shape (n_wires, n_times)
        Reference signals, none of which may be constant.
    size : int
        Length of a window, in samples, even.
    reach : int
        Largest delay in either direction, in samples.
    step : int
        Distance between delays, in samples.

    Returns
    -------
    WireFit
        Regressors and inverses.
    """
    centred = wires - wires.mean(axis=1, keepdims=True)
    centred /= centred.std(axis=1, keepdims=True)
    later = np.arange(0, reach + 1, max(1, step))
    delays = np.unique(np.concatenate([-later, later]))
    padded = np.pad(centred, ((0, 0), (reach, reach)))
    fit = WireFit(padded, delays, reach, size, np.zeros(0))
    inverses = []
    for start in list_windows(wires.shape[1], size):
        x, weight, _ = take_window(fit, start)
        gram = (x * weight) @ x.T
        inverses.append(_invert(gram))
    return WireFit(padded, delays, reach, size, np.stack(inverses))


def _invert(gram: np.ndarray) -> np.ndarray:
    # Delayed copies are nearly collinear; components of negligible power would amplify noise.
    values, vectors = np.linalg.eigh(gram)
    keep = values > _LEAST_POWER * values[-1]
    return vectors[:, keep] / values[keep] @ vectors[:, keep].T


def take_window(fit: WireFit, start: int) -> tuple[np.ndarray, np.ndarray, slice]:
    """Return the regressors of a window, the weights of its samples, and their range."""
    low, high = max(start, 0), min(start + fit.size, fit.n_times)
    rows = [
        fit.wires[:, fit.reach + low - delay : fit.reach + high - delay] for delay in fit.delays
    ]
    x = np.concatenate([*rows, np.ones((1, high - low))])
    return x, hann(fit.size)[low - start : high - start], slice(low, high)


def regress(y: np.ndarray, fit: WireFit, which: slice = slice(None)) -> np.ndarray:
    """Return the part of a channel that the wires explain, without its mean.

    Parameters
    ----------
    y : ndarray, shape (n_times,)
        Channel.
    fit : WireFit
        Regressors.
    which : slice
        Windows to fit, all by default.

    Returns
    -------
    ndarray, shape (n_times,)
        Overlap-add of each window's weighted least-squares fit.

    Notes
    -----
    van der Meer, J. N., et al. (2016). Carbon-wire loop based artifact correction outperforms
    post-processing EEG/fMRI corrections. NeuroImage, 125, 880-894.
    doi:10.1016/j.neuroimage.2015.10.064
    """
    explained = np.zeros(fit.n_times)
    windows = list_windows(fit.n_times, fit.size)[which]
    for start, inverse in zip(windows, fit.inverses[which], strict=True):
        x, weight, span = take_window(fit, start)
        amounts = inverse @ (x @ (weight * y[span]))
        explained[span] += weight * (amounts[:-1] @ x[:-1])
    return explained


def explain(y: np.ndarray, fit: WireFit, which: slice = slice(None)) -> float:
    """Return the fraction of a channel's variance that the wires explain in some windows."""
    total = left = 0.0
    windows = list_windows(fit.n_times, fit.size)[which]
    for start, inverse in zip(windows, fit.inverses[which], strict=True):
        x, weight, span = take_window(fit, start)
        piece = y[span] - np.average(y[span], weights=weight)
        amounts = inverse @ (x @ (weight * piece))
        total += float(np.sum(weight * piece**2))
        left += float(np.sum(weight * (piece - amounts @ x) ** 2))
    return 1.0 - left / total if total > 0 else 0.0


def shuffle_phases(wires: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return surrogate signals with the same spectra and cross-spectra, but random phases.

    All signals get the same random phases, which preserves the correlations between them.
    """
    spectra = np.fft.rfft(wires, axis=1)
    turn = np.exp(2j * np.pi * rng.random(spectra.shape[1]))
    turn[0] = 1.0
    if wires.shape[1] % 2 == 0:
        turn[-1] = 1.0
    return np.fft.irfft(spectra * turn, wires.shape[1], axis=1)
