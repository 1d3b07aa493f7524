"""Preparation of epochs for the gradient correction: spectra above the EEG bands, and drift.

All functions take one channel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from facet_nb.kernels.compiled.dispatch import find_for_rows
from facet_nb.kernels.lowrank.orthonormal import orthonormalise, orthonormalise_by
from facet_nb.kernels.templates.subsample import (
    GRID,
    HALO,
    Layout,
    align,
    epochs_of,
    taper,
    transform,
)

#: Amplitudes are estimated above this frequency, or above this fraction of a low sampling rate.
EEG_EDGE_HZ = 70.0

EEG_EDGE_OF_RATE = 0.16

#: Shortest interval whose mean is regarded as drift, in s.
_TREND_S = 0.1

#: Multiple of the noise that is no evidence of what recurs with the volume: of all slices, and of
#: one slice among many.
_EXCESS, _EXCESS_OF_ONE = 1.5, 5.0

#: What follows the artifact's amplitudes, and steps that count as outliers, in standard deviations
#: of noise, and fewest steps for each course of amplitudes.
_CLEAR, _OUTLIER, _STEPS_PER_COURSE = 3.3, 3.0, 4

#: Smallest ratio of the variance of steps to that of a mixture of amplitudes: 2 if it is white.
_FAST = 0.5

#: Steps on either side whose mean is that of slow drift.
_AROUND = 10

#: Number of samples that are transformed at once, to bound the memory and stay in the cache.
_SAMPLES_AT_ONCE = 1 << 16

#: Number of samples of which the second differences or the drift are computed at once.
_CHUNK = 1 << 15


def cut(x: np.ndarray, layout: Layout, which: np.ndarray) -> tuple[np.ndarray, Layout]:
    """Return the samples around some epochs, as float64, and the layout of epochs in them."""
    low = max(0, int(layout.first[which[0]]) - HALO)
    high = min(len(x), int(layout.first[which[-1]]) + layout.n_samples + HALO)
    inner = replace(
        layout,
        first=layout.first[which] - low,
        part=layout.part[which],
        position=None if layout.position is None else layout.position[which],
        usable=np.ones(len(which), dtype=bool),
        ends=None,
        n_times=high - low,
    )
    return x[low:high].astype(np.float64, copy=False), inner


def count_at_once(layout: Layout) -> int:
    """Return the number of epochs that are transformed at once."""
    return max(1, _SAMPLES_AT_ONCE // layout.n_fft)


def list_portions(n_epochs: int, layout: Layout) -> list[slice]:
    """Return the portions of some epochs that are transformed at once."""
    at_once = count_at_once(layout)
    return [slice(low, min(low + at_once, n_epochs)) for low in range(0, n_epochs, at_once)]


def transform_all(x: np.ndarray, layout: Layout) -> np.ndarray:
    """Return the spectra of all epochs, computed in portions."""
    indices = np.arange(len(layout.first))
    out = np.empty((len(indices), layout.n_fft // 2 + 1), np.result_type(x, np.complex64))
    for part in list_portions(len(indices), layout):
        out[part] = transform(x, layout, indices[part])
    return out


def find_band(layout: Layout, sfreq: float) -> np.ndarray:
    """Return which frequencies of the transforms lie above the EEG bands, bool."""
    freqs_hz = np.fft.rfftfreq(layout.n_fft, 1.0 / sfreq)
    edge_hz = min(EEG_EDGE_HZ, EEG_EDGE_OF_RATE * sfreq)
    return (freqs_hz >= edge_hz) & (freqs_hz < 0.499 * sfreq)


def transform_high(x: np.ndarray, layout: Layout, sfreq: float) -> np.ndarray:
    """Return spectra above the EEG bands in single precision, shape (n_epochs, n_freqs_above)."""
    # Epochs are cut from second differences, and the spectra divided by the response of the
    # differences: slow EEG would otherwise leak into all frequencies, from the steps at epoch ends.
    # Rounded to single precision they are exact to a ten-millionth of the artifact.
    band = np.flatnonzero(find_band(layout, sfreq))
    kept = slice(int(band[0]), int(band[-1]) + 1) if len(band) else slice(0, 0)
    gain = (1.0 / (2.0 * np.cos(2.0 * np.pi * band / layout.n_fft) - 2.0)).astype(np.float32)
    # As pairs of real numbers: NumPy would make the gain complex, and multiply by 0, too.
    pairs, gain = slice(2 * kept.start, 2 * kept.stop), np.repeat(gain, 2)
    out = np.empty((len(layout.first), 2 * len(band)), np.float32)
    for part, spectra in _transform_differences(x, layout, np.float32):
        np.multiply(spectra.view(np.float32)[:, pairs], gain, out=out[part])
    return out.view(np.complex64)


def _transform_differences(
    x: np.ndarray, layout: Layout, dtype: type[np.floating]
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield portions of the epochs, and spectra of their second differences."""
    indices, window = np.arange(len(layout.first)), taper(layout.n_samples, np.dtype(dtype))
    compiled = find_for_rows("epoch_samples", "cut_differences", x)
    differences = x if compiled else _difference(x, dtype)
    for part in list_portions(len(indices), layout):
        which = indices[part]
        if compiled:
            pieces = compiled(x, layout.first[which] - HALO, window, layout.n_fft)
            yield part, align(pieces, layout, which)
        else:
            yield part, transform(differences, layout, which)


