"""Base of the evaluation steps: the channels and samples that they use, and their results."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core import recording
from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.findings import Finding
from facet_nb.core.processor import NotingStep
from facet_nb.core.storage import scratch
from facet_nb.kernels.measures import metrics
from facet_nb.kernels.triggers import spacing

if TYPE_CHECKING:
    import mne

logger = logging.getLogger("facet_nb")

#: Length of one read from a file, in s: small compared with any recording.
_READ_S = 10.0
#: Shortest time for a variance, in s: less is not even one cycle of 10 Hz.
_LEAST_S = 0.1
#: Times shorter than this cause a warning, in s: they contain hardly a cycle of slow EEG.
_SHORT_S = 1.0


@dataclass(frozen=True)
class Span:
    """Samples of the acquisition: `start` to `stop` (excluded) of `n_times` at `sfreq` Hz.

    `reference` holds the spans that the user chose to compare with; if there is none, the reference
    is all time outside the acquisition.
    """

    start: int
    stop: int
    n_times: int
    sfreq: float
    reference: tuple[tuple[int, int], ...] = ()


class MetricStep(NotingStep):
    """Base class of steps that measure.

    Results are stored in ``metadata.custom["metrics"]``, notes in the history.
    """

    requires_raw = True
    requires_triggers = True
    modifies_raw = False
    parallel_safe = False
    accepts_lazy = True
    output_only = True

    def measure(self, context: ProcessingContext) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return new metrics, and notes for the history."""
        raise ValidationError(f"{type(self).__name__} has no measure(context) method.")

    def judge(self, found: dict[str, Any]) -> list[Finding]:
        """Return what a user should know about new metrics; log the channels without a value."""
        for key, channels in found.items():
            if key.endswith("_excluded") and channels:
                why = "flat, not a number, or weaker than the time that it is compared with"
                logger.warning("%s: no value for %s (%s)", self.name, ", ".join(channels), why)
        return []

    def _run(self, context: ProcessingContext) -> tuple[ProcessingContext, dict[str, Any]]:
        found, notes = self.measure(context)
        metadata = context.metadata.copy()
        known = metadata.custom.get("metrics", {})
        metadata.custom["metrics"] = {**known, **found}
        return context.with_metadata(metadata).with_findings(self.judge(found)), notes


class ChannelMetric(MetricStep):
    """Base class of steps that can print a line for each channel."""

    def __init__(self, verbose: bool = False) -> None:
        self.verbose = verbose


def good_channels(
    context: ProcessingContext, step: str
) -> tuple[mne.io.BaseRaw, list[int], list[str]]:
    """Return the recording, and the rows and names of its good data channels.

    Raises
    ------
    ValidationError
        If there are none.
    """
    raw = context.get_raw()
    rows = [int(i) for i in recording.data_picks(raw)]
    if not rows:
        raise ValidationError(
            f"{step}: the recording has no good data channel. Set types with "
            "raw.set_channel_types, or clear raw.info['bads']."
        )
    return raw, rows, [raw.ch_names[i] for i in rows]


def find_span(context: ProcessingContext, step: str) -> Span:
    """Return the samples of the acquisition: from the first trigger to the last artifact's end.

    Raises
    ------
    ValidationError
        If the artifact length is not known, or the triggers lie outside the data.
    """
    raw, metadata = context.get_raw(), context.metadata
    triggers = np.sort(np.asarray(metadata.triggers, dtype=np.int64))
    length = artifact_length(context, step)
    sfreq = float(raw.info["sfreq"])
    offset = round(metadata.artifact_to_trigger_offset * sfreq)
    start, stop = spacing.acquisition_span(triggers, length, offset, raw.n_times)
    if stop <= start:
        raise ValidationError(
            f"{step}: the triggers lie outside the data (first {triggers[0]}, last {triggers[-1]}, "
            f"{raw.n_times} samples). Triggers are counted from the first sample of the data."
        )
    return Span(start, stop, int(raw.n_times), sfreq, find_reference(raw))


def find_reference(raw: mne.io.BaseRaw) -> tuple[tuple[int, int], ...]:
    """Return the spans of annotations ``REFERENCE`` within the data, in samples."""
    found = []
    sfreq, marks = float(raw.info["sfreq"]), raw.annotations
    chosen = marks.description == recording.REFERENCE_SPAN
    for onset_s, duration_s in zip(marks.onset[chosen], marks.duration[chosen], strict=True):
        start = round(onset_s * sfreq) - int(raw.first_samp)
        low, high = max(start, 0), min(start + round(duration_s * sfreq), int(raw.n_times))
        if low < high:
            found.append((low, high))
    return tuple(found)


