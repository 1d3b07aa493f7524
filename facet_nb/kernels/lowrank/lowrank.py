r"""Low-rank model of the gradient artifact: few waveforms with amplitudes over epochs.

Aligned epoch `k` of a channel is modelled as

.. math:: X_k(f) = \sum_r u_r(k) \, c_r(f) + E_k(f) ,

a few waveforms `c` (the mean artifact, and its changes with motion, drift, slice and sub-sample
position) times their amplitudes `u` over epochs, plus EEG. Amplitudes are estimated above the EEG
bands, where the artifact dominates. Waveforms follow by regression on them over *all* epochs of a
block, so that only about (number of amplitude courses) / (number of epochs) of the EEG's energy
enters them. Finally, waveforms are shrunk at frequencies at which they do not exceed what EEG alone
would give.

All functions take one channel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from weakref import ref

import numpy as np

from facet_nb.kernels import fft
from facet_nb.kernels.lowrank import clipping
from facet_nb.kernels.lowrank.amplitudes import (
    MAX_COURSES,
    find_absent,
    find_amplitudes,
    find_nearest,
)
from facet_nb.kernels.lowrank.highband import (
    cut,
    find_band,
    list_portions,
    remove_trend,
    transform_all,
    transform_high,
)
from facet_nb.kernels.lowrank.lowband import find_different, find_slow
from facet_nb.kernels.lowrank.movements import blend
from facet_nb.kernels.lowrank.orthonormal import orthonormalise_by
from facet_nb.kernels.templates.subsample import GRID, HALO, Layout, sample, subtract, taper

#: Multiple of the noise power that a waveform must exceed at a frequency; noise alone does so with
#: a probability of exp(-3), 5 %.
SHRINKAGE = 3.0

#: Epochs with a larger weight hold neither movements nor muscle activity, and those with a smaller
#: one may hold a movement (abrupt ones have up to 0.23).
_CALM, _TORN = 0.99, 0.3

#: Ends of runs are not used for training if they are less than this fraction of all epochs.
_FEW = 0.04


@dataclass(frozen=True)
class Model:
    """Waveforms and amplitudes of a block of epochs.

    Attributes
    ----------
    amplitudes : ndarray, shape (n_epochs, n_amplitudes)
        Amplitude courses; the first is constant.
    waveforms : ndarray of complex, shape (n_amplitudes, n_freqs)
        Spectra as of :func:`facet_nb.kernels.templates.subsample.transform`.
    doubtful : ndarray of bool, shape (n_epochs,)
        Epochs that may hold no artifact, or only part of one.
    around : ndarray of int, shape (2, n_epochs)
        The nearest calm epochs before and after each one that may hold a movement; its own number
        for others.
    limits : tuple of float
        Least and largest value that the amplifier recorded, in V; infinite without saturation.
    """

    amplitudes: np.ndarray
    waveforms: np.ndarray
    doubtful: np.ndarray
    around: np.ndarray
    limits: tuple[float, float] = (-np.inf, np.inf)


@dataclass(frozen=True)
class Learned:
    """Amplitudes that are learned above the EEG bands from a block of epochs.

    It is of samples in one place of memory, which it does not keep; copies, as of a worker, are of
    none.

    Attributes
    ----------
    place : tuple of int
        Address of the samples from the first of these epochs to the last one, number and distance.
    total : float
        Sum of these samples, in V.
    owner : reference to an ndarray, or None
        The array that the memory belongs to; other samples lie there if it is gone.
    layout : Layout
        Positions of the epochs in them.
    sfreq : float
        Sampling rate, in Hz.
    max_courses : int
        Maximum number of amplitude courses besides the mean.
    amplitudes : ndarray, shape (n_epochs, n_amplitudes)
        Amplitude courses; the first is constant.
    weights : ndarray, shape (n_epochs,)
        As of :func:`facet_nb.kernels.lowrank.amplitudes.find_amplitudes`.
    doubtful : ndarray of bool, shape (n_epochs,)
        Epochs that may hold no artifact, or only part of one.
    """

    place: tuple[int, int, int]
    total: float
    owner: ref[np.ndarray] | None
    layout: Layout
    sfreq: float
    max_courses: int
    amplitudes: np.ndarray
    weights: np.ndarray
    doubtful: np.ndarray

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "owner": None}

    def is_of(self, piece: np.ndarray, layout: Layout, sfreq: float, max_courses: int) -> bool:
        """Return whether the same would be learned of `piece`, as it is in the same place."""
        if self.owner is None or self.owner() is None or _find_place(piece) != self.place:
            return False
        own = self.layout
        return (
            (sfreq, max_courses, layout.n_samples) == (self.sfreq, self.max_courses, own.n_samples)
            and layout.position is None
            and own.position is None
            and np.array_equal(layout.first, own.first)
            and np.array_equal(layout.part, own.part)
            and float(piece.sum()) == self.total
        )


def _find_place(piece: np.ndarray) -> tuple[int, int, int]:
    """Return where samples lie in memory: address, number and distance."""
    return piece.__array_interface__["data"][0], len(piece), piece.strides[0]


def _find_owner(x: np.ndarray) -> np.ndarray:
    """Return the array that the memory of a view belongs to."""
    while isinstance(x.base, np.ndarray):
        x = x.base
    return x


def correct(
    x: np.ndarray,
    layout: Layout,
    sfreq: float,
    *,
    block_s: float = 600.0,
    shrinkage: float = SHRINKAGE,
    max_courses: int = MAX_COURSES,
    volumes: bool = False,
    out: np.ndarray | None = None,
    known: Learned | None = None,
) -> np.ndarray:
    """Return the signal without its artifacts.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, in V.
    layout : Layout
        Positions of the artifacts.
    sfreq : float
        Sampling rate, in Hz.
    block_s : float
        Longest duration of a block, whose epochs share their waveforms, in s.
    shrinkage : float
        Multiple of the noise power that a waveform must exceed at a frequency; 0 disables
        shrinkage.
    max_courses : int
        Maximum number of amplitude courses besides the mean; 0 gives a plain average.
    volumes : bool
        Whether what recurs with volumes is looked for, or subtracted, afterwards: it is left then.
    out : ndarray, shape (n_times,) | None
        Array for the result; must not be `x`.
    known : Learned | None
        What was learned of some epochs before; it is used where it is of these samples.

    Returns
    -------
    ndarray, shape (n_times,)
        Corrected signal, in V.
    """
    out = np.empty_like(x) if out is None else out
    out[...] = x
    options: dict[str, Any] = {
        "shrinkage": shrinkage,
        "max_courses": max_courses,
        "volumes": volumes,
        "known": known,
    }
    for which in list_blocks(layout, sfreq, block_s):
        correct_block(x, layout, which, sfreq, out, **options)
    return out


def correct_block(
    x: np.ndarray,
    layout: Layout,
    which: np.ndarray,
    sfreq: float,
    out: np.ndarray,
    *,
    shrinkage: float = SHRINKAGE,
    max_courses: int = MAX_COURSES,
    volumes: bool = False,
    known: Learned | None = None,
) -> None:
    """Subtract the artifacts of one block of epochs, `which`, from `out`, in place.

    Other parameters are those of :func:`correct`. `x` and `out` may be pieces of the signal that
    include the ranges of :func:`list_reaches`.
    """
    pool = which[layout.usable[which]]
    if len(pool) < 2:
        return
    options: dict[str, Any] = {"shrinkage": shrinkage, "max_courses": max_courses}
    model = fit(x, layout, pool, sfreq, volumes=volumes, known=known, **options)
    _subtract_model(x, out, layout, which, pool, model)


def list_reaches(layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Return the range of samples that each epoch needs or changes, within the signal."""
    low = np.minimum(layout.first - HALO, layout.spans[0])
    high = np.maximum(layout.first - HALO + layout.n_fft, layout.spans[1])
    return np.maximum(low, 0), np.minimum(high, layout.n_times)


