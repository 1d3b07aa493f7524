"""The main loop: run the stages of a plan one after another, and emit events.

A stage over arrays is a :class:`StageRun`. On the plain path, it prepares its steps, sends batch
after batch through them, and builds the next context. Parts that only some runs need are in other
modules: outer workers and timeouts in :mod:`.dispatch`, recordings on disk in :mod:`.stage_input`,
checkpoints in :mod:`.checkpoint`, which replaces the :class:`StageRun`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from facet_nb.core.backends.base import check_picklable
from facet_nb.core.backends.registry import get_backend
from facet_nb.core.cancel import CancelToken
from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import (
    FacetError,
    RunCancelled,
    StepError,
    ValidationError,
    explain_system,
    read_message,
)
from facet_nb.core.events import (
    BatchDone,
    Event,
    FindingRaised,
    RunDone,
    RunFailed,
    RunStarted,
    StageDone,
    StageStarted,
    StepTime,
)
from facet_nb.core.execution.batch import can_overwrite, run_batch
from facet_nb.core.execution.deferred import DeferredSamples
from facet_nb.core.execution.dispatch import BatchDispatcher, GuardedPreparation
from facet_nb.core.execution.global_step import compute_all_channels, run_read_only, run_task
from facet_nb.core.execution.job import FAILURES, Failure, Job, Report, fail
from facet_nb.core.execution.prepare import (
    Attempt,
    make_input,
    pass_through,
    prepare_stage,
    try_step,
)
from facet_nb.core.execution.stage import Named, PreparedStage, StageInput
from facet_nb.core.execution.stage_input import OpenedInput, open_input
from facet_nb.core.execution.stage_output import free_input, load_results, refers_to
from facet_nb.core.execution.threads import one_thread
from facet_nb.core.execution.timeouts import tell_unbounded
from facet_nb.core.findings import Finding, find_in_error, make_finding
from facet_nb.core.metadata import ProcessingStep, to_plain
from facet_nb.core.noise import Change
from facet_nb.core.parameters import explain_values
from facet_nb.core.planning.budget import choose_batch_size, find_input, share_channels
from facet_nb.core.planning.fusion import FusedSteps
from facet_nb.core.planning.plan import Plan, Stage
from facet_nb.core.planning.planner import LANES, RunOptions, make_plan, set_batch_size
from facet_nb.core.processor import ArrayProcessor, Processor
from facet_nb.core.recording import Header, Shape, channel_kinds
from facet_nb.core.steps import State
from facet_nb.core.storage import shared_memory
from facet_nb.core.storage.array_store import Store
from facet_nb.core.storage.arrays import ArrayRef, RamArray
from facet_nb.core.storage.scratch import check_whole
from facet_nb.kernels.compiled.choice import KernelChoice, choose_kernels
from facet_nb.kernels.compiled.dispatch import use_compiled
from facet_nb.kernels.pages import find_map, forget

if TYPE_CHECKING:
    import mne

logger = logging.getLogger("facet_nb")

Emit = Callable[[Event], None]

#: Samples of all batches in flight up to which they need no forecast: 8 MB.
_SMALL = 1 << 20


def ignore(event: Event) -> None:
    """Ignore an event."""


@dataclass
class Runner:
    """Runs a plan on a context.

    Parameters
    ----------
    processors : sequence of Processor
        The pipeline's steps.
    plan : Plan
        Its stages.
    on_event : callable
        Called with each :class:`~facet_nb.core.events.Event`, from the thread of :meth:`run`.
    cancel : CancelToken | None
        Token that stops the run.
    timeout_s : float | None
        Time limit of a task (a batch, or a step over all channels), in s.
    checkpoint : callable | None
        Returns a context manager that yields a replacement for :class:`StageRun`.
    kernels : KernelChoice | None
        The compiled kernels that the run uses, once it has begun.
    """

    processors: Sequence[Processor]
    plan: Plan
    on_event: Emit = ignore
    cancel: CancelToken | None = None
    timeout_s: float | None = None
    checkpoint: Callable[[], AbstractContextManager[Callable[..., StageRun]]] | None = None
    #: The context after the last stage that was complete, for users of a run that failed.
    last: ProcessingContext | None = field(default=None, init=False)
    kernels: KernelChoice | None = None
    #: Whether the plan left the number of channels in a batch open.
    sizes_batches = False

    def run(self, context: ProcessingContext) -> ProcessingContext:
        """Return the context after all stages; `context` itself does not change.

        Raises
        ------
        StepError
            If a processor fails; it names step and channel.
        RunCancelled
            If the run was cancelled.
        PlanError
            If a processor cannot be sent to workers.
        """
        begin = time.perf_counter()
        plan = self.plan
        # map and attrgetter, here and below: before Python 3.12 a comprehension is a function, and
        # tests/core/test_plain_path.py counts the functions that a plain run enters.
        names = tuple(map(attrgetter("name"), self.processors))
        n = len(plan.stages)
        self.on_event(
            RunStarted(time.time(), plan.mode, plan.backend, plan.n_jobs, plan.n_workers, names, n)
        )
        if plan.findings:
            self.tell(plan.findings)
        if self.timeout_s is not None:
            self.tell(tell_unbounded(self.processors, plan))
        store = Store(spill=plan.spill)
        wrapper = nullcontext(StageRun) if self.checkpoint is None else self.checkpoint()
        try:
            # Now: an export that is certain to fail would do so after hours of work.
            check_early(self.processors, context)
            if {"serial"} != set(map(attrgetter("backend"), plan.stages)):
                self._share(store)
            self.kernels = choose_kernels()
            self.plan = replace(plan, kernels=self.kernels)
            with one_thread(), use_compiled(self.kernels.compiled), wrapper as stage_run:
                if not plan.batch_size and context._raw is not None:
                    self._size_batches(context._raw)
                for number, stage in enumerate(self.plan.stages):
                    self.last = context
                    context = self._run_stage(number, stage, context, store, stage_run)
                if store.has_maps:
                    # The store deletes its files when it is closed.
                    context = load_results(context, store)
        except BaseException as error:  # KeyboardInterrupt ends the run for listeners as well
            # If something has removed the folder of the run, other errors are consequences of that.
            if store.is_gone() and isinstance(error, (FacetError, OSError)):
                cancelled = self.cancel is not None and self.cancel.cancelled
                error = error if cancelled else store.explain_loss(error)
            elif told := explain_system(error):
                cause, error = error, FacetError(f"the run stopped: {told}")
                error.__cause__ = cause
            self._keep_last(store, error)
            self.tell(find_in_error(error))
            self.on_event(_failed(error))
            raise error
        finally:
            store.close()
        self.on_event(RunDone(time.time(), time.perf_counter() - begin))
        return context

    def _keep_last(self, store: Store, error: BaseException) -> None:
        """Move samples of the last good context out of the run's files, which are deleted."""
        if self.last is None or not store.has_maps:
            return
        if not isinstance(error, StepError):  # e.g. a full disk: copying would fail, too
            self.last = None
            return
        try:
            self.last = load_results(self.last, store)
        except (FacetError, OSError, MemoryError) as problem:
            logger.warning("the samples before the failed step are lost: %s", problem)
            self.last = None

    def _share(self, store: Store) -> None:
        """Give worker processes access to the store; raise if a step cannot be sent to them."""
        backends = [(stage, get_backend(stage.backend)) for stage in self.plan.stages]
        isolating = [(stage, backend) for stage, backend in backends if backend.isolates]
        # Steps of other stages stay in this process, and may hold what cannot be sent.
        steps = sorted({i for stage, _ in isolating for i in stage.steps})
        check_picklable([(self.processors[i].name, self.processors[i]) for i in steps])
        store.shared = bool(isolating)
        # Workers on other machines may see a shared folder, but not this machine's memory.
        local = all(backend.local for _, backend in isolating)
        store.memory = store.shared and local and shared_memory.is_usable()

    def _run_stage(
        self,
        number: int,
        stage: Stage,
        context: ProcessingContext,
        store: Store,
        stage_run: Callable[..., StageRun],
    ) -> ProcessingContext:
        if self.cancel is not None:
            self.cancel.check()
        if not self.plan.batch_size and context._raw is not None:  # it has just been loaded
            self._size_batches(context._raw)
        stage = self.plan.stages[number]  # the size of batches may have been open before
        begin = time.perf_counter()
        if stage.kind == "global" and not isinstance(
            self.processors[stage.steps[0]], ArrayProcessor
        ):
            new = self._run_global(number, stage, context)
            store.forget_private()  # a user-defined step may have kept the samples
        else:
            new = stage_run(self, number, stage, context, store).run()
        if store.shared:
            free_input(context, new, store)
        self.on_event(StageDone(time.time(), number, time.perf_counter() - begin))
        return new

    def _run_global(
        self, number: int, stage: Stage, context: ProcessingContext
    ) -> ProcessingContext:
        """Run a processor that sees all channels and is not an :class:`ArrayProcessor`."""
        index = stage.steps[0]
        processor = self.processors[index]
        # By their methods: core must not import io, where loaders and exporters are.
        if self.plan.spill and hasattr(processor, "left_in_file"):
            processor = processor.left_in_file()
        if hasattr(processor, "in_run"):
            processor = processor.in_run(self.plan)
        labels = (("all channels",),)
        self.on_event(StageStarted(time.time(), number, stage.steps, labels, stage.reason))
        wall, cpu = time.perf_counter(), time.thread_time()
        step = Named(index, processor)
        new = run_task(
            lambda _: run_read_only(processor, context), step, self.timeout_s, self.cancel
        )
        times = StepTime(index, time.perf_counter() - wall, time.thread_time() - cpu)
        # A loader starts a new history: identity tells the old entries from the new ones.
        known = set(map(id, context._history))
        for entry in new._history:
            if id(entry) not in known:
                self.tell(entry.findings)
        self.report(number, labels[0], Report(0, (times,)))
        return new

    def tell(self, findings: Sequence[Finding]) -> None:
        """Emit an event for each of the findings."""
        for finding in findings:
            self.on_event(FindingRaised(time.time(), finding))

    def _size_batches(self, raw: mne.io.BaseRaw) -> None:
        """Choose how many channels of a recording are in a batch."""
        plan = self.plan
        self.sizes_batches = True
        n_jobs, n_data = plan.n_jobs, channel_kinds(raw).count("data")
        size = max(1, min(LANES, n_data)) if n_jobs == 1 else share_channels(n_data, n_jobs)
        if size * n_jobs * raw.n_times > _SMALL:
            found = find_input((), ProcessingContext(raw))
            size = choose_batch_size(self.processors, plan, found)
        self.plan = set_batch_size(plan, size)

    def report(self, stage: int, channels: tuple[str, ...], report: Report) -> None:
        """Emit the event of a finished batch; batch -1 is the preparation of the stage."""
        times = report.step_times
        if report.batch == -1 and not times:
            return
        # The preparation, which is batch -1, has measured each step of a fused one by itself.
        if report.batch >= 0 and self.plan.fusions.found:
            times = self.plan.fusions.spread(times)
        self.on_event(
            BatchDone(
                time.time(),
                stage,
                report.batch,
                channels,
                times,
                report.pid,
                report.rss_bytes,
                report.began_s,
                report.ended_s,
                report.thread,
                restored=report.restored,
            )
        )


