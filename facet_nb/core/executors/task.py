"""The work of one batch of channels; what runs in workers.

Nothing here imports MNE or joblib: a worker that runs our own kernels stays small.
"""

from __future__ import annotations

import os
import pickle
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from facet_nb.core.errors import FacetError, RunCancelled, StepError, describe_failure
from facet_nb.core.events import StepTime
from facet_nb.core.executors import chunks, passage
from facet_nb.core.executors.crumbs import Crumbs
from facet_nb.core.executors.finite import check_finite
from facet_nb.core.executors.journal import RowLog
from facet_nb.core.executors.rows import as_slice, open_rows, read_rows, write_rows
from facet_nb.core.executors.scratch import FileArray
from facet_nb.core.executors.store import ArrayRef
from facet_nb.core.lineage import NoiseTerm
from facet_nb.core.steps import ArrayStep, ChannelStep, Step

#: What a processor may raise without ending more than its run: ``sys.exit()``, too.
FAILURES = (Exception, SystemExit)


@dataclass(frozen=True)
class Job:
    """What all batches of a stage share.

    Attributes
    ----------
    steps : tuple of Step
        The prepared steps.
    source, target : ArrayRef
        Samples before and after, all channels, in V.
    names : tuple of str
        Name of each row.
    n_workers : int
        Inner threads.
    check : bool
        Whether samples must be looked at for NaN first.
    crumbs : Crumbs | None
        Where to note which step a batch is at.
    far : bool
        Whether batches run in other processes.
    log : RowLog | None
        Where to note which rows are done.
    cancel : CancelToken or FileToken | None
        Says whether the run still wants the result.
    terms : tuple of NoiseTerm
        Noise so far, for steps that use it.
    chunk : int
        Samples of a chunk of time; 0 for the whole length.
    """

    steps: tuple[Step, ...]
    source: ArrayRef
    target: ArrayRef
    names: tuple[str, ...]
    n_workers: int = 1
    check: bool = False
    crumbs: Crumbs | None = None
    far: bool = False
    log: RowLog | None = None
    cancel: Any = None
    terms: tuple[NoiseTerm, ...] = ()
    chunk: int = 0

    def open(self) -> Job:
        """Return the job."""
        return self


@dataclass(frozen=True)
class JobFile:
    """A job in a file: written once, read once by each worker instead of once for each batch.

    Attributes
    ----------
    path : str
        The file.
    index, name : int, str
        The first step, for messages.
    """

    path: str
    index: int
    name: str

    def open(self) -> Job:
        """Return the job; a worker remembers the last one."""
        if self.path not in _jobs:
            _jobs.clear()
            try:
                with open(self.path, "rb") as file:
                    _jobs[self.path] = pickle.load(file)
            except FileNotFoundError as error:
                raise FacetError(
                    f"the worker finds no {self.path}: set FACET_NB_TMPDIR to a folder that all "
                    "machines of the cluster share."
                ) from error
        return _jobs[self.path]


_jobs: dict[str, Job] = {}


@dataclass(frozen=True)
class Report:
    """A batch is done; when it began and ended, in s since the epoch, and in which thread."""

    batch: int
    step_times: tuple[StepTime, ...]
    pid: int
    rss_bytes: int
    began_s: float = 0.0
    ended_s: float = 0.0
    thread: int = 0
    digests: tuple[str, ...] = ()
    restored: bool = False


@dataclass(frozen=True)
class Failure:
    """A batch failed; plain text, so that any exception survives the way back."""

    batch: int
    step: int
    step_name: str
    channel: str | None
    cause_type: str
    message: str
    remote_traceback: str
    cancelled: bool = False
    cause: BaseException | None = None

    def error(self) -> FacetError:
        """Return the exception to raise."""
        if self.cancelled:
            return RunCancelled("the run was cancelled; the context you gave is unchanged.")
        text = describe_failure(
            self.step_name, self.step, self.channel, self.cause_type, self.message
        )
        error = StepError(
            text, self.step_name, self.channel, self.step, self.cause_type, self.remote_traceback
        )
        error.__cause__ = self.cause
        return error


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
        if job.crumbs is not None:
            job.crumbs.end(batch)
    report = Report(batch, times, os.getpid(), rss_bytes(), digests=digests)
    return replace(report, began_s=began_s, ended_s=time.time(), thread=threading.get_ident())


def fail(
    error: BaseException, batch: int, step: Any, channel: str | None, job: Job | None
) -> Failure:
    """Return `error`, raised at `step`, as a failure; in this process it goes along as cause."""
    cause = error if job is None or not job.far else None
    return _fail(error, batch, step.index, step.processor.name, channel, cause)


def _fail(
    error: BaseException,
    batch: int,
    index: int,
    name: str,
    channel: str | None,
    cause: BaseException | None = None,
) -> Failure:
    known = getattr(error, "channel", None)
    return Failure(
        batch=batch,
        step=index,
        step_name=name,
        channel=known if isinstance(known, str) else channel,
        cause_type=type(error).__name__,
        message=str(error),
        remote_traceback="".join(traceback.format_exception(error)),
        cancelled=isinstance(error, RunCancelled),
        cause=cause,
    )


def _run(
    job: Job, batch: int, channels: list[int], here: list[int]
) -> tuple[tuple[StepTime, ...], tuple[str, ...]]:
    if any(isinstance(step, ChannelStep) for step in job.steps):
        import mne  # noqa: F401  before the clock starts: it takes seconds
    if job.crumbs is not None:
        job.crumbs.begin(batch)
    if job.chunk:
        return _run_chunks(job, batch, channels, here)
    rows = as_slice(channels)
    if job.far:
        return _run_far(job, batch, channels, here)
    x, target = job.source.open()[rows], job.target.open()
    direct = isinstance(rows, slice) and job.log is None  # a log's rows are written in one go
    result, times = passage.take_through(
        job, batch, channels, x, target[rows] if direct else None, here
    )
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
    result, times = passage.take_through(job, batch, channels, x, None, here)
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
                if job.crumbs is not None:
                    job.crumbs.move(batch, position)

        steps = [step for step in job.steps if isinstance(step, ArrayStep)]
        with open_rows(job.source) as source, open_rows(job.target) as target:
            rows = source(channel), target(channel)
            chunks.stream_channel(steps, channel, *rows, job.chunk, spent, check=check, note=note)
            for row in rows:
                row.let_go(0, row.n_times)
    times = [StepTime(step.index, *spent.get(step.index, (0.0, 0.0))) for step in job.steps]
    digests: tuple[str, ...] = ()
    if job.log is not None:
        digests = job.log.note(channels, job.target.open()[as_slice(channels)])
    return tuple(times), digests


def rss_bytes() -> int:
    """Return the resident memory of this process, in bytes (0 where it cannot be read)."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        import psutil

        return int(psutil.Process().memory_info().rss)
