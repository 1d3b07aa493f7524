"""Run one batch of channels through a stage's steps, on up to ``n_workers`` threads.

On the plain path, the samples are in memory (:func:`_run_in_memory`). Batches in worker processes,
and batches in chunks of time, read and write their rows themselves.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from facet_nb.core.events import StepTime
from facet_nb.core.execution import streaming, threads
from facet_nb.core.execution.job import FAILURES, Failure, Job, JobFile, Report, explain, fail
from facet_nb.core.noise import Change, NoiseTracker
from facet_nb.core.samples import check_finite, not_finite
from facet_nb.core.steps import ArrayStep, ChannelStep, Step
from facet_nb.core.storage import shared_memory
from facet_nb.core.storage.array_store import fresh_array
from facet_nb.core.storage.arrays import FileArray, RamArray
from facet_nb.core.storage.row_io import open_rows, read_rows, write_rows
from facet_nb.kernels.compiled.dispatch import use_compiled
from facet_nb.kernels.pages import find_map
from facet_nb.kernels.views import as_slice, is_finite

#: Times of the steps, and checksums of the rows if there is a log.
Done = tuple[tuple[StepTime, ...], tuple[str, ...]]


class Position:
    """The current step of a batch, for messages."""

    step = 0


def run_batch(ref: Job | JobFile, batch: int, channels: Sequence[int]) -> Report | Failure:
    """Send `channels` through all steps of a job; write their rows to its target."""
    job = ref
    if isinstance(ref, JobFile):
        try:
            job = ref.open()
        except KeyboardInterrupt:
            raise
        except FAILURES as error:  # e.g. a module that the worker cannot import
            return explain(error, batch, ref.index, ref.name, None)
        if any(isinstance(step, ChannelStep) for step in job.steps):
            # Before the clock starts: the import takes seconds, which the timeout must not count.
            import mne  # noqa: F401
    assert isinstance(job, Job)
    began_s, at = time.time(), Position()
    if job.heartbeats is not None:
        job.heartbeats.begin(batch)
    run = _run_chunks if job.chunk else _run_in_memory
    if isinstance(job.source, FileArray) and isinstance(job.target, FileArray) and not job.chunk:
        run = _run_in_files
    try:
        with use_compiled(job.compiled):
            times, digests = run(job, batch, channels, at)
    except KeyboardInterrupt:
        raise
    except FAILURES as error:
        row = getattr(error, "row", None)
        rows = channels if row is None else [row]
        return fail(error, batch, job.steps[at.step], ", ".join(job.names[c] for c in rows), job)
    finally:
        if job.heartbeats is not None:
            job.heartbeats.end(batch)
    return Report(
        batch,
        times,
        began_s=began_s,
        ended_s=time.time(),
        digests=digests,
    )


def _run_in_memory(job: Job, batch: int, channels: Sequence[int], at: Position) -> Done:
    """Run on arrays that this process holds or maps."""
    source = job.source.array if isinstance(job.source, RamArray) else job.source.open()
    target = job.target.array if isinstance(job.target, RamArray) else job.target.open()
    rows = as_slice(channels)
    # Not with a log, whose rows must be written at once; indexing with a list makes a copy.
    direct = isinstance(rows, slice) and job.log is None
    out = target[rows] if direct else None
    result, times = run_steps(job, batch, channels, source[rows], out, at)
    if not direct:
        target[rows] = result
    return times, () if job.log is None else job.log.note(channels, result)


def _run_in_files(job: Job, batch: int, channels: Sequence[int], at: Position) -> Done:
    """Read the rows from a file, and write the result of all steps to the target's file."""
    # Not mapped: a file that something truncates meanwhile would end the process. Shared memory
    # cannot become shorter, and a view of it needs no copy.
    assert isinstance(job.source, FileArray) and isinstance(job.target, FileArray)
    shared = shared_memory.holds(job.source)
    x = job.source.open()[as_slice(channels)] if shared else read_rows(job.source, channels)
    # In a worker, one batch follows another: the next one finds the pages of this one.
    shape = (len(channels), job.target.shape[1])
    out = fresh_array(shape) if shared and job.target.dtype == "float64" else None
    result, times = run_steps(job, batch, channels, x, out, at)
    write_rows(job.target, channels, result)
    return times, () if job.log is None else job.log.note(channels, result)


