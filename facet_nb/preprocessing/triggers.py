"""Detect scanner triggers, and missing ones among them."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from facet_nb.core import recording
from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.findings import Finding, make_finding
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.processor import NotingStep
from facet_nb.core.recording import Header, find_channel
from facet_nb.core.registry import register_processor
from facet_nb.core.samples import check_finite
from facet_nb.core.storage import scratch
from facet_nb.kernels.triggers import spacing
from facet_nb.kernels.triggers.clock import describe_runs
from facet_nb.preprocessing.searching import find_matching
from facet_nb.preprocessing.trigger_checks import EventTable, check_train, find_rises

if TYPE_CHECKING:
    import mne

logger = logging.getLogger("facet_nb")

#: Annotations that are not events: by convention they mark spans of data (MNE) or the
#: synchronisation of clocks (BrainVision).
_NO_EVENTS = re.compile(r"bad|edge|reference$|(.*/)?sync *(status|on|off)", re.IGNORECASE)
#: Epochs on each side that are averaged as template of a missing trigger.
_NEIGHBOURS = 5
_LISTED = 20


class Found(NamedTuple):
    """What a trigger step found: the new metadata, notes for the history, and findings."""

    metadata: ProcessingMetadata
    notes: dict[str, Any]
    findings: tuple[Finding, ...] = ()


class TriggerStep(NotingStep):
    """A step that finds triggers, stores them in the metadata, and notes in the history."""

    requires_raw = True
    modifies_raw = False
    parallel_safe = False
    accepts_lazy = True

    def find(self, context: ProcessingContext) -> tuple[Any, ...]:
        """Return the metadata with triggers, and notes for the history (or a :class:`Found`)."""
        raise ValidationError(f"{type(self).__name__} has no find(context) method.")

    def _run(self, context: ProcessingContext) -> tuple[ProcessingContext, dict[str, Any]]:
        metadata, notes, findings = Found(*self.find(context))
        new = context.with_metadata(metadata).with_findings(findings)
        label = "QRS" if metadata.trigger_regex == "QRS" else "Trigger"
        if getattr(self, "save_to_annotations", False):
            assert metadata.triggers is not None
            new = annotate(new, metadata.triggers, label)
        return new, notes


@register_processor
class TriggerDetector(TriggerStep):
    r"""Find triggers by a regular expression in annotations and stim channels.

    The expression is searched anywhere in the descriptions of annotations (``r"\b1\b"`` finds
    ``Stimulus/S  1`` but not ``S 11``; ``r"R128"`` finds ``Response/R128``) and in the codes of all
    stim channels, as text. Annotations that begin with ``BAD`` or ``EDGE``, and BrainVision's
    ``SyncStatus/Sync On``, are not events.
    If both annotations and stim channels match, they are taken as two records of the same events,
    and the one with more matches is used (annotations in case of a tie). Several matches at one
    sample count once.

    Markers that repeat the one before (both edges of a pulse, bounces) and stray ones that are not
    on the train of the others are left out; missing ones, a second sequence, a second train that is
    not in step, and stimuli that are locked to the volumes are told. If more than half of the
    distances fit no regular distance, the step fails and names a regular train, if there is one.

    The metadata gets ``triggers`` (samples from the first sample of the data, rounded to the
    nearest), ``trigger_regex``, the first and last sample of the acquisition, and
    ``artifact_length``, ``volume_gaps`` and ``slices_per_volume``, derived from the distances
    (:func:`facet_nb.kernels.triggers.spacing.describe_spacing`). The history gets the source and
    the number of triggers found, missing, and outside the data.

    Parameters
    ----------
    regex : str
        The regular expression.
    save_to_annotations : bool
        Add an annotation ``Trigger`` at each of them.
    mask : int | None
        Bits of stim channels in which the scanner's markers are, if one channel combines several
        sources: a code of ``value & mask`` begins where one of these bits rises. Annotations are
        not searched then.
    repair : bool
        Whether to leave out doubled and stray markers, and to refuse a train without a regular
        distance. False uses all matches as they are (for scanners that are triggered by the
        heart or by the task), and tells.
    """

    loads_scipy_signal = False
    name = "trigger_detector"
    description = "Find triggers in annotations and stim channels"

    def __init__(
        self,
        regex: str,
        save_to_annotations: bool = False,
        mask: int | None = None,
        repair: bool = True,
    ) -> None:
        self.regex = regex
        self.save_to_annotations = save_to_annotations
        self.mask = mask
        self.repair = repair

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        compile_regex(self.regex)
        whole = isinstance(self.mask, int) and not isinstance(self.mask, bool)
        if self.mask is not None and not (whole and self.mask > 0):
            raise ValidationError(
                f"mask={self.mask!r}: give the sum of the bits that are markers, e.g. 128."
            )

    def matches(self, text: str) -> bool:
        """Whether the expression is found in the text of an event, as in a stream."""
        if self.mask is not None:
            raise ValidationError("a stream has no stim codes: use TriggerDetector without mask.")
        return compile_regex(self.regex).search(text) is not None

    def find(self, context: ProcessingContext) -> Found:
        raw = context.get_raw()
        positions, source, matched, table = self._search(raw)
        inside = np.unique(positions[(positions >= 0) & (positions < raw.n_times)])
        n_outside = int(np.count_nonzero((positions < 0) | (positions >= raw.n_times)))
        findings = []
        if n_outside:
            logger.warning("%d triggers lie outside the data and are left out", n_outside)
            detail = f"{n_outside} events lie outside the data and were left out."
            findings.append(make_finding("triggers_outside", detail, n=n_outside))
        if not len(inside):
            raise ValidationError(
                f"TriggerDetector: all {n_outside} events that match {self.regex!r} lie outside "
                f"the data (0 to {raw.times[-1]:.3f} s). Check the crop, or the marker file."
            )
        checked = check_train(inside, table, matched, self.repair)
        offset = context.metadata.artifact_to_trigger_offset
        changes, notes = describe_triggers(checked.positions, offset, raw)
        metadata = context.metadata.updated(trigger_regex=self.regex, **changes)
        notes = {"source": source, **notes, "n_outside": n_outside}
        if checked.left_out:
            notes["left_out"] = checked.left_out
        return Found(metadata, notes, (*findings, *checked.findings))

    def _search(self, raw: mne.io.BaseRaw) -> tuple[np.ndarray, str, list[str], EventTable]:
        """Return positions of all matches, their source and texts, and all events."""
        pattern = compile_regex(self.regex)
        named = [] if self.mask is not None else read_annotations(raw)
        codes = read_stim_codes(raw) if self.mask is None else read_masked_codes(raw, self.mask)
        table = EventTable(
            _group(read_annotations(raw) if self.mask is not None else named),
            _group([(p, str(code)) for events in codes.values() for p, code in events]),
            partial(read_stim_values, raw),
            float(raw.info["sfreq"]),
        )

        def select(events: Mapping[str, Sequence[int]]) -> dict[str, Sequence[int]]:
            matching = find_matching(pattern, events)
            return {text: at for text, at in events.items() if text in matching}

        from_names = select(table.named) if self.mask is None else {}
        from_codes = select(table.codes)
        if not from_names and not from_codes:
            text = _explain_no_match(self.regex, raw, codes)
            raise ValidationError(f"{text} {table.propose(np.zeros(0, np.int64))}".strip())
        chosen, source = from_names, "annotations"
        if len(_flatten(from_codes)) > len(_flatten(from_names)):
            chosen, source = from_codes, "stim channels"
        positions = np.array([p for at in chosen.values() for p in at], dtype=np.int64)
        return positions, source, list(chosen), table


@register_processor
class MissingTriggerDetector(TriggerStep):
    """Find triggers that the recorder missed, by distance and waveform.

    In a gap of about *k* regular distances, *k* − 1 triggers are missing; pauses between volumes
    are accounted for. One further candidate is tried before the first trigger and after the last.
    Each candidate is verified on the reference channel: its epoch is shifted, within the search
    window, to the highest Pearson correlation with the mean of the nearest epochs (up to five on
    each side), and is accepted if the correlation reaches the threshold.

    Positions of accepted triggers are stored in ``metadata.custom["missing_triggers"]``, in
    samples.

    Parameters
    ----------
    add_to_context : bool
        Insert them among the triggers.
    correlation_threshold : float
        Lowest accepted correlation (0 to 1).
    search_window_factor : float
        Half width of the search window, in artifact lengths.
    ref_channel : int | str
        Name or index of the reference channel. If the channel at an index is not a good data
        channel, the first good one is used; the history names it.
    """

    name = "missing_trigger_detector"
    description = "Insert missing triggers"
    requires_triggers = True

    def __init__(
        self,
        add_to_context: bool = True,
        correlation_threshold: float = 0.9,
        search_window_factor: float = 0.1,
        ref_channel: int | str = 0,
    ) -> None:
        self.add_to_context = add_to_context
        self.correlation_threshold = correlation_threshold
        self.search_window_factor = search_window_factor
        self.ref_channel = ref_channel

    def check_parameters(self, sfreq: float) -> None:
        """Refuse arguments that no recording makes right; see :class:`Processor`."""
        if not 0 < self.correlation_threshold <= 1:
            raise ValidationError(
                f"correlation_threshold={self.correlation_threshold!r} must be in (0, 1]."
            )
        if not 0 <= self.search_window_factor < 0.5:
            raise ValidationError(
                f"search_window_factor={self.search_window_factor!r} must be at least 0 and below "
                "0.5, since the next artifact begins beyond it."
            )

    def find(self, context: ProcessingContext) -> Found:
        raw, metadata = context.get_raw(), context.metadata
        triggers = np.unique(np.asarray(metadata.triggers, dtype=np.int64))
        known = spacing.describe_spacing(triggers)
        length = metadata.artifact_length or known.artifact_length
        if len(triggers) < 2 or length is None:
            raise ValidationError(
                "MissingTriggerDetector needs at least two triggers to know their distance."
            )
        row = _reference_row(self.ref_channel, raw)
        x = raw.get_data(picks=[row])[0]
        check_finite(x[np.newaxis], [raw.ch_names[row]])
        if np.ptp(x) == 0:
            raise ValidationError(
                f"MissingTriggerDetector: the reference channel {raw.ch_names[row]} is flat; "
                "choose another with ref_channel=…."
            )
        offset = round(metadata.artifact_to_trigger_offset * raw.info["sfreq"])
        found = self._verify(x, triggers, known, length, offset)
        notes = {
            "ref_channel": raw.ch_names[row],
            "n_found": len(found),
            "n_added": len(found) if self.add_to_context else 0,
        }
        changes: dict[str, Any] = {}
        if self.add_to_context and len(found):
            together = np.union1d(triggers, found)
            changes, _ = describe_triggers(together, metadata.artifact_to_trigger_offset, raw)
            changes["artifact_length"] = length
        new = metadata.updated(**changes)
        new.custom["missing_triggers"] = [int(p) for p in found]
        told = (tell_added(found, float(raw.info["sfreq"])),) if changes else ()
        return Found(new, notes, told)

    def _verify(
        self, x: np.ndarray, triggers: np.ndarray, known: spacing.Spacing, length: int, offset: int
    ) -> np.ndarray:
        """Return the accepted candidates, at the position of their highest correlation."""
        reach = round(self.search_window_factor * length)
        inner = spacing.missing_positions(triggers, known)
        outer = spacing.outer_positions(triggers, known)
        found: list[int] = []
        for candidate in [*inner, *outer]:
            template = _mean_epoch(x, triggers + offset, int(candidate) + offset, length)
            if template is None:
                continue
            start, r = spacing.find_best_match(x, template, int(candidate) + offset, reach)
            position = start - offset
            others = np.concatenate([triggers, found])
            if r >= self.correlation_threshold and _is_apart(position, others, known.usual):
                found.append(position)
        return np.array(sorted(found), dtype=np.int64)


def tell_added(positions: np.ndarray, sfreq: float) -> Finding:
    """Return a finding about triggers that were inserted, in samples."""
    spans = [(p / sfreq, p / sfreq) for p in positions] if len(positions) <= _LISTED else []
    detail = f"{len(positions)} triggers were inserted."
    return make_finding("triggers_completed", detail, span_s=spans, n=len(positions))


def compile_regex(regex: str) -> re.Pattern[str]:
    """Return the compiled expression.

    Raises
    ------
    ValidationError
        If it is not a regular expression.
    """
    try:
        return re.compile(regex)
    except (re.error, TypeError) as error:
        raise ValidationError(
            f"regex={regex!r} is not a regular expression ({error}). It is text such as r'R128' or "
            r"r'\b1\b'; put a backslash before ( [ * + ? that stand for themselves."
        ) from error


def read_annotations(raw: mne.io.BaseRaw) -> list[tuple[int, str]]:
    """Return position (from the first sample of the data) and description of annotations."""
    marks = raw.annotations
    positions = np.rint(marks.onset * raw.info["sfreq"]).astype(np.int64) - raw.first_samp
    texts = marks.description.tolist()
    events = {text for text in set(texts) if not _NO_EVENTS.match(text)}
    return [(p, t) for p, t in zip(positions.tolist(), texts, strict=True) if t in events]


def read_stim_codes(raw: mne.io.BaseRaw) -> dict[str, list[tuple[int, int]]]:
    """Return position and code of each event of each stim channel (``mne.find_events``)."""
    import mne

    found = {}
    kinds = raw.get_channel_types()
    for name in [n for n, kind in zip(raw.ch_names, kinds, strict=True) if kind == "stim"]:
        events = mne.find_events(raw, stim_channel=name, shortest_event=1, verbose="error")
        found[name] = [(int(p) - raw.first_samp, int(code)) for p, _, code in events]
    return found


def read_stim_values(raw: mne.io.BaseRaw) -> dict[str, np.ndarray]:
    """Return the values of each stim channel, shape (n_times,), as whole numbers."""
    kinds = raw.get_channel_types()
    names = [name for name, kind in zip(raw.ch_names, kinds, strict=True) if kind == "stim"]
    return {name: np.rint(raw.get_data(picks=[name])[0]).astype(np.int64) for name in names}


def read_masked_codes(raw: mne.io.BaseRaw, mask: int) -> dict[str, list[tuple[int, int]]]:
    """Return position and masked code where a bit of `mask` rises, for each stim channel."""
    found = {}
    for name, values in read_stim_values(raw).items():
        at = find_rises(values, mask)
        found[name] = list(zip(at.tolist(), (values[at] & mask).tolist(), strict=True))
    return found


def _group(events: list[tuple[int, str]]) -> dict[str, list[int]]:
    """Return the positions of events by their text."""
    grouped: dict[str, list[int]] = {}
    for position, text in events:
        grouped.setdefault(text, []).append(position)
    return grouped


def _flatten(events: Mapping[str, Sequence[int]]) -> set[int]:
    """Return all positions of events."""
    return {position for positions in events.values() for position in positions}


def describe_triggers(
    triggers: np.ndarray, offset_s: float, raw: mne.io.BaseRaw
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the metadata fields of `triggers`, and notes for the history.

    Parameters
    ----------
    triggers : ndarray of int, shape (n_triggers,)
        Positions, in samples, sorted.
    offset_s : float
        Start of the artifact relative to its trigger, in s.
    raw : mne.io.BaseRaw
        The recording.
    """
    known = describe_runs(triggers)
    offset = round(offset_s * raw.info["sfreq"])
    start, stop = spacing.acquisition_span(
        triggers, known.artifact_length or 1, offset, raw.n_times
    )
    changes = {
        "triggers": triggers,
        "artifact_length": known.artifact_length,
        "volume_gaps": known.volume_gaps,
        "slices_per_volume": known.slices_per_volume,
        "acq_start_sample": start,
        "acq_end_sample": stop - 1,
    }
    notes = {
        "n_triggers": len(triggers),
        "n_missing": known.n_missing,
        "n_irregular": known.n_irregular,
    }
    return changes, notes


