"""Timeline of a run: which worker did what and when, with memory on the same clock."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from facet_nb.benchmark.measurement import MB
from facet_nb.core import Plan
from facet_nb.core.events import (
    BatchDone,
    Event,
    RunDone,
    RunFailed,
    RunStarted,
    StageStarted,
)

#: Number of bars that are kept: more could not be distinguished.
MOST_BARS = 2000


@dataclass(frozen=True)
class Bar:
    """One step of one batch.

    Attributes
    ----------
    lane : int
        The worker, from 0.
    start_s, stop_s : float
        Time since the start of the run, in s.
    step : int
        Position of the step; −1 for reading and writing samples.
    label : str
        Channels of the batch.
    """

    lane: int
    start_s: float
    stop_s: float
    step: int
    label: str


@dataclass(frozen=True)
class Timeline:
    """What the workers of one run did.

    Attributes
    ----------
    mode : str
        The mode.
    n_jobs, n_workers : int
        Outer workers and inner threads.
    steps : tuple of str
        Names of the steps.
    bars : tuple of Bar
        Work in the order in which it was reported; at most :data:`MOST_BARS`.
    n_lanes : int
        Number of workers that did something.
    memory_mb : tuple of (float, float)
        Time since the start, in s, and resident memory of all workers since then, in MB.
    stop_s : float
        End, or the latest event so far, in s.
    status : {"planned", "running", "done", "failed", "cancelled"}
        A planned timeline is a forecast: nothing of it was measured.
    failed_step : int | None
        The step that failed.
    message : str
        Why it failed.
    number : int
        Number of the run, from 1; 0 for a forecast.

    Examples
    --------
    >>> from facet_nb.core.events import RunStarted
    >>> Timeline().apply_all([RunStarted(0.0, "serial", "serial", 1, 1, ("filter",), 1)]).status
    'running'
    """

    mode: str = ""
    n_jobs: int = 1
    n_workers: int = 1
    steps: tuple[str, ...] = ()
    bars: tuple[Bar, ...] = ()
    n_lanes: int = 1
    memory_mb: tuple[tuple[float, float], ...] = ()
    stop_s: float = 0.0
    status: str = "planned"
    failed_step: int | None = None
    message: str = ""
    number: int = 0
    began_s: float = 0.0
    base_bytes: int = 0
    #: Workers of the current stage, by process and thread; resident memory by process.
    workers: tuple[tuple[int, int], ...] = ()
    rss_bytes: tuple[tuple[int, int], ...] = ()

    def apply_all(self, events: Iterable[Event], base_bytes: int = 0) -> Timeline:
        """Return the timeline after further events.

        Parameters
        ----------
        events : iterable of Event
            Events of one run, in order.
        base_bytes : int
            Resident memory of this process when the run began, in bytes.
        """
        now, bars, memory = self, list(self.bars), list(self.memory_mb)
        for event in events:
            if isinstance(event, RunStarted):
                bars, memory = [], [(0.0, 0.0)]
                now = Timeline(
                    event.mode,
                    event.n_jobs,
                    event.n_workers,
                    event.steps,
                    status="running",
                    number=self.number,
                    began_s=event.time_s,
                    base_bytes=base_bytes,
                    rss_bytes=((os.getpid(), base_bytes),),
                )
            elif isinstance(event, StageStarted):
                now = replace(now, workers=())  # a stage may have threads of its own
            elif isinstance(event, BatchDone):
                now = now._take(event, bars, memory)
            elif isinstance(event, RunDone):
                now = replace(now, status="done", stop_s=event.time_s - now.began_s)
            elif isinstance(event, RunFailed):
                now = replace(
                    now,
                    status="cancelled" if event.cancelled else "failed",
                    stop_s=event.time_s - now.began_s,
                    failed_step=event.step_index,
                    message=event.message,
                )
        if len(bars) > MOST_BARS:
            bars = merge_bars(bars, MOST_BARS // 2)
        return replace(now, bars=tuple(bars), memory_mb=tuple(memory))

    @property
    def added_mb(self) -> float | None:
        """Largest resident memory over that at the start, in MB; None if it is not known."""
        if not self.base_bytes or len(self.memory_mb) < 2:
            return None
        return max(mb for _, mb in self.memory_mb)

    @property
    def busy_s(self) -> float:
        """Time that all lanes together were at work, in s."""
        return sum(bar.stop_s - bar.start_s for bar in self.bars)

    @property
    def workers_text(self) -> str:
        """Mode and number of workers, as text."""
        jobs = f" × {self.n_jobs}" if self.n_jobs > 1 else ""
        threads = f", {self.n_workers} threads each" if self.n_workers > 1 else ""
        return f"{self.mode}{jobs}{threads}"

    def _take(
        self, event: BatchDone, bars: list[Bar], memory: list[tuple[float, float]]
    ) -> Timeline:
        """Add the bars and the memory of a batch; return the other fields that change."""
        workers, lane = self.workers, 0
        if event.batch >= 0:  # preparation occupies the first lane, before the workers begin
            key = (event.pid, event.thread)
            workers = workers if key in workers else (*workers, key)
            lane = workers.index(key)
        stop_s = (event.ended_s or event.time_s) - self.began_s
        spent_s = sum(t.wall_s for t in event.step_times)
        start_s = event.began_s - self.began_s if event.began_s else stop_s - spent_s
        bars += _split(event, lane, start_s, stop_s)
        rss = dict(self.rss_bytes) | {event.pid: event.rss_bytes}
        if self.base_bytes:
            memory.append((stop_s, max(0.0, (sum(rss.values()) - self.base_bytes) / MB)))
        return replace(
            self,
            workers=workers,
            rss_bytes=tuple(rss.items()),
            n_lanes=max(self.n_lanes, lane + 1),
            stop_s=max(self.stop_s, stop_s),
        )


def _split(event: BatchDone, lane: int, start_s: float, stop_s: float) -> list[Bar]:
    """Return the bars of a batch: its steps one after another, then reading and writing."""
    label = ", ".join(event.channels[:3]) + (" …" if len(event.channels) > 3 else "")
    spent_s = sum(t.wall_s for t in event.step_times)
    scale = min(1.0, (stop_s - start_s) / spent_s) if spent_s > 0 else 0.0
    bars, now_s = [], start_s
    for time in event.step_times:
        bars.append(Bar(lane, now_s, now_s + scale * time.wall_s, time.step, label))
        now_s = bars[-1].stop_s
    if stop_s - now_s > 1e-9:
        bars.append(Bar(lane, now_s, stop_s, -1, label))
    return bars


def merge_bars(bars: Sequence[Bar], most: int) -> list[Bar]:
    """Return at most about `most` bars: neighbours of one lane and step become one.

    Parameters
    ----------
    bars : sequence of Bar
        The bars.
    most : int
        Number of bars to keep, as a target.
    """
    ordered = sorted(bars, key=lambda bar: (bar.lane, bar.start_s))
    limit_s = max((bar.stop_s for bar in bars), default=0.0) / max(1, most)
    merged: list[Bar] = []
    for bar in ordered:
        last = merged[-1] if merged else None
        joins = last is not None and last.lane == bar.lane and bar.start_s - last.stop_s < limit_s
        if (
            joins
            and last is not None
            and (last.step == bar.step or bar.stop_s - last.start_s < limit_s)
        ):
            merged[-1] = replace(last, stop_s=bar.stop_s, label="several batches")
        else:
            merged.append(bar)
    return merged


def plan_timeline(plan: Plan, n_channels: int, step_cpu_s: Sequence[float] = ()) -> Timeline:
    """Return the timeline that a plan leads to, without running it.

    Parameters
    ----------
    plan : Plan
        The plan.
    n_channels : int
        Channels that are corrected.
    step_cpu_s : sequence of float
        CPU time of each step in an earlier run, in s; empty if there was none, and each step then
        counts the same.

    Returns
    -------
    Timeline
        A forecast: the batches go to the first free worker, and nothing slows another down.
    """
    names = tuple(name for stage in plan.stages for name in stage.names)
    bars: list[Bar] = []
    clock_s, n_lanes = 0.0, 1
    for stage in plan.stages:
        cost = [step_cpu_s[i] if i < len(step_cpu_s) else 1.0 for i in stage.steps]
        jobs = max(1, stage.n_jobs) if stage.kind == "channel_wise" else 1
        size = stage.batch_size or max(1, -(-n_channels // (4 * jobs)))
        n_batches = max(1, -(-n_channels // size)) if stage.kind == "channel_wise" else 1
        lanes = min(jobs, n_batches)
        free = [(clock_s, lane) for lane in range(lanes)]
        for _ in range(n_batches):
            now_s, lane = heapq.heappop(free)
            for step, seconds in zip(stage.steps, cost, strict=True):
                stop_s = now_s + seconds / n_batches
                bars.append(Bar(lane, now_s, stop_s, step, ""))
                now_s = stop_s
            heapq.heappush(free, (now_s, lane))
        clock_s, n_lanes = max(t for t, _ in free), max(n_lanes, lanes)
    if len(bars) > MOST_BARS:
        bars = merge_bars(bars, MOST_BARS // 2)
    return Timeline(
        plan.mode, plan.n_jobs, plan.n_workers, names, tuple(bars), n_lanes, stop_s=clock_s
    )
