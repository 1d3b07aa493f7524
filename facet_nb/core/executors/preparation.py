"""What happens to a stage before its batches: validation, decisions, pass-through channels."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from facet_nb.core import recording
from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import StepError, ValidationError
from facet_nb.core.events import StepTime
from facet_nb.core.executors import scratch
from facet_nb.core.executors.chunks import count_chunk, list_lengths, stream_channel
from facet_nb.core.executors.crumbs import Crumbs
from facet_nb.core.executors.finite import check_finite
from facet_nb.core.executors.rows import MappedRow, as_slice
from facet_nb.core.executors.task import FAILURES, Failure, fail
from facet_nb.core.fusion import NO_FUSIONS, FusedSteps, Fusions
from facet_nb.core.lineage import NoiseTerm, parts_of
from facet_nb.core.plan import Stage
from facet_nb.core.processor import ArrayProcessor, Processor, View, check_has_triggers
from facet_nb.core.recording import Header
from facet_nb.core.steps import (
    ArrayStep,
    ChannelStep,
    State,
    Step,
    protect,
    round_to,
    unpack_samples,
)
from facet_nb.core.track import Track


@dataclass(frozen=True)
class Named:
    """A step by position, for messages."""

    index: int
    processor: Processor


@dataclass(frozen=True)
class Subject:
    """The recording that a stage works on.

    Attributes
    ----------
    processors, indices : tuple
        The stage's processors and their positions.
    header : Header
        Header of the recording.
    state : State
        Its shape and metadata.
    data : ndarray, shape (n_channels, n_times)
        All samples, in V: float64, or those of a file of the run in its precision.
    names, kinds : tuple of str
        Name and kind of each row.
    picks : ndarray of int
        Rows that the stage processes.
    references : tuple of int
        The row of each processor's reference channel.
    terms : tuple of NoiseTerm
        Noise so far.
    dtype : str
        Precision of the samples between steps.
    chunk : int
        Samples of a chunk of time, where reference channels go to files, too; 0 for none.
    """

    processors: tuple[Processor, ...]
    indices: tuple[int, ...]
    header: Header
    state: State
    data: np.ndarray
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    picks: np.ndarray
    references: tuple[int, ...]
    terms: tuple[NoiseTerm, ...] = ()
    dtype: str = "float64"
    chunk: int = 0

    @classmethod
    def of(
        cls,
        context: ProcessingContext,
        stage: Stage,
        processors: Sequence[Processor],
        fusions: Fusions = NO_FUSIONS,
        samples: np.ndarray | None = None,
    ) -> Subject:
        """Return the subject of `stage` in `context`; `samples` are those of its recording.

        Raises
        ------
        ValidationError
            If there is no recording, it has no data channel, or no such reference channel.
        """
        units = fusions.replace(processors, stage.steps)
        chosen = tuple(unit.processor for unit in units)
        raw = context.get_raw()
        kinds = tuple(recording.channel_kinds(raw))
        picks = np.array([i for i, kind in enumerate(kinds) if kind == "data"], dtype=int)
        if not len(picks):
            types = ", ".join(sorted(set(raw.get_channel_types()))) or "none"
            bads = ", ".join(raw.info["bads"]) or "none"
            raise ValidationError(
                f"the recording has no good data channel (types: {types}; bad: "
                f"{bads}). Set types with raw.set_channel_types, or clear raw.info['bads']."
            )
        data = recording.load_array(raw) if samples is None else samples
        if np.iscomplexobj(data):
            raise ValidationError("the samples are complex: take their real part or magnitude.")
        if samples is None and not (data.flags.c_contiguous and data.dtype == np.float64):
            data = np.ascontiguousarray(data, dtype=np.float64)
        return cls(
            processors=chosen,
            indices=tuple(unit.index for unit in units),
            header=Header.of(raw),
            state=State.of(raw, context.metadata),
            data=data,
            names=tuple(raw.ch_names),
            kinds=kinds,
            picks=picks,
            references=tuple(_reference(p, raw, picks) for p in chosen),
            terms=context._noise,
            dtype=stage.dtype,
            chunk=count_chunk(stage, float(raw.info["sfreq"])) if scratch.is_spilled(data) else 0,
        )


def _reference(processor: Processor, raw: Any, picks: np.ndarray) -> int:
    """Return the row of the explicit reference channel: the processor's, else the first EEG."""
    wanted = getattr(processor, "ref_channel", None)
    if wanted is not None:
        return find_channel(wanted, raw)
    types = raw.get_channel_types()
    eeg = [int(i) for i in picks if types[i] == "eeg"]
    return eeg[0] if eeg else int(picks[0])


def find_channel(wanted: int | str, raw: Any) -> int:
    """Return the row of a channel given by name or position."""
    if isinstance(wanted, str):
        if wanted in raw.ch_names:
            return int(raw.ch_names.index(wanted))
    elif 0 <= int(wanted) < len(raw.ch_names):
        return int(wanted)
    raise ValidationError(
        f"ref_channel={wanted!r} is not in the recording: use a name ({', '.join(raw.ch_names[:5])}"
        f"{', …' if len(raw.ch_names) > 5 else ''}) or a position below {len(raw.ch_names)}."
    )