def _run_chunks(job: Job, batch: int, channels: Sequence[int], at: Position) -> Done:
    """Send channels through all steps in chunks of time, one channel after another."""
    spent: dict[int, tuple[float, float]] = {}
    for channel in channels:

        def check(x: np.ndarray, channel: int = channel) -> None:
            if job.cancel is not None:
                job.cancel.check()
            if job.check:
                check_finite(x[np.newaxis], [job.names[channel]])

        def note(step: ArrayStep) -> None:
            if at.step != (position := job.steps.index(step)):
                at.step = position
                if job.heartbeats is not None:
                    job.heartbeats.move(batch, position)

        steps = [step for step in job.steps if isinstance(step, ArrayStep)]
        with open_rows(job.source) as source, open_rows(job.target) as target:
            rows = source(channel), target(channel)
            streaming.stream_channel(
                steps, channel, *rows, job.chunk, spent, check=check, note=note
            )
            for row in rows:  # of large files the page cache must not keep anything
                row.drop(0, row.n_times)
    times = [StepTime(step.index, *spent.get(step.index, (0.0, 0.0))) for step in job.steps]
    digests: tuple[str, ...] = ()
    if job.log is not None:
        digests = job.log.note(channels, job.target.open()[as_slice(channels)])
    return tuple(times), digests


def run_steps(
    job: Job,
    batch: int,
    channels: Sequence[int],
    x: np.ndarray,
    out: np.ndarray | None,
    at: Position,
) -> tuple[np.ndarray, tuple[StepTime, ...]]:
    """Send channels through all steps of `job`, on its inner threads.

    If every step treats each channel independently, each thread sends its share of the channels
    through all steps. Otherwise the threads share the work of one step after another.

    Parameters
    ----------
    job : Job
        The job.
    batch : int
        Number of the batch.
    channels : sequence of int
        Its channels.
    x : ndarray, shape (n_channels, n_times)
        Their samples, in V; not written to.
    out : ndarray | None
        Where to put the result; None for a new array.
    at : Position
        Set to the step that failed, if one fails.

    Returns
    -------
    result : ndarray, shape (n_channels, n_times after)
        The samples after all steps; `out` if that was given.
    times : tuple of StepTime
        Duration of each step: CPU time of all threads, and wall time as their mean.
    """
    if job.n_workers == 1:
        only = _Block(job, batch, channels, x, out, 1)
        try:
            only.run()
        finally:
            at.step = only.position
        return only.x if out is None else out, tuple(only.times)
    # Shares of channels are faster: threads do not wait for each other between steps, and
    # intermediate arrays are small enough to stay in the CPU's cache.
    apart = all(_splits_rows(step) for step in job.steps)
    whole = [slice(0, len(channels))]
    slices = threads.split(len(channels), job.n_workers) if apart else whole
    inner = 1 if apart else job.n_workers
    blocks = {
        s.start: _Block(job, batch, channels[s], x[s], None if out is None else out[s], inner)
        for s in slices
    }
    try:
        threads.run_blocks(lambda s: blocks[s.start].run(), slices)
    finally:
        at.step = next((b.position for b in blocks.values() if not b.done), 0)
    parts = list(blocks.values())
    if out is None:
        out = parts[0].x if len(parts) == 1 else np.concatenate([part.x for part in parts])
    return out, tuple(map(_merge, zip(*(part.times for part in parts), strict=True)))


