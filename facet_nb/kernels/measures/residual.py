"""Figures of a corrected recording without ground truth, from spectra of windows.

Samples are averaged in pairs, triples … to 500 to 1000 Hz beforehand: what is judged lies below
250 Hz.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from facet_nb.kernels import fft
from facet_nb.kernels.compiled.dispatch import find_compiled

#: Lowest rate to which samples are averaged, in Hz.
LOWEST_RATE_HZ = 500.0
#: Bands, in Hz: EEG; where the artifact exceeds it, within and above the EEG's bands; and what is
#: left of the latter behind a low-pass filter.
EEG_HZ, INNER_HZ, HIGH_HZ, BELOW_HZ = (1.0, 70.0), (20.0, 70.0), (75.0, 200.0), (40.0, 70.0)
#: Number of random shifts that give the distribution without locked residual.
N_SHIFTS = 20
#: A line of the artifact exceeds the median of its surroundings by this factor (natural
#: logarithm); frequencies around and directly beside a line, in Hz.
_LINE, _AROUND_HZ, _BESIDE_HZ = 2.0, 6.0, 1.0
#: EEG has a smooth spectrum from here on, in Hz.
_SMOOTH_HZ = 15.0


@dataclass(frozen=True, eq=False)  # one for each length and rate: identity tells them apart
class Grid:
    """Frequencies of a window.

    Attributes
    ----------
    n_samples : int
        Length of a window, in samples.
    factor : int
        Number of samples that are averaged.
    freqs : ndarray, shape (n_freqs,)
        Frequencies up to the end of the highest band, in Hz.
    gain : ndarray, shape (n_freqs,)
        Factor from the energy of the differences of averaged samples to a power, in V².
    highest : float
        Highest frequency that is judged, in Hz.
    """

    n_samples: int
    factor: int
    freqs: np.ndarray
    gain: np.ndarray
    highest: float

    @classmethod
    @lru_cache(maxsize=8)  # windows before and after correction share one
    def of(cls, n_samples: int, sfreq: float) -> Grid:
        """Return the frequencies of windows of `n_samples` at `sfreq` Hz."""
        factor = max(1, int(sfreq / LOWEST_RATE_HZ))
        n = n_samples // factor
        freqs = np.fft.rfftfreq(n, factor / sfreq)
        freqs = freqs[freqs <= HIGH_HZ[1] + 1.0]
        turns = np.pi * freqs / sfreq
        # Averages and differences change the amplitude of a sine wave; both are undone.
        with np.errstate(divide="ignore", invalid="ignore"):
            average = np.where(freqs > 0, np.sin(factor * turns) / (factor * np.sin(turns)), 1.0)
            gain = 2.0 / (n * average * 2.0 * np.sin(factor * turns)) ** 2
        gain[0] = 0.0
        freqs.flags.writeable = gain.flags.writeable = False
        return cls(n_samples, factor, freqs, gain, 0.45 * sfreq / factor)

    @lru_cache(maxsize=64)  # noqa: B019 - few grids are kept
    def find(self, band: tuple[float, float], highest: float = np.inf) -> slice:
        """Return the frequencies of a band, in Hz, below 0.9 of `highest` and of half the rate."""
        high = min(band[1], 0.9 * highest, self.highest)
        first, last = np.searchsorted(self.freqs, (band[0], high))
        return slice(int(first), int(last))

    def average(self, x: np.ndarray, out: np.ndarray) -> None:
        """Write differences of averages of neighbouring samples to `out`, in single precision.

        Differences are transformed: slow drift, which has no period of a window, would leak into
        all frequencies. They hold no offset, so that single precision is enough.

        Parameters
        ----------
        x : ndarray, shape (n_rows, n_samples)
            Samples.
        out : ndarray of float32, shape (n_rows, n_averages)
            Contiguous; the first difference is zero.
        """
        compiled = find_compiled("differences", "average_rows")
        if compiled is not None and _has_rows(x):
            compiled(x, self.factor, out)
            return
        n = out.shape[1]
        parts = x[:, : n * self.factor].reshape(len(x), n, self.factor)
        # A sum over the last axis, which is short, takes two to four times as long; einsum is slow
        # with pairs, and BLAS starts threads for long rows.
        if self.factor <= 4:
            sums = np.matmul(parts, np.ones(self.factor))
        else:
            sums = np.einsum("rnk->rn", parts, dtype=float)
        np.subtract(sums[:, 1:], sums[:, :-1], out=out[:, 1:], casting="same_kind")
        out[:, 0] = 0.0
        out *= np.float32(1.0 / self.factor)

    def transform(self, x: np.ndarray) -> np.ndarray:
        """Return spectra of rows of samples, shape (n_rows, n_freqs)."""
        averages = np.empty((len(x), self.n_samples // self.factor), dtype=np.float32)
        self.average(x, averages)
        return self.transform_averages(averages)

    def transform_averages(self, y: np.ndarray) -> np.ndarray:
        """Return spectra of the output of :meth:`average`, along the last axis."""
        return np.asarray(fft.rfft(y, axis=-1))[..., : len(self.freqs)]


def pick_differences(x: np.ndarray, first: np.ndarray, lag: int, n: int) -> np.ndarray:
    """Return differences of samples from some places on, shape (n_rows, *shape of first, n).

    Parameters
    ----------
    x : ndarray, shape (n_rows, n_times)
        Samples.
    first : ndarray of int
        First sample of each place.
    lag : int
        Distance of two samples.
    n : int
        Number of differences at a place.
    """
    # The samples of a place lie apart, and are waited for one by one unless asked for before.
    compiled = find_compiled("differences", "pick_differences")
    if compiled is None or not _has_rows(x):
        return np.diff(x[:, np.add.outer(first, lag * np.arange(n + 1))])
    places = np.ascontiguousarray(first.reshape(-1), dtype=np.int64)
    if len(places) and not 0 <= places.min() <= places.max() < x.shape[1] - n * lag:
        raise IndexError("a place is not within the samples")
    picked: np.ndarray = compiled(x, places, lag, n)
    return picked.reshape(len(x), *first.shape, n)


def _has_rows(x: np.ndarray) -> bool:
    """Whether compiled kernels take the rows."""
    return bool(x.dtype == np.float64 and x.dtype.isnative and x.strides[1] == x.itemsize)


@dataclass(frozen=True)
class LockedSums:
    """Sums over epochs from which the residual that is locked to them follows.

    Attributes
    ----------
    grid : Grid
        Frequencies of an epoch.
    n : int
        Number of epochs.
    power : ndarray, shape (n_channels, n_freqs)
        Mean power of the epochs, at the frequencies of the EEG.
    lagged : ndarray, shape (n_channels, n_freqs)
        Mean product of neighbouring epochs; NaN if there are none.
    spectra : ndarray of complex, shape (n_epochs, n_channels, n_freqs)
        The epochs, moved to their exact onsets.
    n_pairs : int
        Number of neighbouring epochs.
    seed : int
        Seed of random shifts.
    """

    grid: Grid
    n: int
    power: np.ndarray
    lagged: np.ndarray
    spectra: np.ndarray
    n_pairs: int
    seed: int = 0

    @property
    def n_products(self) -> int:
        """Number of products of an epoch of one half and one of the other."""
        first, second = _halve(self.n)
        return len(first) * len(second)

    @cached_property
    def band(self) -> slice:
        """The frequencies of the EEG."""
        return self.grid.find(EEG_HZ)

    @classmethod
    def of(
        cls,
        grid: Grid,
        spectra: np.ndarray,
        late_s: np.ndarray | None = None,
        number: np.ndarray | None = None,
        seed: int = 0,
    ) -> LockedSums:
        """Return the sums over some epochs.

        Parameters
        ----------
        grid : Grid
            Frequencies of an epoch.
        spectra : ndarray of complex, shape (n_epochs, n_channels, n_freqs)
            Spectra of their samples.
        late_s : ndarray, shape (n_epochs,) | None
            How much later than its epoch the first sample of each is, in s; None for 0.
        number : ndarray of int, shape (n_epochs,) | None
            Number of each epoch: neighbours differ by 1. None if all follow each other.
        seed : int
            Seed of the random shifts.
        """
        band = grid.find(EEG_HZ)
        n = len(spectra)
        late_s = np.zeros(n) if late_s is None else late_s
        number = np.arange(n) if number is None else number
        ramp = np.exp(-2j * np.pi * np.multiply.outer(late_s, grid.freqs[band]))
        own = spectra[..., band] * ramp.astype(spectra.dtype)[:, np.newaxis]
        power = np.mean(own.real**2 + own.imag**2, axis=0, dtype=float)
        first = np.flatnonzero(np.diff(number) == 1)
        lagged = np.full(power.shape, np.nan)
        if len(first):
            one, two = own[first], own[first + 1]
            lagged = np.mean(one.real * two.real + one.imag * two.imag, axis=0, dtype=float)
        return cls(grid, n, power, lagged, own, len(first), seed)

    def locked(self, which: slice = slice(None)) -> np.ndarray:
        """Return the locked share of each channel, shape (n_channels,).

        The part of the power that is the same in all epochs, averaged over frequencies. It is
        estimated from two halves of the epochs, so that it is zero in the mean if nothing is
        locked.

        Parameters
        ----------
        which : slice
            Frequencies of the band that count: all for the period of an epoch, every n-th for its
            n-th part.
        """
        return np.asarray(np.mean(self._shares[:, which], axis=-1))

    @cached_property
    def _shares(self) -> np.ndarray:
        """The locked share at each frequency, shape (n_channels, n_freqs)."""
        one, two = (self.spectra[half].sum(axis=0) for half in _halve(self.n))
        cross = one.real * two.real + one.imag * two.imag
        return np.asarray(cross / (self.n_products * np.maximum(self.power, 1e-300)))

    def locked_by_chance(self, which: slice = slice(None)) -> np.ndarray:
        """Return the locked share under random circular shifts, shape (N_SHIFTS, n_channels)."""
        code, band = self.spectra.dtype.char, (self.band.start, self.band.stop)
        turns = _make_shifts(self.grid.n_samples // self.grid.factor, self.n, band, code, self.seed)
        # One product of matrices for each frequency: shifts x epochs and epochs x channels.
        one, two = (
            factors[which] @ self.spectra[half][..., which].transpose(2, 0, 1)
            for half, factors in zip(_halve(self.n), turns, strict=True)
        )
        cross = one.real * two.real + one.imag * two.imag
        weights = 1.0 / np.maximum(self.power[:, which], 1e-300)
        shares = np.einsum("fsc,cf->sc", cross, weights)
        return np.asarray(shares / (self.n_products * len(cross)))

    def take(self, channels: np.ndarray | slice) -> LockedSums:
        """Return the sums of some channels."""
        own = (self.power[channels], self.lagged[channels], self.spectra[:, channels])
        return LockedSums(self.grid, self.n, *own, self.n_pairs, self.seed)

    def together(self, which: slice = slice(None)) -> np.ndarray:
        """Return how much neighbouring epochs resemble each other, shape (n_channels,)."""
        power = np.maximum(self.power[:, which].sum(axis=1), 1e-300)
        return np.asarray(self.lagged[:, which].sum(axis=1) / power)


@lru_cache(maxsize=4)  # recordings of one protocol share them
def _make_shifts(
    n: int, n_epochs: int, band: tuple[int, int], code: str, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return factors that shift even and odd epochs circularly by random numbers of samples.

    Parameters
    ----------
    n : int
        Number of samples of an epoch.
    n_epochs : int
        Number of epochs.
    band : tuple of int
        First frequency, and the one behind the last.
    code : str
        Type of the factors, as a character.
    seed : int
        Seed of the numbers.

    Returns
    -------
    tuple of ndarray of complex, shape (n_freqs, N_SHIFTS, n_epochs / 2)
    """
    turns = np.random.default_rng(seed).integers(0, n, (n_epochs, N_SHIFTS))
    circle = np.exp(-2j * np.pi * np.arange(n) / n).astype(code)
    bins = np.arange(*band)[:, np.newaxis, np.newaxis]
    one, two = (circle[bins * turns[half].T % n] for half in _halve(n_epochs))
    one.flags.writeable = two.flags.writeable = False
    return one, two


