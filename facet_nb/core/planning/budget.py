"""Fit a plan to a memory budget by its batch size, its workers, and scratch files.

All candidate plans give the same result; they differ only in time and memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from facet_nb.core.backends import registry
from facet_nb.core.errors import FacetError, PlanError
from facet_nb.core.findings import make_finding
from facet_nb.core.memory import (
    describe_bytes,
    find_available,
    lasting_bytes,
    parse_bytes,
    spare_pages,
)
from facet_nb.core.planning.memory_forecast import MemoryForecast, RunInput, make_forecast
from facet_nb.core.planning.plan import Plan
from facet_nb.core.planning.planner import LANES, RunOptions, make_plan, set_batch_size
from facet_nb.core.processor import Processor
from facet_nb.core.recording import Shape
from facet_nb.core.registry import get_processor
from facet_nb.core.storage import scratch
from facet_nb.core.storage.scratch import is_spilled
from facet_nb.kernels.compiled.choice import choose_kernels
from facet_nb.kernels.compiled.dispatch import use_compiled

#: Fraction of the available memory that ``mode="auto"`` uses: other programs need some as well.
_SHARE = 0.8

#: Memory that larger batches may take more than batches of one channel, in bytes, even if that is
#: more than the recording.
_BATCHES = 256 * 10**6

#: The smallest budget in an error is the forecast times this: libraries vary from run to run.
_MARGIN = 1.03

#: Length of the chunks if whole channels need too much memory, in s.
_CHUNK_S = 30.0

#: The smallest budget in an error is rounded up to a multiple of this, in bytes.
_STEP = 10 * 10**6


def find_input(
    processors: Sequence[Processor], given: Any = None, strict: bool = True
) -> RunInput | None:
    """Return the recording of a run: a context, a file, or the file of the pipeline's loader.

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
        run_input: RunInput = loader(path=given).forecast()
        at = [i for i, step in enumerate(processors) if hasattr(step, "forecast")]
        return replace(run_input, loader=at[0] if at else -1)  # -1: before the first step
    for i, step in enumerate(processors):
        forecast: Callable[[], RunInput] | None = getattr(step, "forecast", None)
        if forecast is not None:
            try:
                return replace(forecast(), loader=i)
            except FacetError:
                if strict:
                    raise
                return None  # the run will raise the same error, with the name of the step
    if given is None or not given.has_raw():
        return None
    raw = given.get_raw()
    # Mapped samples of a scratch file are not this process's own memory.
    if not raw.preload or is_spilled(raw._data):
        return RunInput(Shape.of(raw), lazy=True)
    return RunInput(Shape.of(raw), held_bytes=int(raw._data.nbytes))


def add_forecast(
    plan: Plan, processors: Sequence[Processor], run_input: RunInput | None, spill: bool = False
) -> Plan:
    """Return `plan` with its forecast."""
    if run_input is None:
        return replace(plan, spill=spill)
    kernels = choose_kernels()
    # What a step needs depends on the kernels: recursive filters take more memory with SciPy.
    with use_compiled(kernels.compiled):
        forecast = make_forecast(processors, plan, run_input, spill)
    return replace(plan, spill=spill, forecast=forecast, kernels=kernels)


def fit_to_budget(
    processors: Sequence[Processor],
    options: RunOptions,
    run_input: RunInput | None,
    budget: Any = None,
) -> Plan:
    """Return the fastest plan within a memory budget.

    Parameters
    ----------
    processors : sequence of Processor
        The steps.
    options : RunOptions
        Mode, and the largest number of workers and batch size.
    run_input : RunInput | None
        The recording.
    budget : str | int | None
        Memory limit; None for no limit or, with ``mode="auto"``, for the available memory.

    Raises
    ------
    PlanError
        If there is no such plan; the message names the smallest sufficient budget, and the step
        that needs it.
    FacetError
        If the disk has no space for scratch files.
    """
    cores = registry.count_cores(options.backend)
    shape = None if run_input is None else run_input.shape
    first = make_plan(processors, options, cores, shape)
    limit = None if budget is None else parse_bytes(budget)
    if limit is not None:  # what is resident is to be exact, then
        spare_pages.clear()
    if not first.batch_size and run_input is not None:
        size = choose_batch_size(processors, first, run_input, limit)
        options = replace(options, batch_size=size)
        first = make_plan(processors, options, cores, shape)
    if limit is None and options.mode != "auto":
        return add_forecast(first, processors, run_input)
    if run_input is None:
        return _plan_without_input(first, limit)
    owner = ""
    if limit is None:
        limit, owner = _find_limit()
    best = None
    for plan in _candidates(processors, options, first, run_input, cores):
        assert plan.forecast is not None
        if plan.forecast.peak_bytes <= limit:
            return _explain_choice(plan, first, limit, owner)
        if best is None or plan.forecast.peak_bytes < best.forecast.peak_bytes:
            best = plan
    assert best is not None
    if budget is None:  # the limit is an estimate: the run is tried nevertheless
        reason = f"{first.reason}; {owner} memory may be too little for it"
        return replace(best, reason=reason)
    raise _refusal(best, limit, processors)


