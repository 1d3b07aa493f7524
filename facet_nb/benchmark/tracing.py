"""Traces: where the time of a run went, derived from its events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from facet_nb.benchmark.measurement import Band, BatchTime, RunTrace, StageTrace
from facet_nb.core.events import BatchDone, Event, RunDone, RunStarted, StageDone, StageStarted
from facet_nb.core.planning.plan import Stage
from facet_nb.core.processor import Processor
from facet_nb.core.steps import changes_samples


@dataclass
class _Stage:
    start_s: float
    stop_s: float = 0.0
    prepare_s: dict[int, float] = field(default_factory=dict)
    steps: tuple[int, ...] = ()
    batches: list[BatchTime] = field(default_factory=list)
    wall_s: dict[int, float] = field(default_factory=dict)
    cpu_s: dict[int, float] = field(default_factory=dict)


def trace_run(
    events: Iterable[Event], stages: Sequence[Stage], processors: Sequence[Processor]
) -> RunTrace:
    """Return the trace of a complete run.

    Parameters
    ----------
    events : iterable of Event
        All events of the run, in order.
    stages : sequence of Stage
        The stages of its plan.
    processors : sequence of Processor
        The steps of its pipeline.
    """
    zero_s, wall_s = 0.0, 0.0
    found: dict[int, _Stage] = {}
    workers: dict[tuple[int, int], str] = {}
    for event in events:
        if isinstance(event, RunStarted):
            zero_s = event.time_s
        elif isinstance(event, StageStarted):
            found[event.stage] = _Stage(event.time_s - zero_s, steps=event.steps)
        elif isinstance(event, BatchDone):
            _note(found[event.stage], event, zero_s, workers)
        elif isinstance(event, StageDone):
            found[event.stage].stop_s = event.time_s - zero_s
        elif isinstance(event, RunDone):
            wall_s = event.wall_s
    return RunTrace(
        wall_s, tuple(_freeze(s, stages[i], processors) for i, s in sorted(found.items()))
    )


def list_bands(trace: RunTrace) -> tuple[Band, ...]:
    """Return the time spans of the stages, for plots."""
    return tuple(Band(" → ".join(s.names), s.start_s, s.stop_s) for s in trace.stages)


def _note(
    stage: _Stage, event: BatchDone, zero_s: float, workers: dict[tuple[int, int], str]
) -> None:
    for t in event.step_times:
        stage.wall_s[t.step] = stage.wall_s.get(t.step, 0.0) + t.wall_s
        stage.cpu_s[t.step] = stage.cpu_s.get(t.step, 0.0) + t.cpu_s
    compute_s = sum(t.wall_s for t in event.step_times)
    if event.batch < 0:  # the preparation before the batches
        for t in event.step_times:
            stage.prepare_s[t.step] = stage.prepare_s.get(t.step, 0.0) + t.wall_s
        return
    stop_s = (event.ended_s or event.time_s) - zero_s
    start_s = event.began_s - zero_s if event.began_s else stop_s - compute_s
    # Threads of one process are workers of their own, and so are processes with equal thread ids.
    name = workers.setdefault((event.pid, event.thread), f"worker {len(workers) + 1}")
    cpu_s = sum(t.cpu_s for t in event.step_times)
    stage.batches.append(BatchTime(name, _us(start_s), _us(stop_s), _us(compute_s), _us(cpu_s)))


def _freeze(stage: _Stage, plan: Stage, processors: Sequence[Processor]) -> StageTrace:
    steps = [processors[i] for i in plan.steps]
    # A stage that changes no samples only reads the reference channel: it has a single batch.
    splits = plan.kind == "channel_wise" and all(p.parallel_safe for p in steps)
    return StageTrace(
        kind=plan.kind,
        names=plan.names,
        start_s=_us(stage.start_s),
        stop_s=_us(stage.stop_s),
        prepare_s=_us(sum(stage.prepare_s.values())),
        step_wall_s=tuple(_us(stage.wall_s.get(i, 0.0)) for i in stage.steps),
        step_cpu_s=tuple(_us(stage.cpu_s.get(i, 0.0)) for i in stage.steps),
        batches=tuple(sorted(stage.batches, key=lambda b: b.start_s)),
        n_jobs=max(1, min(plan.n_jobs, len(stage.batches))),
        step_prepare_s=tuple(_us(stage.prepare_s.get(i, 0.0)) for i in stage.steps),
        splits=splits and any(changes_samples(p) for p in steps),
    )


def _us(seconds: float) -> float:
    """Round a time to microseconds, which keeps files small."""
    return round(seconds, 6)
