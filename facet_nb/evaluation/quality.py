"""The quality of a result without ground truth, and a gate for files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from facet_nb.core import recording
from facet_nb.core.context import ProcessingContext
from facet_nb.core.findings import FindingError
from facet_nb.core.processor import Processor
from facet_nb.core.quality import Measure, Quality, Verdict, check_accept, find_quality, reject
from facet_nb.core.registry import list_processors, register_processor
from facet_nb.evaluation.base import MetricStep
from facet_nb.evaluation.quality_windows import Scan, Window, cut_scan
from facet_nb.kernels.measures.residual import (
    BELOW_HZ,
    EEG_HZ,
    HIGH_HZ,
    INNER_HZ,
    Grid,
    LockedSums,
    measure_likeness,
)

#: Channels that hold no EEG.
_OTHERS = ("ecg", "eog", "emg", "resp")
#: Bands whose levels are compared, from 1 to 70 Hz.
_N_BANDS = 12
#: A window is quiet if the recording had less than this part of the usual artifact there.
_QUIET = 0.02
#: Smallest numbers of epochs, of quiet windows and of frequencies.
_EPOCHS, _QUIETS, _BINS = 6, 2, 5
#: Low-pass filters below this leave nothing above the EEG's bands, in Hz.
_LOW_HZ = 110.0

#: Limits; ``docs/quality.md`` has the reason of each, and how often it errs.
LOCKED, LOCKED_PART, SLOW, REMOVED = 0.1, 0.25, 0.15, 0.15
HIGH_DB, LEVEL_DB, BURST, BURSTS, ARTIFACT_BURSTS, LIKE = 6.0, 3.0, 8.0, 0.125, 0.15, 0.5
LOSS_DB = 3.0
UNTOUCHED, UNUSUAL, VISIBLE = 0.02, 10.0, 10.0
BEATS = 0.75


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
    likeness : ndarray, shape (n_windows, n_channels)
        Share of `high` at the frequencies of the artifact; NaN if it is not known.
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
    likeness: np.ndarray
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


@register_processor
class QualityCalculator(MetricStep):
    """Judge a corrected recording without ground truth.

    ``result.quality`` is calculated by this step on the first access; in a chain it stores the
    figures among the metrics (``quality_<measure>``) as well. See *Quality* in the documentation
    for equations, limits and how often they err.
    """

    name = "quality_calculator"
    description = "Judge the corrected recording without ground truth"
    requires_triggers = False

    def measure(self, context: ProcessingContext) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the figures, and the verdict for the history."""
        quality = find_quality(context)
        figures = {f"quality_{m.name}": m.value for m in quality.measures if m.value is not None}
        return figures, {"verdict": quality.verdict, "sentence": quality.sentence}

    def measure_quality(self, context: ProcessingContext) -> Quality:
        """Return the quality of the recording of `context`."""
        if not context.has_raw():
            return Quality("not measured", "the samples were released.")
        if not is_corrected(context):
            return Quality("not measured", "nothing was corrected.")
        names = _list_channels(context)
        if not names:
            return Quality("not measured", "there is no good EEG channel.")
        scan = cut_scan(context)
        tables = read_tables(context, scan, names)
        measures = (
            *judge_locked(tables, scan),
            judge_high(tables),
            *judge_bursts(tables),
            judge_level(tables),
            judge_kept(tables, context),
            judge_untouched(tables),
            judge_beats(context),
        )
        return summarise(measures)

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory, in bytes: a few windows of all channels, and sums."""
        return int(8 * shape[0] * (8 * sfreq + 100_000))


@register_processor
class QualityGate(Processor):
    """Raise an error if a corrected recording is not accepted, so that no file is written.

    ``pipeline.run(accept=…)`` puts one before each file.

    Parameters
    ----------
    accept : "good" | dict of str to float | callable
        The verdict that is needed; the largest value of measures, by name; or a function of the
        :class:`facet_nb.Quality` that returns whether it is accepted.

    Raises
    ------
    FindingError
        If it is not; its finding has code ``result_rejected``.
    """

    name = "quality_gate"
    description = "Refuse a recording that is not well corrected"
    requires_raw = True
    modifies_raw = False
    parallel_safe = False
    accepts_lazy = True
    output_only = True

    def __init__(self, accept: Any = "good") -> None:
        self.accept = accept

    def validate(self, context: ProcessingContext) -> None:
        super().validate(context)
        check_accept(self.accept)

    def process(self, context: ProcessingContext) -> ProcessingContext:
        """Return the context, or raise."""
        finding = reject(context, self.accept)
        if finding is not None:
            raise FindingError(finding)
        return context

    def memory(self, shape: tuple[int, int], sfreq: float) -> int:
        """Return the peak extra memory, in bytes."""
        return QualityCalculator().memory(shape, sfreq)


def is_corrected(context: ProcessingContext) -> bool:
    """Whether a correction has run."""
    if context.has_estimated_noise():
        return True
    known = list_processors()
    return any(getattr(known.get(step.name), "subtracts", False) for step in context.get_history())


def _list_channels(context: ProcessingContext) -> list[str]:
    """Return the good EEG channels."""
    raw = context.get_raw()
    types = raw.get_channel_types()
    rows = recording.data_picks(raw)
    kinds = {int(i): recording.kind_of(raw.ch_names[i], types[i]) for i in rows}
    return [raw.ch_names[i] for i, kind in kinds.items() if kind not in _OTHERS]


# --------------------------------------------------------------------------------- reading
def read_tables(context: ProcessingContext, scan: Scan, names: list[str]) -> Tables:
    """Read a recording, window after window, before and after correction."""
    raw = context.get_raw()
    sfreq, n = float(raw.info["sfreq"]), len(scan.windows)
    after = Reader(raw, names)
    before = Reader.of_original(context, names)
    shape = (n, len(names))
    bands = np.full((*shape, _N_BANDS), np.nan)
    inner, high, original, likeness, kept = (np.full(shape, np.nan) for _ in range(5))
    lowpass = float(raw.info["lowpass"] or np.inf)
    locked = LockedSums(len(names), Grid.of(scan.n_samples, sfreq)) if scan.n_samples else None
    for i, window in enumerate(scan.windows):
        grid, spectra = after.read(window, sfreq)
        power = np.abs(spectra) ** 2 * grid.gain
        for band, span in enumerate(_split_bands(grid)):
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
            stop = min(above.stop, earlier.shape[1])  # of the lower rate
            if stop - above.start > _BINS:
                span = slice(above.start, stop)
                likeness[i] = measure_likeness(power[:, span], earlier[:, span])
        if window.kind == "epoch" and locked is not None:
            locked.add(spectra, window.late / sfreq)
    enough = locked is not None and locked.n >= _EPOCHS
    sums = locked if enough else None
    return Tables(names, scan.windows, bands, inner, high, original, likeness, kept, sums, sfreq)


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
        grid = self.grids.setdefault(n, Grid.of(n, self.sfreq))
        if self.raw.preload:
            x = self.raw._data[_as_slice(self.rows), start:stop]
        else:
            x = self.raw.get_data(picks=self.rows, start=start, stop=stop)
        return grid, grid.transform(x)


def _as_slice(rows: list[int]) -> Any:
    """Return consecutive rows as a slice, which copies nothing."""
    whole = rows == list(range(rows[0], rows[0] + len(rows)))
    return slice(rows[0], rows[0] + len(rows)) if whole else rows


# --------------------------------------------------------------------------------- judging
def judge(
    name: str,
    title: str,
    value: float,
    limit: float,
    detail: str,
    bad: bool | None = None,
    **more: Any,
) -> Measure:
    """Return a measure that is good up to its limit."""
    # A figure that is no number is not within its limit.
    exceeds = not value <= limit if bad is None else bad
    verdict: Verdict = "check" if exceeds else "good"
    return Measure(name, title, float(value), limit, verdict=verdict, detail=detail, **more)


def judge_locked(tables: Tables, scan: Scan) -> list[Measure]:
    """Judge what recurs with the epochs, with their parts, and from one epoch to the next."""
    titles = {
        "locked_residual": "recurs with the volumes" if scan.is_volume else "recurs with the scan",
        "slice_residual": "recurs with the slices",
        "slow_residual": "recurs in neighbouring epochs",
        "eeg_removed": "EEG that was subtracted with the template",
    }
    sums = tables.locked
    if sums is None:
        reason = f"fewer than {_EPOCHS} complete epochs of the scanner's triggers."
        return [Measure(name, title, detail=reason) for name, title in titles.items()]
    share, null = sums.locked()
    found = [_judge_share("locked_residual", titles, share, null, LOCKED, tables)]
    first = sums.band.start
    parts = slice(-first % scan.n_parts, None, scan.n_parts)
    if scan.n_parts > 1:
        here, null_here = sums.locked(parts)
        found.append(_judge_share("slice_residual", titles, here, null_here, LOCKED_PART, tables))
    else:
        reason = "the markers are those of volumes."
        found.append(Measure("slice_residual", titles["slice_residual"], detail=reason))
    together = sums.lagged.sum(axis=1) / np.maximum(sums.power.sum(axis=1), 1e-300)
    worst = float(together.max())
    bad = [name for name, value in zip(tables.names, together, strict=True) if value > SLOW]
    detail = f"epochs resemble the next one by {worst:.2f} (at most {SLOW:g})."
    found.append(judge("slow_residual", titles["slow_residual"], worst, SLOW, detail, channels=bad))
    taken = np.maximum(-share, -together).clip(0.0)
    if scan.n_parts > 1:
        taken = taken + _measure_notch(sums, scan.n_parts)
    worst = float(np.median(taken))
    detail = f"about {100 * worst:.1f} % of the EEG's power was subtracted with the template."
    found.append(judge("eeg_removed", titles["eeg_removed"], worst, REMOVED, detail))
    return found


def _judge_share(
    name: str,
    titles: dict[str, str],
    share: np.ndarray,
    null: np.ndarray,
    limit: float,
    tables: Tables,
) -> Measure:
    worst, chance = float(share.max()), null.max(axis=1)
    level = float(chance.max())
    bad = [n for n, s in zip(tables.names, share, strict=True) if s > max(limit, level)]
    detail = f"{100 * max(worst, 0):.1f} % of the power (by chance up to {100 * level:.1f} %)."
    return judge(
        name,
        titles[name],
        worst,
        limit,
        detail,
        bool(bad),
        null=(float(np.median(chance)), level),
        channels=tuple(bad),
    )


def _measure_notch(sums: LockedSums, n_parts: int) -> np.ndarray:
    """Return the part of the power that is lacking at the harmonics of slices."""
    bins = np.arange(sums.band.start, sums.band.stop)
    at = bins % n_parts == 0
    beside = np.isin(bins % n_parts, (2, 3, n_parts - 3, n_parts - 2))
    if not at.any() or n_parts < 8:
        return np.zeros(sums.n_channels)
    ratio = np.log(np.maximum(sums.power[:, at], 1e-300)).mean(axis=1)
    ratio -= np.log(np.maximum(sums.power[:, beside], 1e-300)).mean(axis=1)
    return (1.0 - np.exp(ratio)).clip(0.0) / n_parts


def _find_quiet(tables: Tables) -> np.ndarray:
    """Return which windows are outside the scan and hold no artifact."""
    outside = tables.select("outside")
    inside = tables.before[~outside]
    if np.isfinite(inside).all() and len(inside):
        usual = np.maximum(np.median(inside, axis=0), 1e-300)
        relative = np.median(tables.before / usual, axis=1)
        # An artifact that is hardly larger than EEG does not tell quiet time.
        low = np.quantile(relative[outside], 0.2) if outside.any() else 0.0
        outside &= ~(relative > max(_QUIET, 5.0 * low))
    return outside


def _level_db(values: np.ndarray, scan: np.ndarray, quiet: np.ndarray) -> np.ndarray:
    """Return the level within the scan relative to quiet time, in dB, from logarithms."""
    logs = 10.0 * np.log10(np.maximum(values, 1e-300))
    return np.asarray(np.mean(logs[scan], axis=0) - np.mean(logs[quiet], axis=0))


def judge_high(tables: Tables) -> Measure:
    """Judge the power at high frequencies relative to quiet time."""
    name, title = "high_residual", "power at high frequencies relative to unscanned time"
    scan, quiet = tables.select("epoch", "inside"), _find_quiet(tables)
    if np.isnan(tables.high).any():
        return Measure(name, title, unit="dB", detail="nothing is left above 40 Hz.")
    if quiet.sum() < _QUIETS or not scan.any():
        return Measure(name, title, unit="dB", detail="there is no unscanned time of 2 s or more.")
    return _judge_level(name, title, _level_db(tables.high, scan, quiet), HIGH_DB, tables)


def judge_bursts(tables: Tables) -> list[Measure]:
    """Judge windows whose power at high frequencies stands out: muscles, or a residual."""
    kinds = (
        ("bursts", "bursts that do not resemble the artifact (muscles)", BURSTS),
        ("artifact_bursts", "residual in single windows (movements)", ARTIFACT_BURSTS),
    )
    scan = tables.select("epoch", "inside")
    power = tables.inner if np.isnan(tables.high).any() else tables.high
    if scan.sum() < _EPOCHS:
        reason = "too few windows within the scan."
        return [Measure(name, title, detail=reason) for name, title, _ in kinds]
    usual = np.maximum(np.median(power[scan], axis=0), 1e-300)
    loud = (power > BURST * usual) & scan[:, np.newaxis]
    alike = loud & (tables.likeness > LIKE)
    # A movement changes the artifact of all channels: one that shows it speaks for all.
    moved = alike.any(axis=1)
    found = []
    for (name, title, limit), which in zip(kinds, (~moved, moved), strict=True):
        own = loud & which[:, np.newaxis]
        windows = own.any(axis=1)
        channels = [n for n, column in zip(tables.names, own.T, strict=True) if column.any()]
        found.append(
            judge(
                name,
                title,
                float(windows[scan].mean()),
                limit,
                f"{int(windows.sum())} of {int(scan.sum())} windows.",
                channels=tuple(channels),
                span_s=tables.spans(windows),
            )
        )
    return found


def judge_level(tables: Tables) -> Measure:
    """Judge the level of the EEG bands relative to quiet time, up or down."""
    name, title = "level", "level from 1 to 70 Hz relative to unscanned time"
    scan, quiet = tables.select("epoch", "inside"), _find_quiet(tables)
    if quiet.sum() < _QUIETS or not scan.any():
        return Measure(name, title, unit="dB", detail="there is no unscanned time of 2 s or more.")
    level = np.median(_level_db(tables.bands, scan, quiet), axis=1)
    return _judge_level(name, title, level, LEVEL_DB, tables)


def _judge_level(
    name: str, title: str, level_db: np.ndarray, limit: float, tables: Tables
) -> Measure:
    """Judge levels of channels, which may be too high (a residual) or too low (lost EEG)."""
    worst = float(level_db[np.argmax(np.abs(level_db))])
    bad = [n for n, v in zip(tables.names, level_db, strict=True) if abs(v) > limit]
    what = "less" if worst < 0 else "more"
    detail = f"{abs(worst):.1f} dB {what} in the worst channel (up to {limit:g} dB is usual)."
    return judge(name, title, abs(worst), limit, detail, unit="dB", channels=tuple(bad))


def judge_kept(tables: Tables, context: ProcessingContext) -> Measure:
    """Judge what the chain took where no scanner was running."""
    name, title = "quiet_loss", "EEG that was removed where no scanner was running"
    quiet = _find_quiet(tables) & ~np.isnan(tables.kept).any(axis=1)
    if any(step.name == "common_reference" for step in context.get_history()):
        return Measure(name, title, unit="dB", detail="the reference was changed.")
    if quiet.sum() < _QUIETS:
        return Measure(name, title, unit="dB", detail="there is no unscanned time of 2 s or more.")
    loss = -np.median(tables.kept[quiet], axis=0)
    worst = float(loss.max())
    bad = [n for n, v in zip(tables.names, loss, strict=True) if v > LOSS_DB]
    detail = f"{worst:.1f} dB from 20 to 70 Hz in the worst channel (at most {LOSS_DB:g} dB)."
    return judge(name, title, worst, LOSS_DB, detail, unit="dB", channels=tuple(bad))


def judge_untouched(tables: Tables) -> Measure:
    """Judge the time in which the artifact is still there, within and outside the marked time."""
    name, title = "untouched_artifact", "time in which the artifact is left"
    marked = tables.select("epoch", "inside")
    if np.isnan(tables.before[marked]).any() or not marked.any():
        return Measure(name, title, unit="s", detail="the recording before correction is gone.")
    usual = np.median(tables.before[marked], axis=0)
    level = np.median(tables.inner[marked], axis=0)
    visible = usual > VISIBLE * level
    left = tables.inner > np.maximum(UNTOUCHED * usual, UNUSUAL * level)
    left &= visible & (tables.before > UNTOUCHED * usual)
    windows = left.any(axis=1)
    seconds = sum(
        (w.stop - w.start) / tables.sfreq
        for w, bad in zip(tables.windows, windows, strict=True)
        if bad
    )
    outside = windows & ~marked
    where = "outside the marked time" if outside.any() else "within the marked time"
    bad = [n for n, column in zip(tables.names, left.T, strict=True) if column.any()]
    detail = f"{seconds:.1f} s" + (f", {where}." if seconds else ".")
    return judge(
        name,
        title,
        seconds,
        0.0,
        detail,
        unit="s",
        channels=tuple(bad),
        span_s=tables.spans(windows),
    )


def judge_beats(context: ProcessingContext) -> Measure:
    """Judge how many heartbeats the EEG itself supports, as the pulse correction noted."""
    name, title = "beats_unsupported", "share of heartbeats without an artifact in the EEG"
    for step in reversed(context.get_history()):
        share = step.parameters.get("beats_supported")
        if share is not None:
            detail = f"{100 * share:.0f} % of the beats have the artifact of a beat."
            return judge(name, title, 1.0 - share, 1.0 - BEATS, detail)
    return Measure(name, title, detail="no pulse artifact was corrected by method='obs'.")


# --------------------------------------------------------------------------------- verdict
def summarise(measures: Iterable[Measure]) -> Quality:
    """Return the verdict on measures, in one sentence."""
    measures = tuple(measures)
    flagged = [m for m in measures if m.verdict == "check"]
    if not any(m.verdict != "not measured" for m in measures):
        reasons = "; ".join(dict.fromkeys(m.detail.rstrip(".") for m in measures))
        return Quality("not measured", f"{reasons}.", measures)
    if not flagged:
        return Quality("good", "corrected; residual at the noise floor.", measures)
    channels = list(dict.fromkeys(name for m in flagged for name in m.channels))
    spans = sorted({span for m in flagged for span in m.span_s})
    places = []
    if spans:
        more = ", …" if len(spans) > 3 else ""
        places.append(", ".join(f"{a:.4g}–{b:.4g} s" for a, b in spans[:3]) + more)
    if channels:
        more = ", …" if len(channels) > 4 else ""
        places.append(f"channels {', '.join(channels[:4])}{more}")
    what = "; ".join(f"{m.title}: {m.detail.rstrip('.')}" for m in flagged)
    where = f"look at {', '.join(places)} – " if places else ""
    return Quality("check", f"{where}{what}.", measures)
