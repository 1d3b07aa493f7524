"""Choice of mode, backend and workers from predicted times and forecast memory.

``mode="auto"`` uses rough times, the advisor (:mod:`facet_nb.benchmark`) measured ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from facet_nb.core.errors import PlanError
from facet_nb.core.processor import ArrayProcessor, Processor
from facet_nb.core.steps import changes_samples

if TYPE_CHECKING:
    from facet_nb.core.recording import Shape


GOALS = ("fastest", "smallest", "balanced")

#: A simpler configuration is preferred if it takes at most this many times the best time.
TOLERANCE = 1.05

#: Rough CPU time of a built-in and of a user-defined step for one sample of one channel, in s. The
#: first is from both chains of benchmarks/advice_regret.py (9 to 16 ns a step), the second stands
#: for one pass of numpy over a Raw of its own.
_STEP_S, _USER_STEP_S = 15e-9, 100e-9

#: Time to start all threads, to start processes at all, and for each process, in s.
_THREADS_START_S, _PROCESSES_START_S, _PROCESS_S = 0.01, 1.5, 0.1

#: Speed-up by each additional worker.
_THREADS_SHARE, _PROCESSES_SHARE = 0.85, 0.75


@dataclass(frozen=True)
class Candidate:
    """A configuration of a run, with its predicted cost.

    Attributes
    ----------
    mode, backend, n_jobs, n_workers, batch_size
        As in ``Pipeline.run``.
    wall_s : float
        Predicted wall time, in s.
    peak_mb : float | None
        Predicted peak memory, in MB; None if it is not known.
    complexity : tuple
        Sort key: simpler configurations come first.
    """

    mode: str
    backend: str
    n_jobs: int
    n_workers: int
    batch_size: int
    wall_s: float
    peak_mb: float | None = None
    complexity: tuple[Any, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Choice:
    """The chosen candidate and others, as positions in the list of candidates.

    Attributes
    ----------
    best : int
        The chosen candidate.
    runner_up : int | None
        The next best candidate.
    clear : bool
        Whether the best is clearly better than the runner-up; if not, the simplest was chosen.
    too_large : tuple of int
        Candidates that exceed the budget.
    """

    best: int
    runner_up: int | None
    clear: bool
    too_large: tuple[int, ...] = ()


def choose(
    candidates: Sequence[Candidate],
    goal: str = "fastest",
    budget_mb: float | None = None,
    same: Callable[[int, int], bool] | None = None,
) -> Choice:
    """Choose among candidates.

    Among the candidates within the budget, the best by `goal` is found. Among those that are not
    distinguishable from it, and at most 5 % worse, the simplest is chosen.

    Parameters
    ----------
    candidates : sequence of Candidate
        The candidates.
    goal : {"fastest", "smallest", "balanced"}
        Least time, least memory, or least product of the two.
    budget_mb : float | None
        Memory limit, in MB.
    same : callable | None
        Returns whether the times of two candidates (by position) are indistinguishable; by
        default, those within 5 % are.

    Raises
    ------
    PlanError
        If the goal is unknown, or no candidate is within the budget.
    """
    if goal not in GOALS:
        raise PlanError(f"unknown goal {goal!r}: use one of {', '.join(GOALS)}.")
    fitting = [i for i, c in enumerate(candidates) if _fits(c, budget_mb)]
    if not fitting:
        raise PlanError(_refuse(candidates, budget_mb))
    cost = {i: _cost(candidates[i], goal) for i in fitting}
    best = min(fitting, key=lambda i: cost[i])
    near = [
        i
        for i in fitting
        if i == best
        or (
            cost[i] <= TOLERANCE * cost[best]
            and (same is None or goal != "fastest" or same(best, i))
        )
    ]
    simplest = min(near, key=lambda i: (candidates[i].complexity, cost[i]))
    others = sorted((i for i in fitting if i != simplest), key=lambda i: cost[i])
    too_large = tuple(i for i in range(len(candidates)) if i not in cost)
    clear = not others or others[0] not in near
    return Choice(simplest, others[0] if others else None, clear, too_large)


def _fits(candidate: Candidate, budget_mb: float | None) -> bool:
    if budget_mb is None:
        return True
    # Memory that nobody has measured may exceed any limit.
    return candidate.peak_mb is not None and candidate.peak_mb <= budget_mb


def _refuse(candidates: Sequence[Candidate], budget_mb: float | None) -> str:
    known = [c.peak_mb for c in candidates if c.peak_mb is not None]
    if not known or budget_mb is None:
        return "there is nothing to choose from: no configuration gave a usable result."
    return (
        f"memory_budget={budget_mb:.0f} MB is too little: the smallest way to run needs "
        f"{min(known):.0f} MB."
    )


def _cost(candidate: Candidate, goal: str) -> float:
    if goal == "fastest":
        return candidate.wall_s
    peak = float("inf") if candidate.peak_mb is None else candidate.peak_mb
    return peak if goal == "smallest" else candidate.wall_s * peak


# ---------------------------------------------------------------------------- without measurement
def suggest(processors: Sequence[Processor], cores: int, shape: Shape | None) -> dict[str, Any]:
    """Return settings for ``mode="auto"``, and their reason, from rough times.

    Parameters
    ----------
    processors : sequence of Processor
        The chain.
    cores : int
        Cores that this process may use.
    shape : Shape | None
        Size of the recording; None if it is not known: it is then assumed to be large.

    Returns
    -------
    dict
        ``mode``, ``backend``, ``n_jobs`` and ``reason``.
    """
    # User-defined steps may be plain Python, which threads cannot run in parallel.
    custom = [p.name for p in processors if p.channel_wise and not isinstance(p, ArrayProcessor)]
    single: dict[str, Any] = {"mode": "channel_sequential", "backend": "serial", "n_jobs": 1}
    if cores == 1:
        return {**single, "reason": "one core: little memory, no workers to pay for"}
    backend = "multiprocessing" if custom else "threading"
    # A worker without a channel would be idle.
    jobs = cores if shape is None else max(1, min(cores, shape.n_data))
    many = {**single, "backend": backend, "n_jobs": jobs}
    why = (
        f"{', '.join(custom)} may hold the GIL: processes on {jobs} cores"
        if custom
        else f"all kernels release the GIL: threads on {jobs} cores, no copies"
    )
    if shape is None:
        return {**many, "n_jobs": cores, "reason": why}
    work_s = estimate_work_s(processors, shape)
    times_s = work_s, _estimate_wall_s(work_s, jobs, backend)
    candidates = [
        Candidate(**settings, n_workers=1, batch_size=1, wall_s=t, complexity=(i,))
        for i, (settings, t) in enumerate(zip((single, many), times_s, strict=True))
    ]
    if choose(candidates).best == 0:
        about = f"about {times_s[0]:.1g} s of work, {times_s[1]:.1g} s with {jobs} workers"
        return {**single, "reason": f"{about}: no clear difference, so the simplest"}
    return {**many, "reason": why}


def estimate_work_s(processors: Sequence[Processor], shape: Shape) -> float:
    """Return roughly the CPU time of all channel-wise steps, in s."""
    seconds = 0.0
    for step in processors:
        # Steps over all channels run once, in this process: workers make them no faster.
        if step.channel_wise and changes_samples(step):
            seconds += _STEP_S if isinstance(step, ArrayProcessor) else _USER_STEP_S
    return shape.n_data * shape.n_times * seconds


def _estimate_wall_s(work_s: float, jobs: int, backend: str) -> float:
    if backend == "threading":
        return _THREADS_START_S + work_s / (1 + _THREADS_SHARE * (jobs - 1))
    start_s = _PROCESSES_START_S + _PROCESS_S * jobs
    return start_s + work_s / (1 + _PROCESSES_SHARE * (jobs - 1))
