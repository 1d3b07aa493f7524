"""Measurements for a report, from the windows that it reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facet_nb.kernels.measures.spectrum import average_spectrum
from facet_nb.kernels.triggers.clock import describe_runs
from facet_nb.kernels.triggers.spacing import missing_positions
from facet_nb.report.pair import Pair

#: Length of the windows that are compared with one another, in s.
WINDOW_S = 2.0
#: Windows of a recording in a file that are read; in memory, all of them.
_WINDOWS = 60
#: Epochs that are averaged, or more of short ones: as many as fill this time, in s.
_EPOCHS, _EPOCHS_S = 60, 60.0
#: Channels and seconds of which spectra are computed, and the length of a segment.
_CHANNELS, _SPECTRUM_S, _SEGMENT_S = 16, 60.0, 4.0
#: Longest epoch, in s.
_LONGEST_S = 4.0
#: Markers nearer than this to a trigger are that trigger, in s.
_SAME_S = 2e-3


@dataclass(frozen=True, eq=False)
class TriggerTrain:
    """Triggers of a run, and markers that it did not use.

    Attributes
    ----------
    times_s : ndarray, shape (n_triggers,)
        Triggers, in s.
    missing_s : ndarray, shape (n_missing,)
        Places between them at which one is missing, in s.
    extra_s : ndarray, shape (n_extra,)
        Markers that match the expression and were left out, in s.
    usual_s : float
        The usual interval, in s.
    per_volume : int
        Triggers of a volume; 1 if each of them is a volume, or the number is not known.
    slices : int
        Slices (or slice groups) from one trigger to the next, as a correction found them; 1 if
        triggers mark slices, or the number is not known.
    """

    times_s: np.ndarray
    missing_s: np.ndarray
    extra_s: np.ndarray
    usual_s: float
    per_volume: int
    slices: int

    @property
    def rate_hz(self) -> float:
        """Frequency at whose multiples the artifact has its energy, in Hz."""
        return self.slices / self.usual_s

    @property
    def unit(self) -> str:
        """What recurs: ``"volume"`` if that is known, else ``"trigger"``."""
        return "volume" if max(self.per_volume, self.slices) > 1 else "trigger"

    @property
    def volumes_s(self) -> np.ndarray:
        """Starts of volumes, in s, one period apart."""
        if self.per_volume == 1:
            return self.times_s
        together = np.sort(np.concatenate([self.times_s, self.missing_s]))
        return together[:: self.per_volume]


def read_train(pair: Pair) -> TriggerTrain | None:
    """Return the triggers of a run; None if it has fewer than two."""
    times_s = pair.triggers_s
    if len(times_s) < 2 or pair.context is None:
        return None
    samples = np.unique(np.rint((times_s - pair.begin_s) * pair.sfreq).astype(np.int64))
    spacing = describe_runs(samples)
    missing = pair.begin_s + missing_positions(samples, spacing) / pair.sfreq
    known = np.sort(np.concatenate([times_s, missing]))
    marked = _list_marked(pair)
    near = np.abs(known[np.clip(np.searchsorted(known, marked), 0, len(known) - 1)] - marked)
    left = np.abs(known[np.clip(np.searchsorted(known, marked) - 1, 0, None)] - marked)
    extra = marked[np.minimum(near, left) > _SAME_S]
    per_volume = pair.context.metadata.slices_per_volume or spacing.slices_per_volume or 1
    history = pair.context.get_history()
    # The mean of the usual ones: their median is a whole number of samples, too coarse for a rate,
    # and with two triggers to a volume it may be that over the pause.
    gaps = np.diff(times_s)
    near_s = spacing.usual / pair.sfreq
    if not np.any(np.abs(gaps - near_s) <= 0.1 * near_s):
        near_s = float(np.median(gaps))
    usual_s = float(np.mean(gaps[np.abs(gaps - near_s) <= 0.1 * near_s]))
    found = [s.parameters["slices_found"] for s in history if "slices_found" in s.parameters]
    slices = int(found[-1]) if found and per_volume == 1 else 1
    return TriggerTrain(times_s, missing, extra, usual_s, int(per_volume), slices)


def _list_marked(pair: Pair) -> np.ndarray:
    """Return the times of all annotations that match the expression of the triggers, in s."""
    import re

    raw: Any = pair.before if pair.before is not None else pair.after
    expression = None if pair.context is None else pair.context.metadata.trigger_regex
    if not expression or raw is None:
        return np.zeros(0)
    try:
        found = re.compile(expression)
    except re.error:
        return np.zeros(0)
    # Unique descriptions: an expression that backtracks is tried once for each.
    texts = {text: bool(found.search(str(text))) for text in set(raw.annotations.description)}
    onsets = zip(raw.annotations.onset, raw.annotations.description, strict=True)
    times = [float(onset) - raw.first_time for onset, text in onsets if texts[text]]
    return np.sort(np.array(times))


@dataclass(frozen=True, eq=False)
class Locked:
    """The part of a signal that recurs with the volume (or trigger).

    Attributes
    ----------
    times_s : ndarray, shape (n_times,)
        Time from the start of the volume, in s.
    mean_v : ndarray, shape (n_channels, n_times)
        Mean over epochs, in V.
    noise_v : ndarray, shape (n_channels,)
        What the mean of as many epochs would be if nothing recurred, RMS in V: the standard
        deviation over epochs, divided by the square root of their number.
    n_epochs : int
        Number of epochs.
    """

    times_s: np.ndarray
    mean_v: np.ndarray
    noise_v: np.ndarray
    n_epochs: int

    @property
    def rms_v(self) -> np.ndarray:
        """RMS of the mean around its own mean, in V, shape (n_channels,)."""
        rms: np.ndarray = self.mean_v.std(axis=1)
        return rms


def average_locked(
    pair: Pair, which: str, channels: list[str], train: TriggerTrain
) -> Locked | None:
    """Return what recurs with the volume, from 60 epochs (or 60 s) spread over the recording.

    Each epoch is centred. None if there are fewer than eight whole epochs.
    """
    starts = train.volumes_s
    if len(starts) < 2:
        return None
    length_s = min(float(np.median(np.diff(starts))), _LONGEST_S)
    raw: Any = getattr(pair, which)
    n = int(length_s * float(raw.info["sfreq"]))
    total, squares, n_epochs, times_s = np.zeros(0), np.zeros(0), 0, np.zeros(0)
    for start in _spread(starts, max(_EPOCHS, int(_EPOCHS_S / length_s))):
        at, values = pair.read(which, channels, start, length_s + 0.1)
        if values.shape[1] < n or at[0] > start + 0.5 / float(raw.info["sfreq"]) + 1e-9:
            continue
        epoch = values[:, :n] - values[:, :n].mean(axis=1, keepdims=True)
        if not n_epochs:
            total, squares = np.zeros_like(epoch), np.zeros_like(epoch)
            times_s = at[:n] - at[0]
        total, squares, n_epochs = total + epoch, squares + epoch**2, n_epochs + 1
    if n_epochs < 8:
        return None
    mean = total / n_epochs
    variance = np.maximum(squares / n_epochs - mean**2, 0.0) * n_epochs / (n_epochs - 1)
    noise = np.sqrt(variance.mean(axis=1) / n_epochs)
    return Locked(times_s, mean, noise, n_epochs)


def estimate_spectrum(
    pair: Pair, which: str, channels: list[str], train: TriggerTrain | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies (Hz) and density (V²/Hz), mean over up to 16 channels.

    It is computed by Welch's method from up to 60 s, within the scan if triggers are known.
    """
    first, last = pair.begin_s, pair.begin_s + pair.duration_s
    if train is not None and train.times_s[-1] - train.times_s[0] >= 1.0:
        first, last = max(first, train.times_s[0]), min(last, train.times_s[-1])
    length_s = min(_SEGMENT_S, last - first)
    count = max(1, min(int((last - first) / length_s), int(_SPECTRUM_S / _SEGMENT_S)))
    names = list(_spread(channels, _CHANNELS))
    raw: Any = getattr(pair, which)
    sfreq = float(raw.info["sfreq"])
    n_segment = max(int(length_s * sfreq), 1)
    pieces: list[list[np.ndarray]] = [[] for _ in names]
    for begin_s in np.linspace(first, last - length_s, count):
        for channel, values in zip(
            pieces, pair.read(which, names, begin_s, length_s)[1], strict=True
        ):
            channel.append(values)
    found = [average_spectrum(channel, sfreq, n_segment) for channel in pieces]
    return found[0][0], np.mean([density for _, density in found], axis=0)


