"""Dispatch of batches to outer workers, with timeouts, and again after a worker has died.

User-defined steps are tried on their reference channel in the same kind of worker, since they may
crash their process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from facet_nb.core.backends.base import Backend, WorkerDied, dumps
from facet_nb.core.backends.registry import get_backend
from facet_nb.core.cancel import CancelToken, FileToken
from facet_nb.core.errors import FacetError, PlanError, StepError, describe_failure
from facet_nb.core.execution import timeouts
from facet_nb.core.execution.batch import run_batch
from facet_nb.core.execution.heartbeats import HeartbeatTable
from facet_nb.core.execution.job import Failure, Job, JobFile, Report
from facet_nb.core.execution.prepare import Attempt, prepare_stage, try_step
from facet_nb.core.execution.stage import Named, PreparedStage, ReferenceTrial, StageInput
from facet_nb.core.planning.plan import Stage
from facet_nb.core.steps import ChannelStep
from facet_nb.core.storage.array_store import Store


@dataclass
class BatchDispatcher:
    """Runs batches on a backend until each has finished or failed.

    Parameters
    ----------
    stage : Stage
        The stage, which names the backend.
    job : Job
        The data that all batches share.
    labels : sequence of tuple of str
        The channels of each batch, for messages.
    store : Store
        The run's arrays; worker processes read the job from it.
    cancel : CancelToken | None
        The run's token.
    timeout_s : float | None
        Time limit of a batch, in s.
    fill : callable | None
        Copies channels to shared memory; called just before a batch is sent.
    """

    stage: Stage
    job: Job
    labels: Sequence[tuple[str, ...]]
    store: Store
    cancel: CancelToken | None = None
    timeout_s: float | None = None
    fill: Callable[[Sequence[int]], None] | None = None

    def run(self, batches: dict[int, list[int]], report: Callable[[Report], None]) -> None:
        """Run `batches` (channels by number); `report` is called as they finish.

        Raises
        ------
        StepError
            If a step fails, takes too long, or crashes its process twice.
        RunCancelled
            If the run was cancelled.
        """
        backend = get_backend(self.stage.backend)
        self._prepare(backend)
        pending = dict(batches)
        suspects: list[int] = []
        failed: Failure | None = None
        while pending:
            todo = suspects[:1] or list(pending)
            try:
                for answer in self._answers(backend, {i: pending[i] for i in todo}):
                    if isinstance(answer, Report):
                        pending.pop(answer.batch)
                        report(answer)
                    elif suspects or answer.cancelled:
                        raise answer.error()
                    elif failed is None or answer.batch < failed.batch:
                        failed = answer
                    # Batches before the failed one were sent before it, and are awaited: which
                    # channel an error names must not depend on which worker was faster.
                    if failed is not None and not any(i < failed.batch for i in pending):
                        raise failed.error()
            except WorkerDied as error:
                if failed is not None:
                    raise failed.error() from error
                # Any batch that was running may have killed the worker: each of them runs alone
                # once more, so that a second death identifies the culprit.
                started = self._started(pending)
                if suspects:
                    batch = suspects[0]
                    step = self.job.steps[started.get(batch, 0)]
                    raise explain_death(step, ", ".join(self.labels[batch])) from error
                # If none had started, a worker died on its way to one: any may be the culprit.
                suspects = list(started) or list(pending)
                if self.heartbeats is not None:
                    # The rows of batches that were killed would say for good that they run.
                    self.heartbeats.wipe()
            except timeouts.TaskTimeout as late:
                raise (self._late(late) if failed is None else failed.error()) from late
            else:
                suspects = suspects[1:]

    def _prepare(self, backend: Backend) -> None:
        n = len(self.labels)
        self.heartbeats: HeartbeatTable | None = None
        self.file: JobFile | None = None
        if backend.isolates:
            table = self.store.make_table(n)
            self.heartbeats = HeartbeatTable.in_file(table)
            # A worker that nobody can kill, as on a cluster, sees that its run has ended: the run
            # deletes its table.
            known = FileToken(table.path)
            job = replace(self.job, heartbeats=self.heartbeats, in_subprocess=True, cancel=known)
            self.file = write_job(job, self.store)
        elif self.timeout_s is not None:
            self.heartbeats = HeartbeatTable.of(n)

    def _answers(self, backend: Backend, todo: dict[int, list[int]]) -> Iterator[Report | Failure]:
        stop = CancelToken(self.cancel)
        ref = self.file or replace(self.job, cancel=stop, heartbeats=self.heartbeats)
        calls = Calls([(ref, i, channels) for i, channels in todo.items()], self.fill)
        results = backend.run(run_batch, calls, self.stage.n_jobs, stop)
        return timeouts.collect(results, self.heartbeats, self.timeout_s, stop, backend)

    def _started(self, pending: dict[int, Any]) -> dict[int, int]:
        return {} if self.heartbeats is None else self.heartbeats.find_running(pending)

    def _late(self, late: timeouts.TaskTimeout) -> StepError:
        assert self.timeout_s is not None
        step = self.job.steps[late.position]
        return timeouts.explain_late(late, step, ", ".join(self.labels[late.task]), self.timeout_s)


@dataclass(frozen=True)
class Calls(Sequence[tuple[Any, ...]]):
    """Calls of :func:`~.batch.run_batch`, whose samples are copied just before they are sent."""

    calls: list[tuple[Any, ...]]
    fill: Callable[[Sequence[int]], None] | None = None

    def __len__(self) -> int:
        return len(self.calls)

    def __getitem__(self, i: Any) -> Any:
        if self.fill is not None:
            self.fill(self.calls[i][-1])
        return self.calls[i]


def write_job(job: Job, store: Store) -> JobFile:
    """Write `job` to a file for workers.

    Raises
    ------
    PlanError
        If its decisions cannot be pickled.
    """
    # Samples of the noise are written to the store: in the pickle they would be copied per worker.
    terms = tuple(term.move(store.share) for term in job.terms)
    first = job.steps[0]
    try:
        content = dumps(replace(job, terms=terms))
        path = store.write(content)
    except FacetError:
        raise
    except Exception as error:
        raise PlanError(
            f"the decisions of {', '.join(s.processor.name for s in job.steps)} cannot be sent to "
            f"worker processes ({error}). Use backend='threading', or keep open files, locks and "
            "connections out of what prepare() returns."
        ) from error
    return JobFile(path, first.index, first.processor.name, len(content))


@dataclass
class GuardedPreparation:
    """Prepare a stage under its timeout; user-defined steps are tried in a worker first.

    Parameters
    ----------
    given : StageInput
        The recording, and the stage's processors.
    stage : Stage
        The stage, which names the backend.
    store : Store
        The run's arrays.
    cancel : CancelToken | None
        The run's token.
    timeout_s : float | None
        Time limit for the preparation of each step, in s.
    """

    given: StageInput
    stage: Stage
    store: Store
    cancel: CancelToken | None = None
    timeout_s: float | None = None

    def run(self, remember: Callable[[Attempt], Attempt] | None) -> PreparedStage | Failure:
        """Return the prepared stage; `remember` may reuse trials of earlier runs.

        Raises
        ------
        StepError
            If a step takes too long, or crashes its process twice.
        RunCancelled
            If the run was cancelled.
        """

        def work(heartbeats: HeartbeatTable) -> PreparedStage | Failure:
            attempt = self._choose_attempt(heartbeats)
            attempt = attempt if remember is None else remember(attempt)
            return prepare_stage(self.given, attempt, heartbeats)

        try:
            return timeouts.call(work, self.timeout_s, self.cancel)
        except timeouts.TaskTimeout as late:
            given, position = self.given, late.position
            step = Named(given.indices[position], given.processors[position])
            raise self._explain(late, step, given.references[position]) from late

    def _choose_attempt(self, heartbeats: HeartbeatTable) -> Attempt:
        backend = get_backend(self.stage.backend)
        if not backend.isolates:
            # The limit is for one channel, not for three.
            return partial(try_step, check=self.timeout_s is None)

        def attempt(step: ChannelStep, row: np.ndarray, channel: int) -> ReferenceTrial | Failure:
            # Starting workers takes time, which the timeout must not count: the worker has a
            # heartbeat of its own.
            heartbeats.end(0)
            return self._try_in_subprocess(backend, step, row, channel)

        return attempt

    def _try_in_subprocess(
        self, backend: Backend, step: ChannelStep, row: np.ndarray, channel: int
    ) -> ReferenceTrial | Failure:
        """Run a user-defined step on its reference channel in a worker."""
        # Twice: the first worker may have been killed for another reason, e.g. lack of memory.
        died: Exception | None = None
        for _ in range(2):
            stop = CancelToken(self.cancel)
            heartbeats = None
            if self.timeout_s is not None:
                heartbeats = HeartbeatTable.in_file(self.store.make_table(1))
            calls = [(step, row, channel, heartbeats)]
            results = backend.run(try_in_subprocess, calls, self.stage.n_jobs, stop)
            answer: ReferenceTrial | Failure
            try:
                (answer,) = timeouts.collect(results, heartbeats, self.timeout_s, stop, backend)
            except WorkerDied as error:
                died = error
            except timeouts.TaskTimeout as late:
                raise self._explain(late, step, channel) from late
            else:
                return answer
        raise explain_death(step, self.given.names[channel]) from died

    def _explain(self, late: timeouts.TaskTimeout, step: Any, channel: int) -> StepError:
        assert self.timeout_s is not None
        return timeouts.explain_late(late, step, self.given.names[channel], self.timeout_s)


def try_in_subprocess(
    step: ChannelStep, row: np.ndarray, channel: int, heartbeats: HeartbeatTable | None = None
) -> ReferenceTrial | Failure:
    """Call :func:`~.prepare.try_step` in a worker process."""
    if heartbeats is not None:
        # Before the clock starts: the import takes seconds, which the timeout must not count.
        import mne  # noqa: F401

        heartbeats.begin(0)
    answer = try_step(step, row, channel, check=heartbeats is None)
    if heartbeats is not None:
        heartbeats.end(0)
    # The exception itself may not be picklable; its text is in the failure.
    return replace(answer, cause=None) if isinstance(answer, Failure) else answer


def explain_death(step: Any, channel: str) -> StepError:
    """Return the error for a step whose worker died twice."""
    name = step.processor.name
    message = describe_failure(
        name,
        step.index,
        channel,
        "WorkerDied",
        "the worker process ended twice without returning a result: the step calls os._exit, "
        "crashes in compiled code, or was killed for lack of memory. Run it with backend='serial' "
        "to see where, or with fewer n_jobs.",
    )
    return StepError(message, name, channel, step.index, "WorkerDied")
