"""Amplitudes of the gradient artifact over epochs, estimated above the EEG bands.

All functions take one channel.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from facet_nb.kernels.lowrank.highband import PORTION, find_band
from facet_nb.kernels.templates.subsample import Layout

#: Maximum number of amplitude courses besides the mean.
MAX_COURSES = 16

#: Smallest energy of an amplitude course, relative to the Marchenko-Pastur edge of noise.
MIN_ENERGY = 2.0

#: Ratio by which a course must predict held-out frequencies better than an unrelated one (median
#: over blocks), at least and relative to the number of epochs. Of 1048 epochs, muscle bursts have
#: ratios of 1 to 6, motion and drift 20 to 500.
PREDICTS, PREDICTS_OF_EPOCHS = 3.0, 0.008

#: Smallest effective number of epochs of a course, relative to all.
MIN_SPREAD = 0.015

#: Number of blocks of frequencies that are held out in turn.
_N_BLOCKS = 8

#: Smallest noise power of a frequency, relative to that just above the EEG bands.
_FLOOR = 1e-2

#: Maximum number of amplitude courses that an iteration may add.
_MORE = 5

#: Number of iterations of whitening and decomposition.
_N_ROUNDS = 5

#: If one epoch holds more than this fraction of the energy of a course, the course is spurious.
_MAX_SHARE = 0.5

#: Epochs with less than these fractions of the median energy hold no artifact, or part of one.
_ABSENT, _PARTIAL = 0.1, 0.7

#: Noise levels, relative to the median, above which epochs are weighted less, or are left out.
_LOUD, _ODD = 1.5, 8.0

#: Approximate numbers of epochs and of frequencies over which noise is estimated.
_N_FOR_NOISE, _N_FOR_LOUDNESS = 120, 64


def find_absent(high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which epochs may hold part of an artifact only, and which hold none."""
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


