"""Amplitude courses of what occurs below the EEG edge only: vibrating leads, preparation pulses.

Amplitudes of single epochs cannot be observed there, because EEG exceeds them. Changes over seconds
can: they have few degrees of freedom, and all frequencies share them. So can what is in the same
slice of each volume.

All functions take one channel.
"""

from __future__ import annotations

import numpy as np

from facet_nb.kernels import fft
from facet_nb.kernels.lowrank.amplitudes import MAX_COURSES, MIN_ENERGY

#: Shortest period of a slow change, in s, and smallest number of epochs for each slow cosine.
SHORTEST_S, EPOCHS_PER_COSINE = 8.0, 10

#: Number of times that slow courses are estimated again, with what other courses took of them. Of
#: 13 recordings with a vibration, two rounds follow it to 17.6 dB, six to 18.2; twenty lose up to
#: 3 dB in those of 40 s.
_N_AGAIN = 6

#: Smallest noise power of a frequency, relative to the mean over frequencies.
_FLOOR = 1e-3

#: Power of what a slice has in each volume, relative to that of noise, above which it is no noise
#: (EEG has up to 3 at most positions, blocks have 10 to 10000), and largest part of the slices.
_DIFFERS, _MOST = 4.0, 0.25


def find_slow(
    rest: np.ndarray, others: np.ndarray, weights: np.ndarray, n_free: float, duration_s: float
) -> np.ndarray:
    """Return slow courses that all frequencies share, shape (n_epochs, n_found).

    Parameters
    ----------
    rest : ndarray of complex64, shape (n_epochs, n_freqs)
        What the other courses do not explain, below the EEG edge.
    others : ndarray, shape (n_epochs, n_others)
        Orthonormal basis of the other courses, weighted.
    weights : ndarray, shape (n_epochs,)
        Weight of each epoch.
    n_free : float
        Number of independent values of an epoch at these frequencies.
    duration_s : float
        Time from the first epoch to the end of the last one, in s.

    Notes
    -----
    The epochs are decomposed into half cosines. Their singular vectors over frequencies, whitened
    by cosines of up to half the period, are courses if they exceed the Marchenko-Pastur edge, as
    courses above the EEG edge do. A course from there that follows the same change with noise has
    taken a part of it; this part is given back, and the decomposition repeated: a change of which
    others had taken half was followed to -14 dB after two rounds, to -19 dB after six.
    """
    n_cosines = min(int(2.0 * duration_s / SHORTEST_S), len(rest) // EPOCHS_PER_COSINE)
    if n_cosines < 2 or not rest.shape[1]:
        return np.zeros((len(rest), 0))
    scale = weights[:, np.newaxis].astype(np.float32)
    weighted = rest * scale
    slow = _decompose(weighted * scale, n_cosines, n_free)
    for _ in range(_N_AGAIN):
        if not slow.shape[1]:
            break
        own = slow * weights[:, np.newaxis]
        shared = others @ (others.T @ own)
        base, mixing = np.linalg.qr(own - shared)
        waves = np.linalg.solve(mixing, base.T @ weighted)
        slow = _decompose((weighted + shared @ waves) * scale, n_cosines, n_free)
    return slow


def _decompose(epochs: np.ndarray, n_cosines: int, n_free: float) -> np.ndarray:
    """Return the sums of half cosines over the block that stand out of noise."""
    values = np.ascontiguousarray(epochs, np.complex64).view(np.float32)
    cosines = fft.dct(values, axis=0, norm="ortho")[1 : 2 * n_cosines + 1].view(np.complex64)
    noise = np.mean(cosines.real[n_cosines:] ** 2 + cosines.imag[n_cosines:] ** 2, axis=0)
    noise = np.maximum(noise, _FLOOR * noise.mean())
    white = cosines[:n_cosines] / np.sqrt(np.where(noise > 0, noise, np.inf))
    energy, vectors = np.linalg.eigh((white @ white.conj().T).real)
    edge = len(noise) / n_free * (np.sqrt(n_cosines) + np.sqrt(n_free)) ** 2
    found = vectors[:, energy > MIN_ENERGY * edge][:, ::-1][:, :MAX_COURSES]
    padded = np.zeros((len(epochs), found.shape[1]))
    padded[1 : n_cosines + 1] = found
    return fft.idct(padded, axis=0, norm="ortho")


def find_different(low: np.ndarray, weights: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Return which epochs are slices that differ from others in each volume, as courses.

    Parameters
    ----------
    low : ndarray of complex, shape (n_epochs, n_freqs)
        Spectra of epochs below the EEG edge.
    weights : ndarray, shape (n_epochs,)
        Weight of each epoch; 0 for those from which nothing is learned.
    position : ndarray of int, shape (n_epochs,)
        Number of each slice in its volume.

    Returns
    -------
    ndarray, shape (n_epochs, n_found)
        A course for each slice that differs, 1 in this slice and 0 in the others. The most
        different comes first.
    """
    which = np.flatnonzero(weights)
    n_slices = int(position.max()) + 1
    own = np.zeros((n_slices, len(low)), low.real.dtype)
    own[position[which], which] = 1.0
    counts = own.sum(axis=1)
    means = (own / np.maximum(counts, 1.0)[:, np.newaxis]) @ low
    rest = low[which] - means[position[which]]
    noise = np.mean(rest.real**2 + rest.imag**2, axis=0)
    means -= np.median(means.real, axis=0) + 1j * np.median(means.imag, axis=0)
    power = (means.real**2 + means.imag**2) / np.where(noise > 0, noise, np.inf)
    excess = counts * np.mean(power, axis=1)
    order = np.argsort(-excess, kind="stable")[: int(_MOST * n_slices)]
    found = order[excess[order] > _DIFFERS]
    return np.asarray(position[:, np.newaxis] == found, dtype=float)
