r"""Gradient artifacts as few waveforms with a course each: subtraction that leaves EEG alone.

Epoch `k` of a channel, on the artifacts' own grid, is

.. math:: X_k(f) = \sum_r u_r(k) \, c_r(f) + E_k(f) ,

a few waveforms `c` (the mean artifact; how it changes with motion, drift, slice and position
between samples) times their courses `u` over epochs, plus EEG. Courses are found above the EEG's
bands, where the artifact outweighs all else; waveforms follow by regression on them over *all*
epochs of a block, so that only about (number of courses) / (number of epochs) of the EEG's energy
enters them, and are then shrunk frequency by frequency, where they are not above what EEG alone
would give.

All functions take one channel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import fft

from facet_nb.kernels.subsample import (
    FLAT,
    GRID,
    HALO,
    TAPER,
    Layout,
    epochs_of,
    sample,
    subtract,
    transform,
)

#: Courses are looked for above this frequency, or this fraction of a low sampling rate.
EEG_EDGE_HZ = 70.0
EEG_EDGE_OF_RATE = 0.16
#: Most courses besides the mean.
MAX_COURSES = 16
#: Least energy of a course, in units of the largest that noise alone makes (Marchenko-Pastur).
MIN_ENERGY = 2.0
#: Noise power that a waveform must exceed at a frequency: exp(-3), 5 % of noise does.
SHRINKAGE = 3.0
#: Noise at no frequency counts as less than this part of that just above the EEG's bands.
_FLOOR = 1e-2
#: Rounds of whitening and decomposition.
_N_ROUNDS = 4
#: An epoch that makes up more than this of a course has it for itself: nothing that repeats.
_MAX_SHARE = 0.5
#: An epoch with less than this part of the usual energy holds no artifact, or perhaps a part of it.
_ABSENT, _PARTIAL = 0.1, 0.7
_PORTION = 64
#: Epochs whose median tells the noise of a frequency, about.
_N_FOR_NOISE = 250
#: Shortest time whose mean counts as drift, in s: longer than the period of any EEG in question.
_TREND_S = 0.1


@dataclass(frozen=True)
class Model:
    """Waveforms of a block of epochs, and their courses.

    Attributes
    ----------
    courses : ndarray, shape (n_epochs, n_courses)
        The first is constant.
    waveforms : ndarray of complex, shape (n_courses, n_freqs)
        Spectra, as :func:`facet_nb.kernels.subsample.transform` makes them.
    doubtful : ndarray of bool, shape (n_epochs,)
        Epochs that may hold no artifact, or only a part of it.
    """

    courses: np.ndarray
    waveforms: np.ndarray
    doubtful: np.ndarray


def correct(
    x: np.ndarray,
    layout: Layout,
    sfreq: float,
    *,
    block_s: float = 600.0,
    shrinkage: float = SHRINKAGE,
    max_courses: int = MAX_COURSES,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return the signal without its artifacts.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, in V.
    layout : Layout
        Where artifacts are.
    sfreq : float
        Sampling rate, in Hz.
    block_s : float
        Longest time that shares waveforms, in s.
    shrinkage : float
        Noise power that a waveform must exceed at a frequency to be subtracted there; 0 subtracts
        everywhere.
    max_courses : int
        Most courses besides the mean; 0 is a plain mean.
    out : ndarray, shape (n_times,) | None
        Where to put the result; not `x`.

    Returns
    -------
    ndarray, shape (n_times,)
        Corrected signal, in V.
    """
    out = np.empty_like(x) if out is None else out
    out[...] = x
    for which in list_blocks(layout, sfreq, block_s):
        pool = which[layout.usable[which]]
        if len(pool) < 2:
            continue
        model = fit(x, layout, pool, sfreq, shrinkage=shrinkage, max_courses=max_courses)
        _subtract_model(x, out, layout, which, pool, model)
    return out


