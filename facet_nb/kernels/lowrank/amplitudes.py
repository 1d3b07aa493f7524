"""Courses of the gradient artifact: how it changes from epoch to epoch, told above the EEG's bands.

All functions take one channel.
"""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.lowrank.highband import PORTION, find_band
from facet_nb.kernels.templates.subsample import Layout

#: Most courses besides the mean.
MAX_COURSES = 16

#: Least energy of a course, in units of the largest that noise alone makes (Marchenko-Pastur).
MIN_ENERGY = 2.0

#: Noise at no frequency counts as less than this part of that just above the EEG's bands.
_FLOOR = 1e-2

#: Courses that a round may find besides those of the round before.
_MORE = 5

#: Rounds of whitening and decomposition.
_N_ROUNDS = 5

#: An epoch that makes up more than this of a course has it for itself: nothing that repeats.
_MAX_SHARE = 0.5

#: An epoch with less than this part of the usual energy holds no artifact, or perhaps a part of it.
_ABSENT, _PARTIAL = 0.1, 0.7

#: How many times noisier than usual an epoch must be to count less, and not at all.
_LOUD, _ODD = 1.5, 8.0

#: Epochs whose median tells the noise of a frequency, and frequencies for an epoch, about.
_N_FOR_NOISE, _N_FOR_LOUDNESS = 120, 64


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
        Spectra above the EEG's bands.
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
        The first is constant, the others have no mean over the epochs learned from. Values of
        other epochs are within the range of these.
    weights : ndarray, shape (n_epochs,)
        How much an epoch tells: 1, less where it is noisier than others, 0 if it was not learned
        from (not to be, or because it is like no other).

    Notes
    -----
    Spectra are divided by the noise of each frequency and of each epoch, which is what the courses
    found so far do not explain (medians), and decomposed anew, five times; so neither a frequency
    nor muscle activity in some epochs makes a course of its own. A singular value counts if its
    square exceeds :data:`MIN_ENERGY` times the Marchenko-Pastur edge of white noise. The leading
    subspace is found by power iteration from a fixed start.
    """
    n_freqs = high.shape[1]
    y = _centre(high, trained)
    n_free = layout.n_samples * n_freqs / (layout.n_fft // 2 + 1)
    above = np.flatnonzero(find_band(layout, sfreq))
    near = above < 2 * above[0] if n_freqs else above
    trained, scale, loud = trained.copy(), np.ones(n_freqs), np.ones(len(y), y.dtype)
    courses, found, repeats = y[:, :0], 0, np.zeros(0, dtype=bool)
    for i in range(_N_ROUNDS):
        n = int(trained.sum())
        most = min(max_courses, n // 4, 2 * n_freqs, found + _MORE if i else max_courses)
        if most < 1:
            break
        y -= y[trained].mean(axis=0)
        noise = _measure_noise(y, scale, loud, trained, courses[:, :found], near)
        scale *= noise
        y /= np.repeat(noise, 2).astype(y.dtype)
        if i >= _N_ROUNDS - 2:
            loud[trained] = _measure_loudness(y, loud, trained, courses[:, :found])
        energy, courses = _decompose(y, loud, trained, courses[:, :most], most)
        edge = n_freqs / n_free * (np.sqrt(n) + np.sqrt(n_free)) ** 2
        found = int(np.sum(energy > MIN_ENERGY * edge))
        shares = np.square(courses[:, :found] / loud[:, np.newaxis])
        large = (shares > _MAX_SHARE) & trained[:, np.newaxis]
        repeats = ~large.any(axis=0)
        if n - np.sum(large.any(axis=1)) >= 2:
            trained &= ~large.any(axis=1)
    kept = courses[:, :found][:, repeats].astype(float)
    calm = trained & (loud <= _ODD)
    if kept.size and calm.sum() >= 2:
        kept = np.clip(kept, kept[calm].min(axis=0), kept[calm].max(axis=0))
        trained = calm
    return np.concatenate([np.ones((len(y), 1)), kept], axis=1), trained / loud


def _centre(high: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """Return spectra without their mean, of size 1, as rows of float32, real and imaginary.

    Single precision does for what is a thousand times the noise at most; it halves the time.
    """
    rest = high - high[trained].mean(axis=0)
    size = float(np.sqrt(np.mean(rest.real**2 + rest.imag**2))) if rest.size else 0.0
    return (rest / (size if size > 0 else 1.0)).astype(np.complex64).view(np.float32)


def find_nearest(wanted: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the one of `known` (rising numbers) that is nearest to each number wanted."""
    after = np.clip(np.searchsorted(known, wanted), 0, len(known) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.abs(wanted - known[before]) < np.abs(known[after] - wanted)
    return known[np.where(nearer, before, after)]


def _take_known(
    y: np.ndarray, loud: np.ndarray, trained: np.ndarray, courses: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return epochs learned from, their weights, and the orthonormal courses of weighted epochs."""
    which = np.flatnonzero(trained)
    weights = 1.0 / loud[which]
    return which, weights, np.linalg.qr(courses[which] * weights[:, np.newaxis])[0]


def _measure_noise(
    y: np.ndarray,
    scale: np.ndarray,
    loud: np.ndarray,
    trained: np.ndarray,
    courses: np.ndarray,
    near: np.ndarray,
) -> np.ndarray:
    """Return the noise of each frequency: what courses do not explain, median over epochs.

    Frequencies without any (above the amplifier's low-pass) get a part of the noise just above the
    EEG's bands.
    """
    which, weights, known = _take_known(y, loud, trained, courses)
    some = slice(None, None, max(1, len(which) // _N_FOR_NOISE))
    noise = np.empty(y.shape[1] // 2)
    for low in range(0, len(noise), PORTION):
        part = y[which, 2 * low : 2 * (low + PORTION)] * weights[:, np.newaxis]
        part = part[some] - known[some] @ (known.T @ part)
        power = part[:, ::2] ** 2 + part[:, 1::2] ** 2
        power = np.ascontiguousarray(power.T)
        noise[low : low + PORTION] = np.median(power, axis=1, overwrite_input=True)
    noise *= len(known) / (np.log(2.0) * max(len(known) - known.shape[1] - 1, 1))
    least = _FLOOR * np.median((noise * scale**2)[near])
    noise = np.sqrt(np.maximum(noise, least / scale**2))
    noise[noise == 0] = 1.0
    return noise


def _measure_loudness(
    y: np.ndarray, loud: np.ndarray, trained: np.ndarray, courses: np.ndarray
) -> np.ndarray:
    """Return how much noisier epochs are than usual: 1 unless much so.

    The noise of an epoch is what courses do not explain of it, or of its difference from the epoch
    before or after, whichever is less (medians): an artifact that has changed and stays so, and
    is not explained yet, is no noise.
    """
    which, weights, known = _take_known(y, loud, trained, courses)
    some = np.arange(y.shape[1])[:: max(1, y.shape[1] // _N_FOR_LOUDNESS)]
    part = y[np.ix_(which, some)]
    part -= (known / weights[:, np.newaxis]) @ (known.T @ (part * weights[:, np.newaxis]))
    least = np.median(part**2, axis=1)
    if len(part) > 2:
        change = 0.5 * np.median(np.diff(part, axis=0) ** 2, axis=1)
        least[1:] = np.minimum(least[1:], change)
        least[:-1] = np.minimum(least[:-1], change)
    usual = float(np.median(least))
    level = np.sqrt(least / usual) if usual > 0 else np.ones(len(which))
    return np.where(level < _LOUD, 1.0, level)


def _decompose(
    y: np.ndarray, loud: np.ndarray, trained: np.ndarray, start: np.ndarray, n_found: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return squared singular values, and the courses of all epochs, shape (n_epochs, n_found).

    Leading ones of the weighted epochs learned from, by power iteration.
    """
    which, weights, known = _take_known(y, loud, trained, start)
    learned = y[which] * weights[:, np.newaxis]
    more = np.random.default_rng(0).standard_normal((n_found - start.shape[1], y.shape[1]))
    rows = np.concatenate([known.T @ learned, more.astype(y.dtype)])
    for _ in range(2 if len(more) else 1):
        columns = np.linalg.qr(learned @ rows.T)[0]
        rows = columns.T @ learned
    values, rows = np.linalg.svd(rows, full_matrices=False)[1:]
    return values**2, (y @ rows.T) / np.where(values > 0, values, 1)
