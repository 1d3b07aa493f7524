"""The loop: takes a plan's stages one by one, makes batches, writes rows, says what happened."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from facet_nb.core import recording
from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import FacetError, RunCancelled, StepError, describe_failure
from facet_nb.core.events import (
    BatchDone,
    Event,
    RunDone,
    RunFailed,
    RunStarted,
    StageDone,
    StageStarted,
    StepTime,
)
from facet_nb.core.executors import backends, blas, preparation
from facet_nb.core.executors.cancel import CancelToken
from facet_nb.core.executors.store import Store
from facet_nb.core.executors.task import (
    Failure,
    Job,
    Report,
    apply_step,
    as_slice,
    can_overwrite,
    check_finite,
    fail,
    rss_bytes,
    run_batch,
)
from facet_nb.core.metadata import ProcessingStep, to_plain
from facet_nb.core.plan import Plan, Stage, make_plan
from facet_nb.core.processor import ArrayProcessor, Processor


@dataclass
class Runner:
    """Runs a plan over a context.

    Parameters
    ----------
    processors : sequence of Processor
        The pipeline's steps.
    plan : Plan
        Its stages.
    on_event : callable | None
        Called with each :class:`~facet_nb.core.events.Event`, from the thread that runs.
    cancel : CancelToken | None
        Asks for a stop.
    """

    processors: Sequence[Processor]
    plan: Plan
    on_event: Callable[[Event], None] | None = None
    cancel: CancelToken = field(default_factory=CancelToken)
    _checked: Any = None  # samples known to be finite
    _private: Any = None  # samples that no processor of anyone's has seen

    def run(self, context: ProcessingContext) -> ProcessingContext:
        """Return the context after all stages; `context` itself does not change.

        Raises
        ------
        StepError
            If a processor fails: names step and channel.
        RunCancelled
            If the run was cancelled.
        PlanError
            If a processor cannot be sent to workers.
        """
        begin = time.perf_counter()
        plan = self.plan
        names = tuple(p.name for p in self.processors)
        now = time.time()
        n = len(plan.stages)
        self._emit(RunStarted(now, plan.mode, plan.backend, plan.n_jobs, plan.n_workers, names, n))
        isolated = any(stage_isolates(s) for s in plan.stages)
        store = Store(shared=isolated)
        try:
            self._preflight()
            with blas.one_thread():
                for number, stage in enumerate(plan.stages):
                    context = self._run_stage(number, stage, context, store)
            context = _settle(context, store)
        except BaseException as error:
            self._emit(_failed(error))
            raise
        finally:
            store.close()
        self._emit(RunDone(time.time(), time.perf_counter() - begin))
        return context

    def _preflight(self) -> None:
        far = [s for s in self.plan.stages if stage_isolates(s)]
        steps = sorted({i for stage in far for i in stage.steps})
        backends.check_picklable([(self.processors[i].name, self.processors[i]) for i in steps])

    def _run_stage(
        self, number: int, stage: Stage, context: ProcessingContext, store: Store
    ) -> ProcessingContext:
        self.cancel.check()
        begin = time.perf_counter()
        processors = [self.processors[i] for i in stage.steps]
        if stage.kind == "global" and not isinstance(processors[0], ArrayProcessor):
            new = self._run_global(number, stage, context)
            self._private = None
        else:
            new = self._run_arrays(number, stage, context, store)
        if new.has_raw() and context.has_raw() and stage.backend != "serial":
            old = recording.load_array(context.get_raw())
            if old is not recording.load_array(new.get_raw()) and not _needed(new, old):
                store.release(old)
        self._emit(StageDone(time.time(), number, time.perf_counter() - begin))
        return new

    # ------------------------------------------------------------------ one step, all channels
    def _run_global(
        self, number: int, stage: Stage, context: ProcessingContext
    ) -> ProcessingContext:
        index = stage.steps[0]
        processor = self.processors[index]
        everything = ("all channels",)
        self._emit(StageStarted(time.time(), number, stage.steps, (everything,), stage.reason))
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            new = preparation.run_shielded(processor, context)
        except Exception as error:
            step = preparation.Named(index, processor)
            raise _raise_from(fail(error, 0, step, None, None), error) from error
        times = StepTime(index, time.perf_counter() - wall, time.thread_time() - cpu)
        self._report(number, everything, Report(0, (times,), os.getpid(), rss_bytes()))
        return new

    # ------------------------------------------------------------------------ steps over arrays
    def _run_arrays(
        self, number: int, stage: Stage, context: ProcessingContext, store: Store
    ) -> ProcessingContext:
        subject = preparation.Subject.of(context, stage, self.processors)
        names, picks = subject.names, subject.picks
        groups = _batches(picks, stage)
        modifies = any(p.modifies_raw for p in subject.processors)
        if not modifies:
            groups = [[subject.reference]]
        labels = tuple(tuple(names[c] for c in group) for group in groups)
        self._emit(StageStarted(time.time(), number, stage.steps, labels, stage.reason))
        prepared = self._prepare(subject, stage, store)
        self._report(number, (), Report(-1, prepared.times, os.getpid(), rss_bytes()))
        if not modifies:
            self._report(
                number, labels[0], Report(0, prepared.times_zero(), os.getpid(), rss_bytes())
            )
            return _finish(context, subject, prepared, None)
        source = store.share(subject.data)
        if self._may_overwrite(subject, prepared, context, store):
            target, result = source, subject.data
        else:
            target, result = store.allocate((len(names), prepared.state.n_times))
        preparation.pass_through(subject, prepared, result)
        job = Job(
            steps=prepared.steps,
            source=source,
            target=target,
            names=names,
            n_workers=stage.n_workers,
            check=self._checked is not subject.data,
            cancel=None if stage_isolates(stage) else self.cancel,
            terms=context._noise if any(uses_noise(p) for p in subject.processors) else (),
        )
        if stage.kind == "global":
            self._compute_whole(number, job, subject, labels[0])
        else:
            backend = backends.get_backend(stage.backend)
            crumbs = store.breadcrumbs(len(groups)) if backend.isolates else None
            job = replace(job, breadcrumbs=crumbs)
            self._compute_batches(number, stage, job, groups, labels, backend)
        self._checked = result
        ours = all(isinstance(p, ArrayProcessor) for p in subject.processors)
        self._private = result if ours else None
        return _finish(context, subject, prepared, result)

    def _may_overwrite(
        self,
        subject: preparation.Subject,
        prepared: preparation.Prepared,
        context: ProcessingContext,
        store: Store,
    ) -> bool:
        """Whether the result may take the place of samples that only this run has seen."""
        if store.shared or subject.data is not self._private or len(prepared.steps) > 1:
            return False
        return can_overwrite(prepared.steps[0]) and not _needed(context, subject.data)

    def _prepare(
        self, subject: preparation.Subject, stage: Stage, store: Store
    ) -> preparation.Prepared:
        backend = backends.get_backend(stage.backend)
        call = (subject,)
        foreign = any(not isinstance(p, ArrayProcessor) for p in subject.processors)
        if not (backend.isolates and foreign):
            answer = preparation.prepare(*call)
        else:
            lean = (replace(subject, data=store.share(subject.data)),)
            try:
                answer = next(iter(backend.run(preparation.prepare, [lean], 1, self.cancel)))
            except backends.WorkerDied as error:
                name = subject.names[subject.reference]
                guilty = next(p for p in subject.processors if not isinstance(p, ArrayProcessor))
                index = subject.indices[list(subject.processors).index(guilty)]
                raise _died(preparation.Named(index, guilty), name) from error
        if isinstance(answer, Failure):
            raise _raise_from(answer, answer.cause)
        return answer

    def _compute_whole(
        self, number: int, job: Job, subject: preparation.Subject, labels: tuple[str, ...]
    ) -> None:
        step = job.steps[0]
        picks = [int(c) for c in subject.picks]
        rows = as_slice(picks)
        x, target = job.source.open()[rows], job.target.open()
        out = target[rows] if isinstance(rows, slice) else None
        wall = time.perf_counter()
        try:
            if job.check:
                check_finite(x, [subject.names[c] for c in picks])
            result, cpu_s = apply_step(step, x, picks, out, job.n_workers)
        except Exception as error:
            raise _raise_from(fail(error, 0, step, None, None), error) from error
        if out is None:
            target[rows] = result
        times = StepTime(step.index, time.perf_counter() - wall, cpu_s)
        self._report(number, labels, Report(0, (times,), os.getpid(), rss_bytes()))

    def _compute_batches(
        self,
        number: int,
        stage: Stage,
        job: Job,
        groups: list[list[int]],
        labels: tuple[tuple[str, ...], ...],
        backend: backends.Backend,
    ) -> None:
        pending = dict(enumerate(groups))
        one_by_one: list[int] = []
        while pending:
            todo = one_by_one[:1] or list(pending)
            calls = [(job, i, pending[i]) for i in todo]
            try:
                for answer in backend.run(run_batch, calls, stage.n_jobs, self.cancel):
                    if isinstance(answer, Failure):
                        raise _raise_from(answer, answer.cause)
                    pending.pop(answer.batch)
                    self._report(number, labels[answer.batch], answer)
            except backends.WorkerDied as error:
                started = _started(job, pending)
                if one_by_one:
                    batch = one_by_one[0]
                    step = job.steps[started.get(batch, 0)]
                    raise _died(step, ", ".join(labels[batch])) from error
                one_by_one = list(started) or list(pending)
                _wipe(job)
            else:
                one_by_one = one_by_one[1:]

    # ----------------------------------------------------------------------------------- events
    def _emit(self, event: Event) -> None:
        if self.on_event is not None:
            self.on_event(event)

    def _report(self, stage: int, channels: tuple[str, ...], report: Report) -> None:
        if report.batch == -1 and not report.step_times:
            return
        self._emit(
            BatchDone(
                time.time(),
                stage,
                report.batch,
                channels,
                report.step_times,
                report.pid,
                report.rss_bytes,
            )
        )


def stage_isolates(stage: Stage) -> bool:
    """Whether batches of `stage` run in other processes."""
    return backends.get_backend(stage.backend).isolates


def uses_noise(processor: Processor) -> bool:
    """Whether `processor` reads the estimated noise."""
    return getattr(processor, "uses_noise", False)


def run_alone(processor: ArrayProcessor, context: ProcessingContext) -> ProcessingContext:
    """Run one array step serially."""
    plan = make_plan(
        [processor],
        "serial",
        n_jobs=1,
        n_workers=1,
        backend="serial",
        batch_size=1,
        cores=1,
    )
    return Runner([processor], plan).run(context)


def _batches(picks: np.ndarray, stage: Stage) -> list[list[int]]:
    size = stage.batch_size or len(picks)
    return [[int(c) for c in picks[i : i + size]] for i in range(0, len(picks), size)]


def _needed(context: ProcessingContext, array: np.ndarray) -> bool:
    """Whether `context` still refers to `array`."""
    lineages = [context._lineage]
    for term in context._noise:
        lineages += [term.plus, term.minus]
    if any(lineage is not None and lineage.base is array for lineage in lineages):
        return True
    original = context.get_raw_original()
    return original is not None and original.preload and original._data is array


def _settle(context: ProcessingContext, store: Store) -> ProcessingContext:
    """Bring results that lie in the store's files into this process's memory."""
    if not store.shared or not context.has_raw():
        return context
    raw = context.get_raw()
    moved: dict[int, np.ndarray] = {}

    def move(array: np.ndarray) -> np.ndarray:
        if id(array) not in moved:
            moved[id(array)] = store.to_ram(array)
        return moved[id(array)]

    def move_lineage(lineage: Any) -> Any:
        return None if lineage is None else replace(lineage, base=move(lineage.base))

    data = recording.load_array(raw)
    if isinstance(data, np.memmap):
        raw = recording.replace_data(raw, move(data))
    new = context._derive(raw=raw)
    new._lineage = move_lineage(context._lineage)
    new._noise = tuple(
        replace(t, plus=move_lineage(t.plus), minus=move_lineage(t.minus)) for t in context._noise
    )
    return new


def _finish(
    context: ProcessingContext,
    subject: preparation.Subject,
    prepared: preparation.Prepared,
    result: np.ndarray | None,
) -> ProcessingContext:
    """Return the context after a stage."""
    new = context
    if result is not None:
        state = prepared.state
        raw = subject.header.attach(
            result, sfreq=state.sfreq, first_samp=state.first_samp, band=state.band
        )
        follows = all(p.channel_wise or getattr(p, "linear", False) for p in subject.processors)
        new = context._stepped(raw, prepared.steps) if follows else context.with_raw(raw)
    new = new.with_metadata(prepared.state.metadata)
    for step, notes in zip(prepared.steps, prepared.notes, strict=True):
        parameters = {**step.processor.get_parameters(), **notes}
        kind = type(step.processor).__name__
        entry = ProcessingStep(step.processor.name, kind, to_plain(parameters))
        new._history = (*new._history, entry)
    return new


def _started(job: Job, pending: dict[int, Any]) -> dict[int, int]:
    """Return batches that were begun and not ended, with the step they were at."""
    if job.breadcrumbs is None:
        return {}
    crumbs = np.array(job.breadcrumbs.open()[:, 0])
    return {i: int(crumbs[i]) for i in pending if crumbs[i] >= 0}


def _wipe(job: Job) -> None:
    if job.breadcrumbs is not None:
        job.breadcrumbs.open()[...] = -1.0


def _died(step: Any, channel: str) -> StepError:
    name = step.processor.name
    message = describe_failure(
        name,
        step.index,
        channel,
        "WorkerDied",
        "the worker process ended without an answer, twice: the step calls os._exit, crashes in "
        "compiled code, or was killed for want of memory. Run it with backend='serial' to see "
        "where, or with fewer n_jobs.",
    )
    return StepError(message, name, channel, step.index, "WorkerDied")


def _raise_from(failure: Failure, cause: BaseException | None) -> FacetError:
    error = failure.error()
    error.__cause__ = cause
    return error


def _failed(error: BaseException) -> RunFailed:
    if isinstance(error, StepError):
        return RunFailed(time.time(), str(error), error.step, error.index, error.channel)
    cancelled = isinstance(error, (RunCancelled, KeyboardInterrupt))
    message = str(error) or type(error).__name__
    return RunFailed(time.time(), message, cancelled=cancelled)
