"""Predict the time of a run from earlier runs, and its memory from its plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from facet_nb.core import Plan

#: Relative difference to expect between two equal runs on a shared machine.
_SPREAD = 0.25


@dataclass(frozen=True)
class RunRecord:
    """Settings and times of one run.

    Attributes
    ----------
    steps : tuple of str
        The steps with their arguments.
    shape : tuple (n_channels, n_times)
        Shape of the recording.
    settings : tuple of (str, object)
        Settings of the run.
    wall_s : float
        Wall time, in s.
    step_cpu_s : tuple of float
        CPU time of each step, in s.
    """

    steps: tuple[str, ...]
    shape: tuple[int, int]
    settings: tuple[tuple[str, object], ...]
    wall_s: float
    step_cpu_s: tuple[float, ...]


@dataclass(frozen=True)
class TimeForecast:
    """Predicted time and memory of a run.

    Attributes
    ----------
    time_s : tuple (low, high) | None
        Range of the time, in s; None if no similar run is known.
    memory_bytes : int | None
        Peak memory of all processes, including libraries; None if unknown.
    basis : str
        Basis of the predicted time.
    """

    time_s: tuple[float, float] | None
    memory_bytes: int | None
    basis: str = ""


def predict_time(
    plan: Plan, steps: Sequence[str], shape: tuple[int, int], records: Sequence[RunRecord]
) -> tuple[tuple[float, float] | None, str]:
    """Return the shortest and longest time of a run, in s, and the basis of the prediction.

    Runs with the same settings are used directly. Otherwise the shortest time assumes that the
    CPU time of an earlier run divides perfectly over the plan's workers, and the longest time
    assumes that it does not divide at all.
    """
    same = [r for r in records if r.steps == tuple(steps) and r.shape == shape]
    if not same:
        return None, "unknown before the first run of this chain here"
    now = _key(plan)
    alike = [r.wall_s for r in same if r.settings == now]
    if alike:
        low, high = min(alike), max(alike)
        if len(alike) == 1:
            low, high = low * (1 - _SPREAD), high * (1 + _SPREAD)
        times = "the last run" if len(alike) == 1 else f"{len(alike)} runs"
        return (low, high), f"from {times} with these settings"
    cpu_s = same[-1].step_cpu_s
    high = max(sum(cpu_s), same[-1].wall_s)
    low = sum(
        sum(cpu_s[i] for i in stage.steps) / max(1, stage.n_jobs * stage.n_workers)
        for stage in plan.stages
    )
    return (low * (1 - _SPREAD), high * (1 + _SPREAD)), "from a run with other settings"


def record_run(
    plan: Plan, steps: Sequence[str], shape: tuple[int, int], wall_s: float, cpu_s: Sequence[float]
) -> RunRecord:
    """Return the record of a run."""
    return RunRecord(tuple(steps), shape, _key(plan), wall_s, tuple(cpu_s))


def _key(plan: Plan) -> tuple[tuple[str, object], ...]:
    names = ("mode", "backend", "n_jobs", "n_workers", "batch_size")
    return tuple((name, getattr(plan, name)) for name in names)
