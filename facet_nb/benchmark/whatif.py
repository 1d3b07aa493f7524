"""What more workers would give: recorded batch times, scheduled on workers that are not there."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from facet_nb.benchmark.measurement import Configuration, RunTrace, StageTrace, with_one_job
from facet_nb.benchmark.summary import SummaryRow
from facet_nb.benchmark.table import BenchmarkTable
from facet_nb.core.errors import ValidationError

WORKERS = tuple(range(1, 65))


@dataclass(frozen=True)
class Prediction:
    """Predicted beside measured wall time of one configuration, in s."""

    configuration: Configuration
    predicted_s: float
    measured_s: float

    @property
    def error(self) -> float:
        """Predicted over measured, minus 1."""
        return self.predicted_s / self.measured_s - 1.0


@dataclass(frozen=True)
class WhatIf:
    """A run's recorded batches on 1 to 64 simulated workers.

    Transfer, contention and start-up grow with real workers and are left out: the curve is what
    the batches allow at best. How far that is from the truth shows where it was measured.

    Attributes
    ----------
    mode : str
        Whose batches.
    workers : tuple of int
        Numbers of workers.
    wall_s, speedup : tuple of float
        Predicted wall time, in s, and speed-up against the table's base.
    checks : tuple of Prediction
        Predictions at configurations that were measured.
    """

    mode: str
    workers: tuple[int, ...]
    wall_s: tuple[float, ...]
    speedup: tuple[float, ...]
    checks: tuple[Prediction, ...]

    @property
    def worst_error(self) -> float:
        """Largest relative error at the measured numbers of workers; not-a-number without any."""
        return max((abs(c.error) for c in self.checks), default=float("nan"))


def schedule(durations_s: Sequence[float], workers: int) -> float:
    """Return when the last batch ends, if each goes to the first worker that is free.

    List scheduling (Graham 1969, doi:10.1137/0117039): what an executor without foresight does.

    Parameters
    ----------
    durations_s : sequence of float
        Time of each batch, in order, in s.
    workers : int
        Workers, 1 or more.

    Returns
    -------
    float
        In s.
    """
    free_s = [0.0] * max(1, min(workers, len(durations_s)))
    for duration in durations_s:
        heapq.heapreplace(free_s, free_s[0] + duration)
    return max(free_s)


def replay(trace: RunTrace, workers: int) -> float:
    """Return the wall time of a recorded run with another number of workers, in s."""
    outside_s = trace.wall_s - sum(stage.wall_s for stage in trace.stages)
    return outside_s + sum(_replay_stage(stage, workers) for stage in trace.stages)


def ask_what_if(
    table: BenchmarkTable,
    mode: str = "channel_sequential",
    *,
    workers: Sequence[int] = WORKERS,
    batch_size: int = 1,
) -> WhatIf:
    """Return what `mode` would take with other numbers of outer workers.

    Parameters
    ----------
    table : BenchmarkTable
        Measurements; one of `mode` with one worker among them (serial, for ``"parallel"``).
    mode : str
        Mode whose batches are rescheduled, e.g. ``"channel_sequential"`` or ``"parallel"``.
    workers : sequence of int
        Numbers of workers to simulate.
    batch_size : int
        Channels in one batch.

    Raises
    ------
    ValidationError
        If the run with one worker was not measured.
    """
    start = with_one_job(mode, batch_size=batch_size)
    row = table.find(start)
    if row is None or not row.point.usable or row.point.trace is None or table.base is None:
        raise ValidationError(
            f"{start.label} was not measured: what-if schedules its batches. Add it to the table."
        )
    trace = row.point.trace
    walls = tuple(replay(trace, n) for n in workers)
    checks = tuple(
        Prediction(r.configuration, replay(trace, r.configuration.n_jobs), r.wall_s)
        for r in table.rows
        if _belongs(r, mode, start)
    )
    base_s = table.base.wall_s
    return WhatIf(mode, tuple(workers), walls, tuple(base_s / w for w in walls), checks)


def _belongs(row: SummaryRow, mode: str, start: Configuration) -> bool:
    c = row.configuration
    same = c == start or (c.mode == mode and c.n_workers == 1 and c.batch_size == start.batch_size)
    return same and row.point.usable and not row.machine


def _replay_stage(stage: StageTrace, workers: int) -> float:
    if not stage.splits or not stage.batches:
        return stage.wall_s
    durations = [b.stop_s - b.start_s for b in stage.batches]
    first, last = min(b.start_s for b in stage.batches), max(b.stop_s for b in stage.batches)
    return stage.wall_s - (last - first) + schedule(durations, workers)
