"""Prepare a stage: its input, the decisions of its steps, and the channels that pass through."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import PlanError, StepError, ValidationError
from facet_nb.core.events import StepTime
from facet_nb.core.execution.heartbeats import HeartbeatTable
from facet_nb.core.execution.job import FAILURES, Failure, fail
from facet_nb.core.execution.stage import Named, PreparedStage, ReferenceTrial, StageInput
from facet_nb.core.execution.streaming import list_lengths, round_row, stream_channel
from facet_nb.core.findings import Finding, make_finding, name_step
from facet_nb.core.noise import Change, NoiseTracker
from facet_nb.core.planning.fusion import FusedSteps, Fusions
from facet_nb.core.planning.plan import Stage
from facet_nb.core.processor import (
    ArrayProcessor,
    Prepared,
    Processor,
    View,
    check_has_triggers,
)
from facet_nb.core.recording import (
    BREAKS,
    NAMED_KIND,
    Header,
    channel_kinds,
    find_pieces,
    find_references,
    find_rows,
    kind_of,
)
from facet_nb.core.samples import not_finite
from facet_nb.core.steps import (
    ArrayStep,
    ChannelStep,
    KnownRow,
    State,
    Step,
    check_prepared,
    unpack_samples,
)
from facet_nb.core.storage import scratch
from facet_nb.core.storage.row_io import MappedRow
from facet_nb.kernels.compiled.dispatch import get_chosen
from facet_nb.kernels.views import as_slice, is_finite, protect, round_to

#: Runs a user-defined step on its reference channel: (step, samples, channel).
Attempt = Callable[[ChannelStep, np.ndarray, int], ReferenceTrial | Failure]


def make_input(
    context: ProcessingContext,
    stage: Stage,
    processors: Sequence[Processor],
    fusions: Fusions,
    samples: np.ndarray | None = None,
) -> StageInput:
    """Return the input of `stage` in `context`; `samples` are those of its recording.

    Raises
    ------
    ValidationError
        If there is no recording, it has no data channel, or no such reference channel.
    """
    indices, chosen = stage.steps, list(map(processors.__getitem__, stage.steps))
    if fusions.found:
        units = fusions.replace(processors, stage.steps)
        indices, chosen = tuple([u.index for u in units]), [u.processor for u in units]
    raw = context.get_raw()
    kinds = channel_kinds(raw)
    picks = np.flatnonzero(np.array(kinds) == "data")
    if not len(picks):
        types = ", ".join(sorted(set(raw.get_channel_types()))) or "none"
        bads = ", ".join(raw.info["bads"]) or "none"
        raise ValidationError(
            f"the recording has no good data channel (types: {types}; bad: "
            f"{bads}). Set types with raw.set_channel_types, or clear raw.info['bads']."
        )
    data = samples
    if data is None:
        data = raw._data if raw.preload else raw.get_data()
    if np.iscomplexobj(data):
        raise ValidationError("the samples are complex: take their real part or magnitude.")
    # Kernels take contiguous rows of float64, and some samples of a user's own are neither.
    if samples is None and not (data.flags.c_contiguous and data.dtype == np.float64):
        data = np.ascontiguousarray(data, dtype=np.float64)
    state = State.of(raw, context._metadata.copy())
    chunk = 0
    if stage.chunk_duration_s is not None and scratch.is_spilled(data):
        chunk = stage.count_chunk(state.sfreq)
    return StageInput(
        processors=tuple(chosen),
        indices=indices,
        header=Header.of(raw),
        state=state,
        data=data,
        names=tuple(raw.ch_names),
        kinds=tuple(kinds),
        picks=picks,
        references=find_references(chosen, raw, picks, data, state.metadata),
        terms=context._noise,
        dtype=stage.dtype,
        chunk=chunk,
    )


class ChannelSlices:
    """One channel of a lazy recording, of which only what is looked at is computed.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_times)
        Samples of all channels, or an object that has its slices.
    row : int
        The channel.
    """

    def __init__(self, data: np.ndarray, row: int) -> None:
        self.data, self.row = data, row
        # A lazy recording keeps what is computed of a channel for the next decision.
        keep = getattr(data, "keep", None)
        self.keep = None if keep is None else partial(keep, row)

    def __len__(self) -> int:
        return int(self.data.shape[1])

    def __getitem__(self, where: Any) -> Any:
        if isinstance(where, slice):
            return self.data[self.row, where]
        # Single samples are asked for near an end, where a signal is continued by reflection.
        places = np.asarray(where) % len(self)
        if not places.size:
            return np.empty(places.shape)
        low = int(places.min())
        return self.data[self.row, low : int(places.max()) + 1][places - low]


def try_step(
    step: ChannelStep, row: np.ndarray, channel: int, check: bool = True
) -> ReferenceTrial | Failure:
    """Validate and run a user-defined step on its reference channel, shape (1, n_times), in V.

    With `check`, run it once more with a second channel, to see whether it depends on others.
    """
    names = step.header.info["ch_names"]
    try:
        context = step.process(row, channel, validate=True)
        data = np.array(unpack_samples(context))
        state = replace(State.of(context.get_raw(), context.metadata), n_times=data.shape[1])
        noisy, found = context.has_estimated_noise(), context._findings
        if check and step.changes_samples:
            found = (*found, *step.find_dependence(row, channel, data))
        return ReferenceTrial(data, state, noisy, name_step(found, step.processor.name))
    except KeyboardInterrupt:
        raise
    except FAILURES as error:
        return fail(error, 0, step, names[channel], None)


def prepare_stage(
    given: StageInput,
    attempt: Attempt = try_step,
    heartbeats: HeartbeatTable | None = None,
) -> PreparedStage | Failure:
    """Make all decisions of a stage, by sending its reference channels through the steps.

    Parameters
    ----------
    given : StageInput
        The recording, and the stage's processors.
    attempt : callable
        Runs a user-defined step on its reference channel: :func:`try_step`, here or in a worker.
    heartbeats : HeartbeatTable | None
        Table in which task 0 records the start of each step.
    """
    preparer = _Preparer(given, attempt, given.state)
    # A reference channel is sent no further than to the last step that needs it.
    for position, processor in enumerate(given.processors):
        if not isinstance(processor, ArrayProcessor) or processor.needs == "reference":
            preparer.last[given.references[position]] = position
    steps, notes, times, findings, states = [], [], [], [], []
    for position, processor in enumerate(given.processors):
        wall, cpu = time.perf_counter(), time.thread_time()
        index = given.indices[position]
        if heartbeats is not None:
            # The limit is for each step: its clock begins anew.
            heartbeats.begin(0)
            heartbeats.move(0, position)
        try:
            answer = preparer.prepare_step(position)
        except (PlanError, StepError):  # no worker, or one that died or was late: all is said
            raise
        except KeyboardInterrupt:
            raise
        except FAILURES as error:
            seen = getattr(processor, "needs", "reference") == "reference"
            where = given.names[given.references[position]] if seen else None
            culprit = Named(index, processor)
            if isinstance(processor, FusedSteps):
                culprit = Named(*processor.find_culprit(error))
            answer = fail(error, 0, culprit, where, None)
        if isinstance(answer, Failure):
            return answer
        step, note, found = answer
        if isinstance(processor, FusedSteps):
            times.extend(note["times"])
        else:
            times.append(StepTime(index, time.perf_counter() - wall, time.thread_time() - cpu))
        steps.append(step)
        notes.append(note)
        findings.append(found)
        states.append(preparer.state)
    return PreparedStage(
        tuple(steps),
        preparer.state,
        tuple(notes),
        tuple(times),
        tuple(findings),
        preparer.trials,
        tuple(states),
    )


@dataclass
class _Preparer:
    """Sends reference channels through the steps, as far as a later step needs them."""

    given: StageInput
    attempt: Attempt
    state: State
    trackers: dict[int, NoiseTracker] = field(default_factory=dict)
    last: dict[int, int] = field(default_factory=dict)  # last step that needs each channel
    trials: dict[int, KnownRow] = field(default_factory=dict)  # by position

    def prepare_step(
        self, position: int
    ) -> tuple[Step, Mapping[str, Any], tuple[Finding, ...]] | Failure:
        """Return a step, prepared, with its notes and findings."""
        given, state = self.given, self.state
        processor, index = given.processors[position], given.indices[position]
        ref = given.references[position]
        if processor.requires_triggers:
            check_has_triggers(state.metadata)
        changes = processor.modifies_raw and not processor.run_once
        x = None
        earlier = given.earlier if position == 0 else None
        if earlier is None and (
            not isinstance(processor, ArrayProcessor) or processor.needs == "reference"
        ):
            x = self._track(ref).x
            # A step that changes no samples rounds none, as in a stage of its own.
            if changes and given.kinds[ref] in ROUNDED:
                x = self._round(x, processor) if given.chunk else round_to(given.dtype, x)
        if isinstance(processor, ArrayProcessor):
            view = self._view(position, processor, x)
            if earlier is not None:
                samples: Any = ChannelSlices(given.data, ref)
                view = replace(view, reference=samples, earlier=earlier)
            del x  # the view holds it in float64: no second copy while the step decides
            prepared = processor.prepare(view)
            if not processor.built_in:
                check_prepared(prepared)
            if changes:
                if view.pieces and not processor.heeds_pieces:
                    prepared = _add(prepared, _tell_pieces(view))
                if processor.subtracts and {"bad", "other"} & set(given.kinds):
                    prepared = _add(prepared, _tell_uncorrected(given))
                if processor.needs == "reference" and ref != given.picks[0]:
                    prepared = _add(prepared, _tell_reference(processor, given, ref))
            rows = find_rows(processor, given.header.info, given.picks, prepared.untouched)
            step = ArrayStep(index, processor, prepared, rows, given.dtype, get_chosen())
            self.state = state.after(prepared)
            self._advance(step, position)
            found = prepared.findings
            if found:
                found = name_step(found, processor.name)
            return step, prepared.notes, found
        chosen = get_chosen()
        own = ChannelStep(index, processor, given.header, state, dtype=given.dtype, compiled=chosen)
        assert x is not None
        trial = self.attempt(own, x, ref)
        if isinstance(trial, Failure):
            return trial
        if not changes:
            self.state = replace(state, metadata=trial.state.metadata)
        else:
            self.state = trial.state
            after = trial.state
            own = replace(own, n_times=after.n_times, sfreq=after.sfreq, reports=trial.reports)
        row = round_to(given.dtype, trial.row)
        if changes and given.kinds[ref] == "data":
            # A user-defined step may be slow, random or counting: it runs once per channel.
            self.trials[position] = ref, row[0]
        self._advance(own, position, done={ref: row})
        return own, {}, trial.findings

    def _track(self, ref: int) -> NoiseTracker:
        """Return a reference channel before the step that is being prepared."""
        given = self.given
        if ref not in self.trackers:
            row = given.data[ref : ref + 1]
            if not is_finite(row[0]):
                raise not_finite(row[0], given.names[ref])
            self.trackers[ref] = NoiseTracker(row, [ref], given.processors, given.terms)
        return self.trackers[ref]

    def _round(self, x: np.ndarray, processor: Processor) -> np.ndarray:
        """Return a streamed reference channel in the precision of the stage.

        A step of this package looks at float64: it gets numbers of that precision as float64, in a
        scratch file. As a whole, no channel lies in memory.
        """
        dtype = self.given.dtype
        streams = isinstance(processor, ArrayProcessor) and processor.built_in
        if x.dtype == dtype or not streams:
            return round_to(dtype, x)
        rounded = scratch.create(x.shape)[1]
        round_row(dtype, MappedRow(x[0]), MappedRow(rounded[0]), self.given.chunk)
        return rounded

    def _view(self, position: int, processor: ArrayProcessor, x: np.ndarray | None) -> View:
        given, state, ref = self.given, self.state, self.given.references[position]
        reference = data = all_data = None
        if x is not None:
            # C and GPU code may ignore numpy's flag: user-defined steps get samples of their own.
            own = x[0] if processor.built_in else x[0].copy()
            reference = protect(np.asarray(own, float))
        if processor.needs == "all":
            samples = given.data if processor.built_in else scratch.make_private(given.data)
            all_data = protect(samples)
            data = protect(samples[as_slice([int(i) for i in given.picks])])
        types = tuple(given.header.info.get_channel_types())
        # One search in all names: most recordings have no such name, and skip the rest.
        if NAMED_KIND.search(" ".join(given.names)) is not None:
            types = tuple(map(kind_of, given.names, types))
        marks = given.header.annotations
        pieces: tuple[tuple[int, int], ...] = ()
        text = "" if marks is None else " ".join(marks.description).lower()
        if BREAKS[0] in text or BREAKS[1] in text:
            first_s = state.first_samp / state.sfreq
            pieces = find_pieces(marks, first_s, state.sfreq, state.n_times)
        return View(
            sfreq=state.sfreq,
            n_times=state.n_times,
            # A user-defined prepare may change it, and the next steps must not see that.
            metadata=state.metadata.copy(),
            ch_names=tuple(map(given.names.__getitem__, given.picks)),
            reference=reference,
            reference_name=given.names[ref],
            data=data,
            ch_types=tuple(map(types.__getitem__, given.picks)),
            all_data=all_data,
            all_names=given.names,
            all_types=types,
            pieces=pieces,
            info=given.header.info,
        )

    def _advance(
        self, step: Step, position: int, done: Mapping[int, np.ndarray] | None = None
    ) -> None:
        """Send the reference channels that a later step needs through `step`."""
        for ref, last in self.last.items():
            if last <= position:
                # No later step asks for this channel: its samples need not be kept.
                self.trackers.pop(ref, None)
            elif step.change is Change.NOTHING:
                continue
            elif self.given.kinds[ref] != "data":
                tracker = self._track(ref)
                tracker.x = pass_by(step, tracker.x, self.given.kinds[ref])
            else:
                tracker = self._track(ref)
                row = (done or {}).get(ref)
                if row is None and self.given.chunk and isinstance(step, ArrayStep):
                    row = self._stream(step, ref, tracker.x)
                if row is None:
                    tracker.advance(step)
                else:
                    tracker.put(step, row)

    def _stream(self, step: ArrayStep, ref: int, x: np.ndarray) -> np.ndarray:
        """Return the step's result for a reference channel, in a scratch file."""
        result = scratch.create((1, list_lengths([step], x.shape[1])[-1]))[1]
        rows = MappedRow(x[0]), MappedRow(result[0])
        stream_channel([step], ref, *rows, self.given.chunk, {})
        return result