@lru_cache(maxsize=16)
def _halve(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which of `n` epochs are in each half: two neighbours, the next two, and so on.

    Neighbours are in one half, as far as they can: a residual that only they share is none that
    all epochs share.
    """
    second = np.arange(n) // 2 % 2 == 1
    return np.flatnonzero(~second), np.flatnonzero(second)


def find_medians(x: np.ndarray, axis: int = 0) -> np.ndarray:
    """Return medians along an axis, NaN where there is a NaN.

    Of a few hundred numbers, in an eighth of the time of :func:`numpy.median`.
    """
    ordered = np.sort(x, axis=axis)
    if axis:
        ordered = np.moveaxis(ordered, axis, 0)
    n = len(ordered)
    medians = 0.5 * (ordered[(n - 1) // 2] + ordered[n // 2])
    return np.where(np.isnan(ordered[-1]), np.nan, medians)


def measure_gaps(power: np.ndarray, artifact: np.ndarray, freqs: np.ndarray) -> np.ndarray:
    """Return how much the spectrum differs beside the artifact's lines, in dB.

    Adaptive filters and notches take EEG beside the lines of an artifact as well. Lines are
    frequencies at which the artifact exceeds its surroundings; power within 1 Hz of them is
    compared with the median of other frequencies up to 6 Hz away, from 15 Hz on.

    Parameters
    ----------
    power, artifact : ndarray, shape (n_channels, n_freqs)
        Power after and before correction, in any unit.
    freqs : ndarray, shape (n_freqs,)
        Frequencies, at equal distances, in Hz.

    Returns
    -------
    ndarray, shape (n_channels,)
        Mean over lines, negative where power is lacking; NaN if there are no lines, or nothing
        but lines.
    """
    step = float(freqs[1] - freqs[0])
    # Below beta, the peaks of EEG are as narrow as what lacks.
    lowest = int(np.searchsorted(freqs, _SMOOTH_HZ))
    artifact, power = artifact[:, lowest:], power[:, lowest:]
    around, beside = 2 * int(_AROUND_HZ / step) + 1, 2 * int(_BESIDE_HZ / step) + 1
    # In double precision: 1e-300 is zero in single precision.
    before, after = (np.log(np.maximum(p.astype(float), 1e-300)) for p in (artifact, power))
    half = around // 2
    # Not scipy.ndimage: importing it takes longer than this, and its median three times as long.
    windows = _slide(before, around, before[:, :1], before[:, -1:])
    level = np.stack([np.partition(x, half)[:, half] for x in windows])  # a copy of one channel
    lines = before > level + _LINE
    near = _slide(lines, beside, False, False).any(axis=-1)
    other = _slide(np.where(near, np.nan, after), around, np.nan, np.nan)
    # Not at the lines: there every average takes a part of the EEG.
    rows, columns = np.nonzero(near & ~lines)
    values = np.sort(other[rows, columns])
    count = np.count_nonzero(~np.isnan(values), axis=1)
    enough = count > half // 2
    rows, columns, values, count = rows[enough], columns[enough], values[enough], count[enough]
    # The median of those that are numbers, which are sorted to the front.
    each = np.arange(len(values))
    level = 0.5 * (values[each, (count - 1) // 2] + values[each, count // 2])
    # Neither a peak of the EEG nor one empty frequency decides alone.
    gaps = np.clip(after[rows, columns] - level, -1.0, 1.0)
    sums, n_lines = (np.bincount(rows, weights, len(power)) for weights in (gaps, None))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(10.0 / np.log(10.0) * sums / n_lines)


def _slide(x: np.ndarray, n: int, before: Any, behind: Any) -> np.ndarray:
    """Return the `n` columns around each column, an odd number, shape (n_rows, n_columns, n).

    What stands before the first column, and behind the last one, is given.
    """
    half = n // 2
    padded = np.empty((len(x), x.shape[1] + 2 * half), dtype=x.dtype)  # np.pad takes longer
    padded[:, :half], padded[:, half : x.shape[1] + half] = before, x
    padded[:, x.shape[1] + half :] = behind
    return np.lib.stride_tricks.sliding_window_view(padded, n, axis=1)
