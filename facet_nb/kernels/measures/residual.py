"""Figures of a corrected recording without ground truth, from spectra of windows.

Windows are read one after another and only sums are kept, so that memory does not grow with the
length of the recording. Samples are averaged in pairs, triples … to 500 to 1000 Hz beforehand:
what is judged lies below 250 Hz.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import fft

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
#: Epochs that are shifted at once.
_BLOCK = 16


@dataclass(frozen=True)
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
    def of(cls, n_samples: int, sfreq: float) -> Grid:
        """Return the frequencies of windows of `n_samples` at `sfreq` Hz."""
        factor = max(1, int(sfreq / LOWEST_RATE_HZ))
        n = n_samples // factor
        freqs = fft.rfftfreq(n, factor / sfreq)
        freqs = freqs[freqs <= HIGH_HZ[1] + 1.0]
        turns = np.pi * freqs / sfreq
        # Averages and differences change the amplitude of a sine wave; both are undone.
        with np.errstate(divide="ignore", invalid="ignore"):
            average = np.where(freqs > 0, np.sin(factor * turns) / (factor * np.sin(turns)), 1.0)
            gain = 2.0 / (n * average * 2.0 * np.sin(factor * turns)) ** 2
        gain[0] = 0.0
        return cls(n_samples, factor, freqs, gain, 0.45 * sfreq / factor)

    def find(self, band: tuple[float, float], highest: float = np.inf) -> slice:
        """Return the frequencies of a band, in Hz, below 0.9 of `highest` and of half the rate."""
        high = min(band[1], 0.9 * highest, self.highest)
        first, last = np.searchsorted(self.freqs, (band[0], high))
        return slice(int(first), int(last))

    def transform(self, x: np.ndarray) -> np.ndarray:
        """Return spectra of rows of samples, shape (n_rows, n_freqs).

        Differences are transformed: slow drift, which has no period of a window, would leak into
        all frequencies.
        """
        n = self.n_samples // self.factor
        # einsum reads each sample once: a sum over the last axis, which is short, or sums over
        # strides take two to three times as long.
        sums = np.einsum("rnk->rn", x[:, : n * self.factor].reshape(len(x), n, self.factor))
        # Differences hold no offset, so that single precision is enough.
        y = np.zeros(sums.shape, dtype=np.float32)
        y[:, 1:] = (sums[:, 1:] - sums[:, :-1]) / self.factor
        return np.asarray(fft.rfft(y, axis=1, overwrite_x=True))[:, : len(self.freqs)]


@dataclass
class LockedSums:
    """Sums over epochs from which the residual that is locked to them follows.

    Parameters
    ----------
    n_channels : int
        Number of channels.
    grid : Grid
        Frequencies of an epoch.
    seed : int
        Seed of the random shifts.
    """

    n_channels: int
    grid: Grid
    seed: int = 0
    n: int = 0
    power: np.ndarray = field(init=False)
    lagged: np.ndarray = field(init=False)
    halves: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.band = self.grid.find(EEG_HZ)
        n_freqs = self.band.stop - self.band.start
        self.power = np.zeros((self.n_channels, n_freqs))
        self.lagged = np.zeros((self.n_channels, n_freqs))
        self.halves = np.zeros((2, 1 + N_SHIFTS, self.n_channels, n_freqs), dtype=complex)
        self.rng = np.random.default_rng(self.seed)
        self.waiting: list[np.ndarray] = []
        self.last: np.ndarray | None = None

    def add(self, spectra: np.ndarray, late_s: float = 0.0) -> None:
        """Add an epoch.

        Parameters
        ----------
        spectra : ndarray, shape (n_channels, n_freqs)
            Spectra of its samples.
        late_s : float
            How much later than the epoch its first sample is, in s.
        """
        ramp = np.exp(2j * np.pi * self.grid.freqs[self.band] * -late_s)
        own = spectra[:, self.band] * ramp.astype(spectra.dtype)
        self.power += own.real**2 + own.imag**2
        if self.last is not None:
            self.lagged += np.real(own * self.last.conj())
        self.last = own
        self.waiting.append(own)
        self.n += 1
        if len(self.waiting) == _BLOCK:
            self._shift()

    def _shift(self) -> None:
        """Add the epochs that wait to their halves, as they are and shifted."""
        if not self.waiting:
            return
        epochs = np.stack(self.waiting)
        turns = self.rng.random((len(epochs), N_SHIFTS))
        # A circular shift of the epoch by a random part of its length.
        turns = np.insert(turns, 0, 0.0, axis=1)
        bins = np.arange(self.band.start, self.band.stop)
        ramps = np.exp((-2j * np.pi * bins)[:, np.newaxis, np.newaxis] * turns.T)
        first = self.n - len(epochs)
        for half in range(2):
            own = slice((half - first) % 2, None, 2)
            # One product of matrices for each frequency: shifts x epochs and epochs x channels.
            shifted = ramps[:, :, own].astype(epochs.dtype) @ epochs[own].transpose(2, 0, 1)
            self.halves[half] += shifted.transpose(1, 2, 0)
        self.waiting.clear()

    def locked(self, which: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Return the locked share of each channel, and under random shifts.

        Parameters
        ----------
        which : slice
            Frequencies of the band that count: all for the period of an epoch, every n-th for its
            n-th part.

        Returns
        -------
        share : ndarray, shape (n_channels,)
            Part of the power that is the same in all epochs, averaged over frequencies; estimated
            from odd and even epochs, so that it is zero in the mean if nothing is locked.
        null : ndarray, shape (N_SHIFTS, n_channels)
            The same with randomly shifted epochs.
        """
        self._shift()
        n_odd = self.n // 2
        cross = np.real(self.halves[0] * self.halves[1].conj()) / (n_odd * (self.n - n_odd))
        share = cross[..., which] / np.maximum(self.power[:, which] / self.n, 1e-300)
        share = share.mean(axis=-1)
        return share[0], share[1:]


def measure_gaps(power: np.ndarray, artifact: np.ndarray, freqs: np.ndarray) -> np.ndarray:
    """Return how much the spectrum differs where the artifact's lines were, in dB.

    Adaptive filters and notches take EEG beside the lines of an artifact as well. Lines are
    frequencies at which the artifact exceeds its surroundings; power there, and 1 Hz around, is
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
    from scipy.ndimage import binary_dilation, median_filter

    step = float(freqs[1] - freqs[0])
    # Below beta, the peaks of EEG are as narrow as what lacks.
    lowest = int(np.searchsorted(freqs, _SMOOTH_HZ))
    artifact, power = artifact[:, lowest:], power[:, lowest:]
    around, beside = 2 * int(_AROUND_HZ / step) + 1, 2 * int(_BESIDE_HZ / step) + 1
    before, after = (np.log(np.maximum(p, 1e-300)) for p in (artifact, power))
    level = median_filter(before, size=(1, around), mode="nearest")
    lines = binary_dilation(before > level + _LINE, np.ones((1, beside), dtype=bool))
    found = np.full(len(power), np.nan)
    half = around // 2
    for i, (line, values) in enumerate(zip(lines, after, strict=True)):
        other = np.pad(np.where(line, np.nan, values), half, constant_values=np.nan)
        near = np.lib.stride_tricks.sliding_window_view(other, around)[line]
        enough = np.count_nonzero(~np.isnan(near), axis=1) > half // 2
        if enough.any():
            gaps = values[line][enough] - np.nanmedian(near[enough], axis=1)
            # Neither a peak of the EEG nor one empty frequency decides alone.
            found[i] = 10.0 / np.log(10.0) * np.mean(np.clip(gaps, -1.0, 1.0))
    return found
