"""The thread of a run; all its events are passed to one callback."""

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
    """End of a run, passed to the callback after its events.

    Attributes
    ----------
    result : PipelineResult
        The result; it has no context if the run failed.
    truth : TruthComparison | None
        Agreement with the truth.
    remark : str
        Why the comparison with the truth is missing, if one was expected.
    """

    result: PipelineResult
    truth: TruthComparison | None = None
    remark: str = ""

    @property
    def cancelled(self) -> bool:
        """Whether the run was cancelled."""
        return self.result.cancelled or isinstance(self.result.error, RunCancelled)

    @property
    def status(self) -> str:
        """How it ended: ``"done"``, ``"cancelled"`` or ``"failed"``."""
        if self.result.success:
            return "done"
        return "cancelled" if self.cancelled else "failed"


News = Event | Ended


class RunThread(threading.Thread):
    """Runs a pipeline and passes its events to a callback.

    Parameters
    ----------
    pipeline : Pipeline
        The chain.
    settings : dict
        Arguments of :meth:`Pipeline.run`.
    load : callable
        Returns the initial context.
    compare : callable
        Returns the agreement of the corrected context with the truth, or None.
    put : callable
        Called in this thread with each event, and finally with :class:`Ended`.
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
        """Run to the end; an error of any kind becomes part of the result."""
        try:
            ended = self._attempt()
        except BaseException as error:  # no caller above a thread could report it
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
    """Return the traceback of `error`, or that of the worker in which it occurred."""
    remote = getattr(error, "remote_traceback", None)
    return remote or "".join(traceback.format_exception(error))


def _as_exception(error: BaseException) -> Exception:
    if isinstance(error, Exception):
        return error
    wrapped = FacetError(f"a step ended the run with {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped
