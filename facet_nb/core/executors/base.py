"""The loop: takes a plan's stages one by one, makes batches, writes rows, says what happened."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import (
    FacetError,
    PlanError,
    RunCancelled,
    StepError,
    describe_failure,
)
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
from facet_nb.core.executors import (
    backends,
    blas,
    compiler,
    outcome,
    preparation,
    scratch,
    staging,
)
from facet_nb.core.executors.cancel import CancelToken, FileToken
from facet_nb.core.executors.store import FileArray, Store
from facet_nb.core.executors.task import (
    FAILURES,
    Failure,
    Job,
    JobFile,
    Report,
    apply_step,
    as_slice,
    can_overwrite,
    check_finite,
    fail,
    rss_bytes,
    run_batch,
)
from facet_nb.core.lineage import parts_of
from facet_nb.core.plan import Plan, Stage, make_plan
from facet_nb.core.processor import ArrayProcessor, Processor
from facet_nb.core.steps import ArrayStep, ChannelStep, changes_samples
from facet_nb.core.track import Change, Track, find_change


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
    _checked: weakref.ref | None = None  # samples known to be finite
    _private: weakref.ref | None = None  # samples that no processor of anyone's has seen

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
        compiler.note_missing()
        plan = self.plan
        names = tuple(p.name for p in self.processors)
        now = time.time()
        n = len(plan.stages)
        self._emit(RunStarted(now, plan.mode, plan.backend, plan.n_jobs, plan.n_workers, names, n))
        isolated = any(stage_isolates(s) for s in plan.stages)
        store = Store(shared=isolated, spill=plan.spill)
        try:
            self._preflight()
            with blas.one_thread():
                for number, stage in enumerate(plan.stages):
                    context = self._run_stage(number, stage, context, store)
            context = outcome.settle(context, store)
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
        outcome.release(context, new, store)
        self._emit(StageDone(time.time(), number, time.perf_counter() - begin))
        return new

    # ------------------------------------------------------------------ one step, all channels
    def _run_global(
        self, number: int, stage: Stage, context: ProcessingContext
    ) -> ProcessingContext:
        index = stage.steps[0]
        processor = self.processors[index]
        if self.plan.spill and hasattr(processor, "left_in_file"):
            processor = processor.left_in_file()
        everything = ("all channels",)
        self._emit(StageStarted(time.time(), number, stage.steps, (everything,), stage.reason))
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            new = preparation.run_shielded(processor, context)
        except FAILURES as error:
            step = preparation.Named(index, processor)
            raise _raise_from(fail(error, 0, step, None, None), error) from error
        times = StepTime(index, time.perf_counter() - wall, time.thread_time() - cpu)
        self._report(number, everything, Report(0, (times,), os.getpid(), rss_bytes()))
        return new

    # ------------------------------------------------------------------------ steps over arrays
    def _run_arrays(
        self, number: int, stage: Stage, context: ProcessingContext, store: Store
    ) -> ProcessingContext:
        context = staging.bring_in(context, store, self.cancel.check)
        subject = self._subject(stage, context)
        names, picks = subject.names, subject.picks
        groups = _batches(picks, stage)
        stage = replace(stage, n_jobs=min(stage.n_jobs, len(groups)))  # no idle workers
        modifies = any(changes_samples(p) for p in subject.processors)
        if not modifies:
            groups = [[subject.references[0]]]
        labels = tuple(tuple(names[c] for c in group) for group in groups)
        self._emit(StageStarted(time.time(), number, stage.steps, labels, stage.reason))
        prepared = self._prepare(subject, stage)
        self._report(number, (), Report(-1, prepared.times, os.getpid(), rss_bytes()))
        if not modifies:
            self._report(
                number, labels[0], Report(0, prepared.times_zero(), os.getpid(), rss_bytes())
            )
            return outcome.finish(context, subject, prepared, None)
        source = store.share(subject.data)
        if self._may_overwrite(subject, prepared, context, store):
            target, result = source, subject.data
        else:
            target, result = store.allocate((len(names), prepared.state.n_times))
        preparation.pass_through(subject, prepared, result)
        asks = any(step.uses_noise for step in prepared.steps)
        job = Job(
            steps=prepared.steps,
            source=source,
            target=target,
            names=names,
            n_workers=stage.n_workers,
            check=self._checked is None or self._checked() is not subject.data,
            terms=subject.terms if asks else (),
        )
        if stage.kind == "global":
            self._compute_whole(number, job, subject, labels[0])
        else:
            self._compute_batches(number, stage, job, groups, labels, store)
        scratch.forget(subject.data, result)
        self._checked = weakref.ref(result)
        ours = all(isinstance(p, ArrayProcessor) for p in subject.processors)
        self._private = weakref.ref(result) if ours else None
        return outcome.finish(context, subject, prepared, result)

    def _subject(self, stage: Stage, context: ProcessingContext) -> preparation.Subject:
        try:
            return preparation.Subject.of(context, stage, self.processors, self.plan.fusions)
        except FAILURES as error:
            step = preparation.Named(stage.steps[0], self.processors[stage.steps[0]])
            raise _raise_from(fail(error, 0, step, None, None), error) from error

    def _may_overwrite(
        self,
        subject: preparation.Subject,
        prepared: preparation.Prepared,
        context: ProcessingContext,
        store: Store,
    ) -> bool:
        """Whether the result may take the place of samples that only this run has seen."""
        private = None if self._private is None else self._private()
        if store.shared or store.spill or subject.data is not private or len(prepared.steps) > 1:
            return False
        step = prepared.steps[0]
        if context._lineage is None and find_change(step) is Change.CORRECTION:
            return False  # its noise begins with these samples
        return can_overwrite(step) and not outcome.needs(context, subject.data)

    def _prepare(self, subject: preparation.Subject, stage: Stage) -> preparation.Prepared:
        backend = backends.get_backend(stage.backend)

        def attempt(step: ChannelStep, row: np.ndarray, channel: int) -> Any:
            return self._try_far(backend, stage, subject, (step, row, channel))

        if backend.isolates:
            answer = preparation.prepare(subject, attempt)
        else:
            answer = preparation.prepare(subject)
        if isinstance(answer, Failure):
            raise _raise_from(answer, answer.cause)
        return answer

    def _try_far(
        self, backend: backends.Backend, stage: Stage, subject: preparation.Subject, call: tuple
    ) -> Any:
        """Run anyone's step on its reference channel in a worker: it may end its process."""
        for last in (False, True):
            try:
                stop = CancelToken(self.cancel)
                return next(iter([*backend.run(preparation.try_far, [call], stage.n_jobs, stop)]))
            except backends.WorkerDied as error:
                if last:
                    raise _died(call[0], subject.names[call[2]]) from error
        return None

    def _compute_whole(
        self, number: int, job: Job, subject: preparation.Subject, labels: tuple[str, ...]
    ) -> None:
        step = job.steps[0]
        picks = [int(c) for c in subject.picks]
        if isinstance(job.target, FileArray) and isinstance(step, ArrayStep) and not job.terms:
            self._compute_mapped(number, job, picks, labels)
            return
        rows = as_slice(picks)
        x, target = job.source.open()[rows], job.target.open()
        out = target[rows] if isinstance(rows, slice) else None
        wall = time.perf_counter()
        try:
            if job.check:
                check_finite(x, [subject.names[c] for c in picks])
            result, cpu_s = apply_step(step, x, picks, out, job.n_workers, _noise(job, x, picks))
        except FAILURES as error:
            raise _raise_from(fail(error, 0, step, None, None), error) from error
        if out is None:
            target[rows] = result
        times = StepTime(step.index, time.perf_counter() - wall, cpu_s)
        self._report(number, labels, Report(0, (times,), os.getpid(), rss_bytes()))

    def _compute_mapped(
        self, number: int, job: Job, picks: list[int], labels: tuple[str, ...]
    ) -> None:
        step, wall, cpu = job.steps[0], time.perf_counter(), time.thread_time()
        assert isinstance(step, ArrayStep)
        source, target = job.source.open(), job.target.open()
        try:
            staging.compute_in_parts(step, source, target, picks, job.names)
        except FAILURES as error:
            raise _raise_from(fail(error, 0, step, None, None), error) from error
        times = StepTime(step.index, time.perf_counter() - wall, time.thread_time() - cpu)
        self._report(number, labels, Report(0, (times,), os.getpid(), rss_bytes()))

    def _compute_batches(
        self,
        number: int,
        stage: Stage,
        job: Job,
        groups: list[list[int]],
        labels: tuple[tuple[str, ...], ...],
        store: Store,
    ) -> None:
        backend = backends.get_backend(stage.backend)
        crumbs = file = None
        if backend.isolates:
            crumbs = store.breadcrumbs(len(groups))
            known = None if crumbs is None else FileToken(crumbs.path)
            file = _write(replace(job, breadcrumbs=crumbs, cancel=known), store)
        pending = dict(enumerate(groups))
        suspects: list[int] = []
        while pending:
            stop = CancelToken(self.cancel)
            ref = file or replace(job, cancel=stop)
            calls = [(ref, i, pending[i]) for i in suspects[:1] or list(pending)]
            try:
                for answer in backend.run(run_batch, calls, stage.n_jobs, stop):
                    if isinstance(answer, Failure):
                        raise _raise_from(answer, answer.cause)
                    pending.pop(answer.batch)
                    self._report(number, labels[answer.batch], answer)
            except backends.WorkerDied as error:
                started = _started(crumbs, pending)
                if suspects:
                    batch = suspects[0]
                    step = job.steps[started.get(batch, 0)]
                    raise _died(step, ", ".join(labels[batch])) from error
                suspects = list(started) or list(pending)
                _wipe(crumbs)
            else:
                suspects = suspects[1:]

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
                report.began_s,
                report.ended_s,
                report.thread,
            )
        )


