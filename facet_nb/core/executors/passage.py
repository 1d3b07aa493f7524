"""The way of a batch through the steps of a stage, and over inner threads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from facet_nb.core.events import StepTime
from facet_nb.core.executors import inner_pool
from facet_nb.core.executors.finite import check_finite
from facet_nb.core.lineage import parts_of
from facet_nb.core.steps import ArrayStep, Step
from facet_nb.core.track import Track

if TYPE_CHECKING:
    from facet_nb.core.executors.task import Job


@dataclass
class Passage:
    """Some channels on their way through all steps of a job.

    Attributes
    ----------
    job : Job
        The job.
    batch : int
        Their batch.
    channels : list of int
        The channels.
    x : ndarray, shape (n_channels, n_times)
        Their samples, in V; not written to.
    out : ndarray | None
        Where the last step may put its result.
    n_workers : int
        Threads inside each step.
    position : int
        The step that they are at.
    done : bool
        Whether they are through all of them.
    """

    job: Job
    batch: int
    channels: list[int]
    x: np.ndarray
    out: np.ndarray | None
    n_workers: int = 1
    position: int = 0
    done: bool = False
    times: list[StepTime] = field(default_factory=list)

    def run(self) -> None:
        """Take them through; then ``x`` holds the result."""
        job, steps = self.job, self.job.steps
        if job.check:
            check_finite(self.x, [job.names[c] for c in self.channels])
        n_asking = sum(step.uses_noise for step in steps)
        parts = parts_of(job.terms, self.channels) if n_asking else None
        track = Track(self.x, self.channels, n_asking, parts)
        last = max(i for i, step in enumerate(steps) if step.changes_samples)
        for self.position, step in enumerate(steps):
            if job.cancel is not None:
                job.cancel.check()
            if job.crumbs is not None:
                job.crumbs.move(self.batch, self.position)
            if not step.changes_samples:
                self.times.append(StepTime(step.index, 0.0, 0.0))
                continue
            out = self.out if self.position == last else None
            if out is None and track.own and can_overwrite(step):
                out = track.x
            self.times.append(_take(track, step, out, self.n_workers))
        self.x, self.done = track.x, True


def take_through(
    job: Job,
    batch: int,
    channels: list[int],
    x: np.ndarray,
    out: np.ndarray | None,
    here: list[int],
) -> tuple[np.ndarray, tuple[StepTime, ...]]:
    """Take channels through all steps of `job`, over its inner threads.

    Where every step works on each channel by itself, each thread takes its share of the channels
    through all steps: nobody waits between steps, and intermediates are small enough to be used
    again. Else threads share the work of one step after the other.

    Parameters
    ----------
    job : Job
        The job.
    batch : int
        The batch, for whoever watches.
    channels : list of int
        Its channels.
    x : ndarray, shape (n_channels, n_times)
        Their samples, in V; not written to.
    out : ndarray | None
        Where to put the result; None for an array of its own.
    here : list of int
        Its first element is set to the position of the step that failed, if one does.

    Returns
    -------
    result : ndarray, shape (n_channels, n_times after)
        The samples after all steps; `out` if that was given.
    times : tuple of StepTime
        What each step took: CPU time of all threads, and wall time as their mean.
    """
    whole = slice(0, len(channels))
    apart = job.n_workers > 1 and all(_splits_rows(step) for step in job.steps)
    blocks = inner_pool.split(len(channels), job.n_workers) if apart else [whole]
    inner = 1 if apart else job.n_workers
    parts = {
        block.start: Passage(
            job, batch, channels[block], x[block], None if out is None else out[block], inner
        )
        for block in blocks
    }
    try:
        inner_pool.run_blocks(lambda block: parts[block.start].run(), blocks)
    finally:
        here[0] = next((p.position for p in parts.values() if not p.done), 0)
    passages = list(parts.values())
    if out is None:
        out = passages[0].x if len(passages) == 1 else np.concatenate([p.x for p in passages])
    return out, tuple(map(_merge, zip(*(p.times for p in passages), strict=True)))


def _splits_rows(step: Step) -> bool:
    if not step.changes_samples:
        return True
    return isinstance(step, ArrayStep) and step.processor.splits == "channels"


def _merge(times: Sequence[StepTime]) -> StepTime:
    wall_s = sum(t.wall_s for t in times) / len(times)
    return StepTime(times[0].step, wall_s, sum(t.cpu_s for t in times))


def _take(track: Track, step: Step, out: np.ndarray | None, n_workers: int) -> StepTime:
    """Take rows through one step, and measure it."""
    cpu_s = 0.0

    def run(x: np.ndarray, noise: np.ndarray | None) -> np.ndarray:
        nonlocal cpu_s
        result, cpu_s = apply_step(step, x, track.channels, out, n_workers, noise)
        return result

    begin = time.perf_counter()
    track.advance(step, run)
    return StepTime(step.index, time.perf_counter() - begin, cpu_s)


def apply_step(
    step: Step,
    x: np.ndarray,
    channels: Sequence[int],
    out: np.ndarray | None,
    n_workers: int,
    noise: np.ndarray | None = None,
) -> tuple[np.ndarray, float]:
    """Run `step` on rows `x`, over inner threads where it can use them; return CPU seconds too."""
    blocks = _blocks(step, x, n_workers)
    if len(blocks) < 2:
        begin = time.thread_time()
        result = step.run(x, channels, out, noise)
        if out is not None and result is not out:
            out[...] = result
        return result, time.thread_time() - begin
    assert isinstance(step, ArrayStep)
    if out is None:
        n_times = step.prepared.n_times
        out = np.empty((len(x), x.shape[1] if n_times is None else n_times), step.dtype)
    target = out
    by_time = step.processor.splits == "times"

    def work(block: slice) -> None:
        part = (slice(None), block) if by_time else block
        names = channels if by_time else channels[block]
        result = step.run(x[part], names, target[part], None if noise is None else noise[part])
        if not np.may_share_memory(result, target):
            target[part] = result

    cpu_s = inner_pool.run_blocks(work, blocks)
    return out, cpu_s


def _blocks(step: Step, x: np.ndarray, n_workers: int) -> list[slice]:
    if n_workers < 2 or not isinstance(step, ArrayStep):
        return []
    if step.processor.splits == "times":
        return inner_pool.split(x.shape[1], n_workers, inner_pool.MIN_BLOCK)
    return inner_pool.split(len(x), n_workers)


def can_overwrite(step: Step) -> bool:
    """Whether a step may put its result where its input is."""
    return isinstance(step, ArrayStep) and step.rows is None and step.processor.can_overwrite()
