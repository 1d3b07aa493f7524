"""Simulate more workers by rescheduling recorded batch times."""

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
    """Predicted and measured wall time of one configuration, in s."""

    configuration: Configuration
    predicted_s: float
    measured_s: float

    @property
    def error(self) -> float:
        """Relative error: predicted over measured time, minus 1."""
        return self.predicted_s / self.measured_s - 1.0


@dataclass(frozen=True)
class WhatIf:
    """The recorded batches of a run on simulated workers.

    Transfer, contention and start-up, which grow with real workers, are ignored: the curve is an
    upper bound of the speed-up. The checks show how close it is at measured configurations.

    Attributes
    ----------
    mode : str
        The mode whose batches are rescheduled.
    workers : tuple of int
        Numbers of workers.
    wall_s, speedup : tuple of float
        Predicted wall time, in s, and speed-up over the base of the table.
    checks : tuple of Prediction
        Predictions for measured configurations.
    """

    mode: str
    workers: tuple[int, ...]
    wall_s: tuple[float, ...]
    speedup: tuple[float, ...]
    checks: tuple[Prediction, ...]

    @property
    def worst_error(self) -> float:
        """Largest relative error at measured configurations; NaN without any."""
        return max((abs(c.error) for c in self.checks), default=float("nan"))


def schedule(durations_s: Sequence[float], workers: int) -> float:
    """Return when the last batch ends if each goes to the first free worker.

    This is list scheduling (Graham 1969, doi:10.1137/0117039), as in an executor that does not
    know durations in advance.

    Parameters
    ----------
    durations_s : sequence of float
        Time of each batch, in order, in s.
    workers : int
        Number of workers, at least 1.

    Returns
    -------
    float
        End of the last batch, in s.
    """
    free_s = [0.0] * max(1, min(workers, len(durations_s)))
    for duration in durations_s:
        heapq.heapreplace(free_s, free_s[0] + duration)
    return max(free_s)


def replay(trace: RunTrace, workers: int) -> float:
    """Return the simulated wall time of a recorded run with `workers` workers, in s."""
    outside_s = trace.wall_s - sum(stage.wall_s for stage in trace.stages)
    return outside_s + sum(_replay_stage(stage, workers) for stage in trace.stages)


def ask_what_if(
    table: BenchmarkTable,
    mode: str = "channel_sequential",
    *,
    workers: Sequence[int] = WORKERS,
    batch_size: int = 1,
) -> WhatIf:
    """Predict the time of `mode` with other numbers of outer workers.

    Parameters
    ----------
    table : BenchmarkTable
        Measurements, including `mode` with one worker (for ``"parallel"``: serial).
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
            f"{start.label} was not measured, but its batches are needed: add it to the table."
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
    # Only the span of the batches is replaced: preparation and the end of the stage stay.
    first, last = min(b.start_s for b in stage.batches), max(b.stop_s for b in stage.batches)
    return stage.wall_s - (last - first) + schedule(durations, workers)
