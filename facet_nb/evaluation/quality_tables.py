"""Powers of a recording in windows, before and after correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.evaluation.quality_windows import Scan, Window
from facet_nb.kernels.measures.residual import (
    BELOW_HZ,
    EEG_HZ,
    HIGH_HZ,
    INNER_HZ,
    Grid,
    LockedSums,
)

#: Bands whose levels are compared, from 1 to 70 Hz.
_N_BANDS = 12
#: Smallest numbers of epochs and of frequencies.
EPOCHS, _BINS = 6, 5
#: Low-pass filters below this leave nothing above the EEG's bands, in Hz.
_LOW_HZ = 110.0


@dataclass
class Tables:
    """Powers of each window and channel, in V².

    Attributes
    ----------
    names : list of str
        The channels.
    windows : tuple of Window
        The windows.
    bands : ndarray, shape (n_windows, n_channels, n_bands)
        EEG bands after correction.
    inner, high : ndarray, shape (n_windows, n_channels)
        20 to 70 Hz and above 75 Hz after correction; NaN where nothing lies above.
    before : ndarray, shape (n_windows, n_channels)
        20 to 70 Hz before correction; NaN if it is not known.
    kept : ndarray, shape (n_windows, n_channels)
        Change from 20 to 70 Hz by the chain, in dB, outside the scan.
    locked : LockedSums | None
        Sums over the epochs; None if there are too few.
    sfreq : float
        Sampling rate that the windows count in, in Hz.
    """

    names: list[str]
    windows: tuple[Window, ...]
    bands: np.ndarray
    inner: np.ndarray
    high: np.ndarray
    before: np.ndarray
    kept: np.ndarray
    locked: LockedSums | None
    sfreq: float

    def select(self, *kinds: str) -> np.ndarray:
        """Return which windows are of these kinds."""
        return np.array([window.kind in kinds for window in self.windows], dtype=bool)

    def spans(self, which: np.ndarray) -> tuple[tuple[float, float], ...]:
        """Return the spans of windows, in s; neighbours are joined."""
        spans: list[tuple[float, float]] = []
        for i in np.flatnonzero(which):
            a, b = (round(p / self.sfreq, 3) for p in (self.windows[i].start, self.windows[i].stop))
            if spans and a - spans[-1][1] < 0.3:
                spans[-1] = (spans[-1][0], b)
            else:
                spans.append((a, b))
        return tuple(spans)


def read_tables(context: ProcessingContext, scan: Scan, names: list[str]) -> Tables:
    """Read a recording, window after window, before and after correction."""
    raw = context.get_raw()
    sfreq, n = float(raw.info["sfreq"]), len(scan.windows)
    after = Reader(raw, names)
    before = Reader.of_original(context, names)
    shape = (n, len(names))
    bands = np.full((*shape, _N_BANDS), np.nan)
    inner, high, original, kept = (np.full(shape, np.nan) for _ in range(4))
    lowpass = float(raw.info["lowpass"] or np.inf)
    locked = LockedSums(len(names), Grid.of(scan.n_samples, sfreq)) if scan.n_samples else None
    splits: dict[int, list[slice]] = {}
    for i, window in enumerate(scan.windows):
        grid, spectra = after.read(window, sfreq)
        power = np.abs(spectra) ** 2 * grid.gain
        if grid.n_samples not in splits:
            splits[grid.n_samples] = _split_bands(grid)
        for band, span in enumerate(splits[grid.n_samples]):
            bands[i, :, band] = power[:, span].sum(axis=1)
        within = grid.find(INNER_HZ, lowpass)
        inner[i] = power[:, within].sum(axis=1)
        above = grid.find(HIGH_HZ if lowpass > _LOW_HZ else BELOW_HZ, lowpass)
        if above.stop - above.start > _BINS:
            high[i] = power[:, above].sum(axis=1)
        if before is not None and before.holds(window, sfreq):
            grid, first = before.read(window, sfreq)
            earlier = np.abs(first) ** 2 * grid.gain
            original[i] = earlier[:, grid.find(INNER_HZ, lowpass)].sum(axis=1)
            if window.kind == "outside" and grid.find(INNER_HZ, lowpass) == within:
                kept[i] = _compare_db(power[:, within], earlier[:, within])
        if window.kind == "epoch" and locked is not None:
            locked.add(spectra, window.late / sfreq)
    enough = locked is not None and locked.n >= EPOCHS
    sums = locked if enough else None
    return Tables(names, scan.windows, bands, inner, high, original, kept, sums, sfreq)


def _compare_db(power: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """Return the median over frequencies of the change of each channel, in dB."""
    # The median: a notch filter takes a few frequencies only.
    ratio = np.maximum(power, 1e-300) / np.maximum(earlier, 1e-300)
    return np.asarray(10.0 * np.log10(np.median(ratio, axis=1)))


def _split_bands(grid: Grid) -> list[slice]:
    edges = np.geomspace(*EEG_HZ, _N_BANDS + 1)
    at = np.searchsorted(grid.freqs, edges)
    return [slice(int(a), max(int(b), int(a) + 1)) for a, b in pairwise(at)]


class Reader:
    """Spectra of windows of some channels of a recording.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording, in memory or on disk.
    names : sequence of str
        The channels.
    later_s : float
        Time of its first sample before that of the windows, in s.
    """

    def __init__(self, raw: Any, names: Sequence[str], later_s: float = 0.0) -> None:
        self.raw, self.later_s = raw, later_s
        self.rows = [raw.ch_names.index(name) for name in names]
        self.sfreq = float(raw.info["sfreq"])
        self.grids: dict[int, Grid] = {}

    @classmethod
    def of_original(cls, context: ProcessingContext, names: Sequence[str]) -> Reader | None:
        """Return a reader of the recording before any step; None if it has other channels."""
        raw, original = context.get_raw(), context.get_raw_original()
        if original is None or original is raw or set(names) - set(original.ch_names):
            return None
        begins = [r.first_samp / r.info["sfreq"] for r in (raw, original)]
        return cls(original, names, begins[0] - begins[1])

    def _place(self, window: Window, sfreq: float) -> tuple[int, int]:
        start = round((window.start / sfreq + self.later_s) * self.sfreq)
        return start, start + round((window.stop - window.start) / sfreq * self.sfreq)

    def holds(self, window: Window, sfreq: float) -> bool:
        """Whether the recording has the samples of a window."""
        start, stop = self._place(window, sfreq)
        return start >= 0 and stop <= self.raw.n_times

    def read(self, window: Window, sfreq: float) -> tuple[Grid, np.ndarray]:
        """Return frequencies and spectra of a window, whose samples count at `sfreq` Hz."""
        start, stop = self._place(window, sfreq)
        n = stop - start
        if n not in self.grids:
            self.grids[n] = Grid.of(n, self.sfreq)
        grid = self.grids[n]
        if self.raw.preload:
            x = self.raw._data[_as_slice(self.rows), start:stop]
        else:
            x = self.raw.get_data(picks=self.rows, start=start, stop=stop)
        return grid, grid.transform(x)


def _as_slice(rows: list[int]) -> Any:
    """Return consecutive rows as a slice, which copies nothing."""
    whole = rows == list(range(rows[0], rows[0] + len(rows)))
    return slice(rows[0], rows[0] + len(rows)) if whole else rows
