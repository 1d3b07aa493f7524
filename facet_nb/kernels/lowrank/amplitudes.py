"""Amplitudes of the gradient artifact over epochs, estimated above the EEG bands.

All functions take one channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from facet_nb.kernels.compiled.dispatch import find_compiled, find_for_rows
from facet_nb.kernels.lowrank.highband import find_band
from facet_nb.kernels.lowrank.orthonormal import orthonormalise
from facet_nb.kernels.templates.subsample import Layout

#: Maximum number of amplitude courses besides the mean.
MAX_COURSES = 16

#: Smallest energy of an amplitude course, relative to the Marchenko-Pastur edge of noise.
MIN_ENERGY = 2.0

#: Ratio by which a course must predict held-out frequencies better than an unrelated one (median
#: over blocks), at least and relative to the number of epochs, and a ratio that is enough for a
#: course of many epochs. Muscle bursts have ratios of 1 to 6, up to 16 if they are dense, in up to
#: 4 % of the epochs; motion and drift 20 to 2000, the more the longer a recording is.
PREDICTS, PREDICTS_OF_EPOCHS, PREDICTS_ENOUGH = 3.0, 0.008, 10.0

#: Smallest effective number of epochs of a course, relative to all, and that of many epochs.
MIN_SPREAD, WIDE = 0.015, 0.1

#: Number of blocks of frequencies that are held out in turn.
_N_BLOCKS = 8

#: Smallest noise power of a frequency, relative to that just above the EEG bands.
_FLOOR = 1e-2

#: Maximum number of amplitude courses that an iteration may add.
_MORE = 5

#: Largest number of iterations of whitening and decomposition, and the change of the noise (at the
#: median over frequencies) below which epochs are weighted and the next one is the last.
_N_ROUNDS, _SETTLED = 5, 0.05

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
    values = high.view(high.real.dtype)
    mean = np.full(len(values), 1.0 / max(len(values), 1), values.dtype) @ values
    locked = float(mean @ mean)
    energy = np.einsum("ij,ij->i", values, values)
    rest = energy - 2.0 * (values @ mean) + locked
    nothing = np.zeros(len(high), dtype=bool)
    if not locked > 0 or np.median(rest) / (2 * high.shape[1]) > 0.01 * locked:
        return nothing, nothing
    limit = float(np.median(energy))
    absent = energy < _ABSENT * limit
    if len(high) - absent.sum() < 2:
        return nothing, nothing
    return energy < _PARTIAL * limit, absent


def find_amplitudes(
    high: np.ndarray,
    trained: np.ndarray,
    layout: Layout,
    sfreq: float,
    max_courses: int,
    position: np.ndarray | None = None,
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
    position : ndarray of int, shape (n_epochs,) | None
        Number of each slice in its volume, if slices are known to differ: what is as loud in each
        volume is then no noise.

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
    present amplitudes do not explain) and decomposed again, up to five times, so that neither a
    noisy frequency nor muscle activity in some epochs dominates a component. A singular value
    counts if its square exceeds :data:`MIN_ENERGY` times the Marchenko-Pastur edge of white noise,
    and if it predicts frequencies that it was not computed from. The leading subspace is computed
    by power iteration from a fixed start.
    """
    n_freqs = high.shape[1]
    y = _centre(high, trained)
    n_free = layout.n_samples * n_freqs / (layout.n_fft // 2 + 1)
    above = np.flatnonzero(find_band(layout, sfreq))
    near = above < 2 * above[0] if n_freqs else above
    trained, loud = trained.copy(), np.ones(len(y), y.dtype)
    amplitudes, found, repeats = y[:, :0], 0, np.zeros(0, dtype=bool)
    whitening, settled = np.zeros(y.shape[1]), False
    bounds = _list_bounds(y.shape[1])
    for i in range(_N_ROUNDS):
        n = int(trained.sum())
        most = min(max_courses, n // 4, 2 * n_freqs, found + _MORE if i else max_courses)
        if most < 1:
            break
        known = _Courses.of(y, trained / loud, amplitudes[:, :most])
        earlier, whitening = whitening, known.measure_noise(found, near)
        # Loudness is measured once the noise is known, and once more with it.
        last = settled
        settled = settled or i == _N_ROUNDS - 2 or _has_converged(whitening, earlier)
        if settled:
            before = loud
            loud = known.measure_loudness(found, whitening, loud, position)
            if np.any(loud != before):
                known = _Courses.of(y, trained / loud, amplitudes[:, :most])
        leading = _decompose(known, whitening, most, bounds)
        edge = n_freqs / n_free * (np.sqrt(n) + np.sqrt(n_free)) ** 2
        found = int(np.sum(leading.values**2 > MIN_ENERGY * edge))
        amplitudes = leading.amplitudes
        shares = np.square(amplitudes[:, :found] / loud[:, np.newaxis])
        large = (shares > _MAX_SHARE) & trained[:, np.newaxis]
        repeats = ~large.any(axis=0)
        valid = _find_valid(known, leading, found, whitening, bounds)
        # The others come behind: the next decomposition starts from them, too.
        order = np.argsort(~valid, kind="stable")
        amplitudes[:, :found] = amplitudes[:, order]
        repeats, found = repeats[order][valid[order]], int(valid.sum())
        odd = large.any(axis=1)
        if odd.any() and n - odd.sum() >= 2:
            trained &= ~odd
            y -= y[trained].mean(axis=0)
        if last:
            break
    kept = amplitudes[:, :found][:, repeats].astype(float)
    calm = trained & (loud <= _ODD)
    if kept.size and calm.sum() >= 2:
        sizes = leading.values[order, 0][valid[order]][repeats]
        kept = np.clip(kept, kept[calm].min(axis=0), kept[calm].max(axis=0))
        kept = _trust_calm(kept, sizes, trained & (loud == 1), loud)
        trained = calm
    return np.concatenate([np.ones((len(y), 1)), kept], axis=1), trained / loud


def _trust_calm(
    amplitudes: np.ndarray, sizes: np.ndarray, calm: np.ndarray, loud: np.ndarray
) -> np.ndarray:
    """Return amplitudes with those of noisy epochs drawn to what lies between calm ones.

    Parameters
    ----------
    amplitudes : ndarray, shape (n_epochs, n_courses)
        Amplitude courses.
    sizes : ndarray, shape (n_courses,)
        Singular values of the courses: the noise of an amplitude is its reciprocal.
    calm : ndarray of bool, shape (n_epochs,)
        Epochs that are not noisier than usual.
    loud : ndarray, shape (n_epochs,)
        Noise of each epoch, relative to that of calm ones.
    """
    # The line between calm epochs errs by as much as courses bend from epoch to epoch, and what the
    # first or last of them says of those beyond it by as much as courses change over so many; what
    # is seen errs by the noise. A channel without noise above the EEG bands follows the smallest
    # courses; the heartbeat of an ECG, or muscles, would be taken for huge changes of these.
    known, noisy = np.flatnonzero(calm), np.flatnonzero(loud > 1)
    if len(known) < 3 or not len(noisy):
        return amplitudes
    values, own = amplitudes[known], 0.5 / np.square(sizes, dtype=float)
    bend = values[1:-1] - 0.5 * (values[:-2] + values[2:])
    usual = np.tile(np.mean(bend**2, axis=0) - 1.5 * own, (len(noisy), 1))
    beyond = np.maximum(known[0] - noisy, noisy - known[-1])
    for n in np.unique(beyond[beyond > 0]).tolist():
        change = values[n:] - values[:-n]
        usual[beyond == n] = np.mean(change**2, axis=0) - 2.0 * own if len(change) else np.inf
    error = np.multiply.outer(np.square(loud[noisy], dtype=float), own)
    between = np.stack([np.interp(noisy, known, course) for course in values.T], axis=1)
    seen = np.isinf(usual).astype(float)
    np.divide(usual, usual + error, out=seen, where=(usual > 0) & np.isfinite(usual))
    amplitudes = amplitudes.copy()
    amplitudes[noisy] = between + seen * (amplitudes[noisy] - between)
    return amplitudes


def _has_converged(whitening: np.ndarray, earlier: np.ndarray) -> bool:
    """Return whether the noise of most frequencies is that of the round before."""
    change = np.abs(whitening - earlier)
    return bool(np.count_nonzero(change > _SETTLED * whitening) <= len(change) // 2)


@dataclass(frozen=True)
class _Courses:
    """Spectra of epochs, and what amplitude courses explain of them.

    Attributes
    ----------
    y : ndarray, shape (n_epochs, n_values)
        Real and imaginary parts of mean-free spectra.
    weights : ndarray, shape (n_epochs,)
        Weight of each epoch; 0 for those that are not used for training.
    unit : ndarray, shape (n_epochs, n_courses)
        Orthonormal basis of the weighted courses; 0 where the weight is.
    waves : ndarray, shape (n_courses, n_values)
        Their waveforms.
    """

    y: np.ndarray
    weights: np.ndarray
    unit: np.ndarray
    waves: np.ndarray

    @classmethod
    def of(cls, y: np.ndarray, weights: np.ndarray, amplitudes: np.ndarray) -> _Courses:
        """Return the waveforms of some courses, weighted over epochs."""
        weights = weights.astype(y.dtype)
        unit = orthonormalise(amplitudes * weights[:, np.newaxis])
        unit[weights == 0] = 0.0
        return cls(y, weights, unit, (unit * weights[:, np.newaxis]).T @ y)

    def measure_noise(self, found: int, near: np.ndarray) -> np.ndarray:
        """Return the factor that whitens each value: 1 / noise of its frequency.

        Noise is the median over epochs of what the first courses leave. Frequencies without noise
        (above the amplifier's low-pass) get a fraction of the noise just above the EEG bands.
        """
        which = np.flatnonzero(self.weights)
        some = which[:: max(1, len(which) // _N_FOR_NOISE)]
        part = self.y[some] * self.weights[some, np.newaxis]
        part -= self.unit[some, :found] @ self.waves[:found]
        power = _find_medians(_square(part), axis=0).astype(float)
        power *= len(which) / (np.log(2.0) * max(len(which) - found - 1, 1))
        power = np.maximum(power, _FLOOR * _find_medians(power[near], axis=0))
        power[power == 0] = 1.0
        return np.repeat(1.0 / np.sqrt(power), 2).astype(self.y.dtype)

    def measure_loudness(
        self, found: int, whitening: np.ndarray, loud: np.ndarray, position: np.ndarray | None
    ) -> np.ndarray:
        """Return the noise of epochs relative to the median over epochs; 1 unless much larger.

        Where the position of slices in their volumes is given, it is relative to the median over
        slices at the same position, too.
        """
        # The noise of an epoch is the median of what courses do not explain of it, or of its
        # difference from the epoch before or after, whichever is less: an artifact that has changed
        # permanently and is not explained yet does not count as noise.
        which = np.flatnonzero(self.weights)
        # Nearly always all but the ends: a view, without a copy.
        alike = int(which[-1] - which[0]) + 1 == len(which)
        epochs = slice(int(which[0]), int(which[-1]) + 1) if alike else which
        some = slice(None, None, max(1, self.y.shape[1] // _N_FOR_LOUDNESS))
        part = self.y[epochs, some] * whitening[some]
        unit = self.unit[which, :found] / self.weights[which, np.newaxis]
        part -= unit @ (self.waves[:found, some] * whitening[some])
        # By frequency: differences of epochs are those of neighbours in memory, and medians are
        # found for many epochs at once.
        rows = np.ascontiguousarray(part.T)
        least = _find_medians(rows**2, axis=0)
        if len(part) > 2:
            changes = np.subtract(rows[:, 1:], rows[:, :-1])
            changes *= changes
            change = 0.5 * _find_medians(changes, axis=0)
            least[1:] = np.minimum(least[1:], change)
            least[:-1] = np.minimum(least[:-1], change)
        usual = float(_find_medians(least, axis=0))
        level = np.sqrt(least / usual) if usual > 0 else np.ones(len(which))
        if position is not None:
            own = position[which]
            for k in np.unique(own):
                same = own == k
                level[same] /= max(1.0, float(np.median(level[same])))
        loud = loud.copy()
        loud[which] = np.where(level < _LOUD, 1.0, level)
        return loud


@dataclass(frozen=True)
class _Components:
    """Leading components of the weighted, whitened epochs.

    Attributes
    ----------
    values : ndarray, shape (n_components,)
        Singular values, in descending order.
    unit : ndarray, shape (n_components, n_epochs)
        Orthonormal courses.
    rows : ndarray, shape (n_components, n_values)
        Orthonormal waveforms.
    parts : ndarray, shape (n_blocks, n_components, n_epochs)
        Scalar products of whitened epochs (without weights) and waveforms, by block of frequencies.
    """

    values: np.ndarray
    unit: np.ndarray
    rows: np.ndarray
    parts: np.ndarray

    @property
    def amplitudes(self) -> np.ndarray:
        """Amplitudes of all epochs, shape (n_epochs, n_components)."""
        return (self.parts.sum(axis=0) / _not_zero(self.values)).T


def _decompose(
    known: _Courses, whitening: np.ndarray, most: int, bounds: list[slice]
) -> _Components:
    """Return the leading components, by power iteration from what is known."""
    y, weights = known.y, known.weights[:, np.newaxis]
    rows = known.waves * whitening
    if n_more := most - len(rows):
        rows = np.concatenate([rows, _draw_rows(n_more, y.shape[1])])
    for _ in range(2 if n_more else 1):
        columns = orthonormalise((y @ (rows * whitening).T) * weights)
        rows = ((columns * weights).T @ y) * whitening
    # Eigenvectors of the Gram matrix, in double precision, take a fifth of the time of an SVD.
    exact = rows.astype(float)
    squares, turns = np.linalg.eigh(exact @ exact.T)
    squares, turns = np.maximum(squares[::-1], 0.0), turns[:, ::-1].T.astype(y.dtype)
    values = np.sqrt(squares).astype(y.dtype)[:, np.newaxis]
    rows = (turns @ rows) / _not_zero(values)
    parts = np.empty((len(bounds), most, len(y)), y.dtype)
    white = rows * whitening
    for part, block in zip(parts, bounds, strict=True):
        np.matmul(white[:, block], y[:, block].T, out=part)
    return _Components(values, turns @ columns.T, rows, parts)


@lru_cache(maxsize=4)
def _draw_rows(n: int, n_values: int) -> np.ndarray:
    """Return the start of the power iteration: the same random rows each time."""
    return np.random.default_rng(0).standard_normal((n, n_values)).astype(np.float32)


def _find_valid(
    known: _Courses,
    leading: _Components,
    found: int,
    whitening: np.ndarray,
    bounds: list[slice],
) -> np.ndarray:
    """Return which of the first components predict frequencies they were not computed from.

    Muscle activity makes epochs loud, but differs from frequency to frequency; changes of an
    artifact are the same at all. Each block of frequencies is predicted from the others, and the
    energy that this explains is compared to what an unrelated course would.
    """
    if not found:
        return np.zeros(0, dtype=bool)
    y, weights = known.y, known.weights
    unit, values = leading.unit[:found], leading.values[:found]
    waves = leading.rows[:found] * values
    parts = leading.parts[:, :found] * (values * weights)
    if compiled := find_for_rows("courses", "predict_blocks", y):
        edges = np.array([0, *(block.stop for block in bounds)])
        given = (weights, whitening, np.ascontiguousarray(unit), waves, parts, edges)
        expected, explained = compiled(y, *given)
    else:
        expected, explained = _predict(y, weights, whitening, unit, waves, parts, bounds)
    ratios = _find_medians(explained / np.where(expected > 0, expected, np.inf), axis=0)
    shares = np.square(unit)
    spread = 1.0 / np.maximum(np.einsum("cn,cn->c", shares, shares), 1e-30)
    n = np.count_nonzero(weights)
    least = PREDICTS_OF_EPOCHS * n
    needed = np.where(spread >= WIDE * n, min(least, PREDICTS_ENOUGH), least)
    return (ratios > np.maximum(needed, PREDICTS)) & (spread >= MIN_SPREAD * n)


def _predict(
    y: np.ndarray,
    weights: np.ndarray,
    whitening: np.ndarray,
    unit: np.ndarray,
    waves: np.ndarray,
    parts: np.ndarray,
    bounds: list[slice],
) -> tuple[np.ndarray, np.ndarray]:
    """Predict each block of frequencies from the others.

    Return the power that an unrelated course would explain, and that each one does, of shape
    (n_blocks, n_courses). `parts` is overwritten.
    """
    n_courses = len(unit)
    inner = np.stack([waves[:, block] @ waves[:, block].T for block in bounds])
    squares = _square(y)
    blocks = np.zeros((len(bounds), squares.shape[1]), y.dtype)
    for row, block in zip(blocks, bounds, strict=True):
        row[block.start // 2 : block.stop // 2] = whitening[block][::2] ** 2
    power = blocks @ squares.T * weights**2
    # Each course sees what those before it leave.
    parts -= np.tril(inner, -1) @ unit
    taken = unit * (2.0 * parts - unit * np.diagonal(inner, 0, 1, 2)[:, :, np.newaxis])
    other = parts.sum(axis=0) - parts
    seen = np.tril(other @ unit.T, -1)
    expected, explained = np.empty((2, len(bounds), n_courses), y.dtype)
    for course in range(n_courses):
        mine = other[:, course]
        expected[:, course] = np.einsum("kn,kn,kn->k", mine, mine, np.maximum(power, 0.0))
        power -= taken[:, course]
    other *= weights
    for k, block in enumerate(bounds):
        guess = (other[k] @ y[:, block]) * whitening[block] - seen[k] @ waves[:, block]
        explained[k] = np.einsum("cv,cv->c", guess, guess)
    return expected, explained


def _list_bounds(n_values: int) -> list[slice]:
    """Return the blocks of frequencies that are held out in turn, as ranges of values."""
    edges = 2 * np.linspace(0, n_values // 2, _N_BLOCKS + 1).astype(int)
    return [slice(a, b) for a, b in pairwise(edges.tolist())]


def _square(y: np.ndarray) -> np.ndarray:
    """Return the power of each frequency from its real and imaginary parts."""
    # Squared at once: to take every second value is slow, and squaring is not.
    squares = np.square(y)
    power: np.ndarray = squares[:, ::2] + squares[:, 1::2]
    return power


def _not_zero(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, 1.0).astype(values.dtype)


def _find_medians(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the medians along an axis."""
    compiled = find_compiled("median", "median_across") if values.ndim == 2 else None
    if compiled:
        medians: np.ndarray = compiled(np.ascontiguousarray(values if axis == 0 else values.T))
        return medians
    # Sorting rows in single precision takes a fifth of the time of NumPy's median or partition.
    rows = np.sort(np.ascontiguousarray(values.T) if axis == 0 else values, axis=-1)
    n = rows.shape[-1]
    return np.asarray(0.5 * (rows[..., (n - 1) // 2] + rows[..., n // 2]))


def _centre(high: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """Return mean-free spectra with unit RMS as rows of float32, real and imaginary parts."""
    # Single precision suffices for what is at most a thousand times the noise; it halves the time.
    values = high.view(high.real.dtype)
    rest = values - (trained / trained.sum()).astype(values.dtype) @ values
    size = float(np.sqrt(np.einsum("ij,ij->", rest, rest) / max(rest.size, 1)))
    rest *= 1.0 / size if size > 0 else 1.0
    return rest.astype(np.float32, copy=False)


def find_nearest(wanted: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the element of `known` (ascending) nearest to each element of `wanted`."""
    after = np.clip(np.searchsorted(known, wanted), 0, len(known) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.abs(wanted - known[before]) < np.abs(known[after] - wanted)
    return known[np.where(nearer, before, after)]