def list_blocks(layout: Layout, sfreq: float, block_s: float) -> list[np.ndarray]:
    """Split the epochs into blocks of about equal length, at most `block_s`."""
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
    volumes: bool = False,
    known: Learned | None = None,
) -> Model:
    """Fit waveforms and amplitudes to some epochs.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal, in V.
    layout : Layout
        Positions of the artifacts.
    which : ndarray of int, shape (n_epochs,)
        The epochs; all must be usable, at least two.
    sfreq : float
        Sampling rate, in Hz.
    shrinkage, max_courses
        As in :func:`correct`.
    volumes : bool
        Whether the mean of volumes is subtracted later: what recurs with them is left to it.
    known : Learned | None
        As in :func:`correct`.

    Returns
    -------
    Model
        Model of these epochs.
    """
    piece, inner = cut(x, layout, which)
    limits = clipping.find_limits(piece)
    if np.isfinite(limits).any():
        numbers = np.arange(len(which))

        def correct_piece(signal: np.ndarray) -> np.ndarray:
            # Where a cut begins depends on the EEG, which courses would follow.
            mean = _fit(signal, inner, sfreq, shrinkage, 0, volumes)
            out = signal.copy()
            _subtract_model(signal, out, inner, numbers, numbers, mean)
            return out

        piece = clipping.restore(piece, limits, correct_piece)
    model = _fit(piece, inner, sfreq, shrinkage, max_courses, volumes, known)
    return replace(model, limits=limits)


