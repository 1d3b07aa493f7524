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
    """The recorded batches of a run on simulated workers: a prediction, not a measurement.

    Batches that run at once share the memory's bandwidth, and slow each other down. The slowdown
    is fitted to measured numbers of workers. It grows with each worker, so that the throughput has
    a ceiling. Transfer and start-up are those of the recorded run.

    Attributes
    ----------
    mode : str
        The mode whose batches are rescheduled.
    workers : tuple of int
        Numbers of workers.
    wall_s, speedup : tuple of float
        Predicted wall time, in s, and speed-up over the base of the table.
    checks : tuple of Prediction
        Predictions of measured numbers of workers, each from the others: the one that is predicted
        is not among those that the slowdown is fitted to.
    slowdown : float
        Relative slowdown of each batch for each further worker.
    fitted : tuple of int
        Numbers of workers that the slowdown was fitted to; empty if it is not known and taken
        as 0, which makes the curve an upper bound of the speed-up.
    """

    mode: str
    workers: tuple[int, ...]
    wall_s: tuple[float, ...]
    speedup: tuple[float, ...]
    checks: tuple[Prediction, ...]
    slowdown: float = 0.0
    fitted: tuple[int, ...] = ()

    @property
    def worst_error(self) -> float | None:
        """Largest relative error at held-out numbers of workers; None if none could be held out."""
        return max((abs(c.error) for c in self.checks), default=None)


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


def replay(trace: RunTrace, workers: int, slowdown: float = 0.0) -> float:
    """Return the simulated wall time of a recorded run with `workers` workers, in s.

    Parameters
    ----------
    trace : RunTrace
        A run with one worker.
    workers : int
        Number of workers.
    slowdown : float
        Relative slowdown of each batch for each further worker that runs at the same time.
    """
    outside_s = trace.wall_s - sum(stage.wall_s for stage in trace.stages)
    return outside_s + sum(_replay_stage(stage, workers, slowdown) for stage in trace.stages)


def fit_slowdown(alone: RunTrace, together: Sequence[tuple[int, RunTrace]]) -> float:
    """Return the relative slowdown of a batch for each further worker, at least 0.

    With `n` workers a batch takes ``1 + slowdown * (n - 1)`` times as long as alone. `n` workers
    then do the work of ``n / (1 + slowdown * (n - 1))``, which tends to ``1 / slowdown``: the
    ceiling of a shared bandwidth. The fit is that of least squares through one worker.

    Parameters
    ----------
    alone : RunTrace
        A run with one worker.
    together : sequence of (int, RunTrace)
        Runs with other numbers of workers; empty for no slowdown.
    """
    alone_s = _sum_batches_s(alone)
    top = bottom = 0.0
    for workers, trace in together:
        further = min(workers, max(len(s.batches) for s in trace.stages if _can_split(s))) - 1
        top += further * (_sum_batches_s(trace) / alone_s - 1.0)
        bottom += further**2
    return max(0.0, top / bottom) if bottom else 0.0


def _sum_batches_s(trace: RunTrace) -> float:
    """Return the time of all batches that can run at once, one after another, in s."""
    return sum(b.stop_s - b.start_s for s in trace.stages if _can_split(s) for b in s.batches)


def _can_split(stage: StageTrace) -> bool:
    return stage.splits and bool(stage.batches)


def ask_what_if(
    table: BenchmarkTable,
    mode: str = "channel_sequential",
    *,
    workers: Sequence[int] = WORKERS,
    batch_size: int = 1,
    backend: str | None = None,
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
    backend : str | None
        The workers' backend; None for that of the fastest measured configuration with several.

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
    known = _find_measured(table, mode, start, backend) if _sum_batches_s(trace) > 0 else {}
    traces = {n: r.point.trace for n, r in known.items() if r.point.trace is not None}
    checks = []
    for n, measured in known.items():
        others = [(m, t) for m, t in traces.items() if m != n]
        if others:
            predicted_s = replay(trace, n, fit_slowdown(trace, others))
            checks.append(Prediction(measured.configuration, predicted_s, measured.wall_s))
    slowdown = fit_slowdown(trace, list(traces.items()))
    walls = tuple(replay(trace, n, slowdown) for n in workers)
    base_s = table.base.wall_s
    speedups = tuple(base_s / w for w in walls)
    return WhatIf(mode, tuple(workers), walls, speedups, tuple(checks), slowdown, tuple(traces))


def _find_measured(
    table: BenchmarkTable, mode: str, start: Configuration, backend: str | None
) -> dict[int, SummaryRow]:
    """Return the rows of several workers that run the batches of `start`, by their number."""
    rows = [
        r
        for r in table.rows
        if (r.configuration.mode, r.configuration.n_workers) == (mode, 1)
        and r.configuration.batch_size == start.batch_size
        and r.configuration.n_jobs > 1
        and r.point.usable
        and not r.machine
    ]
    if backend is None and rows:
        backend = min(rows, key=lambda r: r.wall_s).configuration.backend
    return {
        r.configuration.n_jobs: r
        for r in sorted(rows, key=lambda r: r.configuration.n_jobs)
        if r.configuration.backend == backend
    }


def _replay_stage(stage: StageTrace, workers: int, slowdown: float) -> float:
    if not _can_split(stage):
        return stage.wall_s
    stretch = 1.0 + slowdown * (min(workers, len(stage.batches)) - 1)
    durations = [stretch * (b.stop_s - b.start_s) for b in stage.batches]
    # Only the span of the batches is replaced: preparation and the end of the stage stay.
    first, last = min(b.start_s for b in stage.batches), max(b.stop_s for b in stage.batches)
    return stage.wall_s - (last - first) + schedule(durations, workers)