@dataclass
class StageRun:
    """One stage over arrays.

    Parameters
    ----------
    runner : Runner
        The run.
    number : int
        Position of the stage in the plan.
    stage : Stage
        The stage.
    context : ProcessingContext
        The recording before it.
    store : Store
        The run's arrays.
    """

    runner: Runner
    number: int
    stage: Stage
    context: ProcessingContext
    store: Store

    plain = False
    #: Makes trials of user-defined steps reuse those of earlier runs; set by checkpoints.
    remember: ClassVar[Callable[[Any, Attempt], Attempt] | None] = None
    #: Whether inputs on disk are read as float64 even if the stage computes in float32.
    exact_input = False

    def run(self) -> ProcessingContext:
        """Return the context after the stage."""
        runner, number, stage = self.runner, self.number, self.stage
        # Most runs need no outer workers, timeouts or chunks: they skip that code altogether.
        self.plain = (
            stage.kind == "channel_wise"
            and stage.backend == "serial"
            and stage.chunk_duration_s is None
            and runner.timeout_s is None
        )
        given, deferred = self._open()
        picks, groups, labels = given.picks.tolist(), [], []
        modifies, builtin = False, True
        for processor in given.processors:
            modifies |= processor.modifies_raw and not processor.run_once
            builtin &= isinstance(processor, ArrayProcessor)
        size = stage.batch_size or len(picks)
        if runner.sizes_batches and stage.n_jobs > 1:  # of fewer channels than were loaded
            size = min(size, share_channels(len(picks), stage.n_jobs))
        # A worker without a batch would be idle. Detectors keep the number of their neighbours'
        # stages, so that all stages share the same workers.
        n_batches = -(-len(picks) // size)
        if stage.n_jobs > n_batches:
            if not runner.plan.reason:  # with mode="auto" the user did not choose the workers
                runner.tell([_few_batches(stage, n_batches)])
            self.stage = stage = replace(stage, n_jobs=n_batches)
        if not modifies:  # detectors run once, on the reference channel
            picks = [given.references[0]]
        for i in range(0, len(picks), size):
            groups.append(picks[i : i + size])
            labels.append(tuple(map(given.names.__getitem__, groups[-1])))
        runner.on_event(StageStarted(time.time(), number, stage.steps, tuple(labels), stage.reason))
        attempt = try_step if self.remember is None else self.remember(try_step)
        prepared = prepare_stage(given, attempt) if self.plain else self._prepare_guarded(given)
        if isinstance(prepared, Failure):
            raise prepared.error()
        for found in prepared.findings:
            if found:
                runner.tell(found)
        compiled = frozenset() if runner.kernels is None else runner.kernels.compiled
        runner.report(number, (), Report(-1, prepared.times))
        if not modifies:
            times = tuple(StepTime(t.step, 0.0, 0.0) for t in prepared.times)
            runner.report(number, labels[0], Report(0, times))
            return build_context(self.context, given, prepared, None, compiled=compiled)
        place = self.choose_place(given, prepared, deferred)
        # A result in a float32 file may be too coarse for trigger codes: then it has float64.
        if not pass_through(given, prepared, place.result):
            target, result = self.store.allocate((len(given.names), prepared.state.n_times))
            place = replace(place, target=target, result=result)
            pass_through(given, prepared, result)
        last, uses_noise = 0, False
        for position, step in enumerate(prepared.steps):
            last = last if step.change is Change.NOTHING else position
            uses_noise |= step.uses_noise
        job = Job(
            steps=prepared.steps,
            source=place.source,
            target=place.target,
            names=given.names,
            n_workers=stage.n_workers,
            check=not self.store.is_checked(given.data),
            cancel=runner.cancel,
            # Terms refer to whole recordings, which workers would get for nothing.
            terms=given.terms if uses_noise else (),
            chunk=0 if self.plain else stage.count_chunk(given.state.sfreq),
            last=last,
            trials=prepared.trials,
            compiled=compiled,
        )
        if np.may_share_memory(place.result, given.data):
            runner.last = None  # the result overwrites the input
        self.run_batches(job, place, groups, labels, {})
        # Resident pages of mapped files count as memory of this process.
        forget(given.data, place.result)
        self.store.note_result(place.result, private=builtin)
        return build_context(self.context, given, prepared, place.result, place.deferred, compiled)

    def _open(self) -> tuple[StageInput, DeferredSamples | None]:
        """Return the stage's input, and its deferred samples if the stage may overwrite it."""
        opened = OpenedInput(self.context)
        raw, runner, stage = self.context._raw, self.runner, self.stage
        if raw is not None and (not raw.preload or find_map(raw._data) is not None):
            if raw.preload:
                # Reading a map beyond the end of its file would end the process (SIGBUS).
                check_whole(raw._data)
            opened = self._open_file()
            self.context = opened.context
        try:
            given = make_input(
                self.context, stage, runner.processors, runner.plan.fusions, opened.samples
            )
        except KeyboardInterrupt:
            raise
        except FAILURES as error:
            step = Named(stage.steps[0], runner.processors[stage.steps[0]])
            raise fail(error, 0, step, None, None).error() from error
        return given, opened.deferred

    def _open_file(self) -> OpenedInput:
        """Return the samples of a recording that is on disk or in a scratch file."""
        # A step that sees all channels must decide on samples that are not rounded.
        stage, processors = self.stage, self.runner.processors
        sees_all = any(getattr(processors[i], "needs", "") == "all" for i in stage.steps)
        exact = self.exact_input or sees_all
        check = None if self.runner.cancel is None else self.runner.cancel.check
        return open_input(
            self.context,
            self.store,
            check,
            dtype="float64" if exact else stage.dtype,
            exclusive=not exact and self._overwrites_file(),
        )

    def _overwrites_file(self) -> bool:
        """Whether the stage may overwrite its input in a file."""
        # In chunks, each sample is read before it is written. Batches of processes are computed
        # again after a worker died, and would then read their own results.
        isolates = get_backend(self.stage.backend).isolates
        return self.stage.chunk_duration_s is not None and not isolates

    def _prepare_guarded(self, given: StageInput) -> PreparedStage | Failure:
        runner = self.runner
        guarded = GuardedPreparation(given, self.stage, self.store, runner.cancel, runner.timeout_s)
        return guarded.run(self.remember)

    # ----------------------------------------------------------------------------- the batches
    def choose_place(
        self, given: StageInput, prepared: PreparedStage, deferred: DeferredSamples | None
    ) -> Place:
        """Return where the samples are, and where the result is written."""
        store, data, n_times = self.store, given.data, prepared.state.n_times
        source, fill = (RamArray(data), None) if self.plain else self.lend(data)
        if deferred is not None and not self._overwrites_file():
            deferred = None
        may_overwrite = partial(self._may_overwrite, data, prepared)
        target, result = store.destination(
            data, n_times, source, fill is not None, deferred is not None, may_overwrite
        )
        deferred = deferred if result is data else None
        return Place(source, fill, target, data, result, deferred)

    def lend(self, data: np.ndarray) -> tuple[ArrayRef, Fill | None]:
        """Return a reference to the input for batches, and a callback that copies rows there."""
        return self.store.lend(data, get_backend(self.stage.backend).isolates)

    def _may_overwrite(self, data: np.ndarray, prepared: PreparedStage) -> bool:
        """Whether the result may overwrite the input, which is private to this run."""
        if len(prepared.steps) > 1:
            return False
        step = prepared.steps[0]
        if self.context._lineage is None and step.change is Change.CORRECTION:
            return False  # the estimated noise is computed from these samples
        return can_overwrite(step) and not refers_to(self.context, data)

    def run_batches(
        self,
        job: Job,
        place: Place,
        groups: list[list[int]],
        labels: list[tuple[str, ...]],
        done: dict[int, str],
    ) -> None:
        """Compute the channels that are not in `done`, and add them with their checksums."""
        stage, runner = self.stage, self.runner
        batches = dict(enumerate(groups))
        if done:
            batches = self._skip(batches, done, labels)
        if not batches:
            return
        if self.plain:
            for i, rows in batches.items():
                answer = run_batch(job, i, rows)
                if isinstance(answer, Failure):
                    raise answer.error()
                done.update(zip(rows, answer.digests, strict=False))
                runner.report(self.number, labels[i], answer)
        elif stage.kind == "global":
            spent, digests = compute_all_channels(job, groups[0], runner.timeout_s, runner.cancel)
            done.update(digests)
            runner.report(self.number, labels[0], Report(0, (spent,)))
        else:

            def note(answer: Report) -> None:
                done.update(zip(batches[answer.batch], answer.digests, strict=False))
                runner.report(self.number, labels[answer.batch], answer)

            dispatcher = BatchDispatcher(
                stage, job, labels, self.store, runner.cancel, runner.timeout_s, place.fill
            )
            dispatcher.run(batches, note)

    def _skip(
        self, batches: dict[int, list[int]], done: dict[int, str], labels: list[tuple[str, ...]]
    ) -> dict[int, list[int]]:
        """Return the rest of `batches`; report those that are already done."""
        left = {}
        for i, group in batches.items():
            rows = [c for c in group if c not in done]
            if rows:
                left[i] = rows
                continue
            times = tuple(StepTime(k, 0.0, 0.0) for k in self.stage.steps)
            report = Report(i, times, restored=True)
            self.runner.report(self.number, labels[i], report)
        return left


#: Copies rows of the input to shared memory.
Fill = Callable[[Sequence[int]], None]


@dataclass(frozen=True)
class Place:
    """Where the samples of a stage are stored.

    Attributes
    ----------
    source, target : ArrayRef
        References to the samples before and after the stage, for batches.
    fill : callable | None
        Copies rows of the input to `source`.
    data, result : ndarray, shape (n_channels, n_times)
        The same samples in this process, in V.
    deferred : DeferredSamples | None
        Reads the input again, if the result overwrites it.
    """

    source: ArrayRef
    fill: Fill | None
    target: ArrayRef
    data: np.ndarray
    result: np.ndarray
    deferred: DeferredSamples | None = None


def build_context(
    context: ProcessingContext,
    given: StageInput,
    prepared: PreparedStage,
    result: np.ndarray | None,
    deferred: DeferredSamples | None = None,
    compiled: frozenset[str] = frozenset(),
) -> ProcessingContext:
    """Return the context after a stage.

    Parameters
    ----------
    context : ProcessingContext
        The context before it.
    given : StageInput
        The stage's input.
    prepared : PreparedStage
        The stage.
    result : ndarray, shape (n_channels, n_times) | None
        The samples after it, in V; None if they do not change.
    deferred : DeferredSamples | None
        Reads the samples before it again, if `result` has overwritten them.
    compiled : frozenset of str
        The compiled kernels that the run uses, for the history.
    """
    new, state = context, prepared.state
    if result is not None:
        header, before = given.header, prepared.states[:-1]
        if len(set(map(_SHAPE, before)) | {_SHAPE(given.state)}) > 1:
            header = pass_header(header, before)
        raw = header.attach(result, sfreq=state.sfreq, first_samp=state.first_samp, band=state.band)
        # The noise can be recomputed through channel-wise and linear steps only.
        follows = True
        for p in given.processors:
            follows &= p.channel_wise or getattr(p, "linear", False)
        if follows:
            old: Any = context._raw
            base = old._data if old.preload else given.data
            base = base if deferred is None else deferred
            new = context._stepped(raw, prepared.steps, base, given.picks.tolist())
        else:
            new = context.with_raw(raw)
    new = new.with_metadata(state.metadata)
    history, names = list(context._history), tuple(sorted(compiled))
    found = prepared.findings
    for step, notes, findings in zip(prepared.steps, prepared.notes, found, strict=True):
        processor = step.processor
        if isinstance(processor, FusedSteps):
            entries = processor.list_entries(notes, findings)
        else:
            parameters = to_plain({**processor.get_parameters(), **notes})
            name, kind = processor.name, type(processor).__name__
            entries = [ProcessingStep(name, kind, parameters, findings=findings)]
        for entry in entries:
            history.append(replace(entry, compiled=names))
    new._history = tuple(history)
    return new


#: What MNE fits annotations to.
_SHAPE = attrgetter("sfreq", "n_times", "first_samp")


def pass_header(header: Header, states: Sequence[State]) -> Header:
    """Return the header of a recording after steps that led to `states`, one after another."""
    # MNE rounds onsets to microseconds, and cuts annotations at the ends, whenever it sets them:
    # that must happen per step in every mode, not once per stage.
    for state in states:
        nothing = np.broadcast_to(0.0, (len(header.info["ch_names"]), state.n_times))
        raw = header.attach(
            nothing, sfreq=state.sfreq, first_samp=state.first_samp, band=state.band
        )
        header = Header.of(raw)
    return header


def run_alone(processor: Processor, context: ProcessingContext) -> ProcessingContext:
    """Run one step serially."""
    plan = make_plan([processor], RunOptions("serial", backend="serial"), 1)
    return Runner([processor], plan).run(context)


def _few_batches(stage: Stage, n_batches: int) -> Finding:
    return make_finding(
        "workers_lowered",
        f"{', '.join(stage.names)}: n_jobs={n_batches} instead of {stage.n_jobs}, as there are "
        f"only {n_batches} batches of channels.",
        n_jobs=n_batches,
        asked=stage.n_jobs,
    )


def check_early(processors: Sequence[Processor], context: ProcessingContext | None) -> None:
    """Raise the error of the first step that is certain to fail.

    Raises
    ------
    StepError
        If there is one; it names the step.
    """
    for i, processor in enumerate(processors):
        if type(processor).check_early is not Processor.check_early:
            try:
                processor.check_early(context, processors[:i])
            except KeyboardInterrupt:
                raise
            except FAILURES as error:
                raise fail(error, 0, Named(i, processor), None, None).error() from error


def check_parameters(processors: Sequence[Processor], shape: Shape | None) -> None:
    """Raise the error of the first built-in step with arguments that no recording makes right.

    Parameters
    ----------
    processors : sequence of Processor
        The pipeline's steps.
    shape : Shape | None
        Size of the recording, if it is known.

    Raises
    ------
    StepError
        If there is one.
    """
    # No frequency is too high for a rate that is not known.
    n_times, sfreq = (0, np.inf) if shape is None else (shape.n_times, shape.sfreq)
    for i, processor in enumerate(processors):
        arrays = processor.built_in and isinstance(processor, ArrayProcessor)
        before = sfreq
        if not arrays and processor.modifies_raw and not processor.accepts_lazy:
            n_times, sfreq = 0, np.inf  # a recording of its own, which may have any rate
        if not processor.built_in:
            continue
        try:
            processor.check_parameters(before)
            if n_times and isinstance(processor, ArrayProcessor):
                n_times, sfreq = processor.resize(n_times, sfreq)
            if told := explain_values(processor, ask_none=False):
                raise ValidationError(told)
        except KeyboardInterrupt:
            raise
        except FAILURES as error:
            raise fail(error, 0, Named(i, processor), None, None).error() from error


def _failed(error: BaseException) -> RunFailed:
    if isinstance(error, StepError):
        return RunFailed(time.time(), str(error), error.step, error.index, error.channel)
    cancelled = isinstance(error, (RunCancelled, KeyboardInterrupt))
    message = read_message(error) or type(error).__name__
    return RunFailed(time.time(), message, cancelled=cancelled)
