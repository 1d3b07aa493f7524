"""The windows in which the quality of a result is judged: epochs of the scan, and the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.kernels.triggers.clock import ClockFit, fit_clock
from facet_nb.kernels.triggers.runs import split_train
from facet_nb.kernels.triggers.spacing import describe_spacing

#: Length of a window, in s, and of the shortest one between others.
WINDOW_S, _SHORTEST_S = 2.0, 0.5
#: Longest epoch, in s, whose length other windows have, too.
_LONGEST_S = 3.0
#: Part of such a window that is left out rather than read in another one.
_LEFT = 0.1
#: Distances from here on, in s, are those of volumes.
_VOLUME_S = 0.5
#: Samples this near to the marked time are in no window outside of it: an artifact may begin before
#: its marker, and end after the distance of two.
_GUARD_S = 0.1

#: Windows outside the scan, and within it but in no epoch, that a sample has at most.
OTHERS = 4

Kind = Literal["epoch", "inside", "outside"]


@dataclass(frozen=True)
class ScanWindow:
    """Samples `start` to `stop` (excluded); they begin `late` samples after their epoch."""

    start: int
    stop: int
    kind: Kind
    late: float = 0.0


@dataclass(frozen=True)
class Scan:
    """The marked time of a recording, cut into windows.

    Attributes
    ----------
    windows : tuple of ScanWindow
        All of them, in order of time.
    n_samples : int
        Length of an epoch, in samples; 0 if there are none.
    n_parts : int
        Number of equal artifacts in an epoch: slices in a volume, or in about 2 s; 1 if markers
        are those of volumes.
    is_volume : bool
        Whether an epoch is a whole number of volumes.
    """

    windows: tuple[ScanWindow, ...]
    n_samples: int
    n_parts: int
    is_volume: bool


def find_scanner_triggers(context: ProcessingContext) -> np.ndarray:
    """Return the scanner's triggers, in samples; they may be those before the heartbeats."""
    raw, metadata = context.get_raw(), context.metadata
    times_s = metadata.custom.get("scanner_times_s")
    if metadata.trigger_regex != "QRS":
        found = np.asarray(metadata.triggers if context.has_triggers() else [], np.int64)
        # They are in order but for hand-made ones; looking takes a tenth of the time of sorting.
        return found if np.all(found[1:] > found[:-1]) else np.unique(found)
    found = np.asarray([] if times_s is None else times_s) * raw.info["sfreq"] - raw.first_samp
    return np.unique(np.rint(found).astype(np.int64))


def cut_scan(context: ProcessingContext) -> Scan:
    """Return the windows of a recording."""
    raw = context.get_raw()
    sfreq, n_times = float(raw.info["sfreq"]), int(raw.n_times)
    triggers = find_scanner_triggers(context)
    triggers = triggers[(triggers >= 0) & (triggers < n_times)]
    if len(triggers) < 4:
        return Scan(tuple(_fill(0, n_times, "outside", sfreq)), 0, 1, False)
    runs = [run for run in split_train(triggers).runs if len(run) > 1]
    clocks = [fit_clock(run) for run in runs]
    shift = context.metadata.artifact_to_trigger_offset * sfreq
    shift = 0.0 if context.metadata.trigger_regex == "QRS" else shift
    longest = int(np.argmax([len(run) for run in runs])) if runs else 0
    volume = _find_volume(context)
    epochs, marked, n_samples, n_parts, is_volume = [], [], 0, 1, False
    for i, (run, clock) in enumerate(zip(runs, clocks, strict=True)):
        end = run[-1] + clock.period + shift
        marked.append((max(0, int(run[0] + shift)), min(n_times, int(np.ceil(end)))))
        if i == longest:
            starts, n_samples, n_parts, is_volume = _lay_epochs(run, clock, sfreq, volume)
            starts = starts + shift
            firsts = np.rint(starts).astype(np.int64)
            whole = (firsts >= 0) & (firsts + n_samples <= min(n_times, end + 1))
            late = (firsts - starts)[whole].tolist()
            for first, own in zip(firsts[whole].tolist(), late, strict=True):
                epochs.append(ScanWindow(first, first + n_samples, "epoch", own))
    windows = _fill_gaps(epochs, marked, n_times, sfreq, n_samples)
    return Scan(tuple(windows), n_samples, n_parts, is_volume)