def choose_batch_size(
    processors: Sequence[Processor],
    plan: Plan,
    run_input: RunInput | None,
    limit: int | None = None,
) -> int:
    """Return the number of channels that ``batch_size="auto"`` stands for.

    As many as the kernels process at once, but no more than leave a batch to each worker. By the
    forecast, they may take as much memory more than single channels as the recording does, or 256
    MB, as far as it is available. The result does not depend on it.

    Parameters
    ----------
    processors : sequence of Processor
        The steps.
    plan : Plan
        Their plan, which leaves the batch size open.
    run_input : RunInput | None
        The recording; None gives batches of one channel.
    limit : int | None
        Memory limit, in bytes; None for the available memory.
    """

    def predict(size: int) -> int:
        forecast = add_forecast(set_batch_size(plan, size), processors, run_input).forecast
        return int(forecast.peak_bytes)

    if run_input is None:
        return 1
    shape = run_input.shape
    size = share_channels(shape.n_data, plan.n_jobs)
    limit = _find_limit()[0] if limit is None else limit
    if size > 1:
        limit = min(limit, predict(1) + max(_BATCHES, shape.n_bytes))
    while size > 1 and predict(size) > limit:
        size //= 2
    return size


def share_channels(n_channels: int, n_jobs: int) -> int:
    """Return the largest useful batch, such that each of `n_jobs` workers gets as many of them."""
    if n_jobs == 1:
        return max(1, min(LANES, n_channels))
    n_batches = n_jobs * -(-max(1, n_channels) // (LANES * n_jobs))
    return max(1, -(-n_channels // n_batches))


def _find_limit() -> tuple[int, str]:
    """Return the memory that a run may use by default, in bytes, and what limits it."""
    available, owner = find_available()
    # The forecast includes this process, whose memory is not part of what is available.
    return int(_SHARE * available) + lasting_bytes(), owner


def _plan_without_input(plan: Plan, limit: int | None) -> Plan:
    if limit is None:
        return plan
    raise PlanError(
        "memory_budget needs the size of the recording: begin the pipeline with Loader(path=…), or "
        "pass initial_context."
    )


def _candidates(
    processors: Sequence[Processor],
    options: RunOptions,
    first: Plan,
    run_input: RunInput,
    cores: int,
) -> Iterator[Plan]:
    """Yield plans, fastest first: with smaller batches, files, chunks of time, fewer workers."""
    jobs = sorted({first.n_jobs, *_halves(first.n_jobs)}, reverse=True)
    largest = max(first.batch_size, first.n_workers)
    sizes = sorted({largest, *_halves(largest)}, reverse=True)

    def make(candidate: RunOptions, spill: bool) -> Plan:
        # A candidate names its mode, so that make_plan gives no reason why that was chosen.
        plan = replace(make_plan(processors, candidate, cores), reason=first.reason)
        return add_forecast(plan, processors, run_input, spill)

    for n_jobs in jobs:
        for spill in (False, True):
            for size in sizes:
                # A batch has a channel for each inner thread: small batches need fewer threads.
                inner = min(cores if options.n_workers < 0 else options.n_workers, size)
                candidate = replace(
                    options,
                    mode=first.mode,
                    backend=first.backend,
                    n_jobs=n_jobs,
                    n_workers=inner,
                    batch_size=size,
                )
                yield make(candidate, spill)
            # With the smallest batches, where only the length of a channel is left to be cut.
            if spill and options.chunk_duration_s is None:
                yield make(replace(candidate, chunk_duration_s=_CHUNK_S), spill)


def _halves(n: int) -> list[int]:
    halves = []
    while n > 1:
        n //= 2
        halves.append(n)
    return halves


def _explain_choice(plan: Plan, first: Plan, limit: int, owner: str) -> Plan:
    """Return the chosen plan, with the reason for its differences from the `first` one."""
    if plan.forecast.disk_bytes:
        # Before the run begins: later, a full disk would cost the work done until then.
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
    size = f"{describe_bytes(limit)} ({owner} memory)" if owner else describe_bytes(limit)
    reason = f"{', '.join(changes)}: to stay within {size}"
    finding = make_finding(
        "memory_predicted",
        f"The run uses {reason}, with a predicted peak of "
        f"{describe_bytes(plan.forecast.peak_bytes)}.",
        limit_bytes=limit,
        peak_bytes=plan.forecast.peak_bytes,
    )
    found = (*plan.findings, finding)
    return replace(
        plan, reason=f"{plan.reason}; {reason}" if plan.reason else reason, findings=found
    )


def _refusal(best: Plan, limit: int, processors: Sequence[Processor]) -> PlanError:
    forecast: MemoryForecast = best.forecast
    smallest = -(-int(forecast.peak_bytes * _MARGIN) // _STEP) * _STEP
    stage = best.stages[forecast.bottleneck]
    needs = forecast.stages[forecast.bottleneck]
    steps = ", ".join(f"{i + 1} ({processors[i].name})" for i in stage.steps)
    subject = f"step {steps} needs" if len(stage.steps) == 1 else f"steps {steps} need"
    reason = ""
    if needs.loads_all:
        reason = (
            f" {stage.names[0]} may load the whole recording: it sees all channels, and does not "
            "set accepts_lazy = True."
        )
    return PlanError(
        f"memory_budget={describe_bytes(limit)} is too little: {subject} {needs} even with one "
        f"job, batches of {best.batch_size} and all samples in files.{reason} The smallest "
        f"sufficient budget is {describe_bytes(smallest)}."
    )
