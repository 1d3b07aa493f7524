"""The loop: takes a plan's stages one by one, makes batches, writes rows, says what happened."""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from facet_nb.core.backends import registry
from facet_nb.core.backends.base import check_picklable
from facet_nb.core.cancel import CancelToken
from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import RunCancelled, StepError
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
from facet_nb.core.execution import prepare, runner, stage_input, stage_output, threads
from facet_nb.core.execution.batch import can_overwrite
from facet_nb.core.execution.checkpoint import Checkpoint, hold_checkpoint
from facet_nb.core.execution.dispatch import BatchDispatcher
from facet_nb.core.execution.global_step import compute_whole, run_read_only, run_task
from facet_nb.core.execution.job import FAILURES, Job, Report, fail
from facet_nb.core.execution.prepare import Decisions
from facet_nb.core.execution.stage import Named, Prepared, StageInput
from facet_nb.core.memory import rss_bytes
from facet_nb.core.noise import Change
from facet_nb.core.planning.plan import Plan, Stage, count_chunk
from facet_nb.core.planning.planner import make_plan
from facet_nb.core.processor import ArrayProcessor, Processor
from facet_nb.core.steps import changes_samples
from facet_nb.core.storage import scratch, shared_memory
from facet_nb.core.storage.array_store import Store
from facet_nb.kernels.compiled.dispatch import has_compiler


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
    timeout_s : float | None
        How long a task (a batch, or a step over all channels) may take.
    checkpoint : path | None
        Folder that keeps what is finished.
    """

    processors: Sequence[Processor]
    plan: Plan
    on_event: Callable[[Event], None] | None = None
    cancel: CancelToken = field(default_factory=CancelToken)
    timeout_s: float | None = None
    checkpoint: str | Path | None = None
    _kept: Checkpoint | None = None
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
        runner.note_missing()
        plan = self.plan
        names = tuple(p.name for p in self.processors)
        now = time.time()
        n = len(plan.stages)
        self._emit(RunStarted(now, plan.mode, plan.backend, plan.n_jobs, plan.n_workers, names, n))
        isolated = any(stage_isolates(s) for s in plan.stages)
        store = Store(isolated, plan.spill, isolated and self._shares_memory())
        try:
            self._preflight()
            with threads.one_thread(), hold_checkpoint(self.checkpoint) as self._kept:
                for number, stage in enumerate(plan.stages):
                    context = self._run_stage(number, stage, context, store)
                context = stage_output.settle(context, store)
        except BaseException as error:
            self._emit(_failed(error))
            raise
        finally:
            store.close()
        self._emit(RunDone(time.time(), time.perf_counter() - begin))
        return context

    def _shares_memory(self) -> bool:
        stages = [registry.get_backend(s.backend) for s in self.plan.stages]
        return shared_memory.is_usable() and not any(b.isolates and not b.local for b in stages)

    def _preflight(self) -> None:
        far = [s for s in self.plan.stages if stage_isolates(s)]
        steps = sorted({i for stage in far for i in stage.steps})
        check_picklable([(self.processors[i].name, self.processors[i]) for i in steps])

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
        stage_output.release(context, new, store)
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
        step = Named(index, processor)
        new = run_task(
            lambda _: run_read_only(processor, context), step, self.timeout_s, self.cancel
        )
        times = StepTime(index, time.perf_counter() - wall, time.thread_time() - cpu)
        self._report(number, everything, Report(0, (times,), os.getpid(), rss_bytes()))
        return new

    # ------------------------------------------------------------------------ steps over arrays
    def _run_arrays(
        self, number: int, stage: Stage, context: ProcessingContext, store: Store
    ) -> ProcessingContext:
        found = self._bring_in(stage, context, store)
        context = found.context
        subject = self._subject(stage, context, found.samples)
        names, picks = subject.names, subject.picks
        groups = _batches(picks, stage)
        stage = replace(stage, n_jobs=min(stage.n_jobs, len(groups)))  # no idle workers
        modifies = any(changes_samples(p) for p in subject.processors)
        if not modifies:
            groups = [[subject.references[0]]]
        labels = tuple(tuple(names[c] for c in group) for group in groups)
        self._emit(StageStarted(time.time(), number, stage.steps, labels, stage.reason))
        decisions = Decisions(subject, stage, store, self.cancel, self.timeout_s, self._kept)
        prepared = decisions.make()
        self._report(number, (), Report(-1, prepared.times, os.getpid(), rss_bytes()))
        if not modifies:
            self._report(
                number, labels[0], Report(0, prepared.times_zero(), os.getpid(), rss_bytes())
            )
            return stage_output.finish(context, subject, prepared, None)
        source, fill = store.lend(subject.data, stage_isolates(stage))
        kept = None if self._kept is None else self._kept.keep(subject, prepared)
        streams = found.origin is not None and _writes_over(stage)
        origin = None
        if kept is not None:
            target, result = store.adopt(str(kept.path), kept.shape)
        elif self._may_overwrite(subject, prepared, context, store):
            target, result = source, subject.data
        elif fill is not None and subject.data.shape[1] == prepared.state.n_times:
            target, result = source, store.open(source)
        elif streams and prepared.state.n_times == subject.state.n_times:
            target, result, origin = source, subject.data, found.origin
        else:
            shape = len(names), prepared.state.n_times
            target, result = store.allocate(shape, subject.data.dtype.name)
        if not prepare.pass_through(subject, prepared, result):
            target, result = store.allocate((len(names), prepared.state.n_times))
            prepare.pass_through(subject, prepared, result)
        asks = any(step.uses_noise for step in prepared.steps)
        job = Job(
            steps=prepared.steps,
            source=source,
            target=target,
            names=names,
            n_workers=stage.n_workers,
            check=self._checked is None or self._checked() is not subject.data,
            log=None if kept is None else kept.log,
            terms=subject.terms if asks else (),
            chunk=count_chunk(stage, subject.state.sfreq),
        )
        done = {} if kept is None else kept.restore(result, [int(i) for i in picks])
        if stage.kind == "global":
            self._compute_whole(number, job, groups[0], labels[0], done)
        else:
            self._compute_batches(number, stage, job, groups, labels, store, done, fill)
        if self._kept is not None and kept is not None:
            self._kept.learn_digests(result, done)
        scratch.forget(subject.data, result)
        self._checked = weakref.ref(result)
        ours = all(isinstance(p, ArrayProcessor) for p in subject.processors)
        self._private = weakref.ref(result) if ours else None
        return stage_output.finish(context, subject, prepared, result, origin)

    def _bring_in(
        self, stage: Stage, context: ProcessingContext, store: Store
    ) -> stage_input.Source:
        """Return the samples for a stage; whoever keeps a checkpoint compares them in float64."""
        sees_all = any(
            getattr(self.processors[i], "needs", "reference") == "all" for i in stage.steps
        )
        simple = self._kept is not None or sees_all
        return stage_input.bring_in(
            context,
            store,
            self.cancel.check,
            dtype="float64" if simple else stage.dtype,
            once=not simple and _writes_over(stage),
        )

    def _subject(
        self, stage: Stage, context: ProcessingContext, samples: np.ndarray | None
    ) -> StageInput:
        try:
            return StageInput.of(context, stage, self.processors, self.plan.fusions, samples)
        except FAILURES as error:
            step = Named(stage.steps[0], self.processors[stage.steps[0]])
            raise fail(error, 0, step, None, None).error() from error

    def _may_overwrite(
        self,
        subject: StageInput,
        prepared: Prepared,
        context: ProcessingContext,
        store: Store,
    ) -> bool:
        """Whether the result may take the place of samples that only this run has seen."""
        private = None if self._private is None else self._private()
        if store.shared or store.spill or subject.data is not private or len(prepared.steps) > 1:
            return False
        if store.holds(subject.data):
            return False  # a checkpoint's
        step = prepared.steps[0]
        if context._lineage is None and step.change is Change.CORRECTION:
            return False  # its noise begins with these samples
        return can_overwrite(step) and not stage_output.needs(context, subject.data)

    def _compute_whole(
        self,
        number: int,
        job: Job,
        picks: list[int],
        labels: tuple[str, ...],
        done: dict[int, str],
    ) -> None:
        if len(done) == len(picks):
            self._report_restored(number, 0, labels, [job.steps[0].index])
            return
        times, digests = compute_whole(job, picks, self.timeout_s, self.cancel)
        done.update(digests)
        self._report(number, labels, Report(0, (times,), os.getpid(), rss_bytes()))

    def _compute_batches(
        self,
        number: int,
        stage: Stage,
        job: Job,
        groups: list[list[int]],
        labels: tuple[tuple[str, ...], ...],
        store: Store,
        done: dict[int, str],
        fill: Callable[[Sequence[int]], None] | None,
    ) -> None:
        """Compute what is not `done`, and add it to that."""
        batches = {i: [c for c in group if c not in done] for i, group in enumerate(groups)}
        for i in [i for i, rows in batches.items() if not rows]:
            self._report_restored(number, i, labels[i], stage.steps)
            del batches[i]

        def report(answer: Report) -> None:
            done.update(zip(batches[answer.batch], answer.digests, strict=False))
            self._report(number, labels[answer.batch], answer)

        attempts = BatchDispatcher(stage, job, labels, store, self.cancel, self.timeout_s, fill)
        attempts.run(batches, report)

    # ----------------------------------------------------------------------------------- events
    def _emit(self, event: Event) -> None:
        if self.on_event is not None:
            self.on_event(event)

    def _report(self, stage: int, channels: tuple[str, ...], report: Report) -> None:
        if report.batch == -1 and not report.step_times:
            return
        times = report.step_times
        if report.batch >= 0:
            times = self.plan.fusions.spread(times)
        self._emit(
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

    def _report_restored(
        self, stage: int, batch: int, channels: tuple[str, ...], steps: Sequence[int]
    ) -> None:
        times = tuple(StepTime(i, 0.0, 0.0) for i in steps)
        self._report(stage, channels, Report(batch, times, os.getpid(), rss_bytes(), restored=True))


def _writes_over(stage: Stage) -> bool:
    """Whether a stage may write over its input in a file: a batch is never computed twice."""
    return stage.chunk_duration_s is not None and not stage_isolates(stage)


def stage_isolates(stage: Stage) -> bool:
    """Whether batches of `stage` run in other processes."""
    return registry.get_backend(stage.backend).isolates


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


def _failed(error: BaseException) -> RunFailed:
    if isinstance(error, StepError):
        return RunFailed(time.time(), str(error), error.step, error.index, error.channel)
    cancelled = isinstance(error, (RunCancelled, KeyboardInterrupt))
    message = str(error) or type(error).__name__
    return RunFailed(time.time(), message, cancelled=cancelled)


logger = logging.getLogger("facet_nb")


@lru_cache(maxsize=1)
def note_missing() -> None:
    """Log, once in a process, that numba is missing or switched off."""
    if not has_compiler():
        logger.warning(
            "numba is missing, or switched off by NUMBA_DISABLE_JIT: kernels run in numpy and "
            "scipy, with the same results to rounding, in two to ten times the time. Install it "
            "with: pip install numba"
        )