@dataclass
class _Block:
    """Some channels that are sent through all steps of a job.

    Parameters
    ----------
    job, batch
        As for :func:`run_steps`.
    channels : sequence of int
        The channels.
    x : ndarray, shape (n_channels, n_times)
        Their samples, in V; not written to. Afterwards ``x`` holds the result.
    out : ndarray | None
        Array for the result of the last step.
    n_workers : int
        Threads inside each step.
    """

    job: Job
    batch: int
    channels: Sequence[int]
    x: np.ndarray
    out: np.ndarray | None
    n_workers: int
    position: int = 0
    done: bool = False
    times: list[StepTime] = field(default_factory=list)

    def run(self) -> None:
        """Send the channels through all steps."""
        job = self.job
        if job.check:
            for row, channel in zip(self.x, self.channels, strict=True):
                if not is_finite(row):
                    raise not_finite(row, job.names[channel])
        tracker = NoiseTracker(self.x, self.channels, job.steps, job.terms)
        direct = job.last
        # Samples that all later steps may overwrite lie where the result will: the pages of another
        # array take as long as a short filter. Not in files, which would be written several times.
        in_memory = isinstance(job.target, RamArray) or find_map(self.out) is None
        if self.out is not None and not tracker.pending and in_memory:
            while direct and _keeps_place(job.steps[direct], self.out):
                direct -= 1
        for self.position, step in enumerate(job.steps):
            if job.cancel is not None:
                job.cancel.check()
            if job.heartbeats is not None:
                job.heartbeats.move(self.batch, self.position)
            if step.change is Change.NOTHING:
                self.times.append(StepTime(step.index, 0.0, 0.0))
                continue
            wall = time.perf_counter()
            out = self.out if self.position >= direct else None
            # An intermediate array of this batch may be overwritten: that saves one allocation.
            # While noise is tracked, its parts may refer to these samples as those before a step.
            if out is None and not tracker.pending and not np.may_share_memory(tracker.x, self.x):
                out = tracker.x if can_overwrite(step) else None
            noise = tracker.noise() if step.uses_noise else None
            if self.position in job.trials and isinstance(step, ChannelStep):
                step = replace(step, known=job.trials[self.position])
            before = tracker.x
            x, cpu_s = apply_step(step, before, self.channels, out, self.n_workers, noise)
            # In one batch: it shows there already, and the check computes a channel once more.
            if self.batch == 0 and not step.processor.built_in and isinstance(step, ArrayStep):
                step.check_independence(before, x, self.channels, noise)
            tracker.put(step, x)
            self.times.append(StepTime(step.index, time.perf_counter() - wall, cpu_s))
        self.x, self.done = tracker.x, True


def _splits_rows(step: Step) -> bool:
    if not step.changes_samples:
        return True
    return isinstance(step, ArrayStep) and step.processor.splits == "channels"


def _merge(times: Sequence[StepTime]) -> StepTime:
    wall_s = sum(t.wall_s for t in times) / len(times)
    return StepTime(times[0].step, wall_s, sum(t.cpu_s for t in times))


def apply_step(
    step: Step,
    x: np.ndarray,
    channels: Sequence[int],
    out: np.ndarray | None,
    n_workers: int,
    noise: np.ndarray | None = None,
) -> tuple[np.ndarray, float]:
    """Run `step` on rows `x`, on inner threads if it can use them; also return CPU seconds."""
    blocks = [] if n_workers == 1 else _split_work(step, x, n_workers)
    if len(blocks) < 2:
        begin = time.thread_time()
        result = step.run(x, channels, out, noise)
        # A step need not use the array that it is given for its result.
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


def _split_work(step: Step, x: np.ndarray, n_workers: int) -> list[slice]:
    if not isinstance(step, ArrayStep):
        return []
    if step.processor.splits == "times":
        return threads.split_times(len(x), x.shape[1], n_workers)
    return threads.split(len(x), n_workers)


def _keeps_place(step: Step, out: np.ndarray) -> bool:
    """Whether a step may find its samples in `out`, and leave its result there."""
    if step.change is Change.NOTHING:
        return True
    if not isinstance(step, ArrayStep) or step.rows is not None or step.dtype != out.dtype.name:
        return False
    return step.prepared.n_times is None and step.processor.can_overwrite()


def can_overwrite(step: Step) -> bool:
    """Whether a step may overwrite its input with its result."""
    return isinstance(step, ArrayStep) and step.rows is None and step.processor.can_overwrite()
