"""Keeping to a memory budget: batch size, concurrency and files, or a refusal with a number.

Every candidate gives the same result; they differ in time and memory only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from facet_nb.core.backends import registry
from facet_nb.core.errors import FacetError, PlanError
from facet_nb.core.memory import describe_bytes, find_available, parse_bytes, rss_bytes
from facet_nb.core.planning.memory_forecast import Forecast, RunInput, make_forecast
from facet_nb.core.planning.plan import Plan
from facet_nb.core.planning.planner import RunOptions
from facet_nb.core.processor import Processor
from facet_nb.core.recording import Shape
from facet_nb.core.registry import get_processor
from facet_nb.core.storage import scratch
from facet_nb.core.storage.scratch import is_spilled

#: Of what is available, the part that ``mode="auto"`` takes: others want some, too.
_SHARE = 0.8

#: A refusal names the forecast and this much more: libraries vary from run to run.
_MARGIN = 1.03

#: Chunks of time where whole channels are too long, in s.
_CHUNK_S = 30.0

_STEP = 10 * 10**6


def find_subject(
    processors: Sequence[Processor], given: Any = None, strict: bool = True
) -> RunInput | None:
    """Return the recording that a run begins with: a context, a file, or what its loader reads.

    Parameters
    ----------
    processors : sequence of Processor
        The pipeline's steps.
    given : ProcessingContext | path | None
        The context or file.
    strict : bool
        Whether a file that cannot be read is an error.

    Returns
    -------
    RunInput or None
        None if there is no recording.

    Raises
    ------
    ValidationError
        If the file cannot be used.
    """
    if isinstance(given, (str, Path)):
        loader: Any = get_processor("auto_loader")
        found = loader(path=given).forecast()
        at = [i for i, step in enumerate(processors) if hasattr(step, "forecast")]
        return replace(found, loader=at[0] if at else -1)  # -1: before the first step
    for i, step in enumerate(processors):
        ask = getattr(step, "forecast", None)
        if ask is not None:
            try:
                return replace(ask(), loader=i)
            except FacetError:
                if strict:
                    raise
                return None  # the run will say it, with the step's name
    if given is None or not given.has_raw():
        return None
    raw = given.get_raw()
    if not raw.preload:
        return RunInput(Shape.of(raw), lazy=True)
    if is_spilled(raw._data):
        return RunInput(Shape.of(raw), lazy=True)
    return RunInput(Shape.of(raw), held_bytes=int(raw._data.nbytes))


def with_forecast(
    plan: Plan, processors: Sequence[Processor], subject: RunInput | None, spill: bool = False
) -> Plan:
    """Return `plan` with what it will need."""
    if subject is None:
        return replace(plan, spill=spill)
    told = make_forecast(processors, plan, subject, spill)
    return replace(plan, spill=spill, forecast=told)


def fit(
    processors: Sequence[Processor], wish: RunOptions, subject: RunInput | None, budget: Any = None
) -> Plan:
    """Return the fastest plan that keeps to a budget.

    Parameters
    ----------
    processors : sequence of Processor
        The steps.
    wish : RunOptions
        Mode, and the most workers and channels in a batch.
    subject : RunInput | None
        The recording.
    budget : str | int | None
        The most memory; None for none, or, with ``mode="auto"``, for what is available.

    Raises
    ------
    PlanError
        If there is none; the message has the smallest budget that would do, and the step that
        needs it.
    FacetError
        If the disk has no room for scratch files.
    """
    cores = registry.count_cores(wish.backend)
    first = wish.plan(processors, cores, None if subject is None else subject.shape)
    limit = None if budget is None else parse_bytes(budget)
    if limit is None and wish.mode != "auto":
        return with_forecast(first, processors, subject)
    if subject is None:
        return _without_subject(first, limit)
    owner = ""
    if limit is None:
        available, owner = find_available()
        limit = int(_SHARE * available) + rss_bytes()
    best = None
    for plan in _candidates(processors, wish, first, subject, cores):
        assert plan.forecast is not None
        if plan.forecast.peak_bytes <= limit:
            return _explain_choice(plan, first, limit, owner)
        if best is None or plan.forecast.peak_bytes < best.forecast.peak_bytes:
            best = plan
    assert best is not None
    if budget is None:
        reason = f"{first.reason}; {owner} memory may be too little for it"
        return replace(best, reason=reason)
    raise _refusal(best, limit, processors)


def _without_subject(plan: Plan, limit: int | None) -> Plan:
    if limit is None:
        return plan
    raise PlanError(
        "memory_budget needs a recording to look at: begin the pipeline with Loader(path=…), or "
        "give initial_context."
    )


def _candidates(
    processors: Sequence[Processor], wish: RunOptions, first: Plan, subject: RunInput, cores: int
) -> Iterator[Plan]:
    """Yield plans, the fastest first: smaller batches, files, chunks of time, fewer workers.

    A batch has at least a channel for each inner thread: small ones have fewer of these.
    """
    jobs = sorted({first.n_jobs, *_halves(first.n_jobs)}, reverse=True)
    largest = max(first.batch_size, first.n_workers)
    sizes = sorted({largest, *_halves(largest)}, reverse=True)

    def make(asked: RunOptions, spill: bool) -> Plan:
        plan = replace(asked.plan(processors, cores), reason=first.reason)
        return with_forecast(plan, processors, subject, spill)

    for n_jobs in jobs:
        for spill in (False, True):
            for size in sizes:
                asked = replace(wish, mode=first.mode, n_jobs=n_jobs, batch_size=size)
                inner = min(cores if wish.n_workers < 0 else wish.n_workers, size)
                asked = replace(asked, backend=first.backend, n_workers=inner)
                yield make(asked, spill)
            if spill and wish.chunk_duration_s is None:
                yield make(replace(asked, chunk_duration_s=_CHUNK_S), spill)


def _halves(n: int) -> list[int]:
    found = []
    while n > 1:
        n //= 2
        found.append(n)
    return found


def _explain_choice(plan: Plan, first: Plan, limit: int, owner: str) -> Plan:
    """Return the chosen plan, with the reason why it is not the one that was asked for."""
    if plan.forecast.disk_bytes:
        scratch.check_room(plan.forecast.disk_bytes)
    changes = []
    if plan.n_jobs != first.n_jobs:
        changes.append(f"n_jobs={plan.n_jobs} instead of {first.n_jobs}")
    if plan.n_workers < first.n_workers:
        changes.append(f"n_workers={plan.n_workers} instead of {first.n_workers}")
    if plan.batch_size < first.batch_size:
        changes.append(f"batch_size={plan.batch_size} instead of {first.batch_size}")
    if plan.spill:
        changes.append("samples stay in files")
    if any(s.chunk_duration_s for s in plan.stages) > any(s.chunk_duration_s for s in first.stages):
        changes.append(f"chunks of {_CHUNK_S:g} s")
    if not changes:
        return plan
    whose = f"{describe_bytes(limit)} ({owner} memory)" if owner else describe_bytes(limit)
    why = f"{', '.join(changes)}: to stay within {whose}"
    return replace(plan, reason=f"{plan.reason}; {why}" if plan.reason else why)


def _refusal(best: Plan, limit: int, processors: Sequence[Processor]) -> PlanError:
    forecast: Forecast = best.forecast
    smallest = -(-int(forecast.peak_bytes * _MARGIN) // _STEP) * _STEP
    stage = best.stages[forecast.bottleneck]
    told = forecast.stages[forecast.bottleneck]
    steps = ", ".join(f"{i + 1} ({processors[i].name})" for i in stage.steps)
    word, need = ("step", "needs") if len(stage.steps) == 1 else ("steps", "need")
    why = ""
    if told.loads_all:
        why = (
            f" {stage.names[0]} may load the whole recording: it sees all channels, and does not "
            "say streams = True."
        )
    return PlanError(
        f"memory_budget={describe_bytes(limit)} is too little: {word} {steps} {need} {told} even "
        f"with one job, batches of {best.batch_size} and all samples in files.{why} The smallest "
        f"budget that would do is {describe_bytes(smallest)}."
    )