def learn(
    x: np.ndarray, layout: Layout, which: np.ndarray, sfreq: float, max_courses: int
) -> Learned | None:
    """Return what :func:`fit` learns first of some epochs whose slices may be alike.

    Parameters are those of :func:`fit`. None where that fits other samples than these, as they are
    not float64 or saturated, or no epochs at all.
    """
    if len(which) < 2 or x.dtype != np.float64:
        return None
    piece, inner = cut(x, layout, which)
    if np.isfinite(clipping.find_limits(piece)).any():
        return None
    return _learn(piece, replace(inner, position=None), sfreq, max_courses)


def _learn(piece: np.ndarray, inner: Layout, sfreq: float, max_courses: int) -> Learned:
    """Return the amplitudes of all epochs of a piece of signal that was never saturated."""
    high = transform_high(piece, inner, sfreq)
    doubtful, absent = find_absent(high)
    ends = _find_ends(inner)
    amplitudes, weights = find_amplitudes(
        high, ~(absent | ends), inner, sfreq, max_courses, inner.position
    )
    unknown = np.flatnonzero((doubtful | ends) & (weights == 0))
    amplitudes[unknown] = amplitudes[find_nearest(unknown, np.flatnonzero(weights))]
    owner = ref(_find_owner(piece))
    options = inner, sfreq, max_courses
    total = float(piece.sum())
    return Learned(_find_place(piece), total, owner, *options, amplitudes, weights, doubtful)


def _fit(
    piece: np.ndarray,
    inner: Layout,
    sfreq: float,
    shrinkage: float,
    max_courses: int,
    volumes: bool,
    known: Learned | None = None,
) -> Model:
    """Return the model of all epochs of a piece of signal that was never saturated."""
    # Where something recurs with the volume only, its slices are not alike.
    position = inner.position if volumes else None
    own = replace(inner, position=position)
    if known is None or not known.is_of(piece, own, sfreq, max_courses):
        known = _learn(piece, own, sfreq, max_courses)
    amplitudes, weights, doubtful = known.amplitudes, known.weights, known.doubtful
    # Without drift, single precision is exact to a ten-millionth of the artifact.
    courses = None if volumes else amplitudes[:, 1:]
    spectra = transform_all(remove_trend(piece, inner, sfreq, np.float32, courses, volumes), inner)
    n_low = int(np.argmax(find_band(inner, sfreq)))
    around = _find_around(weights)
    if position is not None and n_low and max_courses > 0:
        different = find_different(spectra[:, :n_low], weights, position)
        # They come first: courses of a block's edge, whose samples change with its position between
        # them, would else take the block for their own, and let it grow and shrink with them.
        amplitudes = np.hstack([amplitudes[:, :1], different, amplitudes[:, 1:]])
        if different.shape[1]:
            for k in np.unique(position):
                same = np.flatnonzero(position == k)
                around[:, same] = same[_find_around(weights[same])]
    last = inner.first[-1] - inner.first[0] + inner.n_samples
    slow_s = float(last) / sfreq if shrinkage > 0 and max_courses > 0 else 0.0
    waveforms, noise, amplitudes = _regress(spectra, amplitudes, weights, n_low, inner, slow_s)
    if shrinkage > 0:
        waveforms = _shrink(waveforms, noise, inner, shrinkage)
    return Model(amplitudes, waveforms, doubtful, around)


def _find_around(weights: np.ndarray) -> np.ndarray:
    """Return the nearest calm epochs before and after those that may hold a movement."""
    numbers, calm = np.arange(len(weights)), weights > _CALM
    before = np.maximum.accumulate(np.where(calm, numbers, -1))
    after = np.minimum.accumulate(np.where(calm, numbers, len(weights))[::-1])[::-1]
    known = (weights < _TORN) & (before >= 0) & (after < len(weights))
    return np.where(known, [before, after], numbers)


