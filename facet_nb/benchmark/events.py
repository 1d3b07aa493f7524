"""Events of a running benchmark, and the state derived from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from facet_nb.benchmark.measurement import BenchmarkPoint, Configuration
from facet_nb.benchmark.table import BenchmarkTable

Phase = Literal["reference", "warm-up", "time", "memory"]


@dataclass(frozen=True)
class BenchmarkEvent:
    """Base class of events; ``time_s`` is in seconds since the epoch."""

    time_s: float


@dataclass(frozen=True)
class BenchmarkStarted(BenchmarkEvent):
    """A benchmark starts.

    Attributes
    ----------
    configurations : tuple of Configuration
        The configurations to measure.
    table : BenchmarkTable
        A table without points, with its environment and input.
    time_budget_s : float
        Time budget, in s.
    """

    configurations: tuple[Configuration, ...]
    table: BenchmarkTable
    time_budget_s: float


@dataclass(frozen=True)
class PointStarted(BenchmarkEvent):
    """A measurement of one configuration starts.

    Attributes
    ----------
    configuration : Configuration
        The configuration.
    phase : {"reference", "warm-up", "time", "memory"}
        What is measured: the serial result with which the others are compared, the first run in a
        fresh process, a timed run, or a run whose memory is measured.
    block : int
        Number of the block of timed runs, from 0; -1 outside a block.
    done, total : int
        Finished measurements, and the expected number of measurements (repeats may be added).
    remaining_s : float | None
        Estimated time left, in s; None while it is unknown.
    """

    configuration: Configuration
    phase: Phase
    block: int
    done: int
    total: int
    remaining_s: float | None


@dataclass(frozen=True)
class PointMeasured(BenchmarkEvent):
    """A measurement of one configuration has ended.

    Attributes
    ----------
    point : BenchmarkPoint
        The measurements of this configuration so far.
    table : BenchmarkTable
        All points so far.
    phase : {"reference", "warm-up", "time", "memory"}
        What was measured.
    done, total : int
        Finished measurements, and the expected number of measurements.
    remaining_s : float | None
        Estimated time left, in s.
    """

    point: BenchmarkPoint
    table: BenchmarkTable
    phase: Phase
    done: int
    total: int
    remaining_s: float | None


@dataclass(frozen=True)
class BenchmarkDone(BenchmarkEvent):
    """The benchmark is complete.

    Attributes
    ----------
    table : BenchmarkTable
        The result.
    wall_s : float
        Duration of the benchmark, in s.
    """

    table: BenchmarkTable
    wall_s: float


@dataclass(frozen=True)
class BenchmarkFailed(BenchmarkEvent):
    """The benchmark ended early; `table` holds the measurements until then."""

    message: str
    table: BenchmarkTable | None = None
    cancelled: bool = False


@dataclass(frozen=True)
class BenchmarkState:
    """State of a benchmark, derived from its events; ``apply`` is a pure reducer.

    Attributes
    ----------
    status : {"idle", "running", "done", "failed", "cancelled"}
        Progress of the benchmark.
    table : BenchmarkTable | None
        All points so far.
    configuration : Configuration | None
        The configuration that is measured now, in `phase`.
    done, total : int
        Finished measurements, and the expected number of measurements.
    remaining_s : float | None
        Estimated time left, in s.
    """

    status: Literal["idle", "running", "done", "failed", "cancelled"] = "idle"
    table: BenchmarkTable | None = None
    configurations: tuple[Configuration, ...] = ()
    configuration: Configuration | None = None
    phase: str = ""
    block: int = -1
    done: int = 0
    total: int = 0
    remaining_s: float | None = None
    message: str = ""

    def apply(self, event: BenchmarkEvent) -> BenchmarkState:
        """Return the state after `event`."""
        handler = _HANDLERS.get(type(event))
        return self if handler is None else handler(self, event)

    @property
    def waiting(self) -> tuple[Configuration, ...]:
        """Configurations that have been neither timed nor found to fail so far, in order."""
        points = () if self.table is None else self.table.points
        known = {p.configuration for p in points if p.n_repeats or p.error is not None}
        return tuple(c for c in self.configurations if c not in known)

    @property
    def fraction(self) -> float:
        """Finished share, 0 to 1."""
        if self.status == "done":
            return 1.0
        return min(1.0, self.done / self.total) if self.total else 0.0


def _started(state: BenchmarkState, e: BenchmarkStarted) -> BenchmarkState:
    return BenchmarkState("running", e.table, e.configurations, message="running")


def _point_started(state: BenchmarkState, e: PointStarted) -> BenchmarkState:
    return replace(
        state,
        configuration=e.configuration,
        phase=e.phase,
        block=e.block,
        done=e.done,
        total=e.total,
        remaining_s=e.remaining_s,
        message=f"{e.phase}: {e.configuration.label}",
    )


def _point_measured(state: BenchmarkState, e: PointMeasured) -> BenchmarkState:
    # The configuration stays until the next one starts, so that the display does not flicker.
    return replace(state, table=e.table, done=e.done, total=e.total, remaining_s=e.remaining_s)


def _done(state: BenchmarkState, e: BenchmarkDone) -> BenchmarkState:
    return replace(
        state,
        status="done",
        table=e.table,
        configuration=None,
        remaining_s=0.0,
        message=f"done in {e.wall_s:.0f} s",
    )


def _failed(state: BenchmarkState, e: BenchmarkFailed) -> BenchmarkState:
    return replace(
        state,
        status="cancelled" if e.cancelled else "failed",
        table=state.table if e.table is None else e.table,
        configuration=None,
        remaining_s=None,
        message=e.message,
    )


_HANDLERS: dict[type[BenchmarkEvent], Callable[[BenchmarkState, Any], BenchmarkState]] = {
    BenchmarkStarted: _started,
    PointStarted: _point_started,
    PointMeasured: _point_measured,
    BenchmarkDone: _done,
    BenchmarkFailed: _failed,
}