@dataclass(frozen=True)
class Prepared:
    """A stage ready to run: its steps, the shape afterwards, notes, and time spent."""

    steps: tuple[Step, ...]
    state: State
    notes: tuple[Mapping[str, Any], ...]
    times: tuple[StepTime, ...]

    def times_zero(self) -> tuple[StepTime, ...]:
        """Return zero times of the steps: the work is accounted for elsewhere."""
        return tuple(StepTime(t.step, 0.0, 0.0) for t in self.times)


@dataclass(frozen=True)
class Trial:
    """What anyone's step did to its reference channel."""

    row: np.ndarray
    state: State
    reports: bool


def try_step(step: ChannelStep, row: np.ndarray, channel: int) -> Trial | Failure:
    """Validate and run anyone's step on its reference channel, shape (1, n_times), in V."""
    names = step.header.info["ch_names"]
    try:
        context = step.process(row, channel, validate=True)
        data = np.array(unpack_samples(context))
        state = replace(State.of(context.get_raw(), context.metadata), n_times=data.shape[1])
        return Trial(data, state, context.has_estimated_noise())
    except FAILURES as error:
        return fail(error, 0, step, names[channel], None)


def try_far(
    step: ChannelStep, row: np.ndarray, channel: int, crumbs: Crumbs | None = None
) -> Trial | Failure:
    """:func:`try_step` in another process: an exception comes back as text."""
    if crumbs is not None:
        import mne  # noqa: F401  before the clock starts: it takes seconds

        crumbs.begin(0)
    answer = try_step(step, row, channel)
    if crumbs is not None:
        crumbs.end(0)
    return replace(answer, cause=None) if isinstance(answer, Failure) else answer


def prepare(
    subject: Subject,
    attempt: Callable[[ChannelStep, np.ndarray, int], Trial | Failure] = try_step,
    crumbs: Crumbs | None = None,
) -> Prepared | Failure:
    """Make every decision of a stage: reference channels go through its steps first.

    Parameters
    ----------
    subject : Subject
        The recording.
    attempt : callable
        Runs anyone's step on its reference channel: :func:`try_step`, here or in a worker.
    crumbs : Crumbs | None
        Where task 0 notes each step: its time counts from there.
    """
    preparer = _Preparer(subject, attempt)
    steps, notes, times = [], [], []
    for position, processor in enumerate(subject.processors):
        wall, cpu = time.perf_counter(), time.thread_time()
        index = subject.indices[position]
        if crumbs is not None:
            crumbs.begin(0)
            crumbs.move(0, position)
        try:
            answer = preparer.prepare_step(position)
        except StepError:  # of a worker that died or was late: it says where
            raise
        except FAILURES as error:
            seen = getattr(processor, "needs", "reference") == "reference"
            where = subject.names[subject.references[position]] if seen else None
            culprit = Named(index, processor)
            if isinstance(processor, FusedSteps):
                culprit = Named(*processor.find_culprit(error))
            answer = fail(error, 0, culprit, where, None)
        if isinstance(answer, Failure):
            return answer
        step, note = answer
        if isinstance(processor, FusedSteps):
            times.extend(note["times"])
        else:
            times.append(StepTime(index, time.perf_counter() - wall, time.thread_time() - cpu))
        steps.append(step)
        notes.append(note)
    return Prepared(tuple(steps), preparer.state, tuple(notes), tuple(times))