def _find_ends(layout: Layout) -> np.ndarray:
    """Return which epochs are the first or the last of a run, if these are few."""
    # Their surroundings differ from those of other epochs: there is no artifact on one side.
    onsets = layout.first + layout.part / GRID
    apart = np.diff(onsets) > layout.n_samples + HALO
    ends = np.concatenate([[True], apart]) | np.concatenate([apart, [True]])
    return ends if ends.sum() <= _FEW * len(ends) else np.zeros(len(ends), dtype=bool)


# ------------------------------------------------------------------------------------ waveforms
def _regress(
    spectra: np.ndarray,
    amplitudes: np.ndarray,
    weights: np.ndarray,
    n_low: int,
    layout: Layout,
    slow_s: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return waveforms, their noise power at each frequency, and their amplitudes.

    Waveforms are weighted least-squares coefficients. Changes over `slow_s` that occur at the first
    `n_low` frequencies only, below the EEG edge, are added to the amplitudes; 0 adds none.
    """
    given, n_fast = amplitudes, amplitudes.shape[1]
    base, unit, amplitudes = _make_orthonormal(given, weights)
    waveforms = (unit.T @ spectra.view(np.float32)).view(np.complex64)
    power = np.zeros(2 * spectra.shape[1])
    rest_low = np.empty((len(spectra), n_low), np.complex64)
    for part in list_portions(len(spectra), layout):
        rest = spectra[part].view(np.float32) - amplitudes[part] @ waveforms.view(np.float32)
        rest_low[part] = rest.view(np.complex64)[:, :n_low]
        rest *= rest
        power += (weights[part] ** 2).astype(np.float32) @ rest
    power = power[::2] + power[1::2]
    n_free = n_low * layout.n_samples / spectra.shape[1]
    slow = find_slow(rest_low, base, weights, n_free, slow_s)
    if slow.shape[1]:
        _, unit, amplitudes = _make_orthonormal(np.hstack([given, slow]), weights)
        waves = np.zeros((slow.shape[1], spectra.shape[1]), np.complex64)
        waves[:, :n_low] = unit[:, n_fast:].T @ rest_low
        waveforms = np.concatenate([waveforms, waves])
        rest_low -= amplitudes[:, n_fast:] @ waves[:, :n_low]
        power[:n_low] = weights**2 @ (rest_low.real**2 + rest_low.imag**2)
    free = max(float(np.sum(weights**2)) - amplitudes.shape[1], 1.0)
    noise = np.repeat(power[np.newaxis] / free, len(waveforms), axis=0)
    if n_low:
        noise[:, :n_low] = np.maximum(noise[:, :n_low], _measure_beside(rest_low, unit))
    return waveforms, noise, amplitudes


def _make_orthonormal(
    amplitudes: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return amplitudes that are orthonormal over weighted epochs: weighted once, twice, and not.

    The noise of each waveform is then that of one epoch.
    """
    base, inverse = orthonormalise_by(amplitudes * weights[:, np.newaxis])
    unit = (base * weights[:, np.newaxis]).astype(np.float32)
    return base, unit, (amplitudes @ inverse).astype(np.float32)


def _measure_beside(rest: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return the noise power of each waveform, measured at frequencies next to its own.

    Each amplitude course, modulated by ±2 to ±8 cycles per block, is regressed on the residual.
    """
    # EEG near a multiple of the artifact's rate (alpha at ten slices per second) varies slowly from
    # epoch to epoch, as amplitudes do; the mean power over all epochs would underestimate it.
    turns = _turn(len(unit), rest.dtype)
    total = np.zeros((unit.shape[1], rest.shape[1]))
    for course, row in zip(unit.T, total, strict=True):
        beside = turns @ (rest * course[:, np.newaxis])
        row[:] = np.mean(beside.real**2 + beside.imag**2, axis=0)
    return total


@lru_cache(maxsize=4)
def _turn(n: int, dtype: np.dtype) -> np.ndarray:
    """Return factors that modulate a course by ±2 to ±8 cycles, shape (14, n)."""
    cycles = np.array([sign * k for k in range(2, 9) for sign in (1, -1)])
    return np.exp(2j * np.pi * np.multiply.outer(cycles, np.arange(n) / n)).astype(dtype)


def _shrink(
    waveforms: np.ndarray, noise: np.ndarray, layout: Layout, shrinkage: float
) -> np.ndarray:
    r"""Return waveforms with the expected contribution of noise removed.

    Each harmonic of the artifact's own period (without surroundings, so that components that repeat
    within it are single lines) is multiplied by

    .. math:: g = \max(0, 1 - \lambda \sigma^2 / |c|^2) .
    """
    n = layout.n_samples
    inner = fft.irfft(waveforms, layout.n_fft, axis=-1)[:, HALO : HALO + n]
    lines = fft.rfft(inner, axis=-1)
    at = np.arange(lines.shape[1]) * (layout.n_fft / n)
    level = np.array([np.interp(at, np.arange(len(row)), row) for row in noise])
    window = taper(n, lines.real.dtype)
    level *= n / np.sum(window**2)
    power = lines.real**2 + lines.imag**2
    lost = np.minimum(1.0, shrinkage * level / np.where(power > 0, power, 1.0))
    lost = lost.astype(window.dtype)
    extended = np.zeros((len(waveforms), layout.n_fft), window.dtype)
    around = np.arange(-HALO, n + HALO)
    extended[:, : n + 2 * HALO] = fft.irfft(lines * lost, n, axis=-1)[:, around % n]
    extended[:, : n + 2 * HALO] *= window
    return waveforms - fft.rfft(extended, axis=-1)


# ------------------------------------------------------------------------------------ subtraction
def _subtract_model(
    x: np.ndarray,
    out: np.ndarray,
    layout: Layout,
    which: np.ndarray,
    pool: np.ndarray,
    model: Model,
) -> None:
    """Subtract templates from `out`; epochs that were not fitted use the nearest amplitudes."""
    for part in list_portions(len(which), layout):
        subtract_portion(x, out, layout, which[part], pool, model)


def subtract_portion(
    x: np.ndarray,
    out: np.ndarray,
    layout: Layout,
    part: np.ndarray,
    pool: np.ndarray,
    model: Model,
    chosen: np.ndarray | None = None,
) -> None:
    """Subtract the templates of a portion of epochs, or of those that are `chosen`, from `out`.

    The templates of a whole portion are one matrix product, whose rounding depends on its shape.

    Parameters
    ----------
    x, out : ndarray, shape (n_times,)
        Signal and result, in V, or pieces of them that include the ranges of :func:`list_reaches`.
    layout : Layout
        Positions of the artifacts in them.
    part : ndarray of int
        The epochs of the portion.
    pool : ndarray of int
        The epochs that were fitted.
    model : Model
        Their model.
    chosen : ndarray of int | None
        Positions in `part` of the epochs to correct; None for all.
    """
    if pool[-1] - pool[0] < len(pool):  # none is missing between them
        model_of = np.clip(part - pool[0], 0, len(pool) - 1)
    else:
        model_of = np.searchsorted(pool, find_nearest(part, pool))
    templates = (model.amplitudes[model_of] @ model.waveforms.view(np.float32)).view(np.complex64)
    if chosen is not None:
        templates, part, model_of = templates[chosen], part[chosen], model_of[chosen]
    rows = sample(templates, layout, part)
    doubtful = model.doubtful[model_of] | ~layout.usable[part]
    before, after = model.around[:, model_of]
    for i in np.flatnonzero((before != after) & ~doubtful):
        low = int(layout.first[part[i]])
        if low < 0 or low + layout.n_samples > len(x):
            continue
        two = model.amplitudes[[before[i], after[i]]] @ model.waveforms.view(np.float32)
        two = sample(two.view(np.complex64), layout, part[[i, i]])
        span = slice(HALO, HALO + layout.n_samples)
        signal = x[low : low + layout.n_samples]
        rows[i, span] = blend(signal, rows[i, span], two[0, span], two[1, span])
    if np.isfinite(model.limits).any():
        for row, begin in zip(rows, layout.first[part].tolist(), strict=True):
            span = slice(max(begin, 0), min(begin + layout.n_samples + 1, len(x)))
            own = row[HALO + span.start - begin : HALO + span.stop - begin]
            clipping.bridge(x[span], own, model.limits)
    for i in np.flatnonzero(doubtful):
        _keep_where_present(x, rows[i], int(layout.first[part[i]]) - HALO)
    subtract(out, rows, layout, part)


def _keep_where_present(x: np.ndarray, row: np.ndarray, origin: int) -> None:
    """Set a template to zero, in place, where a truncated artifact is absent from the signal."""
    # The artifact starts or ends where subtracting the template begins or ceases to reduce the
    # energy, here of second differences, in which EEG is weak.
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
