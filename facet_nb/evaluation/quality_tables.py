"""Powers of a recording in windows, before and after correction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.evaluation.quality_windows import OTHERS, Scan, ScanWindow, sample_windows
from facet_nb.kernels.measures.recovery import find_edges
from facet_nb.kernels.measures.residual import (
    BELOW_HZ,
    EEG_HZ,
    HIGH_HZ,
    INNER_HZ,
    LOWEST_RATE_HZ,
    Grid,
    LockedSums,
    find_medians,
    pick_differences,
)
from facet_nb.kernels.pages import find_map, forget
from facet_nb.kernels.views import as_slice

if TYPE_CHECKING:
    import mne

#: Bands whose levels are compared, from 1 to 70 Hz.
_N_BANDS = 12
#: Smallest numbers of epochs and of frequencies.
EPOCHS, _BINS = 6, 5
#: Windows of the scan from which the usual power before correction is taken: it varies little.
_USUAL = 3
#: Windows in which channels are compared before correction; at least a third of them.
_SPOTS = 24
#: Samples of a channel that are compared before a window is read twice.
_COMPARED = 50
#: Windows whose samples are transformed at once.
_AT_ONCE = 32
#: Pieces of a window that is not in the sample, and differences in a piece; it is read if the
#: energy of these exceeds the median by this factor, up to so many windows for each pair.
_PIECES, _IN_PIECE, _OUTSTANDING, _EXTRA = 8, 10, 4.0, 2
#: A window stands out if it has this part of the usual artifact's power, and so many times the
#: usual power of the result, where the artifact had so many times the power of the result.
UNTOUCHED, UNUSUAL, VISIBLE = 0.02, 10.0, 10.0
#: A window is quiet if the recording had less than this part of the usual artifact there.
_QUIET = 0.02
#: Low-pass filters below this leave nothing above the EEG's bands, in Hz.
_LOW_HZ = 110.0


@dataclass
class Tables:
    """Powers of each window and channel, in V².

    Attributes
    ----------
    names : list of str
        The channels.
    windows : tuple of ScanWindow
        The windows that were read.
    sampled : ndarray of bool, shape (n_windows,)
        Windows that are a sample of all; the others were read because they stand out.
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
    n_marked : int
        Number of windows of the scan, read or not; 0 if more windows stand out than were read.
    lowpassed : bool
        Whether a low-pass filter leaves nothing above the EEG's bands.
    """

    names: list[str]
    windows: tuple[ScanWindow, ...]
    sampled: np.ndarray
    bands: np.ndarray
    inner: np.ndarray
    high: np.ndarray
    before: np.ndarray
    kept: np.ndarray
    locked: LockedSums | None
    sfreq: float
    artifact: np.ndarray | None = None
    edges: list[np.ndarray] = field(default_factory=list)
    n_marked: int = 0
    lowpassed: bool = False

    @classmethod
    def empty(
        cls, names: list[str], windows: tuple[ScanWindow, ...], sampled: np.ndarray, sfreq: float
    ) -> Tables:
        """Return tables without figures."""
        shape = (len(windows), len(names))
        inner, high, before, kept = (np.full(shape, np.nan) for _ in range(4))
        bands = np.full((*shape, _N_BANDS), np.nan)
        return cls(names, windows, sampled, bands, inner, high, before, kept, None, sfreq)

    def take(self, channels: np.ndarray) -> Tables:
        """Return the tables of some channels."""
        return replace(
            self,
            names=[self.names[i] for i in channels],
            bands=self.bands[:, channels],
            **{k: getattr(self, k)[:, channels] for k in ("inner", "high", "before", "kept")},
            locked=None if self.locked is None else self.locked.take(channels),
            artifact=None if self.artifact is None else self.artifact[channels],
            edges=[edges[channels] for edges in self.edges],
        )

    @cached_property
    def marked(self) -> np.ndarray:
        """Which of the windows that were read are in the scan."""
        return np.array([window.kind != "outside" for window in self.windows], dtype=bool)

    @cached_property
    def scan(self) -> np.ndarray:
        """Which windows are a sample of those in the scan."""
        return self.marked & self.sampled

    def find_usual(self) -> np.ndarray:
        """Return the usual power of each channel in the scan before correction; NaN if unknown."""
        before = self.before[self.scan]
        before = before[~np.isnan(before).any(axis=1)]
        return find_medians(before) if len(before) else np.full(len(self.names), np.nan)

    @cached_property
    def quiet(self) -> np.ndarray:
        """Which windows are outside the scan and hold no artifact, once all have been read."""
        outside = ~self.marked & self.sampled
        usual = self.find_usual()
        if not np.isnan(usual).any():
            relative = find_medians(self.before / np.maximum(usual, 1e-300), axis=1)
            # An artifact that is hardly larger than EEG does not identify quiet time.
            beside = np.sort(relative[outside])
            low = float(beside[len(beside) // 5]) if len(beside) else 0.0
            outside &= ~(relative > max(_QUIET, 5.0 * low))
        return outside

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


def read_tables(
    context: ProcessingContext, scan: Scan, names: list[str], n_pairs: int | None = None
) -> Tables:
    """Read windows of a recording before and after correction.

    Parameters
    ----------
    context : ProcessingContext
        The recording.
    scan : Scan
        Its windows.
    names : list of str
        The channels.
    n_pairs : int | None
        Pairs of neighbouring epochs that are read as a sample; of all other windows, samples here
        and there tell whether they stand out, and those that do are read, too. None for all
        windows.
    """
    raw = context.get_raw()
    sfreq = float(raw.info["sfreq"])
    after, before = WindowReader(raw, names), WindowReader.of_original(context, names)
    sampled, extra = _choose(after, scan, sfreq, n_pairs)
    chosen = sampled | extra
    windows = tuple(scan.windows[i] for i in np.flatnonzero(chosen))
    tables = Tables.empty(names, windows, sampled[chosen], sfreq)
    if n_pairs is None or extra.sum() < _EXTRA * n_pairs:
        tables.n_marked = sum(window.kind != "outside" for window in scan.windows)
    lowpass = float(raw.info["lowpass"] or np.inf)
    tables.lowpassed = lowpass <= _LOW_HZ
    epochs = [i for i, w in enumerate(windows) if w.kind == "epoch"] if scan.n_samples else []
    numbers = np.cumsum([window.kind == "epoch" for window in scan.windows])[chosen]
    spectra_of: dict[int, np.ndarray] = {}
    inner: dict[int, np.ndarray] = {}
    for which, grid, spectra in after.read(windows, range(len(windows)), sfreq):
        power = _to_power(spectra)
        values = power @ _weigh_bands(grid.n_samples, sfreq, lowpass)
        tables.inner[which], tables.high[which] = values[..., 0], values[..., 1]
        tables.bands[which] = values[..., 2:]
        within = grid.find(INNER_HZ, lowpass)
        for k, i in enumerate(which.tolist()):
            if windows[i].kind == "outside":
                inner[i] = power[k, :, within] * grid.gain[within]
            elif windows[i].kind == "epoch":
                spectra_of[i] = spectra[k]
    # A window that is read because it stands out would count too much among the epochs.
    epochs = [i for i in epochs if tables.sampled[i]]
    if len(epochs) >= EPOCHS:
        late_s = np.array([windows[i].late for i in epochs]) / sfreq
        together = np.stack([spectra_of[i] for i in epochs])
        grid = Grid.of(scan.n_samples, sfreq)
        tables.locked = LockedSums.of(grid, together, late_s, numbers[epochs])
    if before is None:
        return tables
    marked = np.flatnonzero(tables.scan)
    some = marked[np.linspace(0, len(marked) - 1, min(_USUAL, len(marked))).astype(int)]
    same = [i for i in inner if after.has_samples_of(before, windows[i], sfreq)]
    tables.before[same], tables.kept[same] = tables.inner[same], 0.0
    changed = [i for i in inner if i not in same]
    _read_before(tables, before, [*some.tolist(), *changed], lowpass, inner)
    loud = find_loud(tables)
    if n_pairs is None:  # few channels, which may be quiet ones: what stands out may be added
        loud |= tables.inner > UNUSUAL * find_medians(tables.inner)
    loud = loud.any(axis=1) & np.isnan(tables.before).any(axis=1)
    _read_before(tables, before, np.flatnonzero(loud).tolist(), lowpass, inner)
    return tables


def _read_before(
    tables: Tables,
    before: WindowReader,
    which: Sequence[int],
    lowpass: float,
    inner: dict[int, np.ndarray],
) -> None:
    """Read windows before correction into the tables.

    `inner` has the power from 20 to 70 Hz after correction of windows outside the scan.
    """
    windows, locked = tables.windows, tables.locked
    held = [i for i in which if before.holds(windows[i], tables.sfreq)]
    marked = tables.marked

    def look(i: int, x: np.ndarray) -> None:
        if marked[i]:
            tables.edges.append(find_edges(x))

    for own, grid, spectra in before.read(windows, held, tables.sfreq, look):
        power = _to_power(spectra)
        within = grid.find(INNER_HZ, lowpass)
        tables.before[own] = power[..., within] @ grid.gain[within]
        outside = [k for k, i in enumerate(own.tolist()) if i in inner]
        if outside:
            earlier = power[outside][..., within] * grid.gain[within]
            later = [inner[i] for i in own[outside].tolist()]
            if earlier.shape[1:] == later[0].shape:
                tables.kept[own[outside]] = _compare_db(np.stack(later), earlier)
        for k, i in enumerate(own.tolist()):
            if i in inner:
                continue
            if windows[i].kind == "epoch" and locked is not None:
                spectrum = power[k][:, locked.band]
                if spectrum.shape == locked.power.shape:
                    artifact = tables.artifact
                    tables.artifact = spectrum if artifact is None else artifact + spectrum


def _choose(
    reader: WindowReader, scan: Scan, sfreq: float, n_pairs: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return which windows are a sample of all, and which are read because they stand out."""
    sampled = np.ones(len(scan.windows), dtype=bool)
    extra = ~sampled
    if n_pairs is None:
        return sampled, extra
    few = len(scan.windows) <= 2 * (n_pairs + OTHERS)
    if few and sample_windows(scan, n_pairs, sampled).all():
        return sampled, extra
    excess = reader.rank_outstanding(scan, sfreq)
    sampled = sample_windows(scan, n_pairs, excess <= _OUTSTANDING)
    excess[sampled] = 0.0
    extra[np.argsort(-excess, kind="stable")[: _EXTRA * n_pairs]] = True
    return sampled, extra & (excess > _OUTSTANDING)


