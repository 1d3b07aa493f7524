"""Points of the cost curves: measured, from a quick look, from own runs, and expected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
        Memory, in MB: that added by a run, or the peak of a fresh process; NaN where not measured.
    number : int
        Number of a run; 0 for others.
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
    expected = [p for p in _list_expected(model) if (p.mode, p.n_jobs, p.n_workers) not in known]
    return (*expected, *kept, *measured, *runs)


def _list_measured(model: StudioModel) -> list[CostPoint]:
    table = model.tune.table
    if table is None or model.tune.hidden:
        return []
    points = []
    for row in table.rows:
        c = row.configuration
        if row.machine or not row.point.usable:
            continue
        memory = _NAN if row.point.memory is None else row.point.memory.peak_mb
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
    run, summary = model.run, model.recording.summary
    n_channels = 1 if summary is None else summary.n_channels
    cpu_s = run.records[-1].step_cpu_s if run.records else ()
    cost = cpu_s if len(cpu_s) == len(run.pipeline) else ()
    points, base_s = [], 0.0
    for point in order_points(run.cores):
        try:
            plan = run.pipeline.plan(
                mode=point.mode, n_jobs=point.n_jobs, backend="threading", batch_size=1
            )
        except FacetError:
            return []  # the chain cannot run: the rail says why
        time_s = plan_timeline(plan, n_channels, cost).stop_s
        base_s = base_s or time_s
        speedup = base_s / time_s if time_s else _NAN
        points.append(CostPoint("expected", point.mode, point.n_jobs, 1, speedup=speedup))
    return points
