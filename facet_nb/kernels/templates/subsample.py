"""Sub-sample alignment of artifacts, at the native sampling rate.

Artifacts do not start exactly on samples. Epochs are delayed by a fraction of a sample in the
Fourier domain and averaged on a common grid, and the template is delayed back to the position of
each artifact. This replaces tenfold upsampling, with a tenth of the data and without rounding
positions to tenths of a sample.

This module holds the common parts: positions of artifacts, spectra of epochs, and subtraction of
templates. All functions take one channel, so that its result does not depend on other channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from facet_nb.kernels import fft
from facet_nb.kernels.compiled.dispatch import find_for_rows
from facet_nb.kernels.means import find_mean
from facet_nb.kernels.pages import forget

#: Resolution of positions, in steps per sample: a rounding error of 3e-4 samples RMS.
GRID = 1024

#: Samples on either side of an epoch that its transform includes: a flat part and a cosine taper.
FLAT, TAPER = 8, 24

HALO = FLAT + TAPER

#: Length of the fractional-delay filters that are used where no spectra are needed, and beta of
#: their Kaiser window: an error below -85 dB up to 0.88 of the Nyquist frequency (tested).
TAPS, KAISER = 49, 9.0

#: Samples on either side of an epoch that the delay back needs: half a filter, and one more.
MARGIN = TAPS // 2 + 1

#: Number of epochs that are transformed at once, to bound the memory.
_PORTION = 64

#: Errors of markers that are rounded to samples, at most, in samples.
_NARROW = 1

#: Largest difference of the lengths of artifacts that are subtracted at once, in samples.
_UNEVEN = 3


@dataclass(frozen=True)
class Layout:
    """Positions of artifacts; the same for all channels.

    Attributes
    ----------
    first : ndarray of int, shape (n_epochs,)
        Sample nearest to the onset of each artifact.
    part : ndarray of int, shape (n_epochs,)
        Onset minus `first`, in 1 / GRID of a sample.
    n_samples : int
        Length of an artifact.
    usable : ndarray of bool, shape (n_epochs,)
        Whether an epoch and its surroundings lie within the recording.
    n_times : int
        Length of the recording, in samples.
    position : ndarray of int, shape (n_epochs,) | None
        Number of each slice in its volume; None if it is not known.
    ends : ndarray of int, shape (n_epochs,) | None
        Sample at which time stops being continuous after each artifact begins; None if it is
        continuous.
    """

    first: np.ndarray
    part: np.ndarray
    n_samples: int
    usable: np.ndarray
    n_times: int
    position: np.ndarray | None = None
    ends: np.ndarray | None = None

    @classmethod
    def of(cls, onsets: np.ndarray, n_samples: int, n_times: int) -> Layout:
        """Return the layout of artifacts with given onsets, in samples, not necessarily integer."""
        steps = np.rint(np.asarray(onsets) * GRID).astype(np.int64)
        first = (steps + GRID // 2) // GRID
        usable = (first >= HALO) & (first + n_samples + HALO <= n_times)
        return cls(first, steps - first * GRID, n_samples, usable, n_times)

    def stop_at(self, pieces: Sequence[tuple[int, int]]) -> Layout:
        """Return the layout in a recording whose time is continuous in `pieces` only.

        Artifacts whose surroundings reach over a break enter no template, and end there.
        """
        if not pieces:
            return self
        breaks = list_breaks(pieces, self.n_times)
        ends = np.append(breaks, self.n_times)[np.searchsorted(breaks, self.first, side="right")]
        broken = find_broken(self.first - HALO, self.n_samples + 2 * HALO, breaks)
        return replace(self, usable=self.usable & ~broken, ends=ends)

    def within(self, volumes: np.ndarray) -> Layout:
        """Return the layout with the position of each slice in volumes that begin at `volumes`."""
        onsets = self.first + self.part / GRID
        distance = float(np.median(np.diff(onsets)))
        n_slices = max(1, round(float(np.median(np.diff(volumes))) / distance))
        own = np.searchsorted(volumes, onsets + 0.5 * distance) - 1
        after = np.rint((onsets - volumes[np.maximum(own, 0)]) / distance).astype(np.int64)
        return replace(self, position=after % n_slices)

    @cached_property
    def spans(self) -> tuple[np.ndarray, ...]:
        """Range of samples of each artifact, and the weights of its outer samples.

        Four arrays of shape (n_epochs,): the first sample, the sample after the last, and the
        weights of the first and of the last sample, from 0 to 1. A sample represents the interval
        from half a sample before it to half a sample after it; its weight is the part of this
        interval that belongs to the artifact.
        """
        n_times = self.n_times
        begin = self.first + self.part / GRID
        end = begin + self.n_samples
        # Where artifacts overlap, the earlier one ends at the onset of the later one.
        end[:-1] = np.minimum(end[:-1], np.maximum(begin[1:], begin[:-1]))
        if self.ends is not None:
            end = np.minimum(end, self.ends - 0.5)
        low = np.floor(begin + 0.5).astype(np.int64)
        high = np.ceil(end + 0.5).astype(np.int64)
        head = np.where(low >= 0, np.minimum(1.0, low + 0.5 - begin), 1.0)
        tail = np.where(high <= n_times, np.clip(1.0 - (high - 0.5 - end), 0.0, 1.0), 1.0)
        return np.maximum(low, 0), np.minimum(high, n_times), head, tail

    @property
    def is_ordered(self) -> bool:
        """Whether the epochs are in order."""
        return bool(np.all(np.diff(self.first) > 0))

    @cached_property
    def n_fft(self) -> int:
        """Length of the transforms."""
        return int(fft.next_fast_len(self.n_samples + 2 * HALO, real=True))


def list_breaks(pieces: Sequence[tuple[int, int]], n_times: int) -> np.ndarray:
    """Return the samples at which pieces of continuous time begin or end within a recording."""
    edges = np.array(pieces, dtype=np.int64).ravel()
    return np.unique(edges[(edges > 0) & (edges < n_times)])


def find_broken(starts: np.ndarray, n_samples: int, breaks: np.ndarray) -> np.ndarray:
    """Return which epochs reach over a break in time, shape (n_epochs,).

    Parameters
    ----------
    starts : ndarray of int, shape (n_epochs,)
        Their first samples.
    n_samples : int
        Their length, in samples.
    breaks : ndarray of int, shape (n_breaks,)
        First samples behind breaks, in order; see :func:`list_breaks`.
    """
    behind = np.searchsorted(breaks, starts, side="right")
    return np.asarray(behind < np.searchsorted(breaks, starts + n_samples, side="left"))


@lru_cache(maxsize=8)
def taper(n_samples: int, dtype: np.dtype) -> np.ndarray:
    """Return the window of an epoch with its surroundings: flat with cosine tapers."""
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(TAPER) + 0.5) / TAPER)
    return np.concatenate([ramp, np.ones(n_samples + 2 * FLAT), ramp[::-1]]).astype(dtype)


@lru_cache(maxsize=8)
def _phases(n_fft: int, dtype: np.dtype) -> np.ndarray:
    """Return phase factors of shifts by -GRID/2 … GRID/2 steps, shape (GRID + 1, n_freqs)."""
    parts = np.arange(-GRID // 2, GRID // 2 + 1)[:, np.newaxis] / GRID
    table = np.exp(2j * np.pi * (np.fft.rfftfreq(n_fft) * parts))
    if n_fft % 2 == 0:  # a real signal has no phase at the Nyquist frequency
        table[:, -1] = np.cos(np.pi * parts[:, 0])
    table = table.astype(dtype)
    table.flags.writeable = False
    return table


def cut(x: np.ndarray, layout: Layout, which: np.ndarray, mean: float = 0.0) -> np.ndarray:
    """Return tapered epochs with their surroundings; zeros up to ``layout.n_fft`` may follow."""
    places, window = layout.first[which] - HALO, taper(layout.n_samples, x.dtype)
    if compiled := find_for_rows("epoch_samples", "cut_rows", x):
        rows: np.ndarray = compiled(x, places, window, layout.n_fft, mean)
        return rows
    pieces = _list_windows(x, len(window))[places]
    if mean:
        pieces -= x.dtype.type(mean)
    pieces *= window
    return pieces


def _list_windows(x: np.ndarray, n: int) -> np.ndarray:
    """Return a view of all windows of `n` samples, shape (len(x) - n + 1, n)."""
    # NumPy's sliding_window_view is the same, but its checks take as long as a small portion.
    step = x.strides[0]
    return np.lib.stride_tricks.as_strided(x, (len(x) - n + 1, n), (step, step))


def transform(x: np.ndarray, layout: Layout, which: np.ndarray, mean: float = 0.0) -> np.ndarray:
    """Return the spectra of aligned epochs, which start exactly at the onsets of artifacts.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Signal.
    layout : Layout
        Positions of the artifacts.
    which : ndarray of int, shape (n,)
        The epochs; all must be usable.
    mean : float
        Value that is subtracted from the signal first.

    Returns
    -------
    ndarray of complex, shape (n, n_freqs)
        Spectra of epochs with their tapered surroundings.
    """
    return align(cut(x, layout, which, mean), layout, which)


def align(pieces: np.ndarray, layout: Layout, which: np.ndarray) -> np.ndarray:
    """Return the spectra of epochs that :func:`cut` has returned, shifted to their onsets."""
    spectra = fft.rfft(pieces, layout.n_fft, axis=-1)
    spectra *= _phases(layout.n_fft, spectra.dtype)[layout.part[which] + GRID // 2]
    return spectra


def sample(spectra: np.ndarray, layout: Layout, which: np.ndarray) -> np.ndarray:
    """Return templates, delayed to the positions of some artifacts.

    Parameters
    ----------
    spectra : ndarray of complex, shape (n_freqs,) or (n, n_freqs)
        Spectrum of one template, or of one for each artifact.
    layout : Layout
        Positions of the artifacts.
    which : ndarray of int, shape (n,)
        The artifacts.

    Returns
    -------
    ndarray, shape (n, n_fft)
        Samples from HALO before ``layout.first`` on.
    """
    phases = _phases(layout.n_fft, spectra.dtype)[GRID // 2 - layout.part[which]]
    # An operator would multiply in place from 256 kB on, and round complex numbers in another way.
    delayed = np.multiply(spectra, phases)
    return fft.irfft(delayed, layout.n_fft, axis=-1, overwrite_x=True)


def epochs_of(spectra: np.ndarray, layout: Layout) -> np.ndarray:
    """Return aligned epochs without their surroundings, shape (n, n_samples)."""
    whole = fft.irfft(spectra, layout.n_fft, axis=-1)
    return whole[:, HALO : HALO + layout.n_samples]


# ------------------------------------------------------------------------------ onsets of artifacts
def find_onsets(
    x: np.ndarray, starts: np.ndarray, n_samples: int, *, max_lag: int = 3, n_rounds: int = 3
) -> np.ndarray:
    """Return the onsets of artifacts with sub-sample accuracy.

    Parameters
    ----------
    x : ndarray, shape (n_times,)
        Reference channel, in V.
    starts : ndarray of int, shape (n_epochs,)
        Onsets to within `max_lag` samples.
    n_samples : int
        Length of an artifact.
    max_lag : int
        Largest error of `starts`, in samples.
    n_rounds : int
        Number of iterations, each with a new mean artifact from better positions.

    Returns
    -------
    ndarray of float, shape (n_epochs,)
        Onsets, in samples. Their mean offset from `starts` is zero.

    Notes
    -----
    Each iteration maximises the cross-correlation of every epoch with the mean epoch: first to an
    integer sample, then by Newton's method in the Fourier domain.

    An artifact whose highest frequencies are its strongest, as close behind them the amplifier cuts
    off, resembles itself a period of these later. Where onsets are more than a sample away from
    `starts`, they are searched within one sample as well; what gives the larger mean epoch is
    right.
    """
    wide = _search(x, starts, n_samples, max_lag, n_rounds)
    if max_lag <= _NARROW or np.all(np.abs(wide - starts) <= _NARROW):
        return wide
    narrow = _search(x, starts, n_samples, _NARROW, n_rounds)
    energies = [_measure_mean(x, onsets, n_samples) for onsets in (wide, narrow)]
    return narrow if energies[1] > energies[0] else wide


def _measure_mean(x: np.ndarray, onsets: np.ndarray, n_samples: int) -> float:
    """Return the energy of the mean epoch, which is the larger the better they are aligned."""
    layout = Layout.of(onsets, n_samples, len(x))
    which = np.flatnonzero(layout.usable)
    if len(which) < 2:
        return 0.0
    spectrum = _average(x, layout, which, find_mean(x))
    return float(np.sum(spectrum.real**2 + spectrum.imag**2))


def _search(
    x: np.ndarray, starts: np.ndarray, n_samples: int, max_lag: int, n_rounds: int
) -> np.ndarray:
    """Return onsets; parameters are those of :func:`find_onsets`."""
    shifts, mean = np.zeros(len(starts)), find_mean(x)
    for _ in range(n_rounds):
        layout = Layout.of(starts + shifts, n_samples, len(x))
        which = np.flatnonzero(layout.usable)
        if len(which) < 2:
            return starts + shifts
        longest = min(max_lag, layout.n_fft // 4)
        template = _average(x, layout, which, mean)
        for part in portions(which):
            spectra = transform(x, layout, part, mean)
            shifts[part] += _find_lags(spectra, template, layout.n_fft, longest)
            forget(x)
        # The common offset is undetermined, as the template shifts along: keep it at zero.
        shifts[which] -= shifts[which].mean()
    return starts + shifts


def portions(which: np.ndarray) -> list[np.ndarray]:
    """Split `which` into portions whose epochs are transformed at once."""
    return [which[low : low + _PORTION] for low in range(0, len(which), _PORTION)]


def _average(x: np.ndarray, layout: Layout, which: np.ndarray, mean: float) -> np.ndarray:
    """Return the mean spectrum of epochs, with few epochs in memory at a time."""
    total = np.zeros(layout.n_fft // 2 + 1, dtype=complex)
    for part in portions(which):
        for spectrum in transform(x, layout, part, mean):
            total += spectrum
        forget(x)
    return total / len(which)


def _find_lags(spectra: np.ndarray, template: np.ndarray, n_fft: int, max_lag: int) -> np.ndarray:
    """Return the lag of each epoch relative to `template`, in samples."""
    cross = spectra * np.conj(template)
    near = np.concatenate([np.arange(max_lag + 1), np.arange(n_fft - max_lag, n_fft)])
    products = fft.irfft(cross, n_fft, axis=-1)[:, near]
    best = near[products.argmax(axis=1)]
    whole = np.where(best > n_fft // 2, best - n_fft, best).astype(float)
    lag = refine_lags(cross, whole, n_fft)
    lost = np.flatnonzero(np.abs(lag - whole) >= 1.0)
    if len(lost):
        lag[lost] = _retry(cross[lost], whole[lost], n_fft)
    return lag


def _retry(cross: np.ndarray, whole: np.ndarray, n_fft: int) -> np.ndarray:
    """Return lags where Newton's method diverged from an integer one: found from beside it, or it.

    It may diverge where noise dominates, or, half a sample away from both neighbours, where the
    highest frequencies do.
    """
    best, most = whole.copy(), _correlate(cross, whole, n_fft)
    for start in (whole - 0.5, whole + 0.5):
        lag = refine_lags(cross, start, n_fft)
        value = _correlate(cross, lag, n_fft)
        better = (np.abs(lag - whole) < 1.0) & (value > most)
        best, most = np.where(better, lag, best), np.where(better, value, most)
    return best


def _correlate(cross: np.ndarray, lag: np.ndarray, n_fft: int) -> np.ndarray:
    """Return cross-correlations at lags between samples."""
    omega = 2 * np.pi / n_fft * np.arange(cross.shape[1])
    return np.asarray(np.sum((cross * np.exp(1j * np.outer(lag, omega))).real, axis=1))


def refine_lags(cross: np.ndarray, lag: np.ndarray, n_fft: int) -> np.ndarray:
    """Return the maxima of cross-correlations, by four steps of Newton's method.

    Parameters
    ----------
    cross : ndarray of complex, shape (n, n_freqs)
        Spectra of cross-correlations.
    lag : ndarray of float, shape (n,)
        Positions of the maxima to an integer sample.
    n_fft : int
        Length of the transforms.

    Returns
    -------
    ndarray of float, shape (n,)
        Lags, in samples.
    """
    n = cross.shape[1]
    omega = 2 * np.pi / n_fft * np.arange(n)
    # exp(i omega lag) as a product of coarse and fine steps: far fewer sines and cosines.
    step = max(1, math.isqrt(n))
    coarse, fine = 1j * omega[::step], 1j * omega[:step]
    lag = lag.copy()
    for _ in range(4):
        at = lag[:, np.newaxis]
        turn = np.exp(coarse * at)[:, :, np.newaxis] * np.exp(fine * at)[:, np.newaxis]
        turned = cross * turn.reshape(len(lag), -1)[:, :n]
        slope = -np.einsum("ij,j->i", turned.imag, omega)
        bend = -np.einsum("ij,j->i", turned.real, omega**2)
        lag += np.where(bend < 0, -slope / np.where(bend < 0, bend, -1.0), 0.0)
    return lag


# ------------------------------------------------------------------------------------ subtraction
def subtract(
    out: np.ndarray, sampled: np.ndarray, layout: Layout, which: np.ndarray, before: int = HALO
) -> None:
    """Subtract templates from `out`, in place, each over the duration of its artifact.

    Parameters
    ----------
    out : ndarray, shape (n_times,)
        Signal, in V.
    sampled : ndarray, shape (n, at least before + n_samples + 1)
        Templates at the positions of the artifacts, as :func:`sample` returns them.
    layout : Layout
        Positions of the artifacts.
    which : ndarray of int, shape (n,)
        The artifacts.
    before : int
        Number of samples before ``layout.first`` in each row.
    """
    low, high, head, tail = (values[which] for values in layout.spans)
    rows = sampled.reshape(-1)
    at = np.arange(len(which)) * sampled.shape[1] + low - layout.first[which] + before
    compiled = find_for_rows("epoch_samples", "subtract_rows", out, rows)
    if compiled and out.dtype == np.float64:
        compiled(out, rows, at, low, high, head, tail)
        return
    length = high - low
    kept = length > 0
    if not kept.all():
        low, high, head, tail, length = (v[kept] for v in (low, high, head, tail, length))
        sampled, which, at = sampled[kept], which[kept], at[kept]
    if not len(which):
        return
    unordered = np.any(low[1:] < high[:-1] - 1)
    if len(which) > 1 and (unordered or length.min() == 1):
        for k in range(len(which)):
            subtract(out, sampled[k : k + 1], layout, which[k : k + 1], before)
        return
    # What lies within artifacts of about the same length is subtracted at once.
    inner = length - 2
    n = max(int(inner.max()) - _UNEVEN, 0)
    alike = inner >= n
    for row in np.flatnonzero(~alike):
        out[low[row] + 1 : high[row] - 1] -= rows[at[row] + 1 : at[row] + length[row] - 1]
    if n:
        _list_windows(out, n)[low[alike] + 1] -= _list_windows(rows, n)[at[alike] + 1]
    for j in range(n + 1, int(length.max()) - 1):
        here = np.flatnonzero(alike & (inner >= j))
        out[low[here] + j] -= rows[at[here] + j]
    # Neighbours share a sample: it is the last one of the earlier, then the first one of the later.
    several = length > 1
    out[high[several] - 1] -= (rows[at + length - 1] * tail)[several]
    out[low] -= rows[at] * head * np.where(several, 1.0, tail)
