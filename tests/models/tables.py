"""Benchmark tables with known figures: nothing is measured for them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from facet_nb.benchmark import (
    Advice,
    BenchmarkDone,
    BenchmarkFailed,
    BenchmarkPoint,
    BenchmarkStarted,
    BenchmarkTable,
    Configuration,
    Environment,
    MemoryUse,
    PointMeasured,
    PointStarted,
    Subject,
)
from facet_nb.benchmark.measurement import Band, ProcessTimeline
from facet_nb.core.errors import RunCancelled

SERIAL = Configuration()
TWO = Configuration("channel_sequential", "threading", 2, 1, 1)
FOUR = Configuration("parallel", "threading", 4, 1, 1)
INNER = Configuration("serial", "serial", 1, 2, 1)


def make_table(n_repeats: int = 5, memory: bool = True, **changes: Any) -> BenchmarkTable:
    """Return a table in which two workers are 1.8 times and four 2.5 times as fast as one."""
    subject = Subject(4, 7500, 500.0, ("Halve()",), "Chain", "simulation")
    table = BenchmarkTable(Environment(processor="a test", cores_allowed=4), subject)
    speeds = {SERIAL: 1.0, INNER: 1.02, TWO: 1.8, FOUR: 2.5}
    for number, (configuration, speed) in enumerate(speeds.items()):
        # The spread of a block is the same for all: ratios are taken within it.
        walls = tuple((1.0 + 0.01 * ((i * 7 + 3 * number) % 5)) / speed for i in range(n_repeats))
        table = table.append(
            BenchmarkPoint(
                configuration,
                table.environment.id,
                subject.id,
                wall_s=walls,
                cpu_s=walls,
                blocks=tuple(range(n_repeats)),
                cold_start_s=1.0,
                memory=make_memory(100.0 + 40 * number) if memory else None,
                max_abs_diff_v=changes.get("differs", {}).get(configuration, 0.0),
            )
        )
    return table


def make_memory(peak_mb: float) -> MemoryUse:
    """Return a course of memory with a peak."""
    times, mb = (0.0, 0.5, 1.0), (50.0, peak_mb, 60.0)
    process = ProcessTimeline("main", times, mb, times, mb, mb, peak_mb)
    return MemoryUse(
        peak_mb, peak_mb, peak_mb, peak_mb, 50.0, "made up", 0.0, 3, (process,), (Band("a", 0, 1),)
    )


def measure(
    pipeline,
    source,
    *,
    on_event,
    cancel,
    pause_s=0.0,
    gate=None,
    fail=False,
    table=None,
    **settings,
):
    """Grow a table (the one above by default) with the events that a benchmark sends.

    With a ``gate`` (a folder) each run waits until a file of its number is there, or ``all``.
    """
    full = make_table() if table is None else table
    empty = replace(full, points=())
    now = time.time
    on_event(BenchmarkStarted(now(), tuple(p.configuration for p in full.points), empty, 60.0))
    table, total = empty, len(full.points) * full.points[0].n_repeats
    done = 0
    for repeat in range(1, full.points[0].n_repeats + 1):
        for number, point in enumerate(full.points):
            started = PointStarted(now(), point.configuration, "time", repeat, done, total, 1.0)
            on_event(started)
            while gate is not None and not _is_open(gate, done):
                if cancel.wait(0.05) or cancel.cancelled:
                    break
            if cancel.wait(pause_s) or cancel.cancelled:
                on_event(BenchmarkFailed(now(), "cancelled", table, True))
                raise RunCancelled("the benchmark was cancelled.")
            if fail:
                on_event(BenchmarkFailed(now(), "it broke", table))
                raise ValueError("it broke")
            grown = [_cut(p, repeat) for p in full.points[: number + 1]]
            before = [_cut(p, repeat - 1) for p in full.points[number + 1 :]]
            table = replace(full, points=tuple(p for p in (*grown, *before) if p.n_repeats))
            done += 1
            on_event(PointMeasured(now(), point, table, "time", done, total, 0.5))
    on_event(BenchmarkDone(now(), full, 1.0))
    return full


def _is_open(gate, number):
    return (gate / str(number)).exists() or (gate / "all").exists()


def _cut(point: BenchmarkPoint, n: int) -> BenchmarkPoint:
    return replace(point, wall_s=point.wall_s[:n], cpu_s=point.cpu_s[:n], blocks=point.blocks[:n])


def advise(pipeline, source, *, goal, table):
    """Recommend two workers."""
    return Advice(
        mode=TWO.mode,
        backend=TWO.backend,
        n_jobs=2,
        n_workers=1,
        batch_size=1,
        predicted_wall_s=0.55,
        predicted_peak_mb=180.0,
        wall_interval_s=(0.5, 0.6),
        peak_interval_mb=(170.0, 190.0),
        runner_up=FOUR,
        reason=f"it is the {goal} one",
        evidence=("a table of 20 runs",),
        code="pipeline.run(context, n_jobs=2)",
    )
