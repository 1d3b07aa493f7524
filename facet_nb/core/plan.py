"""Plans: what a mode makes of a pipeline.

A plan is a list of stages. A stage is *global* (all channels at once, in this process) or
*channel-wise* (batch by batch). The plan says for each stage why it is as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

from facet_nb.core.advice import suggest
from facet_nb.core.errors import PlanError
from facet_nb.core.fusion import NO_FUSIONS, Fusions, Unit, find_fusions
from facet_nb.core.processor import ArrayProcessor, Processor
from facet_nb.core.steps import changes_samples

if TYPE_CHECKING:
    from facet_nb.core.forecast import Shape

MODES = ("serial", "channel_sequential", "parallel", "auto")
BACKENDS = ("multiprocessing", "threading", "serial", "dask")

#: What outer workers are called.
_WORKERS = {
    "multiprocessing": "processes",
    "threading": "threads",
    "dask": "tasks of the Dask cluster",
}

#: Batches of a serial stage: small enough to show progress and to act on a cancel, large enough
#: to give each inner thread a few channels.
_CHANNELS_PER_THREAD = 4


@dataclass(frozen=True)
class Stage:
    """Consecutive steps that run together.

    Attributes
    ----------
    kind : {"global", "channel_wise"}
        All channels at once, or batch by batch.
    steps : tuple of int
        Positions of the steps in the pipeline.
    names : tuple of str
        Their names.
    n_jobs : int
        Batches in flight at once.
    n_workers : int
        Inner threads for one batch.
    batch_size : int
        Channels in one batch.
    backend : str
        Where batches run.
    reason : str
        Why the stage is as it is.
    dtype : {"float64", "float32"}
        Precision of the samples between its steps.
    chunk_duration_s : float | None
        Length of the chunks of time that a batch runs in, in s; None for the whole.
    """

    kind: Literal["global", "channel_wise"]
    steps: tuple[int, ...]
    names: tuple[str, ...]
    n_jobs: int
    n_workers: int
    batch_size: int
    backend: str
    reason: str
    dtype: str = "float64"
    chunk_duration_s: float | None = None


@dataclass(frozen=True)
class Plan:
    """Stages of a run.

    Attributes
    ----------
    mode, backend : str
        How the pipeline runs.
    n_jobs, n_workers, batch_size : int
        Outer workers, inner threads, channels in one batch.
    stages : tuple of Stage
        The stages in order.
    reason : str
        Why this mode (for ``mode="auto"``).
    fusions : Fusions
        Steps that run as one, and why others do not.
    spill : bool
        Whether samples stay in files: those that are loaded, and those of every result.
    forecast : Forecast | None
        What the run will need, where the recording is known.
    """

    mode: str
    backend: str
    n_jobs: int
    n_workers: int
    batch_size: int
    stages: tuple[Stage, ...]
    reason: str = ""
    fusions: Fusions = NO_FUSIONS
    spill: bool = False
    forecast: Any = None

    def to_advice(self) -> dict[str, Any]:
        """Return what ``mode="auto"`` chose, and why, for the history."""
        names = ("mode", "backend", "n_jobs", "n_workers", "batch_size", "spill", "reason")
        told = {} if self.forecast is None else {"forecast_bytes": self.forecast.peak_bytes}
        return {**{name: getattr(self, name) for name in names}, **told}

    def __str__(self) -> str:
        head = (
            f"mode={self.mode}, backend={self.backend}, n_jobs={self.n_jobs}, "
            f"n_workers={self.n_workers}, batch_size={self.batch_size}"
        )
        lines = [head + (f" — {self.reason}" if self.reason else "")]
        if self.forecast is not None:
            lines.append(str(self.forecast))
        for i, stage in enumerate(self.stages, 1):
            lines.append(f"{i}. {stage.kind:<12} {' → '.join(stage.names)}")
            lines.append(f"   {stage.reason}")
            if self.forecast is not None:
                lines.append(f"   {self.forecast.stages[i - 1]}")
        return "\n".join([*lines, *self.fusions.refused])

    def _repr_html_(self) -> str:
        told = self.forecast
        needs = [] if told is None else [escape(str(f)) for f in told.stages]
        rows = "".join(
            f"<tr><td>{i}</td><td>{s.kind.replace('_', '-')}</td>"
            f"<td style='text-align:left'>{escape(' → '.join(s.names))}</td>"
            f"<td>{s.n_jobs}</td><td style='text-align:left'>{escape(s.reason)}</td>"
            f"{_cell(needs[i - 1] if needs else None)}</tr>"
            for i, s in enumerate(self.stages, 1)
        )
        head = f"{self.mode} · {self.backend} · n_jobs={self.n_jobs} · n_workers={self.n_workers}"
        return (
            f"<table><caption style='text-align:left'><b>Plan</b> {escape(head)}"
            f"{' — ' + escape(self.reason) if self.reason else ''}"
            f"{'' if told is None else '<br>' + escape(str(told))}</caption><thead><tr><th>#</th>"
            "<th>stage</th><th>steps</th><th>jobs</th><th>why</th>"
            f"{'<th>memory</th>' if needs else ''}</tr></thead>"
            f"<tbody>{rows}</tbody></table>"
            + "".join(f"<p>{escape(line)}</p>" for line in self.fusions.refused)
        )


def _cell(text: str | None) -> str:
    return "" if text is None else f"<td style='text-align:left'>{text}</td>"


def choose_mode(
    mode: str | None, parallel: bool, channel_sequential: bool
) -> Literal["serial", "channel_sequential", "parallel", "auto"]:
    """Return the mode that flags and `mode` ask for.

    Raises
    ------
    PlanError
        If they contradict one another or the mode is unknown.
    """
    if parallel and channel_sequential:
        raise PlanError(
            "parallel=True and channel_sequential=True contradict each other. For batches of "
            "channels over several workers use mode='channel_sequential' with n_jobs > 1."
        )
    flag = "parallel" if parallel else "channel_sequential" if channel_sequential else None
    if mode is None:
        return flag or "serial"  # type: ignore[return-value]
    if mode not in MODES:
        raise PlanError(f"unknown mode {mode!r}: use one of {', '.join(MODES)}.")
    if flag is not None and flag != mode:
        raise PlanError(f"mode={mode!r} contradicts {flag}=True: give one of them.")
    return mode  # type: ignore[return-value]


def check_numbers(
    n_jobs: int, n_workers: int, batch_size: int, backend: str, cores: int
) -> tuple[int, ...]:
    """Return `n_jobs` and `n_workers` as positive numbers of workers.

    Raises
    ------
    PlanError
        If a number or the backend cannot be used.
    """
    if backend not in BACKENDS:
        raise PlanError(f"unknown backend {backend!r}: use one of {', '.join(BACKENDS)}.")
    resolved = []
    for name, value in (("n_jobs", n_jobs), ("n_workers", n_workers)):
        if not _is_whole(value) or value == 0:
            raise PlanError(
                f"{name}={value!r} is not a number of workers: use 1, 2, … or -1 for all "
                f"{cores} cores that this process may use, -2 for all but one."
            )
        resolved.append(int(value) if value > 0 else max(1, cores + 1 + int(value)))
    if not _is_whole(batch_size) or batch_size < 1:
        raise PlanError(f"batch_size={batch_size!r} must be 1 or more channels.")
    return tuple(resolved)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def make_plan(
    processors: Sequence[Processor],
    mode: str,
    *,
    n_jobs: int,
    n_workers: int,
    backend: str,
    batch_size: int,
    cores: int,
    fuse: bool = True,
    shape: Shape | None = None,
) -> Plan:
    """Return the plan of `processors` in `mode`.

    Parameters
    ----------
    processors : sequence of Processor
        The steps.
    mode : {"serial", "channel_sequential", "parallel", "auto"}
        How to run them.
    n_jobs, n_workers : int
        Outer workers and inner threads (negative numbers count from `cores`).
    backend : {"multiprocessing", "threading", "serial", "dask"}
        Where outer workers live.
    batch_size : int
        Channels in one batch.
    cores : int
        Cores that this process may use.
    fuse : bool
        Whether steps may be fused (:mod:`facet_nb.core.fusion`).
    shape : Shape | None
        Size of the recording, for ``mode="auto"``.
    """
    n_jobs, n_workers = check_numbers(n_jobs, n_workers, batch_size, backend, cores)
    batch_size = int(batch_size)
    reason = ""
    if mode == "auto":
        advice = suggest(processors, cores, shape)
        mode, backend, n_jobs = advice["mode"], advice["backend"], advice["n_jobs"]
        reason = advice["reason"]
    if mode == "serial" or backend == "serial":
        n_jobs = 1
    inner = max(1, min(n_workers, cores // n_jobs)) if n_workers > 1 else 1
    fusions = find_fusions(processors) if fuse else NO_FUSIONS
    maker = _Planner(mode, backend, n_jobs, inner, batch_size, fusions)
    stages = maker.stages(processors)
    return Plan(mode, backend, n_jobs, inner, batch_size, stages, reason, fusions)


@dataclass
class _Planner:
    mode: str
    backend: str
    n_jobs: int
    n_workers: int
    batch_size: int
    fusions: Fusions

    def stages(self, processors: Sequence[Processor]) -> tuple[Stage, ...]:
        stages: list[Stage] = []
        group: list[Unit] = []
        for unit in self.fusions.replace(processors, range(len(processors))):
            processor = unit.processor
            if group and not (processor.channel_wise and self._joins(group, processor)):
                stages.append(self._channel_wise(processors, group))
                group = []
            if processor.channel_wise:
                group.append(unit)
            else:
                stages.append(self._global(processor, unit.index))
        if group:
            stages.append(self._channel_wise(processors, group))
        return tuple(stages)

    def _joins(self, group: list[Unit], processor: Processor) -> bool:
        if self.mode != "channel_sequential":
            return False
        if getattr(processor, "needs", "none") == "all":
            return False
        if self.n_jobs > 1:
            return processor.parallel_safe == group[-1].processor.parallel_safe
        return True

    def _global(self, processor: Processor, i: int) -> Stage:
        by_time = isinstance(processor, ArrayProcessor) and processor.splits == "times"
        workers = self.n_workers
        if by_time and self.mode == "parallel" and self.n_jobs > 1:
            workers = max(workers, self.n_jobs)
        if by_time and workers > 1:
            reason = f"needs all channels; time is split over {workers} threads"
        else:
            reason = "needs all channels, or no samples: runs once, in this process"
        return Stage("global", (i,), (processor.name,), 1, workers, 0, "serial", reason)

    def _channel_wise(self, processors: Sequence[Processor], group: list[Unit]) -> Stage:
        steps = [unit.processor for unit in group]
        safe = all(p.parallel_safe for p in steps)
        n_jobs = self.n_jobs if safe else 1
        batch = self.batch_size
        if self.n_workers > 1:  # a thread without a channel would do nothing
            serial = self.mode == "serial"
            batch = max(batch, self.n_workers * (_CHANNELS_PER_THREAD if serial else 1))
        positions = tuple(i for unit in group for i in unit.steps)
        reason = self._reason(steps, safe, n_jobs, batch)
        for fused in (unit.processor for unit in group if len(unit.steps) > 1):
            reason += f"; {fused.description}"
        backend = self.backend if n_jobs > 1 else "serial"
        names = tuple(processors[i].name for i in positions)
        return Stage(
            "channel_wise", positions, names, n_jobs, self.n_workers, batch, backend, reason
        )

    def _reason(self, steps: list[Processor], safe: bool, n_jobs: int, batch: int) -> str:
        if not any(changes_samples(p) for p in steps):
            return "looks at the reference channel once; its result serves all channels"
        if not safe and self.n_jobs > 1:
            unsafe = ", ".join(p.name for p in steps if not p.parallel_safe)
            return f"{unsafe} is not parallel-safe: one batch after another, in this process"
        through = "one step at a time" if len(steps) == 1 else f"{len(steps)} steps in one pass"
        size = "one channel" if batch == 1 else f"{batch} channels"
        if n_jobs == 1:
            return f"channel-wise, {through}, batches of {size}, one after another"
        kind = _WORKERS[self.backend]
        return f"channel-wise, {through}, batches of {size} over {n_jobs} {kind}"