def find_amplitudes(
    high: np.ndarray, trained: np.ndarray, layout: Layout, sfreq: float, max_courses: int
) -> tuple[np.ndarray, np.ndarray]:
    """Estimate how the artifact changes from epoch to epoch.

    Parameters
    ----------
    high : ndarray of complex, shape (n_epochs, n_freqs_above)
        Spectra above the EEG bands.
    trained : ndarray of bool, shape (n_epochs,)
        Epochs from which amplitudes are estimated.
    layout : Layout
        Layout of these epochs.
    sfreq : float
        Sampling rate, in Hz.
    max_courses : int
        Maximum number of amplitude courses besides the mean.

    Returns
    -------
    amplitudes : ndarray, shape (n_epochs, 1 + n_found)
        Amplitude courses: the first is constant, the others have zero mean over the training
        epochs. Amplitudes of other epochs are clipped to the range of these.
    weights : ndarray, shape (n_epochs,)
        Weight of each epoch: 1, or less if it is noisier than others; 0 if it was not used for
        training.

    Notes
    -----
    Spectra are divided by the noise of each frequency and of each epoch (the median of what the
    present amplitudes do not explain) and decomposed again, five times, so that neither a noisy
    frequency nor muscle activity in some epochs dominates a component. A singular value counts if
    its square exceeds :data:`MIN_ENERGY` times the Marchenko-Pastur edge of white noise, and if it
    predicts frequencies that it was not computed from. The leading subspace is computed by power
    iteration from a fixed start.
    """
    n_freqs = high.shape[1]
    y = _centre(high, trained)
    n_free = layout.n_samples * n_freqs / (layout.n_fft // 2 + 1)
    above = np.flatnonzero(find_band(layout, sfreq))
    near = above < 2 * above[0] if n_freqs else above
    trained, scale, loud = trained.copy(), np.ones(n_freqs), np.ones(len(y), y.dtype)
    amplitudes, found, repeats = y[:, :0], 0, np.zeros(0, dtype=bool)
    for i in range(_N_ROUNDS):
        n = int(trained.sum())
        most = min(max_courses, n // 4, 2 * n_freqs, found + _MORE if i else max_courses)
        if most < 1:
            break
        y -= y[trained].mean(axis=0)
        noise = _measure_noise(y, scale, loud, trained, amplitudes[:, :found], near)
        scale *= noise
        y /= np.repeat(noise, 2).astype(y.dtype)
        if i >= _N_ROUNDS - 2:
            loud[trained] = _measure_loudness(y, loud, trained, amplitudes[:, :found])
        energy, amplitudes = _decompose(y, loud, trained, amplitudes[:, :most], most)
        edge = n_freqs / n_free * (np.sqrt(n) + np.sqrt(n_free)) ** 2
        found = int(np.sum(energy > MIN_ENERGY * edge))
        shares = np.square(amplitudes[:, :found] / loud[:, np.newaxis])
        large = (shares > _MAX_SHARE) & trained[:, np.newaxis]
        repeats = ~large.any(axis=0)
        valid = _find_valid(y, loud, trained, amplitudes[:, :found])
        # The others come behind: the next decomposition starts from them, too.
        order = np.argsort(~valid, kind="stable")
        amplitudes[:, :found] = amplitudes[:, order]
        repeats, found = repeats[order][valid[order]], int(valid.sum())
        if n - np.sum(large.any(axis=1)) >= 2:
            trained &= ~large.any(axis=1)
    kept = amplitudes[:, :found][:, repeats].astype(float)
    calm = trained & (loud <= _ODD)
    if kept.size and calm.sum() >= 2:
        kept = np.clip(kept, kept[calm].min(axis=0), kept[calm].max(axis=0))
        trained = calm
    return np.concatenate([np.ones((len(y), 1)), kept], axis=1), trained / loud


def _find_valid(
    y: np.ndarray, loud: np.ndarray, trained: np.ndarray, amplitudes: np.ndarray
) -> np.ndarray:
    """Return which amplitude courses predict frequencies that they were not computed from.

    Muscle activity makes epochs loud, but differs from frequency to frequency; changes of an
    artifact are the same at all. Each block of frequencies is predicted from the others, and the
    energy that this explains is compared to what an unrelated course would.
    """
    which = np.flatnonzero(trained)
    weights = 1.0 / loud[which]
    learned = y[which] * weights[:, np.newaxis]
    bounds = 2 * np.linspace(0, y.shape[1] // 2, _N_BLOCKS + 1).astype(int)
    valid = np.zeros(amplitudes.shape[1], dtype=bool)
    for column in range(amplitudes.shape[1]):
        course = amplitudes[which, column] * weights
        course = course / max(float(np.linalg.norm(course)), 1e-30)
        wave = course @ learned
        parts = [learned[:, a:b] @ wave[a:b] for a, b in pairwise(bounds)]
        whole = np.sum(parts, axis=0)
        ratios = []
        for part, (a, b) in zip(parts, pairwise(bounds), strict=True):
            other, block = whole - part, learned[:, a:b]
            explained = float(np.sum((other @ block) ** 2))
            expected = float(np.square(other) @ np.einsum("ij,ij->i", block, block))
            ratios.append(explained / expected if expected > 0 else 0.0)
        spread = 1.0 / max(float(np.sum(course**4)), 1e-30)
        valid[column] = float(np.median(ratios)) > max(
            PREDICTS, PREDICTS_OF_EPOCHS * len(which)
        ) and spread >= MIN_SPREAD * len(which)
        if valid[column]:
            learned -= np.outer(course, wave)
    return valid


def _centre(high: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """Return mean-free spectra with unit RMS as rows of float32, real and imaginary parts."""
    # Single precision suffices for what is at most a thousand times the noise; it halves the time.
    rest = high - high[trained].mean(axis=0)
    size = float(np.sqrt(np.mean(rest.real**2 + rest.imag**2))) if rest.size else 0.0
    return (rest / (size if size > 0 else 1.0)).astype(np.complex64).view(np.float32)


def find_nearest(wanted: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the element of `known` (ascending) nearest to each element of `wanted`."""
    after = np.clip(np.searchsorted(known, wanted), 0, len(known) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.abs(wanted - known[before]) < np.abs(known[after] - wanted)
    return known[np.where(nearer, before, after)]


def _select_trained(
    y: np.ndarray, loud: np.ndarray, trained: np.ndarray, amplitudes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return training epochs, their weights, and orthonormal weighted amplitudes."""
    which = np.flatnonzero(trained)
    weights = 1.0 / loud[which]
    return which, weights, np.linalg.qr(amplitudes[which] * weights[:, np.newaxis])[0]


def _measure_noise(
    y: np.ndarray,
    scale: np.ndarray,
    loud: np.ndarray,
    trained: np.ndarray,
    amplitudes: np.ndarray,
    near: np.ndarray,
) -> np.ndarray:
    """Return the noise of each frequency: the median over epochs of what amplitudes leave.

    Frequencies without noise (above the amplifier's low-pass) get a fraction of the noise just
    above the EEG bands.
    """
    which, weights, known = _select_trained(y, loud, trained, amplitudes)
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
    y: np.ndarray, loud: np.ndarray, trained: np.ndarray, amplitudes: np.ndarray
) -> np.ndarray:
    """Return the noise of epochs relative to the median over epochs; 1 unless much larger."""
    # The noise of an epoch is the median of what amplitudes do not explain of it, or of its
    # difference from the epoch before or after, whichever is less: an artifact that has changed
    # permanently and is not explained yet does not count as noise.
    which, weights, known = _select_trained(y, loud, trained, amplitudes)
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
    """Return squared singular values, and the amplitudes of all epochs, (n_epochs, n_found).

    They belong to the leading components of the weighted training epochs, by power iteration.
    """
    which, weights, known = _select_trained(y, loud, trained, start)
    learned = y[which] * weights[:, np.newaxis]
    more = np.random.default_rng(0).standard_normal((n_found - start.shape[1], y.shape[1]))
    rows = np.concatenate([known.T @ learned, more.astype(y.dtype)])
    for _ in range(2 if len(more) else 1):
        columns = np.linalg.qr(learned @ rows.T)[0]
        rows = columns.T @ learned
    values, rows = np.linalg.svd(rows, full_matrices=False)[1:]
    return values**2, (y @ rows.T) / np.where(values > 0, values, 1)