@dataclass(frozen=True, eq=False)
class UnusualWindows:
    """How unusual each window of the result is.

    Attributes
    ----------
    begins_s : ndarray, shape (n_windows,)
        Starts of the windows that were looked at, in s.
    ratios : ndarray, shape (n_windows, n_channels)
        RMS of each window over the median of its channel.
    quiet_v : float
        RMS of quiet windows (the lowest tenth), median over channels, in V.
    complete : bool
        Whether they cover the whole recording.
    """

    begins_s: np.ndarray
    ratios: np.ndarray
    quiet_v: float
    complete: bool

    @property
    def worst(self) -> int:
        """The window in which the mean squared ratio is largest."""
        return int(np.argmax(np.mean(self.ratios**2, axis=1)))


def compare_windows(pair: Pair, channels: list[str]) -> UnusualWindows:
    """Return how unusual windows of 2 s are: all of them, or 60 of a recording in a file.

    Slow drifts within a window are left out, as it is compared
    with its own straight line.
    """
    count = max(1, int(pair.duration_s / WINDOW_S + 1e-9))
    begins = pair.begin_s + WINDOW_S * np.arange(count)
    chosen = begins if pair.in_memory else np.array(list(_spread(begins, _WINDOWS)))
    rms = np.empty((len(chosen), len(channels)))
    for row, begin_s in enumerate(chosen):
        values = pair.read("after", channels, begin_s, WINDOW_S)[1]
        rms[row] = _remove_lines(values).std(axis=1)
    usual = np.median(rms, axis=0)
    ratios = rms / np.where(usual > 0, usual, 1.0)
    whole = len(chosen) == count
    quiet = float(np.median(np.quantile(rms, 0.1, axis=0)))
    return UnusualWindows(chosen, np.nan_to_num(ratios), quiet, whole)


def _remove_lines(values: np.ndarray) -> np.ndarray:
    line = np.linspace(-1.0, 1.0, values.shape[1])
    slopes = values @ line / (line @ line)
    return values - values.mean(axis=1, keepdims=True) - np.outer(slopes, line)


def _spread(items: Sequence[Any] | np.ndarray, most: int) -> Iterator[Any]:
    """Yield up to `most` items, evenly spread."""
    for index in np.unique(np.linspace(0, len(items) - 1, min(len(items), most)).round()):
        yield items[int(index)]