def _add(prepared: Prepared, findings: Sequence[Finding]) -> Prepared:
    return replace(prepared, findings=(*prepared.findings, *findings))


def _tell_pieces(view: View) -> list[Finding]:
    """Return a finding about a step that takes time for continuous."""
    edges_s = [start / view.sfreq for start, _ in view.pieces[1:]]
    detail = f"The step works across {len(edges_s)} breaks as if time went on."
    spans = [(t, t) for t in edges_s]
    return [make_finding("breaks_ignored", detail, span_s=spans, n=len(edges_s))] if spans else []


def _tell_uncorrected(given: StageInput) -> list[Finding]:
    """Return a finding about channels that a correction leaves as they are, and why."""
    types = given.header.info.get_channel_types()
    rows = [i for i, kind in enumerate(given.kinds) if kind in ("bad", "other")]
    why: dict[str, list[str]] = {}
    for i in rows:
        reason = "marked bad" if given.kinds[i] == "bad" else f"of type {types[i]}"
        why.setdefault(reason, []).append(given.names[i])
    detail = "; ".join(f"{reason}: {', '.join(names[:6])}" for reason, names in why.items())
    names = [given.names[i] for i in rows]
    return [make_finding("channels_uncorrected", f"{detail}.", channels=names, reasons=why)]