def find_loud(tables: Tables) -> np.ndarray:
    """Return where the result has a part of the usual artifact's power, and stands out."""
    usual = tables.find_usual()
    level = find_medians(tables.inner[tables.scan])
    loud = tables.inner > np.maximum(UNTOUCHED * usual, UNUSUAL * level)
    return np.asarray(loud & (usual > VISIBLE * level))


def _to_power(spectra: np.ndarray) -> np.ndarray:
    return np.asarray(spectra.real**2 + spectra.imag**2)


def _compare_db(power: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """Return the median over frequencies, the last axis, of the change, in dB."""
    # The median: a notch filter takes a few frequencies only.
    ratio = np.maximum(power, 1e-300) / np.maximum(earlier, 1e-300)
    return 10.0 * np.log10(find_medians(ratio, axis=-1))


@lru_cache(maxsize=8)
def _weigh_bands(n_samples: int, sfreq: float, lowpass: float) -> np.ndarray:
    """Return the weights that give the power of bands, shape (n_freqs, 2 + n_bands).

    The bands are 20 to 70 Hz, above 75 Hz (NaN if nothing is left there), and those of the EEG.
    """
    grid = Grid.of(n_samples, sfreq)
    above = grid.find(HIGH_HZ if lowpass > _LOW_HZ else BELOW_HZ, lowpass)
    edges = np.searchsorted(grid.freqs, np.geomspace(*EEG_HZ, _N_BANDS + 1))
    bands = [grid.find(INNER_HZ, lowpass), above]
    bands += [slice(int(a), max(int(b), int(a) + 1)) for a, b in pairwise(edges)]
    weights = np.zeros((len(grid.freqs), len(bands)), dtype=np.float32)
    for column, band in zip(weights.T, bands, strict=True):
        column[band] = grid.gain[band]
    if above.stop - above.start <= _BINS:
        weights[:, 1] = np.nan
    weights.flags.writeable = False
    return weights


@dataclass(frozen=True)
class Spots:
    """Differences here and there in windows of the scan, as they were recorded.

    Attributes
    ----------
    names : list of str
        The channels.
    differences : ndarray, shape (n_channels, n_windows, n_differences)
        Over 2 ms, at the same places of each window, in V.
    begins_s : ndarray, shape (n_windows,)
        Onsets of the windows, in s.
    """

    names: list[str]
    differences: np.ndarray
    begins_s: np.ndarray


def read_spots(context: ProcessingContext, scan: Scan, names: list[str]) -> Spots | None:
    """Read samples here and there before correction; None if these are gone, or too few."""
    before, sfreq = WindowReader.of_original(context, names), context.get_sfreq()
    windows = [w for w in scan.windows if w.kind == ("epoch" if scan.n_samples else "inside")]
    if before is not None:
        windows = [window for window in windows if before.holds(window, sfreq)]
    if before is None or len(windows) < _SPOTS // 3:
        return None
    chosen = np.linspace(0, len(windows) - 1, min(_SPOTS, len(windows))).astype(int)
    some = [windows[i] for i in chosen.tolist()]
    begins_s = np.array([window.start for window in some]) / sfreq
    return Spots(names, before.read_differences(some, sfreq), begins_s)


class WindowReader:
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

    def __init__(self, raw: mne.io.BaseRaw, names: Sequence[str], later_s: float = 0.0) -> None:
        self.raw, self.later_s = raw, later_s
        self.rows = [raw.ch_names.index(name) for name in names]
        self.sfreq, self.n_times = float(raw.info["sfreq"]), int(raw.n_times)
        self._picked = as_slice(self.rows)

    @classmethod
    def of_original(cls, context: ProcessingContext, names: Sequence[str]) -> WindowReader | None:
        """Return a reader of the recording before any step; None if it has other channels."""
        raw, original = context.get_raw(), context.get_raw_original()
        if original is None or original is raw or set(names) - set(original.ch_names):
            return None
        begins = [r.first_samp / r.info["sfreq"] for r in (raw, original)]
        return cls(original, names, begins[0] - begins[1])

    def _place(self, window: ScanWindow, sfreq: float) -> tuple[int, int]:
        if sfreq == self.sfreq and not self.later_s:
            return window.start, window.stop
        start = round((window.start / sfreq + self.later_s) * self.sfreq)
        return start, start + round((window.stop - window.start) / sfreq * self.sfreq)

    def holds(self, window: ScanWindow, sfreq: float) -> bool:
        """Whether the recording has the samples of a window."""
        start, stop = self._place(window, sfreq)
        return start >= 0 and stop <= self.n_times

    def has_samples_of(self, other: WindowReader, window: ScanWindow, sfreq: float) -> bool:
        """Whether a window has the samples of another recording, by some of each channel."""
        place = self._place(window, sfreq)
        if place != other._place(window, sfreq) or not other.holds(window, sfreq):
            return False
        step = max(1, (place[1] - place[0]) // _COMPARED)
        one, two = (reader._get(*place)[:, ::step] for reader in (self, other))
        return self.sfreq == other.sfreq and np.array_equal(one, two)

    def read(
        self,
        windows: Sequence[ScanWindow],
        which: Iterable[int],
        sfreq: float,
        look: Callable[[int, np.ndarray], None] | None = None,
    ) -> Iterator[tuple[np.ndarray, Grid, np.ndarray]]:
        """Yield numbers, frequencies and spectra of windows of one length at a time.

        Parameters
        ----------
        windows : sequence of ScanWindow
            The windows, whose samples count at `sfreq` Hz.
        which : iterable of int
            Those that are read.
        sfreq : float
            Rate that the windows count in, in Hz.
        look : callable | None
            Is called with the number and the samples of each window.
        """
        groups: dict[int, list[tuple[int, int]]] = {}
        for i in which:
            start, stop = self._place(windows[i], sfreq)
            groups.setdefault(stop - start, []).append((i, start))
        for n, members in groups.items():
            grid = Grid.of(n, self.sfreq)
            for at in range(0, len(members), _AT_ONCE):
                part = members[at : at + _AT_ONCE]
                shape = (len(part), len(self.rows), n // grid.factor)
                averages = np.empty(shape, dtype=np.float32)
                for (i, start), own in zip(part, averages, strict=True):
                    x = self._get(start, start + n)
                    grid.average(x, own)
                    if look is not None:
                        look(i, x)
                yield np.array([i for i, _ in part]), grid, grid.transform_averages(averages)

    def rank_outstanding(self, scan: Scan, sfreq: float) -> np.ndarray:
        """Return by how much windows stand out from those of the scan, from some of their samples.

        In each window, :data:`_PIECES` times :data:`_IN_PIECE` differences over 2 ms are squared.
        The energy of the channel that stands out most is compared with the median of the scan.
        """
        energy = np.empty((len(scan.windows), len(self.rows)))
        for low in range(0, len(energy), _AT_ONCE):
            part = slice(low, low + _AT_ONCE)
            y = self.read_differences(scan.windows[part], sfreq)
            energy[part] = np.einsum("cwk,cwk->wc", y, y)
        marked = np.array([window.kind != "outside" for window in scan.windows])
        usual = find_medians(energy[marked] if marked.any() else energy)
        return np.asarray(np.max(energy / np.maximum(usual, 1e-300), axis=1))

    def read_differences(self, windows: Sequence[ScanWindow], sfreq: float) -> np.ndarray:
        """Return differences over 2 ms here and there in windows, at the same places of each.

        Returns
        -------
        ndarray, shape (n_channels, n_windows, n_differences)
            In V.
        """
        lag = max(1, int(self.sfreq / LOWEST_RATE_HZ))
        starts, stops = np.array([self._place(window, sfreq) for window in windows]).T
        share = (np.arange(_PIECES) + 0.5) / _PIECES
        first = np.multiply.outer(stops - starts - lag * _IN_PIECE - 1, share).astype(int)
        # Each place maps up to 2 MB of a file for each channel: windows are read one by one.
        if self.raw.preload and find_map(self.raw._data) is None:
            x = self._get(int(starts.min()), int(stops.max()))
            y = pick_differences(x, first + (starts - starts.min())[:, np.newaxis], lag, _IN_PIECE)
        else:
            spans = zip(starts.tolist(), stops.tolist(), first, strict=True)
            pieces = (pick_differences(self._get(a, b), own, lag, _IN_PIECE) for a, b, own in spans)
            y = np.stack(list(pieces), axis=1)
        return np.asarray(y.reshape(*y.shape[:2], -1))

    def _get(self, start: int, stop: int) -> np.ndarray:
        """Return samples of the channels, in V."""
        if self.raw.preload:
            forget(self.raw._data)  # a recording in a file: frees the pages read before
            return np.asarray(self.raw._data[self._picked, start:stop])
        return np.asarray(self.raw.get_data(picks=self.rows, start=start, stop=stop))
