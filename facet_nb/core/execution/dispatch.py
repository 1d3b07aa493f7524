"""The batches of a stage: sent to a backend, watched, and sent again after a worker died."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from facet_nb.core.backends import registry
from facet_nb.core.backends.base import Backend, WorkerDied, dumps
from facet_nb.core.cancel import CancelToken, FileToken
from facet_nb.core.errors import FacetError, PlanError, StepError, describe_failure
from facet_nb.core.execution import timeouts
from facet_nb.core.execution.batch import run_batch
from facet_nb.core.execution.heartbeats import HeartbeatTable
from facet_nb.core.execution.job import Failure, Job, JobFile, Report
from facet_nb.core.planning.plan import Stage
from facet_nb.core.storage.array_store import Store


@dataclass
class BatchDispatcher:
    """Runs batches until each has an answer.

    Parameters
    ----------
    stage : Stage
        Where they run.
    job : Job
        What they share.
    labels : sequence of tuple of str
        The channels of each batch, for messages.
    store : Store
        Where workers of other processes find the job.
    cancel : CancelToken
        The run's.
    timeout_s : float | None
        How long a batch may take.
    fill : callable | None
        Puts channels where workers find them; called each time before a batch is sent.
    """

    stage: Stage
    job: Job
    labels: Sequence[tuple[str, ...]]
    store: Store
    cancel: CancelToken
    timeout_s: float | None = None
    fill: Callable[[Sequence[int]], None] | None = None

    def run(self, batches: dict[int, list[int]], report: Callable[[Report], None]) -> None:
        """Run `batches` (channels by number); `report` is called as they end.

        Raises
        ------
        StepError
            If a step fails, takes too long, or ends its process twice.
        RunCancelled
            If the run was cancelled.
        """
        backend = registry.get_backend(self.stage.backend)
        self._prepare(backend)
        pending = dict(batches)
        suspects: list[int] = []
        while pending:
            todo = suspects[:1] or list(pending)
            try:
                for answer in self._answers(backend, {i: pending[i] for i in todo}):
                    if isinstance(answer, Failure):
                        raise answer.error()
                    pending.pop(answer.batch)
                    report(answer)
            except WorkerDied as error:
                started = self._started(pending)
                if suspects:
                    batch = suspects[0]
                    step = self.job.steps[started.get(batch, 0)]
                    raise explain_death(step, ", ".join(self.labels[batch])) from error
                suspects = list(started) or list(pending)
                if self.heartbeats is not None:
                    self.heartbeats.wipe()
            except timeouts.TaskTimeout as late:
                raise self._late(late) from late
            else:
                suspects = suspects[1:]

    def _prepare(self, backend: Backend) -> None:
        n = len(self.labels)
        self.heartbeats: HeartbeatTable | None = None
        self.file: JobFile | None = None
        if backend.isolates:
            self.heartbeats = HeartbeatTable.far(self.store, n)
            known = FileToken(self.heartbeats.table.path)  # type: ignore[union-attr]
            job = replace(self.job, heartbeats=self.heartbeats, far=True, cancel=known)
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
class Calls(Sequence):
    """Calls of :func:`~.task.run_batch`, each made ready just before it is sent."""

    calls: list[tuple]
    fill: Callable[[Sequence[int]], None] | None = None

    def __len__(self) -> int:
        return len(self.calls)

    def __getitem__(self, i: Any) -> Any:
        if self.fill is not None:
            self.fill(self.calls[i][-1])
        return self.calls[i]


def write_job(job: Job, store: Store) -> JobFile:
    """Put `job` where workers read it; samples that it refers to, too.

    Raises
    ------
    PlanError
        If its decisions cannot be sent to other processes.
    """
    terms = tuple(term.move(store.share) for term in job.terms)
    first = job.steps[0]
    try:
        path = store.write(dumps(replace(job, terms=terms)))
    except FacetError:
        raise
    except Exception as error:
        raise PlanError(
            f"the decisions of {', '.join(s.processor.name for s in job.steps)} cannot be sent to "
            f"worker processes ({error}). Use backend='threading', or keep open files, locks and "
            "connections out of what prepare() returns."
        ) from error
    return JobFile(path, first.index, first.processor.name)


def explain_death(step: Any, channel: str) -> StepError:
    """Return the error for a worker that ended twice at `step`."""
    name = step.processor.name
    message = describe_failure(
        name,
        step.index,
        channel,
        "WorkerDied",
        "the worker process ended without an answer, twice: the step calls os._exit, crashes in "
        "compiled code, or was killed for want of memory. Run it with backend='serial' to see "
        "where, or with fewer n_jobs.",
    )
    return StepError(message, name, channel, step.index, "WorkerDied")
