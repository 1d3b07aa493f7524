"""Points of the cost curves: measured, from a quick look, from the user's runs, and expected."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from facet_nb.benchmark import BenchmarkTable
from facet_nb.core.errors import FacetError
from facet_nb.models.quick_look import order_points
from facet_nb.models.timeline import plan_timeline

if TYPE_CHECKING:
    from facet_nb.models.studio_model import StudioModel

_NAN = float("nan")


@dataclass(frozen=True)
class CostPoint:
    """Time and memory of one setting.

    Attributes
    ----------
    kind : {"measured", "quick", "run", "expected"}
        Measured in fresh processes; a quick look in this one; a run made by hand; or expected if
        the batches divide over the workers and nothing slows them down.
    mode : str
        The mode.
    n_jobs, n_workers : int
        Outer workers and inner threads.
    time_s : float
        Time, in s; NaN for an expected one.
    speedup, low, high : float
        How many times as fast as one worker, with its 95 % interval; NaN where not known.
    added_mb : float
        Memory that a run adds, in MB: in this process, in a fresh one, or by the forecast of the
        plan; NaN where not known.
    number : int
        Number of a run; 0 for others.
    machine : str
        Name of another machine; empty for this one.
    """

    kind: str
    mode: str
    n_jobs: int
    n_workers: int
    time_s: float = _NAN
    speedup: float = _NAN
    low: float = _NAN
    high: float = _NAN
    added_mb: float = _NAN
    number: int = 0
    machine: str = ""


def list_points(model: StudioModel) -> tuple[CostPoint, ...]:
    """Return all points of the chain and recording on screen.

    A measured point takes the place of a quick one, and that of an expected one.
    """
    measured = _list_measured(model)
    quick = _list_quick(model)
    runs = _list_runs(model, quick)
    known = {(p.mode, p.n_jobs, p.n_workers) for p in measured}
    kept = [p for p in quick if (p.mode, p.n_jobs, p.n_workers) not in known]
    known |= {(p.mode, p.n_jobs, p.n_workers) for p in kept}
    every = _list_expected(model)
    base_s = next((p.time_s for p in (*measured, *quick, *runs) if p.n_jobs == 1), _NAN)
    expected = [
        replace(p, time_s=base_s / p.speedup)
        for p in every
        if (p.mode, p.n_jobs, p.n_workers) not in known
    ]
    forecast = {(p.mode, p.n_jobs): p.added_mb for p in every}
    kept = [replace(p, added_mb=forecast.get((p.mode, p.n_jobs), _NAN)) for p in kept]
    return (*expected, *kept, *measured, *runs)


def _list_measured(model: StudioModel) -> list[CostPoint]:
    table = model.tune.table
    if table is None or model.tune.hidden or model.tune.origin not in ("", "a stored table"):
        return []
    return _list_table(table)


def list_others(model: StudioModel) -> list[CostPoint]:
    """Return the points of other machines, which are drawn beside those of this one."""
    machines = model.machines
    return [p for name in machines.shown for p in _list_table(machines.find(name), name)]


def _list_table(table: BenchmarkTable, machine: str = "") -> list[CostPoint]:
    points = []
    for row in table.rows:
        c = row.configuration
        if row.machine or not row.point.usable:
            continue
        memory = (
            _NAN
            if row.point.memory is None
            else row.point.memory.peak_mb - row.point.memory.base_mb
        )
        s = row.speedup
        points.append(
            CostPoint(
                "measured",
                c.mode,
                c.n_jobs,
                c.n_workers,
                row.wall_s,
                s.value,
                s.low,
                s.high,
                memory,
                machine=machine,
            )
        )
    return points


def _list_quick(model: StudioModel) -> list[CostPoint]:
    return [
        CostPoint("quick", p.mode, p.n_jobs, 1, min(p.wall_s), p.speedup)
        for p in model.quick.points
        if p.wall_s
    ]


def _list_runs(model: StudioModel, quick: list[CostPoint]) -> list[CostPoint]:
    base_s = next((p.time_s for p in quick if p.n_jobs == 1), _NAN)
    return [
        CostPoint(
            "run",
            t.mode,
            t.n_jobs,
            t.n_workers,
            t.stop_s,
            base_s / t.stop_s if t.stop_s else _NAN,
            added_mb=_NAN if t.added_mb is None else t.added_mb,
            number=t.number,
        )
        for t in model.run.timelines
    ]


def _list_expected(model: StudioModel) -> list[CostPoint]:
    """Return points for an evenly divided load; cached until chain or costs change."""
    run, summary = model.run, model.recording.summary
    key = run.pipeline, model.recording.context, run.records[-1:], run.cores
    if model.expected is not None and model.expected[0] == key:
        return list(model.expected[1])
    n_channels = 1 if summary is None else summary.n_channels
    cpu_s = run.records[-1].step_cpu_s if run.records else ()
    cost = cpu_s if len(cpu_s) == len(run.pipeline) else ()
    points, base_s = [], 0.0
    for point in order_points(run.cores):
        try:
            settings: dict[str, Any] = {
                "mode": point.mode,
                "n_jobs": point.n_jobs,
                "backend": "threading",
            }
            plan = run.pipeline.plan(batch_size=1, **settings)
            known = run.pipeline.plan(model.recording.context, **settings).forecast
        except FacetError:
            return []  # the chain cannot run: the list of states gives the reason
        time_s = plan_timeline(plan, n_channels, cost).stop_s
        base_s = base_s or time_s
        speedup = base_s / time_s if time_s else _NAN
        memory = _NAN if known is None else known.own_bytes / 1e6
        points.append(
            CostPoint("expected", point.mode, point.n_jobs, 1, speedup=speedup, added_mb=memory)
        )
    model.expected = key, tuple(points)
    return points
