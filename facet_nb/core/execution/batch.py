"""Run one batch of channels through a stage's steps, on up to ``n_workers`` threads."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from facet_nb.core.events import StepTime
from facet_nb.core.execution import streaming, threads
from facet_nb.core.execution.job import FAILURES, Failure, JobFile, Report, _fail, fail
from facet_nb.core.memory import rss_bytes
from facet_nb.core.noise import NoiseTracker
from facet_nb.core.samples import check_finite
from facet_nb.core.steps import ArrayStep, ChannelStep, Step
from facet_nb.core.storage.arrays import FileArray
from facet_nb.core.storage.row_io import as_slice, open_rows, read_rows, write_rows

if TYPE_CHECKING:
    from facet_nb.core.execution.job import Job


def run_batch(ref: Job | JobFile, batch: int, channels: Sequence[int]) -> Report | Failure:
    """Take `channels` through all steps of a job; write their rows to its target."""
    began_s = time.time()
    try:
        job = ref.open()
    except FAILURES as error:  # a module that the worker cannot import, say
        return _fail(error, batch, ref.index, ref.name, None)  # type: ignore[union-attr]
    here = [0]
    try:
        times, digests = _run(job, batch, list(channels), here)
    except FAILURES as error:
        step = job.steps[min(here[0], len(job.steps) - 1)]
        return fail(error, batch, step, ", ".join(job.names[c] for c in channels), job)
    finally:
        if job.heartbeats is not None:
            job.heartbeats.end(batch)
    report = Report(batch, times, os.getpid(), rss_bytes(), digests=digests)
    return replace(report, began_s=began_s, ended_s=time.time(), thread=threading.get_ident())


def _run(
    job: Job, batch: int, channels: list[int], here: list[int]
) -> tuple[tuple[StepTime, ...], tuple[str, ...]]:
    if any(isinstance(step, ChannelStep) for step in job.steps):
        import mne  # noqa: F401  before the clock starts: it takes seconds
    if job.heartbeats is not None:
        job.heartbeats.begin(batch)
    if job.chunk:
        return _run_chunks(job, batch, channels, here)
    rows = as_slice(channels)
    if job.far:
        return _run_far(job, batch, channels, here)
    x, target = job.source.open()[rows], job.target.open()
    direct = isinstance(rows, slice) and job.log is None  # a log's rows are written in one go
    result, times = take_through(job, batch, channels, x, target[rows] if direct else None, here)
    if not direct:
        target[rows] = result
    digests = () if job.log is None else job.log.note(channels, result)
    return times, digests


def _run_far(
    job: Job, batch: int, channels: list[int], here: list[int]
) -> tuple[tuple[StepTime, ...], tuple[str, ...]]:
    """Read rows from their file, once, and write what the steps make of them to its file."""
    assert isinstance(job.source, FileArray) and isinstance(job.target, FileArray)
    x = read_rows(job.source, channels)
    result, times = take_through(job, batch, channels, x, None, here)
    write_rows(job.target, channels, result)
    return times, () if job.log is None else job.log.note(channels, result)


def _run_chunks(
    job: Job, batch: int, channels: list[int], here: list[int]
) -> tuple[tuple[StepTime, ...], tuple[str, ...]]:
    """Take channels through all steps in chunks of time, one after the other."""
    spent: dict[int, tuple[float, float]] = {}
    for channel in channels:

        def check(x: np.ndarray, channel: int = channel) -> None:
            if job.cancel is not None:
                job.cancel.check()
            if job.check:
                check_finite(x[np.newaxis], [job.names[channel]])

        def note(step: ArrayStep) -> None:
            if here[0] != (position := job.steps.index(step)):
                here[0] = position
                if job.heartbeats is not None:
                    job.heartbeats.move(batch, position)

        steps = [step for step in job.steps if isinstance(step, ArrayStep)]
        with open_rows(job.source) as source, open_rows(job.target) as target:
            rows = source(channel), target(channel)
            streaming.stream_channel(
                steps, channel, *rows, job.chunk, spent, check=check, note=note
            )
            for row in rows:
                row.let_go(0, row.n_times)
    times = [StepTime(step.index, *spent.get(step.index, (0.0, 0.0))) for step in job.steps]
    digests: tuple[str, ...] = ()
    if job.log is not None:
        digests = job.log.note(channels, job.target.open()[as_slice(channels)])
    return tuple(times), digests


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
        track = NoiseTracker.of(self.x, self.channels, steps, job.terms)
        last = max(i for i, step in enumerate(steps) if step.changes_samples)
        for self.position, step in enumerate(steps):
            if job.cancel is not None:
                job.cancel.check()
            if job.heartbeats is not None:
                job.heartbeats.move(self.batch, self.position)
            if not step.changes_samples:
                self.times.append(StepTime(step.index, 0.0, 0.0))
                continue
            out = self.out if self.position == last else None
            if out is None and track.owns_buffer and can_overwrite(step):
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
    blocks = threads.split(len(channels), job.n_workers) if apart else [whole]
    inner = 1 if apart else job.n_workers
    parts = {
        block.start: Passage(
            job, batch, channels[block], x[block], None if out is None else out[block], inner
        )
        for block in blocks
    }
    try:
        threads.run_blocks(lambda block: parts[block.start].run(), blocks)
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


def _take(track: NoiseTracker, step: Step, out: np.ndarray | None, n_workers: int) -> StepTime:
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

    cpu_s = threads.run_blocks(work, blocks)
    return out, cpu_s


def _blocks(step: Step, x: np.ndarray, n_workers: int) -> list[slice]:
    if n_workers < 2 or not isinstance(step, ArrayStep):
        return []
    if step.processor.splits == "times":
        return threads.split(x.shape[1], n_workers, threads.MIN_BLOCK)
    return threads.split(len(x), n_workers)


def can_overwrite(step: Step) -> bool:
    """Whether a step may put its result where its input is."""
    return isinstance(step, ArrayStep) and step.rows is None and step.processor.can_overwrite()