def annotate(
    context: ProcessingContext, triggers: np.ndarray, label: str, duration_s: float = 0.0
) -> ProcessingContext:
    """Return a context whose recording has one more annotation at each trigger."""
    raw = context.get_raw()
    sfreq, first = raw.info["sfreq"], raw.first_samp
    marks = raw.annotations.copy()
    n = len(triggers)
    marks.append((triggers + first) / sfreq, np.full(n, duration_s), [label] * n)
    if raw.preload:
        # A pipeline passes read-only samples to a step, but a result must be writable.
        lent = not raw._data.flags.writeable and not scratch.is_spilled(raw._data)
        data = raw._data.copy() if lent else raw._data
        new = Header(raw.info, int(first), marks).attach(data)
    else:
        if marks.orig_time is None:
            marks.onset = marks.onset - first / sfreq
        new = raw.copy().set_annotations(marks, emit_warning=False)
    everything = list(range(len(raw.ch_names)))
    return context._selected(new, everything)


def _explain_no_match(
    regex: str, raw: mne.io.BaseRaw, codes: dict[str, list[tuple[int, int]]]
) -> str:
    """Return the message for an expression without a match, with all events."""
    descriptions = [str(text) for text in raw.annotations.description]
    texts = _count([repr(text) for text in descriptions]) or "there are none"
    if any(_NO_EVENTS.match(text) for text in descriptions):
        texts += "; those that begin with BAD or EDGE, or contain Sync, are not events"
    stim = [
        f"{name}: {_count([str(code) for _, code in events]) or 'no codes'}"
        for name, events in codes.items()
    ]
    return (
        f"TriggerDetector: regex {regex!r} matches nothing. Annotations: {texts}. Stim channels: "
        f"{'; '.join(stim) or 'there are none'}. Choose an expression that matches one of them (it "
        "is searched anywhere in the description), or set positions with "
        "context.with_triggers(samples)."
    )


