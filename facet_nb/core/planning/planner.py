"""The rules that turn a pipeline and a mode into a plan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from numbers import Integral, Real
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core.backends.registry import BACKENDS, get_backend
from facet_nb.core.errors import PlanError
from facet_nb.core.findings import Finding, make_finding
from facet_nb.core.planning.cost_model import suggest
from facet_nb.core.planning.fusion import NO_FUSIONS, Fusions, Unit, find_fusions
from facet_nb.core.planning.modes.base import Mode
from facet_nb.core.planning.modes.registry import AUTO, MODES, get_mode
from facet_nb.core.planning.plan import Plan, Stage
from facet_nb.core.processor import ArrayProcessor, Processor
from facet_nb.core.steps import changes_samples

if TYPE_CHECKING:
    from facet_nb.core.recording import Shape

#: Channels that the kernels process at once: recursive filters take 0.19 s of CPU in batches of 16
#: channels, 0.38 s channel by channel (16 channels, 60 s at 5 kHz).
LANES = 16


def choose_mode(mode: str | None, parallel: bool, channel_sequential: bool) -> str:
    """Return the mode that `mode` and the flags select.

    With both flags it is ``"channel_sequential"``, as in FACETpy.

    Raises
    ------
    PlanError
        If a flag contradicts `mode`, or the mode is unknown.
    """
    flag = "channel_sequential" if channel_sequential else "parallel" if parallel else None
    if mode is None:
        return flag or "serial"
    if mode != AUTO and mode not in MODES:
        get_mode(mode)  # raises
    if flag is not None and flag != mode:
        raise PlanError(f"mode={mode!r} contradicts {flag}=True: use only one of them.")
    return mode


def check_numbers(
    n_jobs: int, n_workers: int, batch_size: int | str, backend: str, cores: int
) -> tuple[int, ...]:
    """Return `n_jobs` and `n_workers` as positive numbers of workers.

    Raises
    ------
    PlanError
        If a number or the backend cannot be used.
    """
    if backend not in BACKENDS:
        get_backend(backend)  # raises, unless it is an object that a user has given
    resolved = []
    size: Any = 1 if batch_size == "auto" else batch_size
    for name, value in (("", size), ("n_jobs", n_jobs), ("n_workers", n_workers)):
        # To Python, True is the whole number 1; here it is a flag in the wrong place.
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        if not name:
            if not whole or value < 1:
                raise PlanError(f"batch_size={size!r} must be 1 or more channels, or 'auto'.")
            continue
        if not whole or value == 0:
            raise PlanError(
                f"{name}={value!r} is not a valid number of workers: use 1, 2, …, or -1 for all "
                f"{cores} cores that this process may use, -2 for all but one."
            )
        resolved.append(int(value) if value > 0 else max(1, cores + 1 + int(value)))
    return tuple(resolved)


@dataclass(frozen=True)
class RunOptions:
    """Options of a run.

    Attributes
    ----------
    mode : {"serial", "channel_sequential", "parallel", "auto"}
        How to run the steps.
    n_jobs, n_workers : int
        Outer workers and inner threads (negative numbers count from the cores).
    backend : {"multiprocessing", "threading", "serial", "dask"}
        The backend of outer workers.
    batch_size : int | "auto"
        Channels in one batch. ``"auto"`` leaves the number open, as 0, until the recording is
        known; stages with a user-defined step get batches of one channel.
    fuse : bool
        Whether steps may be fused (:mod:`facet_nb.core.planning.fusion`).
    dtype, chunk_duration_s
        As for :func:`set_precision` and :func:`set_chunks`.
    oversubscribe : bool
        Whether workers and threads together may be more than the cores.
    """

    mode: str
    n_jobs: int = 1
    n_workers: int = 1
    backend: str = "multiprocessing"
    batch_size: int | str = 1
    fuse: bool = True
    dtype: str = "float64"
    chunk_duration_s: float | None = None
    oversubscribe: bool = False


def make_plan(
    processors: Sequence[Processor],
    options: RunOptions,
    cores: int,
    shape: Shape | None = None,
) -> Plan:
    """Return the plan of `processors`.

    Parameters
    ----------
    processors : sequence of Processor
        The steps.
    options : RunOptions
        How to run them.
    cores : int
        Cores that this process may use.
    shape : Shape | None
        Size of the recording, for ``mode="auto"``.
    """
    mode, backend, batch_size = options.mode, options.backend, options.batch_size
    n_jobs, n_workers = check_numbers(options.n_jobs, options.n_workers, batch_size, backend, cores)
    size = 0 if batch_size == "auto" else int(batch_size)
    reason = ""
    if mode == "auto":
        advice = suggest(processors, cores, shape)
        mode, backend, n_jobs = advice["mode"], advice["backend"], advice["n_jobs"]
        reason = advice["reason"]
    rules = MODES[mode]()
    if not rules.uses_jobs or backend == "serial":
        n_jobs = 1
    inner = n_workers
    if inner > 1 and not options.oversubscribe:  # outer workers times inner threads exceed no cores
        inner = max(1, min(n_workers, cores // n_jobs))
    # Only where there may be any: a plain run enters no more files than it needs.
    fusions = find_fusions(processors) if options.fuse and _raises_rate(processors) else NO_FUSIONS
    maker = _Planner(rules, backend, n_jobs, inner, size, fusions)
    stages = maker.stages(processors)
    findings: tuple[Finding, ...] = ()
    jobs, workers = (n_jobs, options.n_jobs), (inner, options.n_workers)
    if jobs[1] > n_jobs or workers[1] > inner:
        findings = _tell_lowered(mode, backend, jobs, workers, cores)
    if jobs[1] > 1:
        findings += _tell_unsafe(processors, stages, n_jobs)
    plan = Plan(mode, backend, n_jobs, inner, size, stages, reason, fusions, findings=findings)
    if options.dtype != "float64":
        plan = set_precision(plan, processors, options.dtype)
    if options.chunk_duration_s is not None:
        plan = set_chunks(plan, processors, options.chunk_duration_s)
    return plan


def _tell_lowered(
    mode: str, backend: str, jobs: tuple[int, int], workers: tuple[int, int], cores: int
) -> tuple[Finding, ...]:
    """Return findings about workers that are fewer than asked for; pairs are (used, asked)."""
    findings = []
    if jobs[1] > jobs[0]:
        why = f"mode={mode!r}" if not MODES[mode]().uses_jobs else f"backend={backend!r}"
        detail = f"n_jobs={jobs[0]} instead of {jobs[1]}: {why} runs one batch after another."
        findings.append(make_finding("workers_lowered", detail, n_jobs=jobs[0], asked=jobs[1]))
    if workers[1] > workers[0]:
        detail = (
            f"n_workers={workers[0]} instead of {workers[1]}: {jobs[0]} × n_workers must not "
            f"exceed the {cores} cores that this run may use. oversubscribe=True insists."
        )
        found = make_finding("workers_lowered", detail, n_workers=workers[0], asked=workers[1])
        findings.append(found)
    return tuple(findings)


def _raises_rate(processors: Sequence[Processor]) -> bool:
    """Whether a step upsamples; without one, there is nothing to fuse."""
    for processor in processors:
        rate = processor.find_rate() if isinstance(processor, ArrayProcessor) else None
        if rate is not None and rate > 1:
            return True
    return False


def _tell_unsafe(
    processors: Sequence[Processor], stages: Sequence[Stage], n_jobs: int
) -> tuple[Finding, ...]:
    """Return a finding about channel-wise steps that only one worker can run."""
    slow = [s for s in stages if s.kind == "channel_wise" and s.n_jobs < n_jobs]
    unsafe = [processors[i].name for s in slow for i in s.steps if not processors[i].parallel_safe]
    if not unsafe:
        return ()
    detail = f"n_jobs=1 instead of {n_jobs}, as {', '.join(unsafe)} is not parallel-safe."
    return (make_finding("workers_lowered", detail, n_jobs=1, asked=n_jobs, steps=unsafe),)


@dataclass
class _Planner:
    mode: Mode
    backend: str
    n_jobs: int
    n_workers: int
    batch_size: int
    fusions: Fusions

    def stages(self, processors: Sequence[Processor]) -> tuple[Stage, ...]:
        stages: list[Stage] = []
        group: list[Unit] = []
        positions = range(len(processors))
        units: Iterable[Unit] = map(Unit, positions, zip(positions), processors)
        if self.fusions.found:
            units = self.fusions.replace(processors, range(len(processors)))
        for unit in units:
            processor = unit.processor
            before = list(map(attrgetter("processor"), group))
            if group and not (
                processor.channel_wise and self.mode.joins(before, processor, self.n_jobs)
            ):
                stages.append(self._channel_wise(processors, group))
                group = []
            if processor.channel_wise:
                group.append(unit)
            else:
                stages.append(self._global(processor, unit.index))
        if group:
            stages.append(self._channel_wise(processors, group))
        return tuple(stages)

    def _global(self, processor: Processor, i: int) -> Stage:
        by_time = isinstance(processor, ArrayProcessor) and processor.splits == "times"
        workers = self.n_workers
        if by_time:
            workers = self.mode.count_threads(workers, self.n_jobs)
        if by_time and workers > 1:
            reason = f"needs all channels; time is split over {workers} threads"
        else:
            reason = "needs all channels, or no samples: runs once, in this process"
        return Stage("global", (i,), (processor.name,), 1, workers, 0, "serial", reason)

    def _channel_wise(self, processors: Sequence[Processor], group: list[Unit]) -> Stage:
        steps = list(map(attrgetter("processor"), group))
        safe = all(map(attrgetter("parallel_safe"), steps))
        n_jobs = self.n_jobs if safe else 1
        # An error of a user-defined step then names its channel.
        batch = self.batch_size or int(not all(map(attrgetter("built_in"), steps)))
        # An open size is raised to the number of threads later, by set_batch_size.
        if self.n_workers > 1 and batch:
            batch = self.mode.count_channels(batch, self.n_workers)
        positions = tuple(chain.from_iterable(map(attrgetter("steps"), group)))
        reason = self._reason(steps, safe, n_jobs, batch)
        for unit in group:
            if len(unit.steps) > 1:
                reason += f"; {unit.processor.description}"
        backend = self.backend if n_jobs > 1 else "serial"
        names = tuple(map(attrgetter("name"), map(processors.__getitem__, positions)))
        return Stage(
            "channel_wise", positions, names, n_jobs, self.n_workers, batch, backend, reason
        )

    def _reason(self, steps: list[Processor], safe: bool, n_jobs: int, batch: int) -> str:
        if not any(map(changes_samples, steps)):
            return "looks at the reference channel once; its result serves all channels"
        if not safe and self.n_jobs > 1:
            unsafe = ", ".join(p.name for p in steps if not p.parallel_safe)
            return f"{unsafe} is not parallel-safe: one batch after another, in this process"
        through = "one step at a time" if len(steps) == 1 else f"{len(steps)} steps in one pass"
        size = "one channel" if batch == 1 else f"{batch or f'up to {LANES}'} channels"
        if n_jobs == 1:
            return f"channel-wise, {through}, batches of {size}, one after another"
        kind = get_backend(self.backend).label
        return f"channel-wise, {through}, batches of {size} over {n_jobs} {kind}"


def set_batch_size(plan: Plan, size: int) -> Plan:
    """Return `plan` with batches of `size` channels in the stages that left it open."""
    stages: list[Stage] = []
    for stage in plan.stages:
        if stage.kind == "channel_wise" and not stage.batch_size:
            rules, n = MODES[plan.mode](), stage.n_workers
            stage = replace(stage, batch_size=size if n == 1 else rules.count_channels(size, n))
        stages.append(stage)
    return replace(plan, batch_size=size, stages=tuple(stages))


def set_chunks(plan: Plan, processors: Sequence[Processor], chunk_duration_s: Any) -> Plan:
    """Return `plan` with stages in chunks of time, if all their steps support this.

    Parameters
    ----------
    plan : Plan
        A plan of `processors`.
    processors : sequence of Processor
        The pipeline's steps.
    chunk_duration_s : float | None
        Length of a chunk, in s; None for the whole length.

    Raises
    ------
    PlanError
        If `chunk_duration_s` is not a positive number.
    """
    if chunk_duration_s is None:
        return plan
    seconds = chunk_duration_s
    # The bounds also exclude NaN and infinity, of which count_chunk can make no number.
    if not isinstance(seconds, Real) or isinstance(seconds, bool) or not 0 < float(seconds) < 1e9:
        raise PlanError(
            f"chunk_duration_s={seconds!r} is not valid: it must be a positive number of seconds, "
            "e.g. 30.0."
        )
    stages = tuple(_cut(stage, plan, processors, float(seconds)) for stage in plan.stages)
    return replace(plan, stages=stages)


def _cut(stage: Stage, plan: Plan, processors: Sequence[Processor], seconds: float) -> Stage:
    if stage.kind != "channel_wise":
        return stage
    steps = [unit.processor for unit in plan.fusions.replace(processors, stage.steps)]
    if not any(changes_samples(step) for step in steps):
        return stage
    reasons = [f"{step.name} {why}" for step in steps if (why := _explain(step))]
    # Told, not refused: whole channels give the same result, and take more memory only.
    if reasons:
        return replace(stage, reason=f"{stage.reason}; not in chunks: {', '.join(reasons)}")
    reason = f"{stage.reason}, in chunks of {seconds:g} s"
    return replace(stage, chunk_duration_s=seconds, reason=reason)


def _explain(step: Processor) -> str | None:
    """Return why a step cannot run in chunks; None if it can."""
    if not changes_samples(step):
        return None
    if not isinstance(step, ArrayProcessor):
        return "is a user-defined step"
    return step.why_not_chunked()


def check_dtype(dtype: Any) -> str:
    """Return the name of `dtype`: "float64" or "float32".

    Raises
    ------
    PlanError
        If it is neither.
    """
    try:
        name = str(np.dtype(dtype).name)
    except TypeError:
        name = ""
    if name not in ("float64", "float32"):
        raise PlanError(f"dtype={dtype!r} is not supported: use 'float64' or 'float32'.")
    return name


def set_precision(plan: Plan, processors: Sequence[Processor], dtype: Any) -> Plan:
    """Return `plan` in the precision `dtype`; reasons name the steps that compute in float64.

    Parameters
    ----------
    plan : Plan
        A plan of `processors`.
    processors : sequence of Processor
        The pipeline's steps.
    dtype : {"float64", "float32"}
        The precision.
    """
    if check_dtype(dtype) == "float64":
        return plan
    return replace(plan, stages=tuple(_round(stage, processors) for stage in plan.stages))


def _round(stage: Stage, processors: Sequence[Processor]) -> Stage:
    steps = [processors[i] for i in stage.steps]
    # Such a step is given a recording, and MNE's hold float64.
    if not steps[0].channel_wise and not isinstance(steps[0], ArrayProcessor):
        return replace(stage, reason=f"{stage.reason}; float64")
    steps = [step for step in steps if changes_samples(step)]
    if not steps:
        return stage
    double = [step.name for step in steps if not getattr(step, "float32_safe", False)]
    kept = f", {', '.join(double)} computed in float64 and rounded" if double else ""
    return replace(stage, dtype="float32", reason=f"{stage.reason}; float32{kept}")
