"""Powers of a recording in windows, before and after correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.evaluation.quality_windows import Scan, Window
from facet_nb.kernels.measures.recovery import find_edges
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
#: Windows of the scan from which the usual power before correction is taken: it varies little.
_USUAL = 9
#: A window stands out if it has this part of the usual artifact's power, and so many times the
#: usual power of the result, where the artifact had so many times the power of the result.
UNTOUCHED, UNUSUAL, VISIBLE = 0.02, 10.0, 10.0
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
        20 to 70 Hz before correction; NaN if it is not known, or is not asked for: within the scan,
        some windows and those in which the result stands out tell enough.
    kept : ndarray, shape (n_windows, n_channels)
        Change from 20 to 70 Hz by the chain, in dB, outside the scan.
    locked : LockedSums | None
        Sums over the epochs; None if there are too few.
    sfreq : float
        Sampling rate that the windows count in, in Hz.
    edges : list of ndarray, shape (n_channels, 4)
        Extreme values of windows in the scan before correction, as of
        :func:`facet_nb.kernels.measures.recovery.find_edges`.
    artifact : ndarray, shape (n_channels, n_freqs) | None
        Power before correction at the frequencies of `locked`, relative to others.
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
    artifact: np.ndarray | None = None
    edges: list[np.ndarray] = field(default_factory=list)

    def select(self, *kinds: str) -> np.ndarray:
        """Return which windows are of these kinds."""
        return np.array([window.kind in kinds for window in self.windows], dtype=bool)

    def find_usual(self) -> np.ndarray:
        """Return the usual power of each channel in the scan before correction; NaN if unknown."""
        before = self.before[self.select("epoch", "inside")]
        before = before[~np.isnan(before).any(axis=1)]
        return np.median(before, axis=0) if len(before) else np.full(len(self.names), np.nan)

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
    lowpass = float(raw.info["lowpass"] or np.inf)
    shape = (n, len(names))
    locked = LockedSums(len(names), Grid.of(scan.n_samples, sfreq)) if scan.n_samples else None
    inner, high, original, kept = (np.full(shape, np.nan) for _ in range(4))
    bands = np.full((*shape, _N_BANDS), np.nan)
    tables = Tables(names, scan.windows, bands, inner, high, original, kept, locked, sfreq)
    sums: dict[int, np.ndarray] = {}
    for i, window in enumerate(scan.windows):
        grid, spectra = after.read(window, sfreq)
        power = _to_power(spectra)
        if grid.n_samples not in sums:
            sums[grid.n_samples] = _weigh_bands(grid, lowpass)
        values = power @ sums[grid.n_samples]
        tables.inner[i], tables.high[i], tables.bands[i] = values[:, 0], values[:, 1], values[:, 2:]
        if window.kind == "outside":
            earlier = _read_before(tables, i, before, lowpass)
            within = grid.find(INNER_HZ, lowpass)
            if earlier is not None and earlier[0].find(INNER_HZ, lowpass) == within:
                tables.kept[i] = _compare_db(
                    power[:, within] * grid.gain[within],
                    earlier[1][:, within] * earlier[0].gain[within],
                )
        if window.kind == "epoch" and locked is not None:
            locked.add(spectra, window.late / sfreq)
    marked = np.flatnonzero(tables.select("epoch", "inside"))
    some = np.linspace(0, len(marked) - 1, min(_USUAL, len(marked))).astype(int)
    for i in marked[some].tolist():
        earlier = _read_before(tables, i, before, lowpass)
        if earlier is not None and before is not None:
            tables.edges.append(find_edges(before.last))
        if earlier is not None and locked is not None and scan.windows[i].kind == "epoch":
            spectrum = earlier[1][:, locked.band]
            if spectrum.shape == locked.power.shape:
                artifact = tables.artifact
                tables.artifact = spectrum if artifact is None else artifact + spectrum
    loud = find_loud(tables).any(axis=1) & np.isnan(tables.before).any(axis=1)
    for i in np.flatnonzero(loud).tolist():
        _read_before(tables, i, before, lowpass)
    if locked is not None and locked.n < EPOCHS:
        tables.locked = None
    return tables


def find_loud(tables: Tables) -> np.ndarray:
    """Return where the result has a part of the usual artifact's power, and stands out."""
    usual = tables.find_usual()
    level = np.median(tables.inner[tables.select("epoch", "inside")], axis=0)
    loud = tables.inner > np.maximum(UNTOUCHED * usual, UNUSUAL * level)
    return np.asarray(loud & (usual > VISIBLE * level))


def _read_before(
    tables: Tables, i: int, before: Reader | None, lowpass: float
) -> tuple[Grid, np.ndarray] | None:
    """Read a window before correction; return its frequencies and its power at each."""
    window = tables.windows[i]
    if before is None or not before.holds(window, tables.sfreq):
        return None
    grid, spectra = before.read(window, tables.sfreq)
    within = grid.find(INNER_HZ, lowpass)
    power = _to_power(spectra)
    tables.before[i] = power[:, within] @ grid.gain[within]
    return grid, power


def _to_power(spectra: np.ndarray) -> np.ndarray:
    return np.asarray(spectra.real**2 + spectra.imag**2)


def _compare_db(power: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """Return the median over frequencies of the change of each channel, in dB."""
    # The median: a notch filter takes a few frequencies only.
    ratio = np.maximum(power, 1e-300) / np.maximum(earlier, 1e-300)
    return np.asarray(10.0 * np.log10(np.median(ratio, axis=1)))


def _weigh_bands(grid: Grid, lowpass: float) -> np.ndarray:
    """Return the weights that give the power of bands, shape (n_freqs, 2 + n_bands).

    The bands are 20 to 70 Hz, above 75 Hz (NaN if nothing is left there), and those of the EEG.
    """
    above = grid.find(HIGH_HZ if lowpass > _LOW_HZ else BELOW_HZ, lowpass)
    edges = np.searchsorted(grid.freqs, np.geomspace(*EEG_HZ, _N_BANDS + 1))
    bands = [grid.find(INNER_HZ, lowpass), above]
    bands += [slice(int(a), max(int(b), int(a) + 1)) for a, b in pairwise(edges)]
    weights = np.zeros((len(grid.freqs), len(bands)), dtype=np.float32)
    for column, band in zip(weights.T, bands, strict=True):
        column[band] = grid.gain[band]
    if above.stop - above.start <= _BINS:
        weights[:, 1] = np.nan
    return weights


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
        self.last = np.zeros((len(self.rows), 0))

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
        self.last = x
        return grid, grid.transform(x)


def _as_slice(rows: list[int]) -> Any:
    """Return consecutive rows as a slice, which copies nothing."""
    whole = rows == list(range(rows[0], rows[0] + len(rows)))
    return slice(rows[0], rows[0] + len(rows)) if whole else rows