def _tell_reference(processor: ArrayProcessor, given: StageInput, ref: int) -> list[Finding]:
    """Return a finding about a reference channel that stands in for the first one."""
    types = given.header.info.get_channel_types()
    eeg = [i for i in given.picks if kind_of(given.names[i], types[i]) == "eeg"]
    first = int((eeg or given.picks)[0])
    if ref == first or getattr(processor, "ref_channel", None) is not None:
        return []
    detail = f"{given.names[first]} shows nothing at the triggers; {given.names[ref]} is used."
    names = [given.names[first]]
    return [make_finding("reference_replaced", detail, channels=names, used=given.names[ref])]


#: Kinds of channels whose samples have the precision of the run. Others must be exact: float32 may
#: be too coarse for trigger codes and times.
ROUNDED = ("data", "bad")


def pass_by(step: Step, x: np.ndarray, kind: str) -> np.ndarray:
    """Return a row that `step` does not process (a bad channel, codes) after it.

    This is the one rule for such rows, for the result as well as for a reference channel that is
    one: they are rounded in every step, like data.
    """
    if not isinstance(step, ArrayStep):
        return x
    exact = np.asarray(round_to(step.dtype, x) if kind in ROUNDED else x, float)
    y = np.asarray(step.processor.compute_other(exact, kind, step.prepared))
    return round_to(step.dtype, y) if kind in ROUNDED else y


def pass_through(given: StageInput, prepared: PreparedStage, result: np.ndarray) -> bool:
    """Write the rows that hold no data, or bad data, to `result`; return whether it can hold them.

    Bad channels are rounded like data.
    """
    done = set(given.picks.tolist())
    for row, kind in enumerate(given.kinds):
        if row in done:
            continue
        scratch.check_whole(given.data)
        scratch.check_whole(result)
        x = given.data[row : row + 1]
        x = np.asarray(round_to(given.dtype, x) if kind in ROUNDED else x, float)
        for step in prepared.steps:
            x = pass_by(step, x, kind)
        if x.shape[1] != result.shape[1]:
            raise ValidationError(
                f"{given.names[row]} ({kind}) has {x.shape[1]} samples after this stage, the "
                f"data channels {result.shape[1]}: a user-defined channel-wise step must not "
                "change the number of samples if the recording has other channels. Use UpSample, "
                "DownSample or Resample, or set channel_wise = False."
            )
        # The stage overwrites its input, which has this row already.
        if np.may_share_memory(x, result):
            continue
        result[row] = x[0]
        if kind not in ROUNDED and not np.array_equal(result[row], x[0], equal_nan=True):
            return False
    return True
