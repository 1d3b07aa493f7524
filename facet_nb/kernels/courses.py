"""Courses of the gradient artifact: how it changes from epoch to epoch, told above the EEG's bands.

All functions take one channel.
"""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.highband import PORTION, find_band
from facet_nb.kernels.subsample import Layout

#: Most courses besides the mean.
MAX_COURSES = 16
#: Least energy of a course, in units of the largest that noise alone makes (Marchenko-Pastur).
MIN_ENERGY = 2.0
#: Noise at no frequency counts as less than this part of that just above the EEG's bands.
_FLOOR = 1e-2
#: Rounds of whitening and decomposition.
_N_ROUNDS = 4
#: An epoch that makes up more than this of a course has it for itself: nothing that repeats.
_MAX_SHARE = 0.5
#: An epoch with less than this part of the usual energy holds no artifact, or perhaps a part of it.
_ABSENT, _PARTIAL = 0.1, 0.7
#: Epochs whose median tells the noise of a frequency, about.
_N_FOR_NOISE = 250


def find_absent(high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which epochs hold less artifact than usual, and which hold hardly any."""
    mean = high.mean(axis=0)
    locked = float(np.sum(np.abs(mean) ** 2))
    values, usual = high.view(float), mean.view(float)
    energy = np.einsum("ij,ij->i", values, values)
    rest = energy - 2.0 * np.einsum("ij,j->i", values, usual) + locked
    nothing = np.zeros(len(high), dtype=bool)
    if not locked > 0 or np.median(rest) / (2 * high.shape[1]) > 0.01 * locked:
        return nothing, nothing
    limit = float(np.median(energy))
    absent = energy < _ABSENT * limit
    if len(high) - absent.sum() < 2:
        return nothing, nothing
    return energy < _PARTIAL * limit, absent


def find_courses(
    high: np.ndarray, trained: np.ndarray, layout: Layout, sfreq: float, max_courses: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return how the artifact changes from epoch to epoch.

    Parameters
    ----------
    high : ndarray of complex, shape (n_epochs, n_freqs_above)
        Spectra above the EEG's bands; overwritten.
    trained : ndarray of bool, shape (n_epochs,)
        Epochs to learn from.
    layout : Layout
        Of these epochs.
    sfreq : float
        Sampling rate, in Hz.
    max_courses : int
        Most courses besides the mean.

    Returns
    -------
    courses : ndarray, shape (n_epochs, 1 + n_found)
        The first is constant, the others have no mean over the epochs learned from. An epoch
        that was not learned from has the values of the nearest one that was.
    trained : ndarray of bool, shape (n_epochs,)
        Epochs that were learned from: without those that are like no other.

    Notes
    -----
    Spectra are whitened by the noise of each frequency, which is what the courses found so far do
    not explain (median over epochs), and decomposed anew, four times. A singular value counts if
    its square exceeds :data:`MIN_ENERGY` times the Marchenko-Pastur edge of white noise. The
    leading subspace is found by power iteration from a fixed start.
    """
    y = high.view(float)
    n_freqs = high.shape[1]
    n_free = layout.n_samples * n_freqs / (layout.n_fft // 2 + 1)
    above = np.flatnonzero(find_band(layout, sfreq))
    near = above < 2 * above[0] if n_freqs else above
    trained, scale = trained.copy(), np.ones(n_freqs)
    courses = np.zeros((len(y), 0))
    found, repeats = 0, np.zeros(0, dtype=bool)
    for _ in range(_N_ROUNDS):
        n = int(trained.sum())
        most = min(max_courses, n // 4, 2 * n_freqs)
        if most < 1:
            break
        y -= y[trained].mean(axis=0)
        _whiten(y, scale, trained, courses[:, :found], near)
        energy, courses = _decompose(y, trained, courses[:, :most], most)
        edge = n_freqs / n_free * (np.sqrt(n) + np.sqrt(n_free)) ** 2
        found = int(np.sum(energy > MIN_ENERGY * edge))
        large = (np.square(courses[:, :found]) > _MAX_SHARE) & trained[:, np.newaxis]
        repeats = ~large.any(axis=0)
        if n - np.sum(large.any(axis=1)) >= 2:
            trained &= ~large.any(axis=1)
    kept = courses[:, :found][:, repeats]
    kept = kept[find_nearest(np.arange(len(y)), np.flatnonzero(trained))]
    return np.concatenate([np.ones((len(y), 1)), kept], axis=1), trained


def find_nearest(wanted: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the one of `known` (rising numbers) that is nearest to each number wanted."""
    after = np.clip(np.searchsorted(known, wanted), 0, len(known) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.abs(wanted - known[before]) < np.abs(known[after] - wanted)
    return known[np.where(nearer, before, after)]


def _whiten(
    y: np.ndarray, scale: np.ndarray, trained: np.ndarray, courses: np.ndarray, near: np.ndarray
) -> None:
    """Divide frequencies by their noise, in place, and multiply `scale` by it.

    Noise is what the courses do not explain. Frequencies without any (above the amplifier's
    low-pass) get a part of the noise just above the EEG's bands.
    """
    known = np.linalg.qr(courses[trained])[0]
    some = np.flatnonzero(trained)[:: max(1, len(known) // _N_FOR_NOISE)]
    seen = known[:: max(1, len(known) // _N_FOR_NOISE)]
    n_freqs = y.shape[1] // 2
    noise = np.empty(n_freqs)
    for low in range(0, n_freqs, PORTION):
        part = y[:, 2 * low : 2 * (low + PORTION)]
        part = part[some] - seen @ (known.T @ part[trained])
        power = part[:, ::2] ** 2 + part[:, 1::2] ** 2
        noise[low : low + PORTION] = np.median(power, axis=0)
    noise *= len(known) / (np.log(2.0) * max(len(known) - known.shape[1] - 1, 1))
    least = _FLOOR * np.median((noise * scale**2)[near])
    noise = np.sqrt(np.maximum(noise, least / scale**2))
    noise[noise == 0] = 1.0
    scale *= noise
    y /= np.repeat(noise, 2)


def _decompose(
    y: np.ndarray, trained: np.ndarray, start: np.ndarray, n_found: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return squared singular values, and the courses of all epochs, shape (n_epochs, n_found).

    Leading ones of the epochs learned from, by power iteration; courses have length 1 over these.
    """
    learned = y if trained.all() else y[trained]
    if start.shape[1] == n_found:
        rows, n_times = start[trained].T @ learned, 1
    else:
        rows, n_times = np.random.default_rng(0).standard_normal((n_found, y.shape[1])), 2
    for _ in range(n_times):
        columns = np.linalg.qr(learned @ rows.T)[0]
        rows = columns.T @ learned
    values, rows = np.linalg.svd(rows, full_matrices=False)[1:]
    return values**2, (y @ rows.T) / np.where(values > 0, values, 1.0)