@dataclass
class _Preparer:
    """Takes reference channels from step to step, as far as a later step must see them."""

    subject: Subject
    attempt: Callable[[ChannelStep, np.ndarray, int], Trial | Failure]
    tracks: dict[int, Track] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.state = self.subject.state
        self.last = {}
        for position, processor in enumerate(self.subject.processors):
            if not isinstance(processor, ArrayProcessor) or processor.needs == "reference":
                self.last[self.subject.references[position]] = position

    def prepare_step(self, position: int) -> tuple[Step, Mapping[str, Any]] | Failure:
        subject, state = self.subject, self.state
        processor, index = subject.processors[position], subject.indices[position]
        ref = subject.references[position]
        if processor.requires_triggers:
            check_has_triggers(state.metadata)
        step: Step
        if isinstance(processor, ArrayProcessor):
            prepared = processor.prepare(self._view(position, processor))
            rows = _rows(processor, subject, prepared.spares)
            step = ArrayStep(index, processor, prepared, rows, subject.dtype)
            self.state = state.after(prepared)
            self._advance(step, position)
            return step, prepared.notes
        step = ChannelStep(index, processor, subject.header, state, dtype=subject.dtype)
        trial = self.attempt(step, self._track(ref).x, ref)
        if isinstance(trial, Failure):
            return trial
        if not step.changes_samples:
            self.state = replace(state, metadata=trial.state.metadata)
        else:
            self.state = trial.state
            step = replace(step, n_times=trial.state.n_times, reports=trial.reports)
        self._advance(step, position, done={ref: round_to(subject.dtype, trial.row)})
        return step, {}

    def _track(self, ref: int) -> Track:
        if ref not in self.tracks:
            row = self._read(ref)
            check_finite(row, [self.subject.names[ref]])
            processors = self.subject.processors
            asks = sum(getattr(p, "uses_noise", False) for p in processors)
            parts = parts_of(self.subject.terms, [ref]) if asks else None
            self.tracks[ref] = Track(row, [ref], asks, parts)
        return self.tracks[ref]

    def _read(self, ref: int) -> np.ndarray:
        """Return the samples of a reference channel, rounded as the stage's, shape (1, n_times)."""
        subject = self.subject
        row = np.asarray(subject.data[ref : ref + 1])
        if not subject.chunk:
            return round_to(subject.dtype, row)
        result = scratch.create(row.shape)[1]
        for start in range(0, row.shape[1], subject.chunk):
            part = slice(start, start + subject.chunk)
            result[:, part] = round_to(subject.dtype, row[:, part])
            scratch.forget(row, result)
        return result

    def _view(self, position: int, processor: ArrayProcessor) -> View:
        subject, state, ref = self.subject, self.state, self.subject.references[position]
        reference = data = everything = None
        if processor.needs == "reference":
            reference = protect(np.asarray(self._track(ref).x[0], float))
        if processor.needs == "all":
            everything = protect(subject.data)
            data = protect(subject.data[as_slice([int(i) for i in subject.picks])])
        types = tuple(subject.header.info.get_channel_types())
        return View(
            sfreq=state.sfreq,
            n_times=state.n_times,
            metadata=state.metadata.copy(),
            ch_names=tuple(subject.names[i] for i in subject.picks),
            reference=reference,
            reference_name=subject.names[ref],
            data=data,
            ch_types=tuple(types[i] for i in subject.picks),
            everything=everything,
            all_names=subject.names,
            all_types=types,
        )

    def _advance(
        self, step: Step, position: int, done: Mapping[int, np.ndarray] | None = None
    ) -> None:
        for ref, last in self.last.items():
            if last <= position:
                self.tracks.pop(ref, None)
            elif step.changes_samples:
                track = self._track(ref)
                row = (done or {}).get(ref)
                if row is None and self.subject.chunk and isinstance(step, ArrayStep):
                    row = self._stream(step, ref, track.x)
                track.advance(step, None if row is None else (lambda x, noise, row=row: row))

    def _stream(self, step: ArrayStep, ref: int, x: np.ndarray) -> np.ndarray:
        """Return the step's result for a reference channel, in a file."""
        result = scratch.create((1, list_lengths([step], x.shape[1])[-1]))[1]
        rows = MappedRow(x[0]), MappedRow(result[0])
        stream_channel([step], ref, *rows, self.subject.chunk, {})
        return result


def _rows(
    processor: ArrayProcessor, subject: Subject, spares: Sequence[str] = ()
) -> frozenset[int] | None:
    """Return the rows that a step with ``picks``, ``types`` or `spares` works on; None for all."""
    picks = getattr(processor, "picks", None)
    exclude = getattr(processor, "exclude_channels", None)
    types = processor.types
    if picks is None and types is None and not exclude and not spares:
        return None
    chosen = recording.resolve_picks(picks, subject.header.info, types)
    if exclude:
        chosen -= recording.resolve_picks(exclude, subject.header.info)
    chosen -= {subject.names.index(name) for name in spares}
    return frozenset(int(i) for i in subject.picks if int(i) in chosen)


def pass_through(subject: Subject, prepared: Prepared, result: np.ndarray) -> bool:
    """Write the rows that hold no data, or bad data, to `result`; return whether it can hold them.

    Bad channels are rounded as data are; codes and times are not, and float32 may be too coarse.
    """
    done = {int(i) for i in subject.picks}
    for row, kind in enumerate(subject.kinds):
        if row in done:
            continue
        x = subject.data[row : row + 1]
        x = np.asarray(round_to(subject.dtype, x) if kind == "bad" else x, float)
        for step in prepared.steps:
            if isinstance(step, ArrayStep):
                x = step.processor.compute_other(x, kind, step.prepared)
        if x.shape[1] != result.shape[1]:
            raise ValidationError(
                f"{subject.names[row]} ({kind}) has {x.shape[1]} samples after this stage, the "
                f"data channels {result.shape[1]}: a channel-wise step of your own must not "
                "change the number of samples where other channels are present. Use UpSample, "
                "DownSample or Resample, or set channel_wise = False."
            )
        x = round_to(subject.dtype, x) if kind == "bad" else x
        if np.may_share_memory(x, result):
            continue
        result[row] = x[0]
        if kind != "bad" and not np.array_equal(result[row], x[0], equal_nan=True):
            return False
    return True