def sample_windows(scan: Scan, n_pairs: int, calm: np.ndarray) -> np.ndarray:
    """Return which windows are a sample of all: pairs of neighbouring epochs, and some others.

    Parameters
    ----------
    scan : Scan
        The windows.
    n_pairs : int
        Largest number of pairs.
    calm : ndarray of bool, shape (n_windows,)
        Windows that do not stand out; outside the scan, those are preferred.
    """
    kinds = np.array([window.kind for window in scan.windows], dtype=object)
    chosen = np.zeros(len(kinds), dtype=bool)
    epochs = np.flatnonzero(kinds == "epoch")
    if len(epochs) > 2 * n_pairs:
        firsts = np.linspace(0, len(epochs) - 2, n_pairs).astype(int)
        chosen[epochs[firsts]] = chosen[epochs[firsts + 1]] = True
    else:
        chosen[epochs] = True
    outside = kinds == "outside"
    n_inside = OTHERS if len(epochs) else 2 * n_pairs
    preferred = outside & calm if np.count_nonzero(outside & calm) >= OTHERS else outside
    for which, n in ((kinds == "inside", n_inside), (preferred, OTHERS)):
        places = np.flatnonzero(which)
        chosen[places[np.linspace(0, len(places) - 1, min(n, len(places))).astype(int)]] = True
    return chosen


def cut_ecg(scan: Scan, sfreq: float) -> Scan:
    """Return windows of 2 s of the marked time, each of which holds a beat or more."""
    windows: list[ScanWindow] = []
    start = stop = 0
    for window in [w for w in scan.windows if w.kind != "outside"]:
        if window.start > stop + 1:
            windows += _fill(start, stop, "inside", sfreq)
            start = window.start
        stop = window.stop
    return Scan((*windows, *_fill(start, stop, "inside", sfreq)), 0, 1, False)


def _find_volume(context: ProcessingContext) -> float:
    """Return the length of a volume, in s, that a correction found; 0 if unknown."""
    sfreq = context.get_sfreq()
    for step in reversed(context.get_history()):
        found: Any = step.parameters.get("volume_samples")
        if found:
            return float(found) / sfreq
    return 0.0


def _lay_epochs(
    run: np.ndarray, clock: ClockFit, sfreq: float, volume_s: float
) -> tuple[np.ndarray, int, int, bool]:
    """Return starts and length of the epochs of a run, their parts, and whether they are volumes.

    Starts are between samples, from the clock's fit.
    """
    times, period = (clock.times if clock.trusted else clock.fitted), clock.period
    if clock.pause > 0 and (spacing := describe_spacing(run)).slices_per_volume:
        starts = times[1:][spacing.pauses > 0]
        length = spacing.slices_per_volume * period + clock.pause
        return starts, int(length), 1, True
    if period >= _VOLUME_S * sfreq:
        return times, int(period + 0.02), 1, True
    n_parts = max(1, round((volume_s or WINDOW_S) * sfreq / period))
    # A number of periods after the first marker of the same stretch without breaks.
    found: list[np.ndarray] = []
    for stretch in range(int(clock.run.max(initial=0)) + 1):
        own = times[(clock.run == stretch) & ~clock.outliers]
        if len(own) < 2:
            continue
        number = np.rint((own - own[0]) / period)
        wanted = np.arange(0, number[-1] + 1 - n_parts, n_parts)
        found.append(np.interp(wanted, number, own))
    starts = np.concatenate(found) if found else np.zeros(0)
    return starts, int(n_parts * period + 0.02), n_parts, bool(volume_s)


def _fill_gaps(
    epochs: list[ScanWindow],
    marked: list[tuple[int, int]],
    n_times: int,
    sfreq: float,
    n_samples: int,
) -> list[ScanWindow]:
    """Return the epochs of `n_samples`, and windows of the time between and beside them."""
    # Windows of one length are transformed at once.
    usual = n_samples if _SHORTEST_S * sfreq <= n_samples <= _LONGEST_S * sfreq else 0
    guard = int(_GUARD_S * sfreq)
    windows: list[ScanWindow] = []
    at, first = 0, 0
    for start, stop in marked:
        windows += _fill(first, start - guard, "outside", sfreq, usual)
        at, first = start, stop + guard
        for epoch in epochs:
            if start <= epoch.start + 1 and epoch.stop <= stop + 1:
                windows += _fill(at, epoch.start, "inside", sfreq, usual)
                windows.append(epoch)
                at = epoch.stop
        windows += _fill(at, stop, "inside", sfreq, usual)
    windows += _fill(first, n_times, "outside", sfreq, usual)
    return windows


def _fill(start: int, stop: int, kind: Kind, sfreq: float, usual: int = 0) -> Iterator[ScanWindow]:
    """Yield windows in a span: of `usual` samples if it is as long, else of at most 2 s.

    The former may overlap, or leave a tenth of one between them; the latter have equal lengths.
    """
    if stop - start < _SHORTEST_S * sfreq:
        return
    length = usual if 0 < usual <= stop - start else 0
    n_whole = (stop - start) / (length or WINDOW_S * sfreq)
    n = int(np.ceil(n_whole - _LEFT if length else n_whole))
    length = length or (stop - start) // n
    apart = (stop - start - length) / max(1, n - 1)
    for i in range(n):
        first = start + int(i * apart)
        yield ScanWindow(first, first + length, kind)
