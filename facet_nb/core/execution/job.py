"""Jobs: the data that all batches of a stage share, and their results."""

from __future__ import annotations

import os
import pickle
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facet_nb.core.errors import (
    FacetError,
    RunCancelled,
    StepError,
    ValidationError,
    cut,
    describe_failure,
    read_message,
)
from facet_nb.core.events import StepTime
from facet_nb.core.execution.heartbeats import HeartbeatTable
from facet_nb.core.memory import rss_bytes
from facet_nb.core.noise import NoiseTerm
from facet_nb.core.parameters import explain_values
from facet_nb.core.steps import KnownRow, Step
from facet_nb.core.storage.arrays import ArrayRef, check_size
from facet_nb.core.storage.journal import RowLog

#: Length at which tracebacks are cut, in characters.
_LONGEST_TRACEBACK = 20_000

#: What a processor may raise, except KeyboardInterrupt: ``sys.exit()`` in a step must not end the
#: kernel, and libraries have exceptions of this kind as well (``asyncio.CancelledError``).
FAILURES = BaseException


@dataclass(frozen=True)
class Job:
    """The data that all batches of a stage share.

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
        Whether the samples must be checked for NaN first.
    heartbeats : HeartbeatTable | None
        Table in which batches record their current step.
    in_subprocess : bool
        Whether batches run in other processes.
    log : RowLog | None
        Log of the finished rows.
    cancel : CancelToken or FileToken | None
        Token that stops the batches.
    terms : tuple of NoiseTerm
        Noise so far, for steps that use it.
    chunk : int
        Samples of a chunk of time; 0 for the whole length.
    last : int
        Position of the last step that changes samples: its result is the job's.
    trials : dict
        Result on its reference channel of each user-defined step, by position in the stage.
    compiled : frozenset of str | None
        Compiled modules that the steps may use; None for all.
    """

    steps: tuple[Step, ...]
    source: ArrayRef
    target: ArrayRef
    names: tuple[str, ...]
    n_workers: int = 1
    check: bool = False
    heartbeats: HeartbeatTable | None = None
    in_subprocess: bool = False
    log: RowLog | None = None
    cancel: Any = None
    terms: tuple[NoiseTerm, ...] = ()
    chunk: int = 0
    last: int = 0
    trials: Mapping[int, KnownRow] = field(default_factory=dict)
    compiled: frozenset[str] | None = None


@dataclass(frozen=True)
class JobFile:
    """A job in a file, which each worker reads once instead of once for each batch.

    Attributes
    ----------
    path : str
        The file.
    index, name : int, str
        The first step, for messages.
    n_bytes : int
        Size of the file.
    """

    path: str
    index: int
    name: str
    n_bytes: int

    def open(self) -> Job:
        """Return the job; a worker keeps the last one."""
        if self.path not in _jobs:
            _jobs.clear()  # a worker runs the batches of one stage at a time
            try:
                # At once: unpickling imports modules, which takes seconds, in which the file may be
                # cut. What is left of a pickle may raise anything.
                content = Path(self.path).read_bytes()
                if len(content) < self.n_bytes:
                    check_size(self.path, self.n_bytes)
                _jobs[self.path] = pickle.loads(content)
            except FileNotFoundError as error:
                raise FacetError(
                    f"the worker cannot find {self.path}: set FACET_NB_TMPDIR to a folder that all "
                    "machines of the cluster share."
                ) from error
        return _jobs[self.path]


_jobs: dict[str, Job] = {}


@dataclass(frozen=True)
class Report:
    """A finished batch, created where it ran; start and end are in s since the epoch."""

    batch: int
    step_times: tuple[StepTime, ...]
    pid: int = field(default_factory=os.getpid)
    rss_bytes: int = field(default_factory=rss_bytes)
    began_s: float = 0.0
    ended_s: float = 0.0
    thread: int = field(default_factory=threading.get_ident)
    digests: tuple[str, ...] = ()
    restored: bool = False


@dataclass(frozen=True)
class Failure:
    """A failed batch, as text, so that unpicklable exceptions can be reported."""

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


def fail(
    error: BaseException, batch: int, step: Any, channel: str | None, job: Job | None
) -> Failure:
    """Return `error`, raised at `step`, as a failure; in this process `error` is its cause."""
    cause = error if job is None or not job.in_subprocess else None
    if step.processor.built_in and not isinstance(error, FacetError):
        told = explain_values(step.processor)
        if told:  # instead of what Python says about the operation that failed
            error = ValidationError(told)
            error.__cause__ = cause
    return explain(error, batch, step.index, step.processor.name, channel, cause)


def explain(
    error: BaseException,
    batch: int,
    index: int,
    name: str,
    channel: str | None,
    cause: BaseException | None = None,
) -> Failure:
    """Return `error`, raised at the step `name` at position `index`, as a failure."""
    # An error that knows its channel names one; a batch may have several.
    known = getattr(error, "channel", None)
    return Failure(
        batch=batch,
        step=index,
        step_name=name,
        channel=known if isinstance(known, str) else channel,
        cause_type=type(error).__name__,
        message=read_message(error),
        remote_traceback=cut("".join(traceback.format_exception(error)), _LONGEST_TRACEBACK),
        cancelled=isinstance(error, RunCancelled),
        cause=cause,
    )
