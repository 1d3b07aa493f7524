"""What a run will take: told from what runs before it took, and from what the plan needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from facet_nb.core import ArrayProcessor, Plan, ProcessingContext, Processor
from facet_nb.core.steps import State
from facet_nb.models.checks import ChainCheck

#: Two runs of the same thing on a shared machine differ by about this much.
_SPREAD = 0.25


@dataclass(frozen=True)
class RunRecord:
    """What one run took.

    Attributes
    ----------
    steps : tuple of str
        The steps, with their arguments.
    shape : tuple (n_channels, n_times)
        Size of the recording.
    settings : tuple of (str, object)
        How it ran.
    wall_s : float
        Time, in s.
    step_cpu_s : tuple of float
        CPU time of each step, in s.
    """

    steps: tuple[str, ...]
    shape: tuple[int, int]
    settings: tuple[tuple[str, object], ...]
    wall_s: float
    step_cpu_s: tuple[float, ...]


@dataclass(frozen=True)
class Forecast:
    """What a run will take.

    Attributes
    ----------
    time_s : tuple (low, high) | None
        Time, in s; None if nothing like it has run yet.
    memory_bytes : int | None
        Most memory beside what is there before the run; None if it cannot be told.
    basis : str
        What the time rests on.
    """

    time_s: tuple[float, float] | None
    memory_bytes: int | None
    basis: str = ""


def predict_time(
    plan: Plan, steps: Sequence[str], shape: tuple[int, int], records: Sequence[RunRecord]
) -> tuple[tuple[float, float] | None, str]:
    """Return shortest and longest time of a run, in s, and what that rests on.

    Runs with the same settings are taken as they were. Otherwise the CPU times of a run of the
    same steps are shared out over the plan's workers: perfectly for the shortest time, not at all
    for the longest.
    """
    same = [r for r in records if r.steps == tuple(steps) and r.shape == shape]
    if not same:
        return None, "not known before the first run of this chain here"
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
    """Return what is to be remembered of a run."""
    return RunRecord(tuple(steps), shape, _key(plan), wall_s, tuple(cpu_s))


def predict_memory(
    plan: Plan, processors: Sequence[Processor], context: ProcessingContext
) -> int | None:
    """Return the most memory that the plan needs beside the recording, in bytes.

    The largest stage counts: its result, and for each batch in flight the most demanding step.
    None if a step is anyone's: what it needs is not known.
    """
    raw = context.get_raw()
    states = ChainCheck(context).follow(processors)
    most = 0
    for stage in plan.stages:
        steps = [(processors[i], states[i]) for i in stage.steps]
        if stage.kind == "global":
            continue
        if not all(isinstance(p, ArrayProcessor) and state for p, state in steps):
            return None
        in_flight = min(len(raw.ch_names), stage.n_jobs * stage.batch_size)
        work = max(_channel_bytes(p, s) for p, s in steps if s is not None)
        after = states[stage.steps[-1] + 1]
        n_times = after.n_times if after is not None else 0
        most = max(most, in_flight * work + 8 * len(raw.ch_names) * n_times)
    return most


def _channel_bytes(processor: Processor, state: State) -> int:
    assert isinstance(processor, ArrayProcessor)
    return 8 * state.n_times + processor.memory((1, state.n_times), state.sfreq)


def _key(plan: Plan) -> tuple[tuple[str, object], ...]:
    names = ("mode", "backend", "n_jobs", "n_workers", "batch_size")
    return tuple((name, getattr(plan, name)) for name in names)
