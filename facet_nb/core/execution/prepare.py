"""What happens to a stage before its batches: validation, decisions, pass-through channels."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from facet_nb.core import recording
from facet_nb.core.backends import registry
from facet_nb.core.backends.base import Backend, WorkerDied
from facet_nb.core.cancel import CancelToken
from facet_nb.core.errors import StepError, ValidationError
from facet_nb.core.events import StepTime
from facet_nb.core.execution import timeouts
from facet_nb.core.execution.checkpoint import Checkpoint
from facet_nb.core.execution.dispatch import explain_death
from facet_nb.core.execution.heartbeats import HeartbeatTable
from facet_nb.core.execution.job import FAILURES, Failure, fail
from facet_nb.core.execution.stage import Named, Prepared, ReferenceTrial, StageInput
from facet_nb.core.execution.streaming import list_lengths, stream_channel
from facet_nb.core.noise import NoiseTracker
from facet_nb.core.planning.fusion import FusedSteps
from facet_nb.core.planning.plan import Stage
from facet_nb.core.processor import ArrayProcessor, View, check_has_triggers
from facet_nb.core.samples import check_finite, protect, round_to
from facet_nb.core.steps import ArrayStep, ChannelStep, State, Step, unpack_samples
from facet_nb.core.storage import scratch
from facet_nb.core.storage.array_store import Store
from facet_nb.core.storage.row_io import MappedRow, as_slice


def try_step(step: ChannelStep, row: np.ndarray, channel: int) -> ReferenceTrial | Failure:
    """Validate and run anyone's step on its reference channel, shape (1, n_times), in V."""
    names = step.header.info["ch_names"]
    try:
        context = step.process(row, channel, validate=True)
        data = np.array(unpack_samples(context))
        state = replace(State.of(context.get_raw(), context.metadata), n_times=data.shape[1])
        return ReferenceTrial(data, state, context.has_estimated_noise())
    except FAILURES as error:
        return fail(error, 0, step, names[channel], None)


def try_far(
    step: ChannelStep, row: np.ndarray, channel: int, heartbeats: HeartbeatTable | None = None
) -> ReferenceTrial | Failure:
    """:func:`try_step` in another process: an exception comes back as text."""
    if heartbeats is not None:
        import mne  # noqa: F401  before the clock starts: it takes seconds

        heartbeats.begin(0)
    answer = try_step(step, row, channel)
    if heartbeats is not None:
        heartbeats.end(0)
    return replace(answer, cause=None) if isinstance(answer, Failure) else answer


def prepare(
    subject: StageInput,
    attempt: Callable[[ChannelStep, np.ndarray, int], ReferenceTrial | Failure] = try_step,
    heartbeats: HeartbeatTable | None = None,
) -> Prepared | Failure:
    """Make every decision of a stage: reference channels go through its steps first.

    Parameters
    ----------
    subject : StageInput
        The recording.
    attempt : callable
        Runs anyone's step on its reference channel: :func:`try_step`, here or in a worker.
    crumbs : HeartbeatTable | None
        Where task 0 notes each step: its time counts from there.
    """
    preparer = _Preparer(subject, attempt)
    steps, notes, times = [], [], []
    for position, processor in enumerate(subject.processors):
        wall, cpu = time.perf_counter(), time.thread_time()
        index = subject.indices[position]
        if heartbeats is not None:
            heartbeats.begin(0)
            heartbeats.move(0, position)
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

    subject: StageInput
    attempt: Callable[[ChannelStep, np.ndarray, int], ReferenceTrial | Failure]
    tracks: dict[int, NoiseTracker] = field(default_factory=dict)

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
            rows = _rows(processor, subject, prepared.untouched)
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

    def _track(self, ref: int) -> NoiseTracker:
        if ref not in self.tracks:
            row = self._read(ref)
            check_finite(row, [self.subject.names[ref]])
            processors = self.subject.processors
            self.tracks[ref] = NoiseTracker.of(row, [ref], processors, self.subject.terms)
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
            all_data=everything,
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
    processor: ArrayProcessor, subject: StageInput, untouched: Sequence[str] = ()
) -> frozenset[int] | None:
    """Return the rows that a step works on; None for all."""
    picks = getattr(processor, "picks", None)
    exclude = getattr(processor, "exclude_channels", None)
    types = processor.types
    if picks is None and types is None and not exclude and not untouched:
        return None
    chosen = recording.resolve_picks(picks, subject.header.info, types)
    if exclude:
        chosen -= recording.resolve_picks(exclude, subject.header.info)
    chosen -= {subject.names.index(name) for name in untouched}
    return frozenset(int(i) for i in subject.picks if int(i) in chosen)


def pass_through(subject: StageInput, prepared: Prepared, result: np.ndarray) -> bool:
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


@dataclass
class Decisions:
    """Prepares a stage.

    Parameters
    ----------
    subject : StageInput
        The recording, and the stage's processors.
    stage : Stage
        Where its batches will run: anyone's steps are tried there.
    store : Store
        Where workers of other processes find what they need.
    cancel : CancelToken
        The run's.
    timeout_s : float | None
        How long each decision may take.
    kept : Checkpoint | None
        Remembers what steps found on their reference channels.
    """

    subject: StageInput
    stage: Stage
    store: Store
    cancel: CancelToken
    timeout_s: float | None = None
    kept: Checkpoint | None = None

    def make(self) -> Prepared:
        """Return the prepared stage.

        Raises
        ------
        StepError
            If a decision fails, takes too long, or ends its process twice.
        RunCancelled
            If the run was cancelled.
        """
        try:
            answer = timeouts.call(self._prepare, self.timeout_s, self.cancel)
        except timeouts.TaskTimeout as late:
            subject, position = self.subject, late.position
            step = Named(subject.indices[position], subject.processors[position])
            raise self._explain(late, step, subject.references[position]) from late
        if isinstance(answer, Failure):
            raise answer.error()
        return answer

    def _prepare(self, heartbeats: HeartbeatTable) -> Prepared | Failure:
        backend = registry.get_backend(self.stage.backend)

        def attempt(step: ChannelStep, row: np.ndarray, channel: int) -> ReferenceTrial | Failure:
            if not backend.isolates:
                return try_step(step, row, channel)
            heartbeats.end(0)  # workers take their time to start, and are watched by themselves
            return self._try_far(backend, step, row, channel)

        memory = attempt if self.kept is None else self.kept.remember(attempt)
        return prepare(self.subject, memory, heartbeats)

    def _try_far(
        self, backend: Backend, step: ChannelStep, row: np.ndarray, channel: int
    ) -> ReferenceTrial | Failure:
        """Run anyone's step on its reference channel in a worker: it may end its process."""
        died: Exception | None = None
        for _ in range(2):
            stop = CancelToken(self.cancel)
            heartbeats = None if self.timeout_s is None else HeartbeatTable.far(self.store, 1)
            calls = [(step, row, channel, heartbeats)]
            results = backend.run(try_far, calls, self.stage.n_jobs, stop)
            try:
                (answer,) = timeouts.collect(results, heartbeats, self.timeout_s, stop, backend)
            except WorkerDied as error:
                died = error
            except timeouts.TaskTimeout as late:
                raise self._explain(late, step, channel) from late
            else:
                return answer
        raise explain_death(step, self.subject.names[channel]) from died

    def _explain(self, late: timeouts.TaskTimeout, step: Any, channel: int) -> StepError:
        assert self.timeout_s is not None
        return timeouts.explain_late(late, step, self.subject.names[channel], self.timeout_s)