def stage_isolates(stage: Stage) -> bool:
    """Whether batches of `stage` run in other processes."""
    return backends.get_backend(stage.backend).isolates


def run_alone(processor: Processor, context: ProcessingContext) -> ProcessingContext:
    """Run one step serially."""
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


def _noise(job: Job, x: np.ndarray, picks: Sequence[int]) -> np.ndarray | None:
    """Return the noise so far, where the one step of `job` uses it."""
    if not job.steps[0].uses_noise:
        return None
    return Track(x, picks, 1, parts_of(job.terms, picks)).noise()


def _write(job: Job, store: Store) -> JobFile:
    """Put `job` where workers read it; samples that it refers to, too."""
    terms = tuple(term.move(store.share) for term in job.terms)
    first = job.steps[0]
    name = first.processor.name
    try:
        path = store.write(backends.dumps(replace(job, terms=terms)))
    except FacetError:
        raise
    except Exception as error:
        raise PlanError(
            f"the decisions of {', '.join(s.processor.name for s in job.steps)} cannot be sent to "
            f"worker processes ({error}). Use backend='threading', or keep open files, locks and "
            "connections out of what prepare() returns."
        ) from error
    return JobFile(path, first.index, name)


def _started(crumbs: FileArray | None, pending: dict[int, Any]) -> dict[int, int]:
    """Return batches that were begun and not ended, with the step they were at."""
    if crumbs is None:
        return {}
    at = np.array(crumbs.open()[:, 0])
    return {i: int(at[i]) for i in pending if at[i] >= 0}


def _wipe(crumbs: FileArray | None) -> None:
    if crumbs is not None:
        crumbs.open()[...] = -1.0


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
