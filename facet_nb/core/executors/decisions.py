"""The decisions of a stage, within their time; anyone's steps are tried where they will run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from facet_nb.core.errors import StepError
from facet_nb.core.executors import backends, deadline, preparation
from facet_nb.core.executors.attempts import explain_death
from facet_nb.core.executors.cancel import CancelToken
from facet_nb.core.executors.checkpoint import Checkpoint
from facet_nb.core.executors.crumbs import Crumbs
from facet_nb.core.executors.preparation import Prepared, Subject, Trial
from facet_nb.core.executors.store import Store
from facet_nb.core.executors.task import Failure
from facet_nb.core.plan import Stage
from facet_nb.core.steps import ChannelStep


@dataclass
class Decisions:
    """Prepares a stage.

    Parameters
    ----------
    subject : Subject
        The recording, and the stage's processors.
    stage : Stage
        Where its batches will run: anyone's steps are tried there.
    store : Store
        Where workers of other processes find what they need.
    cancel : CancelToken
        The run's.
    timeout_s : float | None
        How long each decision may take.
    kept : Checkpoint | None
        Remembers what steps found on their reference channels.
    """

    subject: Subject
    stage: Stage
    store: Store
    cancel: CancelToken
    timeout_s: float | None = None
    kept: Checkpoint | None = None

    def make(self) -> Prepared:
        """Return the prepared stage.

        Raises
        ------
        StepError
            If a decision fails, takes too long, or ends its process twice.
        RunCancelled
            If the run was cancelled.
        """
        try:
            answer = deadline.call(self._prepare, self.timeout_s, self.cancel)
        except deadline.Late as late:
            subject, position = self.subject, late.position
            step = preparation.Named(subject.indices[position], subject.processors[position])
            raise self._explain(late, step, subject.references[position]) from late
        if isinstance(answer, Failure):
            raise answer.error()
        return answer

    def _prepare(self, crumbs: Crumbs) -> Prepared | Failure:
        backend = backends.get_backend(self.stage.backend)

        def attempt(step: ChannelStep, row: np.ndarray, channel: int) -> Trial | Failure:
            if not backend.isolates:
                return preparation.try_step(step, row, channel)
            crumbs.end(0)  # workers take their time to start, and are watched by themselves
            return self._try_far(backend, step, row, channel)

        memory = attempt if self.kept is None else self.kept.remember(attempt)
        return preparation.prepare(self.subject, memory, crumbs)

    def _try_far(
        self, backend: backends.Backend, step: ChannelStep, row: np.ndarray, channel: int
    ) -> Trial | Failure:
        """Run anyone's step on its reference channel in a worker: it may end its process."""
        died: Exception | None = None
        for _ in range(2):
            stop = CancelToken(self.cancel)
            crumbs = None if self.timeout_s is None else Crumbs.far(self.store, 1)
            calls = [(step, row, channel, crumbs)]
            results = backend.run(preparation.try_far, calls, self.stage.n_jobs, stop)
            try:
                (answer,) = deadline.collect(results, crumbs, self.timeout_s, stop, backend)
            except backends.WorkerDied as error:
                died = error
            except deadline.Late as late:
                raise self._explain(late, step, channel) from late
            else:
                return answer
        raise explain_death(step, self.subject.names[channel]) from died

    def _explain(self, late: deadline.Late, step: Any, channel: int) -> StepError:
        assert self.timeout_s is not None
        return deadline.explain_late(late, step, self.subject.names[channel], self.timeout_s)