def _count(texts: list[str]) -> str:
    counts = Counter(texts).most_common()
    more = f", … {len(counts) - _LISTED} more" if len(counts) > _LISTED else ""
    return ", ".join(f"{text} ({n})" for text, n in counts[:_LISTED]) + more


def _reference_row(wanted: int | str, raw: mne.io.BaseRaw) -> int:
    """Return the row of the reference channel, or of the first good data channel."""
    row = find_channel(wanted, raw)
    kinds = recording.channel_kinds(raw)
    if kinds[row] == "data":
        return row
    if isinstance(wanted, str) or "data" not in kinds:
        raise ValidationError(
            f"ref_channel={wanted!r} is not a good data channel ({kinds[row]}); choose an "
            "electrode that is not in raw.info['bads']."
        )
    return kinds.index("data")


def _mean_epoch(x: np.ndarray, starts: np.ndarray, at: int, length: int) -> np.ndarray | None:
    """Return the mean of the nearest complete epochs before and after `at`, or None."""
    whole = starts[(starts >= 0) & (starts + length <= len(x))]
    near = np.concatenate([whole[whole < at][-_NEIGHBOURS:], whole[whole > at][:_NEIGHBOURS]])
    if not len(near):
        return None
    return x[near[:, np.newaxis] + np.arange(length)].mean(axis=0)


def _is_apart(position: int, others: np.ndarray, usual: float) -> bool:
    """Whether `position` is more than half a regular distance from all other triggers."""
    return bool(np.min(np.abs(others - position)) > 0.5 * usual)
