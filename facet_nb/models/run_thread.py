"""One run on a thread of its own; everything it has to say goes through one function."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from facet_nb.core import CancelToken, Pipeline, PipelineResult, ProcessingContext
from facet_nb.core.errors import FacetError, RunCancelled
from facet_nb.core.events import Event
from facet_nb.models.truth import TruthComparison


@dataclass(frozen=True, eq=False)
class Ended:
    """The last thing that a run says.

    Attributes
    ----------
    result : PipelineResult
        The outcome; it has no context if the run failed.
    truth : TruthComparison | None
        Agreement with the truth.
    remark : str
        Why there is no such comparison, where one was to be expected.
    """

    result: PipelineResult
    truth: TruthComparison | None = None
    remark: str = ""

    @property
    def cancelled(self) -> bool:
        """Whether somebody stopped the run."""
        return self.result.cancelled or isinstance(self.result.error, RunCancelled)

    @property
    def status(self) -> str:
        """How it ended: ``"done"``, ``"cancelled"`` or ``"failed"``."""
        if self.result.success:
            return "done"
        return "cancelled" if self.cancelled else "failed"


News = Event | Ended


class RunThread(threading.Thread):
    """Runs a pipeline and says what happens.

    Parameters
    ----------
    pipeline : Pipeline
        What to run.
    settings : dict
        Arguments of :meth:`Pipeline.run`.
    load : callable
        Returns the context to begin with.
    compare : callable
        Returns the agreement of the corrected context with the truth, or None.
    put : callable
        Called with each event, and at last with :class:`Ended`, in this thread.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        settings: dict[str, Any],
        load: Callable[[], ProcessingContext],
        compare: Callable[[ProcessingContext], TruthComparison | None],
        put: Callable[[News], None],
    ) -> None:
        super().__init__(name="facet_nb-run", daemon=True)
        self.pipeline, self.settings = pipeline, settings
        self.load, self.compare, self.put = load, compare, put
        self.token = CancelToken()

    def run(self) -> None:
        """Run to the end, whatever it is."""
        try:
            ended = self._attempt()
        except BaseException as error:  # nobody above a thread could report it
            ended = Ended(PipelineResult(None, success=False, error=_as_exception(error)))
        self.put(ended)

    def _attempt(self) -> Ended:
        context = self.load()
        self.token.check()
        result = self.pipeline.run(
            context, **self.settings, show_progress=False, on_event=self.put, cancel=self.token
        )
        if result.context is None:
            return Ended(result)
        try:
            return Ended(result, self.compare(result.context))
        except ValueError as error:  # other channels, another sampling rate, another length
            return Ended(result, remark=f"not compared with the truth: {error}")


def describe_traceback(error: BaseException) -> str:
    """Return the traceback of `error`: where a worker failed, the worker's."""
    remote = getattr(error, "remote_traceback", None)
    return remote or "".join(traceback.format_exception(error))


def _as_exception(error: BaseException) -> Exception:
    if isinstance(error, Exception):
        return error
    wrapped = FacetError(f"a step ended the run with {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped
