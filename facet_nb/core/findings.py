"""Findings: what users should know about a result, from loaders, steps, planner and executors.

Every finding is made by :func:`make_finding`. Its code is declared in :data:`FINDING_KINDS`, with
severity, title and remedy; ``docs/findings.md`` has a section for each code.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import accumulate
from typing import Any, Literal

import numpy as np

from facet_nb.core.errors import ValidationError

Severity = Literal["note", "warning", "error"]

#: From harmless to serious.
SEVERITIES: tuple[Severity, ...] = ("note", "warning", "error")

#: Most details that are kept of merged findings.
_DETAILS = 3
#: Channels and spans that a line of text lists.
_LISTED = 8
#: Most spans of a finding.
_SPANS = 100


@dataclass(frozen=True)
class Finding:
    """Something that a person who uses the result should know.

    Attributes
    ----------
    code : str
        Kind of finding, as in :data:`FINDING_KINDS` and ``docs/findings.md``.
    severity : {"note", "warning", "error"}
        Whether the result can be trusted (note), should be checked (warning), or is wrong or was
        refused (error).
    title : str
        The finding in a few words.
    detail : str
        What was found here, in one or two sentences.
    evidence : dict
        Numbers and names behind it, as plain Python values.
    remedy : str
        What to do.
    step : str | None
        Name of the step that raised it.
    channels : tuple of str
        Channels that it concerns; empty if it concerns all.
    span_s : tuple of (float, float)
        Spans that it concerns, in s from the first sample; empty if it concerns the whole
        recording.
    """

    code: str
    severity: Severity
    title: str
    detail: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    remedy: str = ""
    step: str | None = None
    channels: tuple[str, ...] = ()
    span_s: tuple[tuple[float, float], ...] = ()

    def __str__(self) -> str:
        where = f" [{self.step}]" if self.step else ""
        parts = [f"{self.severity}{where}: {self.title}.", self.detail, self._write_places()]
        return " ".join(filter(None, [*parts, self.remedy]))

    def _write_places(self) -> str:
        places = []
        if self.channels:
            more = len(self.channels) - _LISTED
            names = ", ".join(self.channels[:_LISTED]) + (f", … {more} more" if more > 0 else "")
            places.append(f"channels: {names}")
        if self.span_s:
            more = len(self.span_s) - _LISTED
            spans = ", ".join(f"{a:.2f}–{b:.2f} s" for a, b in self.span_s[:_LISTED])
            places.append(f"at {spans}" + (f", … {more} more" if more > 0 else ""))
        return f"({'; '.join(places)})" if places else ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain Python values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        spans = [list(span) for span in self.span_s]
        plain = {"evidence": dict(self.evidence), "channels": list(self.channels), "span_s": spans}
        return values | plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Finding:
        """Create a finding from the output of :meth:`to_dict`; unknown fields are ignored."""
        known = {f.name for f in fields(cls)}
        kept = {k: v for k, v in values.items() if k in known}
        spans = tuple((float(a), float(b)) for a, b in kept.get("span_s", ()))
        return cls(**kept | {"channels": tuple(kept.get("channels", ())), "span_s": spans})


class FindingError(ValidationError):
    """The input cannot be used, and a finding says why.

    Parameters
    ----------
    finding : Finding
        The finding; the message is its detail and remedy.
    """

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"{finding.detail} {finding.remedy}".strip())
        self.finding = finding

    # The default passes on the message only, from which no finding can be made in another process.
    def __reduce__(self) -> tuple[type[FindingError], tuple[Finding]]:
        return type(self), (self.finding,)


@dataclass(frozen=True)
class FindingKind:
    """What all findings of one code have in common; see :class:`Finding`.

    Those of runs are about how a result was made; other settings with the same result have others.
    """

    severity: Severity
    title: str
    remedy: str
    of_runs: bool = False


#: All codes that the package raises. A test checks that ``docs/findings.md`` explains each.
FINDING_KINDS: dict[str, FindingKind] = {
    "workers_lowered": FindingKind(
        "note",
        "fewer workers than asked for",
        "The result is the same. Pipeline.plan(…) shows what the run will use.",
        of_runs=True,
    ),
    "memory_predicted": FindingKind(
        "note",
        "the settings follow a predicted memory, not a measured one",
        "Measure them with facet_nb.benchmark on this machine if memory is tight.",
        of_runs=True,
    ),
    "lazy_decisions_long": FindingKind(
        "note",
        "the decisions of a lazy recording took long",
        "They are made once. lazy.with_parameters(...) shares those of the steps before the one "
        "that changes; Crop in front looks at less.",
        of_runs=True,
    ),
    "timeout_not_certain": FindingKind(
        "note",
        "the time limit does not bound every step",
        "Use backend='multiprocessing' with n_jobs=2 or more for channel-wise steps: late workers "
        "are killed.",
        of_runs=True,
    ),
    "triggers_doubled": FindingKind(
        "warning",
        "markers are doubled",
        "The first of each group is used. Let the recorder mark one edge of the scanner's pulse.",
    ),
    "triggers_stray": FindingKind(
        "warning",
        "markers of another kind among the scanner's",
        "Choose an expression that matches the scanner's markers only; TriggerDetector(…, "
        "repair=False) uses all matches.",
    ),
    "triggers_missing": FindingKind(
        "warning",
        "markers are missing",
        "Put MissingTriggerDetector() or MissingTriggerCompleter(volumes, slices) after "
        "TriggerDetector; GradientCorrection() completes the train itself.",
    ),
    "triggers_irregular": FindingKind(
        "warning",
        "distances of markers are irregular",
        "Check the expression and the marker file.",
    ),
    "triggers_other_train": FindingKind(
        "warning",
        "another regular train of markers is not in step with the triggers",
        "Make sure that the triggers are the scanner's markers and not those of a task.",
    ),
    "triggers_two_sequences": FindingKind(
        "warning",
        "the triggers are those of several sequences",
        "Correct each sequence by itself: Crop(tmin, tmax), then the chain.",
    ),
    "triggers_outside": FindingKind(
        "warning",
        "markers lie outside the data",
        "Check the crop, or whether the marker file belongs to the recording.",
    ),
    "triggers_rounded": FindingKind(
        "note",
        "trigger positions were rounded to whole samples",
        "Use SubsampleAligner or AASCorrection(subsample=True), which find times between samples.",
    ),
    "snr_not_measurable": FindingKind(
        "note",
        "the signal-to-noise ratio of channels is not measurable here",
        "Record half a minute or more in which the scanner is silent, before the first trigger or "
        "after the last.",
    ),
    "triggers_repeated": FindingKind(
        "warning",
        "triggers are given twice",
        "Use np.unique(positions).",
    ),
    "units_unknown": FindingKind(
        "warning",
        "units of channels cannot be read",
        "Correct the unit in the file's header, or scale the samples (raw.apply_function) and set "
        "the channels' type with raw.set_channel_types.",
    ),
    "recording_discontinuous": FindingKind(
        "error",
        "the recording has gaps in time",
        "Split it at the gaps with the recorder's software, or write it as EDF+C, and correct each "
        "part by itself.",
    ),
    "channels_saturated": FindingKind(
        "warning",
        "channels are saturated",
        "The artifact there cannot be subtracted: mark the channels as bad, or leave out the "
        "spans; record with a larger range.",
    ),
    "signal_lost": FindingKind(
        "warning",
        "samples are missing: the signal is constant",
        "Leave these spans out (BAD annotations): there is no EEG in them. Look at the recorder, "
        "its cable and its buffer.",
    ),
    "breaks_ignored": FindingKind(
        "note",
        "a step takes a recording with breaks for continuous",
        "Run the chain on each part by itself, or look at the samples near the breaks.",
    ),
    "identity_kept": FindingKind(
        "note",
        "the header says something about a person",
        "Before you share files, remove it: anonymize=True in Loader, Exporter, map and on the "
        "command line.",
    ),
    "channels_uncorrected": FindingKind(
        "note",
        "channels were not corrected",
        "If one is an electrode, set its type with raw.set_channel_types, or remove it from "
        "raw.info['bads'].",
    ),
    "channels_not_independent": FindingKind(
        "warning",
        "a channel-wise step depends on other channels",
        "Set channel_wise = False if it needs all channels; give its random numbers a seed.",
    ),
    "ecg_marked_bad": FindingKind(
        "warning",
        "the ECG that is used is marked bad",
        "Choose another with ecg_channel=…, or remove it from raw.info['bads'] if it is good.",
    ),
    "ecg_noisy": FindingKind(
        "warning",
        "the ECG is noisy: heartbeats are those of the EEG",
        "Look at the beats (QRSTriggerDetector(save_to_annotations=True)); source='ecg' uses all R "
        "peaks of the ECG.",
    ),
    "beats_corrected": FindingKind(
        "note",
        "heartbeats of the ECG were corrected by the EEG",
        "QRSTriggerDetector(source='ecg') uses the R peaks of the ECG as they are.",
    ),
    "beats_from_eeg": FindingKind(
        "note",
        "heartbeats were found in the EEG, by the pulse artifact",
        "If there is an ECG, name it with ecg_channel=… or raw.set_channel_types.",
    ),
    "components_subtracted": FindingKind(
        "note",
        "independent components were subtracted",
        "Look at them with mne.preprocessing.ICA; ICACorrection(find=(), exclude=[…]) chooses by "
        "number.",
    ),
    "pauses_not_corrected": FindingKind(
        "warning",
        "slices beside pauses hardly stand out: nothing was corrected there",
        "Put VolumeArtifactCorrection behind UpSample, or behind the average; control=False "
        "corrects in any case.",
    ),
    "line_absent": FindingKind(
        "note",
        "there is no line at a frequency that was to be subtracted",
        "Read the frequency from the spectrum (raw.compute_psd), and leave out others.",
    ),
    "gradient_left": FindingKind(
        "error",
        "the recording still holds the gradient artifact",
        "Correct it first: put TriggerDetector(…) and GradientCorrection() before this step.",
    ),
    "alignment_at_edge": FindingKind(
        "warning",
        "triggers were moved to the limit of the search",
        "Use a wider search_window=…, or check the markers.",
    ),
    "triggers_drift": FindingKind(
        "warning",
        "the markers keep another time than the artifact",
        "Nothing to do for the correction. Look for another clock, or a wrong sampling rate: other "
        "events of the markers' clock are late or early as well.",
    ),
    "unmarked_corrected": FindingKind(
        "note",
        "artifacts outside the markers were corrected",
        "Look at these spans: they may hold dummy volumes, or a volume that the recording cuts.",
    ),
    "stimuli_locked": FindingKind(
        "warning",
        "stimuli are locked to the volumes",
        "Jitter the stimuli against the volume period. In this recording, average over longer "
        "windows or treat evoked responses with caution: a part of them was removed.",
    ),
    "triggers_jittered": FindingKind(
        "note",
        "markers are not as regular as the scanner",
        "GradientCorrection finds onsets in the signal, TriggerAligner and "
        "AASCorrection(subsample=True) align them; without one of these the artifact stays.",
    ),
    "triggers_completed": FindingKind(
        "note",
        "missing markers were completed",
        "Nothing to do: the artifacts without a marker are corrected as well.",
    ),
    "triggers_lacking": FindingKind(
        "warning",
        "there are fewer triggers than volumes and slices make",
        "Check the numbers (an incomplete last volume, a dummy scan?), or crop the recording.",
    ),
    "runs_apart": FindingKind(
        "note",
        "runs of the scanner are corrected each by itself",
        "Nothing to do if the recording holds several scans. Runs that are left as they are should "
        "be cropped.",
    ),
    "artifact_unmarked": FindingKind(
        "warning",
        "the scanner was running outside the marked time",
        "Crop(tmin, tmax) to the marked time, or add the markers of these volumes with "
        "context.with_triggers: dummy volumes and partial ones stay uncorrected.",
    ),
    "locked_to_volumes": FindingKind(
        "note",
        "something recurs with the volumes besides the slices",
        "It is subtracted, and responses that are locked to the volumes go with it. The more "
        "volumes a recording has, the less EEG does.",
    ),
    "epochs_incomplete": FindingKind(
        "note",
        "artifacts at the ends or at breaks are not complete",
        "Their part within the recording is corrected; leave out these spans if it is not clean.",
    ),
    "epochs_few": FindingKind(
        "warning",
        "templates are averages of few artifacts",
        "Each template takes a part of the EEG (one over their number): use a longer recording, "
        "slice markers, or GradientCorrection().",
    ),
    "reference_replaced": FindingKind(
        "note",
        "the first channel shows no artifact",
        "Nothing to do: another reference is used. Mark the channel as bad if it had no contact.",
    ),
    "beats_overlooked": FindingKind(
        "note",
        "heartbeats were missing",
        "Look at the ECG there; beats that neither ECG nor EEG shows keep their artifact.",
    ),
    "beats_unsupported": FindingKind(
        "warning",
        "heartbeats have no artifact in the EEG",
        "Check the beats: a noisy ECG, or the wrong channel (ecg_channel=…). False beats take EEG "
        "with them.",
    ),
    "result_rejected": FindingKind(
        "error",
        "the result is not accepted",
        "Look at result.quality and result.last_context; accept=… has the limits, and without it "
        "the file is written.",
    ),
    "slice_rate_in_alpha": FindingKind(
        "note",
        "the slice rate is in the alpha band",
        "Do not use a notch or comb filter at the slice rate, and compare alpha power with that "
        "before the scan.",
    ),
}


def make_finding(
    code: str,
    detail: str = "",
    *,
    severity: Severity | None = None,
    title: str | None = None,
    remedy: str | None = None,
    channels: Iterable[str] = (),
    span_s: Iterable[tuple[float, float]] = (),
    **evidence: Any,
) -> Finding:
    """Return a finding; the only way in which the package makes one.

    Parameters
    ----------
    code : str
        Its kind. A code that is not in :data:`FINDING_KINDS` (of a user-defined step) needs a
        `title`.
    detail : str
        What was found here.
    severity : {"note", "warning", "error"} | None
        None for that of the kind, or "warning".
    title, remedy : str | None
        None for those of the kind.
    channels : iterable of str
        Channels that it concerns.
    span_s : iterable of (float, float)
        Spans that it concerns, in s from the first sample. More than 100 are joined across their
        shortest gaps.
    **evidence
        Numbers and names behind it.

    Raises
    ------
    ValidationError
        If the code is unknown and has no title, or the severity is unknown.
    """
    kind = FINDING_KINDS.get(code)
    if kind is None:
        if not title:
            raise ValidationError(
                f"finding {code!r} is not a code of facet_nb ({', '.join(sorted(FINDING_KINDS))}): "
                "give a title=… for a kind of your own."
            )
        kind = FindingKind("warning", title, "")
    chosen = kind.severity if severity is None else severity
    if chosen not in SEVERITIES:
        raise ValidationError(f"severity={severity!r}: use one of {', '.join(SEVERITIES)}.")
    return Finding(
        code,
        chosen,
        kind.title if title is None else title,
        detail,
        {name: _to_plain(value) for name, value in evidence.items()},
        kind.remedy if remedy is None else remedy,
        channels=tuple(map(str, channels)),
        span_s=_limit([(round(float(a), 6), round(float(b), 6)) for a, b in span_s]),
    )


def merge_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings, the most serious first, with one for each code.

    Findings of the same code are merged: the result has all their steps, channels and spans, the
    highest severity, and the evidence of the first.
    """
    merged: dict[str, list[Finding]] = {}
    for finding in findings:
        group = merged.setdefault(finding.code, [])
        # The same finding arrives more than once: from the history, from the events, and in an
        # error.
        if finding not in group:
            group.append(finding)
    ours = [group[0] if len(group) == 1 else _join(group) for group in merged.values()]
    # Sorting keeps the order of equals: what was found first is told first.
    return tuple(sorted(ours, key=lambda f: -SEVERITIES.index(f.severity)))


def _join(group: Sequence[Finding]) -> Finding:
    steps = list(dict.fromkeys(f.step for f in group if f.step))
    details = list(dict.fromkeys(f.detail for f in group if f.detail))
    more = [f"(… {len(details) - _DETAILS} more)"] if len(details) > _DETAILS else []
    return replace(
        group[0],
        severity=max((f.severity for f in group), key=SEVERITIES.index),
        detail=" ".join([*details[:_DETAILS], *more]),
        step=", ".join(steps) or None,
        channels=tuple(dict.fromkeys(name for f in group for name in f.channels)),
        span_s=_limit(sorted({span for f in group for span in f.span_s})),
    )


def _limit(spans: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Return spans, joined across the shortest gaps where they are more than a person looks at."""
    if len(spans) <= _SPANS:
        return tuple(spans)
    ordered = sorted(spans)
    ends = list(accumulate((end for _, end in ordered), max))
    gaps = [ordered[i + 1][0] - ends[i] for i in range(len(ends) - 1)]
    apart = sorted(heapq.nlargest(_SPANS - 1, range(len(gaps)), key=gaps.__getitem__))
    firsts, lasts = [0, *(i + 1 for i in apart)], [*apart, len(ends) - 1]
    return tuple((ordered[a][0], ends[b]) for a, b in zip(firsts, lasts, strict=True))


def name_step(findings: Iterable[Finding], step: str) -> tuple[Finding, ...]:
    """Return findings with the name of their step, if they have none."""
    return tuple(f if f.step else replace(f, step=step) for f in findings)


def find_in_error(error: BaseException | None) -> tuple[Finding, ...]:
    """Return the finding of an error, or of the error that caused it."""
    seen: set[int] = set()  # causes may form a circle
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        finding = getattr(error, "finding", None)
        if isinstance(finding, Finding):
            return (finding,)
        error = error.__cause__
    return ()


def find_worst(findings: Iterable[Finding]) -> str:
    """Return the highest severity of findings; an empty text if there are none."""
    return max((f.severity for f in findings), key=SEVERITIES.index, default="")


def _to_plain(value: Any) -> Any:
    # Not to_plain of core.metadata, which imports this module.
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(k): _to_plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_plain(v) for v in value]
    plain = value is None or isinstance(value, (bool, int, float, str))
    return value if plain else str(value)