def list_blocks(layout: Layout, sfreq: float, block_s: float) -> list[np.ndarray]:
    """Return the epochs of each block: equally many, of `block_s` in all at most."""
    n_epochs = len(layout.first)
    most = max(2, int(block_s * sfreq / layout.n_samples))
    return np.array_split(np.arange(n_epochs), max(1, -(-n_epochs // most)))


def fit(
    x: np.ndarray,
    layout: Layout,
    which: np.ndarray,
    sfreq: float,
    *,
    shrinkage: float = SHRINKAGE,
    max_courses: int = MAX_COURSES,
) -> Model:
    """Return waveforms and courses of some epochs.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, in V.
    layout : Layout
        Where artifacts are.
    which : ndarray of int, shape (n_epochs,)
        The epochs; usable ones only, at least two.
    sfreq : float
        Sampling rate, in Hz.
    shrinkage, max_courses
        As in :func:`correct`.

    Returns
    -------
    Model
        Of these epochs.
    """
    piece, inner = _cut(x, layout, which)
    everyone = np.arange(len(which))
    high = _transform_high(piece, inner, sfreq)
    doubtful, absent = _find_absent(high)
    courses, trained = find_courses(high, ~absent, inner, sfreq, max_courses)
    del high
    _take_trend(piece, inner, sfreq)
    spectra = _transform(piece, inner, everyone)
    del piece
    n_low = int(np.argmax(find_band(inner, sfreq)))
    waveforms, noise, courses = _regress(spectra, courses, trained, n_low)
    if shrinkage > 0:
        waveforms = _shrink(waveforms, noise, inner, shrinkage)
    return Model(courses, waveforms, doubtful)


# ------------------------------------------------------------------------------------ what is seen
def _cut(x: np.ndarray, layout: Layout, which: np.ndarray) -> tuple[np.ndarray, Layout]:
    """Return the samples around some epochs, in float64, and these epochs' layout within them."""
    low = max(0, int(layout.first[which[0]]) - HALO)
    high = min(len(x), int(layout.first[which[-1]]) + layout.n_samples + HALO)
    inner = replace(
        layout,
        first=layout.first[which] - low,
        part=layout.part[which],
        usable=np.ones(len(which), dtype=bool),
        n_times=high - low,
    )
    return x[low:high].astype(np.float64), inner


def _transform(x: np.ndarray, layout: Layout, which: np.ndarray) -> np.ndarray:
    """Return spectra of epochs, made some at a time."""
    out = np.empty((len(which), layout.n_fft // 2 + 1), dtype=complex)
    for low in range(0, len(which), _PORTION):
        out[low : low + _PORTION] = transform(x, layout, which[low : low + _PORTION])
    return out


def find_band(layout: Layout, sfreq: float) -> np.ndarray:
    """Return which frequencies of the transforms lie above the EEG's bands, bool."""
    freqs_hz = np.fft.rfftfreq(layout.n_fft, 1.0 / sfreq)
    edge_hz = min(EEG_EDGE_HZ, EEG_EDGE_OF_RATE * sfreq)
    return (freqs_hz >= edge_hz) & (freqs_hz < 0.499 * sfreq)


def _transform_high(x: np.ndarray, layout: Layout, sfreq: float) -> np.ndarray:
    """Return spectra above the EEG's bands, shape (n_epochs, n_freqs_above).

    Epochs are cut from second differences, whose ends do not jump: else slow EEG would leak into
    all frequencies. The spectra are divided by what differencing does.
    """
    differences = np.zeros_like(x)
    step = np.diff(x)
    np.subtract(step[1:], step[:-1], out=differences[1:-1])
    del step
    band = find_band(layout, sfreq)
    gain = 2.0 * np.cos(2.0 * np.pi * np.flatnonzero(band) / layout.n_fft) - 2.0
    out = np.empty((len(layout.first), int(band.sum())), dtype=complex)
    for low in range(0, len(out), _PORTION):
        which = np.arange(low, min(low + _PORTION, len(out)))
        out[which] = transform(differences, layout, which)[:, band]
    out /= gain
    return out


def average_high(x: np.ndarray, layout: Layout) -> np.ndarray:
    """Return the mean of the second differences of epochs, shape (n_samples,)."""
    which = np.flatnonzero(layout.usable)
    piece, inner = _cut(x, layout, which)
    piece[1:-1] = np.diff(piece, 2)
    piece[[0, -1]] = 0.0
    total = np.zeros(layout.n_fft // 2 + 1, dtype=complex)
    for low in range(0, len(which), _PORTION):
        part = np.arange(low, min(low + _PORTION, len(which)))
        total += transform(piece, inner, part).sum(axis=0)
    return epochs_of(total[np.newaxis] / len(which), layout)[0]


def measure_rest(x: np.ndarray, layout: Layout) -> float:
    """Return the median energy that a mean of all epochs leaves, in second differences."""
    which = np.flatnonzero(layout.usable)
    if len(which) < 2:
        return np.inf
    piece, inner = _cut(x, layout, which)
    piece[1:-1] = np.diff(piece, 2)
    piece[[0, -1]] = 0.0
    spectra = _transform(piece, inner, np.arange(len(which)))
    spectra -= spectra.mean(axis=0)
    return float(np.median(np.sum(spectra.real**2 + spectra.imag**2, axis=1)))


def _take_trend(x: np.ndarray, layout: Layout, sfreq: float) -> None:
    """Subtract the straight lines between means over two seconds or more, in place.

    Means go from one artifact's beginning to another's, parts of samples included. A slice's
    artifact has no mean: gradients end where they began. What the means tell is drift.
    """
    onsets = layout.first + layout.part / GRID
    n_apart = max(1, round(_TREND_S * sfreq / layout.n_samples))
    ends = np.append(onsets, onsets[-1] + layout.n_samples)[::n_apart]
    if len(ends) < 2:
        ends = np.array([onsets[0], onsets[-1] + layout.n_samples])
    ends = np.clip(ends, 0, len(x))
    sums = np.concatenate([[0.0], np.cumsum(x)])
    whole = np.minimum(ends.astype(int), len(x) - 1)
    at_ends = sums[whole] + (ends - whole) * x[whole]
    means = np.diff(at_ends) / np.diff(ends)
    middles = 0.5 * (ends[1:] + ends[:-1]) - 0.5
    for low in range(0, len(x), 65_536):
        part = x[low : low + 65_536]
        part -= np.interp(np.arange(low, low + len(part)), middles, means)


def _find_absent(high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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


# ------------------------------------------------------------------------------------ courses
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
        The first is constant, the others have no mean over the epochs learned from.
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
    courses, shares = np.zeros((len(y), 0)), np.zeros((len(y), 0))
    found = 0
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
        shares = np.square(courses[:, :found])
        alone = trained & np.any(shares > _MAX_SHARE, axis=1)
        if n - alone.sum() >= 2:
            trained &= ~alone
    repeats = shares[trained].max(axis=0, initial=0.0) <= _MAX_SHARE
    kept = courses[:, :found][:, repeats]
    if kept.size:
        kept = np.clip(kept, kept[trained].min(axis=0), kept[trained].max(axis=0))
    return np.concatenate([np.ones((len(y), 1)), kept], axis=1), trained


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
    for low in range(0, n_freqs, _PORTION):
        part = y[:, 2 * low : 2 * (low + _PORTION)]
        part = part[some] - seen @ (known.T @ part[trained])
        power = part[:, ::2] ** 2 + part[:, 1::2] ** 2
        noise[low : low + _PORTION] = np.median(power, axis=0)
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


# ------------------------------------------------------------------------------------ waveforms
def _regress(
    spectra: np.ndarray, courses: np.ndarray, trained: np.ndarray, n_low: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return waveforms, the noise power of each frequency, and courses of length 1.

    Waveforms are coefficients of the courses, which are made orthonormal over the epochs learned
    from; so that the noise of each waveform is that of one epoch.
    """
    base, mixing = np.linalg.qr(courses[trained])
    unit = np.zeros(courses.shape)
    unit[trained] = base
    waveforms = (unit.T @ spectra.view(float)).view(complex)
    power = np.zeros(spectra.shape[1])
    for row in map(spectra.__getitem__, np.flatnonzero(trained)):
        power += row.real**2 + row.imag**2
    power -= np.sum(waveforms.real**2 + waveforms.imag**2, axis=0)
    noise = np.maximum(power, 0.0) / max(int(trained.sum()) - courses.shape[1], 1)
    noise = np.repeat(noise[np.newaxis], len(waveforms), axis=0)
    if n_low:
        rest = spectra[:, :n_low] - unit @ waveforms[:, :n_low]
        noise[:, :n_low] = np.maximum(noise[:, :n_low], _measure_beside(rest, unit))
    return waveforms, noise, np.linalg.solve(mixing.T, courses.T).T


def _measure_beside(rest: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return the noise power of each waveform as its course sees it: that beside its own lines.

    EEG near a multiple of the artifact's rate (alpha, where slices come ten times a second) varies
    slowly from epoch to epoch, as courses do; the mean over all epochs tells too little of it. So
    each course, turned by 2 to 8 cycles more or less over the block, is regressed on what is left.
    """
    turns = 2.0 * np.pi * np.arange(len(unit)) / len(unit)
    total = np.zeros((unit.shape[1], rest.shape[1]))
    cycles = [sign * n for n in range(2, 9) for sign in (1, -1)]
    for n in cycles:
        beside = (unit * np.exp(1j * n * turns)[:, np.newaxis]).T @ rest
        total += beside.real**2 + beside.imag**2
    return total / len(cycles)


def _shrink(
    waveforms: np.ndarray, noise: np.ndarray, layout: Layout, shrinkage: float
) -> np.ndarray:
    r"""Return waveforms without what noise alone would give.

    Each frequency of the artifact's own period (without its surroundings, so that what repeats
    within it is a line) is multiplied by

    .. math:: g = \max(0, 1 - \lambda \sigma^2 / |c|^2) .
    """
    n = layout.n_samples
    inner = fft.irfft(waveforms, layout.n_fft, axis=-1)[:, HALO : HALO + n]
    lines = fft.rfft(inner, axis=-1)
    at = np.arange(lines.shape[1]) * (layout.n_fft / n)
    level = np.array([np.interp(at, np.arange(len(row)), row) for row in noise])
    level *= n / np.sum(taper(n) ** 2)
    power = lines.real**2 + lines.imag**2
    lost = np.minimum(1.0, shrinkage * level / np.where(power > 0, power, 1.0))
    extended = np.zeros((len(waveforms), layout.n_fft))
    around = np.arange(-HALO, n + HALO)
    extended[:, : n + 2 * HALO] = fft.irfft(lines * lost, n, axis=-1)[:, around % n]
    extended[:, : n + 2 * HALO] *= taper(n)
    return waveforms - fft.rfft(extended, axis=-1)


def taper(n_samples: int) -> np.ndarray:
    """Return the window of an epoch with its surroundings, as `transform` applies it."""
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(TAPER) + 0.5) / TAPER)
    return np.concatenate([ramp, np.ones(n_samples + 2 * FLAT), ramp[::-1]])


# ------------------------------------------------------------------------------------ subtraction
def _subtract_model(
    x: np.ndarray,
    out: np.ndarray,
    layout: Layout,
    which: np.ndarray,
    pool: np.ndarray,
    model: Model,
) -> None:
    """Subtract templates from `out`; an epoch that was not fitted takes its neighbour's."""
    after = np.clip(np.searchsorted(pool, which), 0, len(pool) - 1)
    before = np.maximum(after - 1, 0)
    nearer = which - pool[before] < pool[after] - which
    model_of = np.where(nearer, before, after)
    doubtful = model.doubtful[model_of] | ~layout.usable[which]
    for low in range(0, len(which), _PORTION):
        part = slice(low, low + _PORTION)
        templates = (model.courses[model_of[part]] @ model.waveforms.view(float)).view(complex)
        rows = sample(templates, layout, which[part])
        for i in np.flatnonzero(doubtful[part]):
            _keep_where_present(x, rows[i], int(layout.first[which[low + i]]) - HALO)
        subtract(out, rows, layout, which[part])


def _keep_where_present(x: np.ndarray, row: np.ndarray, origin: int) -> None:
    """Set a template to zero, in place, before or after the artifact that a signal holds.

    An artifact that is cut off begins or ends where subtracting the template's second differences
    begins or ceases to lower the energy of the signal's.
    """
    low, high = max(origin, 0), min(origin + len(row), len(x))
    if high - low < 4:
        return
    signal = np.diff(x[low:high], 2)
    template = np.diff(row[low - origin : high - origin], 2)
    gain = np.concatenate([[0.0], np.cumsum(template * (2.0 * signal - template))])
    best_end, best_begin = int(np.argmax(gain)), int(np.argmin(gain))
    up_to, since, whole = gain[best_end], gain[-1] - gain[best_begin], gain[-1]
    if whole > 0 and whole >= 0.98 * max(up_to, since):
        return
    offset = low - origin + 1
    if max(up_to, since) <= 0:
        row[:] = 0.0
    elif up_to >= since:
        row[offset + best_end :] = 0.0
    else:
        row[: offset + best_begin] = 0.0