def artifact_length(context: ProcessingContext, step: str) -> int:
    """Return the artifact length, in samples, from the metadata or from the trigger spacing.

    Raises
    ------
    ValidationError
        If neither provides it.
    """
    metadata = context.metadata
    triggers = np.asarray(metadata.triggers, dtype=np.int64)
    length = metadata.artifact_length or spacing.artifact_length(triggers)
    if not length:
        raise ValidationError(
            f"{step}: the length of one artifact is not known. Put TriggerDetector(regex=…) before "
            "this step, or set it: context.with_trigger_samples(samples, artifact_length=…)."
        )
    return int(length)


def find_outside(span: Span, time_buffer: float, step: str) -> list[tuple[int, int]]:
    """Return the spans before and after the acquisition, at least `time_buffer` s away from it.

    Spans that the user chose (:class:`facet_nb.SignalIntervalSelector`) replace them.

    Raises
    ------
    ValidationError
        If they are shorter than 0.1 s together.
    """
    if span.reference:
        return list(span.reference)
    buffer = round(time_buffer * span.sfreq)
    before, after = max(0, span.start - buffer), min(span.n_times, span.stop + buffer)
    available_s = (before + span.n_times - after) / span.sfreq
    if available_s < _LEAST_S:
        raise ValidationError(
            f"{step}: there is no data without artifact ({available_s:.3g} s before the first and "
            f"after the last artifact, without a buffer of {time_buffer:g} s). Keep 1 s or more "
            "before the first trigger or after the last when recording or cropping."
        )
    if available_s < _SHORT_S:
        logger.warning(
            "%s: only %.2g s without artifact; the ratio is imprecise", step, available_s
        )
    return [(0, before), (after, span.n_times)]


def measure_variance(
    raw: mne.io.BaseRaw, rows: list[int], spans: list[tuple[int, int]]
) -> np.ndarray:
    """Return the variance of channels over spans of samples, shape (n_rows,), in V².

    Loaded recordings are not copied; others are read in pieces of 10 s.
    """
    return metrics.variance(_pieces(raw, rows, spans), len(rows))


def name_invalid(values: np.ndarray, names: list[str]) -> list[str]:
    """Return the channels without a value."""
    return [n for n, v in zip(names, values, strict=True) if np.isnan(v)]


def list_values(key: str, value: float, values: np.ndarray, names: list[str]) -> dict[str, Any]:
    """Return a metric, its values by channel, the channels, and those without a value."""
    stem = key.removesuffix("_ratio")
    return {
        key: value,
        f"{key}_per_channel": values.tolist(),
        f"{stem}_channels": names,
        f"{stem}_excluded": name_invalid(values, names),
    }


def print_channels(title: str, names: list[str], columns: dict[str, np.ndarray]) -> None:
    """Print one line for each channel."""
    print(f"{title:<16}" + "".join(f"{head:>16}" for head in columns))
    for i, name in enumerate(names):
        print(f"{name:<16}" + "".join(f"{values[i]:>16.4g}" for values in columns.values()))


def read_rows(raw: mne.io.BaseRaw, row: int, spans: list[tuple[int, int]]) -> list[np.ndarray]:
    """Return the samples of one channel over spans of samples, in V, without empty spans."""
    pieces = [(start, stop) for start, stop in spans if stop > start]
    if raw.preload:
        scratch.forget(raw._data)  # a recording in a file: frees the pages read before
        return [raw._data[row, start:stop] for start, stop in pieces]
    return [raw.get_data(picks=[row], start=start, stop=stop)[0] for start, stop in pieces]


class _Rows(Sequence):
    """Some rows of an array; if it is in a file, one row at a time is in memory."""

    def __init__(self, data: np.ndarray, rows: list[int], span: slice) -> None:
        self.data, self.rows, self.span = data, rows, span

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        scratch.forget(self.data)
        return self.data[self.rows[index], self.span]


def _pieces(
    raw: mne.io.BaseRaw, rows: list[int], spans: list[tuple[int, int]]
) -> Iterator[Sequence[np.ndarray]]:
    step = max(1, round(_READ_S * raw.info["sfreq"]))
    for start, stop in spans:
        if raw.preload:
            yield _Rows(raw._data, rows, slice(start, stop))
            continue
        for first in range(start, stop, step):
            yield raw.get_data(picks=rows, start=first, stop=min(stop, first + step))