def _difference(x: np.ndarray, dtype: type[np.floating]) -> np.ndarray:
    """Return second differences, with zeros at the ends."""
    out = np.zeros(len(x), dtype)
    for low in range(1, len(x) - 1, _CHUNK):
        part = np.diff(x[low - 1 : low + _CHUNK + 1], 2)
        out[low : low + len(part)] = part
    return out


def average_high(x: np.ndarray, layout: Layout) -> np.ndarray:
    """Return the mean of the second differences of epochs, shape (n_samples,)."""
    which = np.flatnonzero(layout.usable)
    total = np.zeros(layout.n_fft // 2 + 1, dtype=complex)
    for _, spectra in _transform_differences(*cut(x, layout, which), np.float64):
        total += spectra.sum(axis=0)
    return epochs_of(total[np.newaxis] / len(which), layout)[0]


def measure_rest(x: np.ndarray, layout: Layout) -> float:
    """Return the median residual energy after subtracting the mean epoch, of second differences."""
    which = np.flatnonzero(layout.usable)
    if len(which) < 2:
        return np.inf
    rest = np.empty((len(which), layout.n_fft // 2 + 1), complex)
    for part, spectra in _transform_differences(*cut(x, layout, which), np.float64):
        rest[part] = spectra
    rest -= rest.mean(axis=0)
    return float(np.median(np.sum(rest.real**2 + rest.imag**2, axis=1)))


def remove_trend(
    x: np.ndarray,
    layout: Layout,
    sfreq: float,
    dtype: np.dtype | type = np.float64,
    courses: np.ndarray | None = None,
    sparse: bool = False,
) -> np.ndarray:
    """Return a signal without its piecewise linear drift, computed in float64.

    It connects means over intervals of about 0.1 s, or over one artifact where that is longer. No
    drift is what follows the artifact's amplitudes, shape (n_epochs, n_courses), in them, and what
    recurs with the volume, where the positions of slices in it are known. `sparse` tells that only
    few slices hold it: each of them is judged.
    """
    # The intervals extend from onset to onset of artifacts, with fractions of samples. The artifact
    # of a slice has zero mean, as gradients end where they started, so that the means are drift;
    # rectified excitation has a mean, whose size differs among the slices of a volume.
    onsets = layout.first + layout.part / GRID
    n_apart = max(1, round(_TREND_S * sfreq / layout.n_samples))
    if layout.position is not None:
        n_slices = int(layout.position.max()) + 1
        n_apart = max(n for n in range(1, n_apart + 1) if n_slices % n == 0)
    ends = np.append(onsets, onsets[-1] + layout.n_samples)[::n_apart]
    if len(ends) < 2:
        ends = np.array([onsets[0], onsets[-1] + layout.n_samples])
    ends = np.clip(ends, 0, len(x))
    whole = np.minimum(ends.astype(int), len(x) - 1)
    beyond = (ends - whole) * x[whole]
    sums = np.add.reduceat(x, whole)[:-1] * (np.diff(whole) > 0)
    means = (sums + np.diff(beyond)) / np.diff(ends)
    if courses is not None:
        amounts = np.add.reduceat(courses, np.arange(len(means)) * n_apart, axis=0)
        means -= _find_following(means, amounts * (layout.n_samples / np.diff(ends))[:, np.newaxis])
    if layout.position is not None:
        means -= _find_recurring(means, layout.position[::n_apart][: len(means)], sparse)
    middles = 0.5 * (ends[1:] + ends[:-1]) - 0.5
    slopes = np.concatenate([[0.0], np.diff(means) / np.diff(middles), [0.0]])
    levels = means[[0, *range(len(means))]] - slopes * middles[[0, *range(len(means))]]
    # NumPy's interp takes three times as long as lines whose coefficients are repeated.
    breaks = np.ceil(middles).astype(int)
    out = np.empty(len(x), dtype)
    if compiled := find_for_rows("epoch_samples", "subtract_lines", x, out):
        compiled(x, breaks, slopes, levels, out)
        return out
    for low in range(0, len(x), _CHUNK):
        part = x[low : low + _CHUNK]
        first, last = np.searchsorted(breaks, (low, low + len(part)))
        counts = np.diff(np.concatenate([[low], breaks[first:last], [low + len(part)]]))
        line = np.repeat(slopes[first : last + 1], counts)
        line *= np.arange(low, low + len(part))
        line += np.repeat(levels[first : last + 1], counts)
        np.subtract(part, line, out=out[low : low + _CHUNK], casting="same_kind")
    return out


def _find_following(means: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    """Return the part of the means of intervals that follows the artifact's amplitudes in them."""
    # Only mixtures of amplitudes that differ from one interval to the next: what follows slow ones
    # may be drift. The noise of steps between intervals is nearly white; movements are outliers.
    amounts = amounts - amounts.mean(axis=0)
    changing = amounts.max(axis=0) - amounts.min(axis=0) > 1e-9
    if len(means) < _STEPS_PER_COURSE * np.count_nonzero(changing) or not changing.any():
        return np.zeros(len(means))
    amounts = orthonormalise(amounts[:, changing])
    differences = np.diff(amounts, axis=0)
    squares, turns = np.linalg.eigh(differences.T @ differences)
    amounts = amounts @ turns[:, squares > _FAST][:, ::-1]
    steps = _remove_slow(np.diff(means)[:, np.newaxis])[:, 0]
    changes = _remove_slow(np.diff(amounts, axis=0))
    explained, factors = np.zeros(len(steps)), np.zeros(changes.shape[1])
    for _ in range(3):
        rest = np.abs(steps - explained)
        limit = _OUTLIER * _find_median(rest) / 0.6745
        weights = limit / np.maximum(rest, limit) if limit > 0 else np.ones(len(steps))
        basis, inverse = orthonormalise_by(changes * weights[:, np.newaxis])
        sizes = basis.T @ (steps * weights)
        sizes[np.abs(sizes) < _CLEAR * limit / _OUTLIER] = 0.0
        factors = inverse @ sizes
        explained = changes @ factors
    return amounts @ factors


def _find_median(values: np.ndarray) -> float:
    """Return the median of a few hundred values, in a third of the time of NumPy's."""
    ordered = np.sort(values)
    n = len(ordered)
    return float(0.5 * (ordered[(n - 1) // 2] + ordered[n // 2]))


def _remove_slow(values: np.ndarray) -> np.ndarray:
    """Return rows minus the mean of those around them."""
    numbers = np.arange(len(values))
    low, high = np.maximum(numbers - _AROUND, 0), np.minimum(numbers + _AROUND + 1, len(values))
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    around = sums.take(high, axis=0) - sums.take(low, axis=0)
    return values - around / (high - low)[:, np.newaxis]


def _find_recurring(means: np.ndarray, position: np.ndarray, sparse: bool) -> np.ndarray:
    """Return the part of the means of intervals that recurs with the volume."""
    p = len(np.unique(position))
    if len(means) <= p:
        return np.zeros(len(means))
    # Steps from one interval to the next, relative to those of a volume around, are blind to slow
    # drift, and their median is blind to movements.
    around = np.clip(np.arange(len(means) - 1) - p // 2, 0, len(means) - 1 - p)
    steps = np.diff(means) - (means[around + p] - means[around]) / p
    usual = np.zeros(int(position.max()) + 1)
    for k in np.unique(position[:-1]):
        usual[k] = np.median(steps[position[:-1] == k])
    usual[np.unique(position)] -= usual.sum() / p
    levels = (np.cumsum(usual) - usual)[position]
    # The variance of medians of noise is larger than that of means by pi / 2.
    noise = 0.5 * np.pi * np.median((steps - usual[position[:-1]]) ** 2) / 0.455 * p / len(steps)
    if sparse:
        levels -= np.median(levels)
        # The sums of p steps that add up to zero: their mean variance is a twelfth of p steps'.
        size = levels**2
        lost = _EXCESS_OF_ONE * noise * p / 12.0 / np.where(size > 0, size, np.inf)
        return levels * np.maximum(0.0, 1.0 - lost)
    power = np.sum(usual**2) / p
    gain = max(0.0, 1.0 - _EXCESS * noise / power) if power > 0 else 0.0
    return gain * (levels - levels.mean())
