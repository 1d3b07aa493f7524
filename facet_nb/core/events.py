"""Events that a run emits, and the run state computed from them.

Events are frozen and picklable. ``RunState.apply(event)`` is a pure reducer; progress bars,
widgets, logs and benchmarks read the state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import chain, product
from typing import Any, Literal

from facet_nb.core.findings import Finding, merge_findings


@dataclass(frozen=True)
class Event:
    """Base class of events; ``time_s`` is seconds since the epoch."""

    time_s: float


@dataclass(frozen=True)
class RunStarted(Event):
    """A run begins."""

    mode: str
    backend: str
    n_jobs: int
    n_workers: int
    steps: tuple[str, ...]
    n_stages: int


@dataclass(frozen=True)
class StageStarted(Event):
    """A stage begins: `steps` (positions) over `batches` of channels (names)."""

    stage: int
    steps: tuple[int, ...]
    batches: tuple[tuple[str, ...], ...]
    reason: str


@dataclass(frozen=True)
class StepTime:
    """Measured cost of one step for one batch."""

    step: int
    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class BatchDone(Event):
    """One batch of channels has finished a stage (batch -1: the preparation of the stage).

    ``began_s`` and ``ended_s`` are seconds since the epoch, by the worker's clock. What the step
    times leave of the time between them was spent reading and writing samples.
    ``restored`` means that the samples come from a checkpoint: nothing was computed.
    """

    stage: int
    batch: int
    channels: tuple[str, ...]
    step_times: tuple[StepTime, ...]
    pid: int
    rss_bytes: int
    began_s: float = 0.0
    ended_s: float = 0.0
    thread: int = 0
    restored: bool = False


@dataclass(frozen=True)
class StageDone(Event):
    """A stage is complete."""

    stage: int
    wall_s: float


@dataclass(frozen=True)
class FindingRaised(Event):
    """A step, the planner or the executor found out something that a person should know."""

    finding: Finding


@dataclass(frozen=True)
class RunDone(Event):
    """The run is complete."""

    wall_s: float


@dataclass(frozen=True)
class RunFailed(Event):
    """The run ended early: a step failed, or it was cancelled."""

    message: str
    step: str | None = None
    step_index: int | None = None
    channel: str | None = None
    cancelled: bool = False


Status = Literal["idle", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class RunState:
    """State of a run, computed from its events.

    Attributes
    ----------
    status : {"idle", "running", "done", "failed", "cancelled"}
        Status of the run.
    steps : tuple of str
        Names of the steps.
    n_stages : int
        Number of stages.
    stages_done : int
        Stages that are complete.
    batches_total, batches_done : int
        Batches of the current stage.
    step_wall_s, step_cpu_s : tuple of float
        Measured time of each step, summed over batches, in s.
    cells : frozenset of (step, channel)
        Each channel that has finished a step.
    batches_restored : int
        Batches of all stages whose samples came from a checkpoint.
    failed_step, failed_index, failed_channel : str, int, str | None
        Name and position of the step that failed, and its channels.
    findings : tuple of Finding
        Findings so far, the most serious first, one for each code.
    batches_measured : int
        Batches of the current stage that were computed, and not restored.
    restored_fraction : float
        Fraction of the run that came from a checkpoint, 0 to 1.
    """

    status: Status = "idle"
    mode: str = ""
    backend: str = ""
    n_jobs: int = 1
    n_workers: int = 1
    steps: tuple[str, ...] = ()
    n_stages: int = 0
    stages_done: int = 0
    stage_steps: tuple[int, ...] = ()
    batches_total: int = 0
    batches_done: int = 0
    started_s: float | None = None
    now_s: float | None = None
    step_wall_s: tuple[float, ...] = ()
    step_cpu_s: tuple[float, ...] = ()
    steps_done: frozenset[int] = frozenset()
    cells: frozenset[tuple[int, str]] = frozenset()
    channels: tuple[str, ...] = ()
    peak_rss_bytes: int = 0
    message: str = ""
    failed_step: str | None = None
    failed_channel: str | None = None
    failed_index: int | None = None
    batches_restored: int = 0
    findings: tuple[Finding, ...] = ()
    batches_measured: int = 0
    restored_fraction: float = 0.0

    def apply(self, event: Event) -> RunState:
        """Return the state after `event`."""
        state = replace(self, now_s=event.time_s)
        handler = _HANDLERS.get(type(event))
        return state if handler is None else handler(state, event)

    def apply_all(self, events: Iterable[Event]) -> RunState:
        """Return the state after several events."""
        # ``apply`` copies all cells, so that calling it for each event would take quadratic time.
        cells, state = set(self.cells), replace(self, cells=frozenset())
        for event in events:
            # The cells of the state are kept empty here, so that a new run cannot clear them
            # itself.
            if isinstance(event, RunStarted):
                cells.clear()
            state = state.apply(event)
            if state.cells:
                cells |= state.cells
                state = replace(state, cells=frozenset())
        return replace(state, cells=frozenset(cells))

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        if self.started_s is None or self.now_s is None:
            return 0.0
        # These are times of the clock, which may be set back during a run.
        return max(0.0, self.now_s - self.started_s)

    @property
    def fraction(self) -> float:
        """Completed fraction of the run, 0 to 1; all steps count the same."""
        if self.status == "done":
            return 1.0
        if not self.steps:
            return 0.0
        part = self.batches_done / self.batches_total if self.batches_total else 0.0
        return min(1.0, (len(self.steps_done) + part * len(self.stage_steps)) / len(self.steps))

    @property
    def remaining_s(self) -> float | None:
        """Estimated seconds left, from the mean speed so far; None before there is evidence.

        Evidence is work like that which is left: two batches of the current stage that were
        computed. Earlier steps say little about later ones, and a checkpoint nothing.
        """
        if self.status == "done":
            return 0.0
        computed = self.fraction - self.restored_fraction
        # The first 2 % are mostly start-up: an estimate from them would be far off.
        if self.status != "running" or self.batches_measured < 2 or computed < 0.02:
            return None
        return self.elapsed_s * (1.0 - self.fraction) / computed


def _run_started(state: RunState, e: RunStarted) -> RunState:
    zeros = (0.0,) * len(e.steps)
    # A new state: nothing of an earlier run, such as its findings, may be left in it.
    return RunState(
        status="running",
        mode=e.mode,
        backend=e.backend,
        n_jobs=e.n_jobs,
        n_workers=e.n_workers,
        steps=e.steps,
        n_stages=e.n_stages,
        started_s=e.time_s,
        now_s=e.time_s,
        step_wall_s=zeros,
        step_cpu_s=zeros,
        message="running",
    )


def _stage_started(state: RunState, e: StageStarted) -> RunState:
    names = chain.from_iterable(e.batches)
    return replace(
        state,
        stage_steps=e.steps,
        batches_total=len(e.batches),
        batches_done=0,
        batches_measured=0,
        # A dictionary and no set: channels keep their order in pictures.
        channels=tuple(dict.fromkeys((*state.channels, *names))),
    )


def _batch_done(state: RunState, e: BatchDone) -> RunState:
    wall, cpu = list(state.step_wall_s), list(state.step_cpu_s)
    cells: set[tuple[int, str]] = set()
    for t in e.step_times:
        wall[t.step] += t.wall_s
        cpu[t.step] += t.cpu_s
        cells.update(product((t.step,), e.channels))
    counted = e.batch >= 0  # preparation takes time, but is not progress
    # In the unit of ``fraction``, from which it is subtracted where speed is measured.
    share = len(state.stage_steps) / max(1, len(state.steps) * state.batches_total)
    return replace(
        state,
        batches_done=state.batches_done + counted,
        step_wall_s=tuple(wall),
        step_cpu_s=tuple(cpu),
        cells=state.cells | cells,
        peak_rss_bytes=max(state.peak_rss_bytes, e.rss_bytes),
        batches_restored=state.batches_restored + e.restored,
        batches_measured=state.batches_measured + (counted and not e.restored),
        restored_fraction=state.restored_fraction + share * e.restored,
    )


def _stage_done(state: RunState, e: StageDone) -> RunState:
    return replace(
        state,
        stages_done=state.stages_done + 1,
        # From here on its steps count as done: with batches left in the state they would count
        # twice.
        steps_done=state.steps_done | set(state.stage_steps),
        stage_steps=(),
        batches_total=0,
        batches_done=0,
        batches_measured=0,
    )


def _finding_raised(state: RunState, e: FindingRaised) -> RunState:
    return replace(state, findings=merge_findings([*state.findings, e.finding]))


def _run_done(state: RunState, e: RunDone) -> RunState:
    return replace(state, status="done", message=f"done in {e.wall_s:.1f} s")


def _run_failed(state: RunState, e: RunFailed) -> RunState:
    return replace(
        state,
        status="cancelled" if e.cancelled else "failed",
        message=e.message,
        failed_step=e.step,
        failed_channel=e.channel,
        failed_index=e.step_index,
    )


_HANDLERS: dict[type[Event], Callable[[RunState, Any], RunState]] = {
    RunStarted: _run_started,
    StageStarted: _stage_started,
    BatchDone: _batch_done,
    StageDone: _stage_done,
    FindingRaised: _finding_raised,
    RunDone: _run_done,
    RunFailed: _run_failed,
}


class EventRecorder:
    """Keep the state of a run, and pass events on to listeners."""

    def __init__(self, listeners: list[Callable[[Event], None]]) -> None:
        self.state = RunState()
        self.listeners = listeners

    def __call__(self, event: Event) -> None:
        """Record an event."""
        # Before the listeners, as they read the state of this recorder and not only the event.
        self.state = self.state.apply(event)
        for listener in self.listeners:
            listener(event)
