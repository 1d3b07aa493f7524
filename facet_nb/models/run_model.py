"""The state behind a control panel: settings, the run, its progress and its result."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from traitlets import Enum, Float, Instance, Int, Tuple, observe

from facet_nb.core import Pipeline, PipelineResult, ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.events import BatchDone, RunState
from facet_nb.models import event_log
from facet_nb.models.eta import EtaEstimator
from facet_nb.models.resource_meter import ResourceMeter, extend
from facet_nb.models.run_settings import RunSettings
from facet_nb.models.run_thread import Ended, News, RunThread
from facet_nb.models.sources import as_context
from facet_nb.models.time_forecast import record_run
from facet_nb.models.truth import TruthComparison

STATUSES = ("idle", "running", "cancelling", "done", "failed", "cancelled")

#: How often `wait` looks at the events while it blocks, in s.
_POLL_S = 0.1
#: Runs that are remembered for forecasts.
_RECORDS = 50


@dataclass(frozen=True, eq=False)
class Finished:
    """What a run that has ended was of.

    Attributes
    ----------
    pipeline : Pipeline
        The chain.
    settings : dict
        How it ran.
    context : ProcessingContext
        What it ran on.
    """

    pipeline: Pipeline
    settings: dict[str, Any]
    context: ProcessingContext


class RunModel(RunSettings):
    """Settings, one run at a time, and what it found.

    The run works on a thread of its own; its events wait in a queue until :meth:`drain` takes
    them, in the thread that owns the traits. :meth:`wait` and :meth:`run` drain; so does whoever
    is woken by `on_news`. Nothing here displays anything.

    Parameters
    ----------
    pipeline : Pipeline
        What to run.
    source : ProcessingContext | mne.io.BaseRaw | str | pathlib.Path | Simulation | None
        What to run it on; see :func:`facet_nb.models.as_context`.
    cores : int | None
        Cores that may be used; None for all that this process may use.
    **settings
        ``mode``, ``n_jobs``, ``n_workers``, ``backend``, ``batch_size``, ``memory_budget``; they
        are attributes, and so are `pipeline` and `source`: see :class:`RunSettings`.

    Attributes
    ----------
    status : {"idle", "running", "cancelling", "done", "failed", "cancelled"}
        Where the run is.
    state : RunState
        What its events told.
    log : tuple of Entry
        The same as text, newest first, bounded.
    elapsed_s : float
        Time since the start, in s.
    remaining_s : float | None
        Estimated time left, in s; None while that cannot be told.
    remaining_range_s : tuple of float
        The least and the most time left, in s, from the pace of this run; empty if not known.
    result : PipelineResult | None
        The outcome of the last run.
    error : Exception | None
        What went wrong in it.
    failed_index : int | None
        Position of the step that failed.
    truth : TruthComparison | None
        Agreement with the truth, if the source is a simulation.
    samples : tuple of ResourceSample
        Memory and CPU in the course of the run.

    Examples
    --------
    >>> from facet_nb import CommonReference, Pipeline
    >>> from facet_nb.datasets import example
    >>> from facet_nb.models import RunModel
    >>> model = RunModel(Pipeline([CommonReference()]), example(), mode="serial")
    >>> model.run().success
    True
    """

    status = Enum(STATUSES, "idle")
    state = Instance(RunState, ())
    log = Tuple()
    elapsed_s = Float(0.0)
    remaining_s = Float(None, allow_none=True)
    remaining_range_s = Tuple()
    result = Instance(PipelineResult, allow_none=True)
    error = Instance(BaseException, allow_none=True)
    failed_index = Int(None, allow_none=True)
    truth = Instance(TruthComparison, allow_none=True)
    samples = Tuple()

    def __init__(
        self, pipeline: Pipeline, source: Any = None, *, cores: int | None = None, **settings: Any
    ) -> None:
        self.on_news: Callable[[], None] | None = None
        self._events: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._draining = threading.RLock()
        self._thread: RunThread | None = None
        self._before_db: Any = None
        self._eta = EtaEstimator()
        self._finished: Finished | None = None
        self._meter = ResourceMeter()
        super().__init__(pipeline, source, cores=cores, **settings)

    @observe("source")
    def _forget_truth(self, _change: Any) -> None:
        self._before_db = None

    # ---------------------------------------------------------------------------------- running
    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self.status in ("running", "cancelling")

    def start(self) -> RunModel:
        """Begin a run on a thread of its own; return at once.

        Raises
        ------
        ValidationError
            If a run is under way.
        """
        if self.running:
            raise ValidationError("a run is under way: cancel it, or wait() for its end.")
        if self.blocked:
            raise ValidationError(self.blocked)
        with self.hold_trait_notifications():
            self.state, self.log = RunState(), ()
            self.elapsed_s, self.remaining_s, self._eta = 0.0, None, EtaEstimator()
            self.result = self.error = self.failed_index = self.truth = None
            self.samples = ()
            self.status = "running"
        self._begin_s, self._meter = time.time(), ResourceMeter()
        self._thread = RunThread(self.pipeline, self.settings, self._load, self._compare, self._put)
        self._thread.start()
        return self

    def cancel(self) -> None:
        """Ask the run to stop; does nothing if there is none."""
        if self.status == "running" and self._thread is not None:
            self.status = "cancelling"
            self._thread.token.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the run has ended, at most `timeout` seconds; return whether it has.

        An interrupt cancels the run.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while self.running and (deadline is None or time.monotonic() < deadline):
                self._join(_POLL_S)
        except KeyboardInterrupt:
            self.cancel()
            while self.running:
                self._join(_POLL_S)
            raise
        return not self.running

    def run(self) -> PipelineResult:
        """Run to the end and return the outcome, as :meth:`Pipeline.run` does.

        A failure is reported in ``success`` and ``error`` of the result. If a run is under way,
        this waits for its end.
        """
        if not self.running:
            self.start()
        self.wait()
        assert self.result is not None  # a run that ended has one
        return self.result

    @property
    def finished(self) -> Finished | None:
        """What the last successful run was of."""
        return self._finished

    def drain(self) -> bool:
        """Take what the run's thread has to say and set the traits; return whether it goes on.

        To be called in the thread that owns the traits.
        """
        with self._draining:
            news = []
            while True:
                try:
                    news.append(self._events.get_nowait())
                except queue.Empty:
                    break
            if news or self.running:
                with self.hold_trait_notifications():
                    self._apply(news)
            return self.running

    # ------------------------------------------------------------------------ the run's thread
    def _load(self) -> ProcessingContext:
        if self._context is None:
            self._context = as_context(self.source)
        return self._context

    def _compare(self, context: ProcessingContext) -> TruthComparison | None:
        return TruthComparison.of(self.source, self._before_db, context)

    def _put(self, news: News) -> None:
        self._events.put(news)
        if self.on_news is not None:
            self.on_news()

    # -------------------------------------------------------------------- the traits' own thread
    def _join(self, timeout_s: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout_s)
        self.drain()

    def _apply(self, news: list[News]) -> None:
        ended = next((item for item in news if isinstance(item, Ended)), None)
        events = [item for item in news if not isinstance(item, Ended)]
        if events:
            self.state = self.state.apply_all(events)
            self.failed_index = self.state.failed_index
            self._meter.watch({e.pid for e in events if isinstance(e, BatchDone)})
        written = [event_log.write_entry(event, self.state) for event in events]
        entries = [entry for entry in written if entry is not None]
        self._measure_time()
        sample = self._meter.sample()
        if sample is not None:
            self.samples = extend(self.samples, sample)
        if ended is not None:
            entries += self._finish(ended)
        if entries:
            self.log = event_log.extend(self.log, entries)

    def _measure_time(self) -> None:
        """Let the clock go on between events."""
        state, now_s = self.state, time.time()
        if state.started_s is None:
            self.elapsed_s = now_s - self._begin_s
        elif state.status == "running":
            self.elapsed_s = max(0.0, now_s - state.started_s)
            since_s = now_s - (state.now_s or now_s)
            self._eta.update(state.elapsed_s, state.fraction)
            left_s = state.remaining_s
            limits_s = () if left_s is None else self._eta.remaining_range_s() or ()
            self.remaining_s = None if left_s is None else max(0.0, left_s - since_s)
            self.remaining_range_s = tuple(max(0.0, limit_s - since_s) for limit_s in limits_s)
        else:
            self.elapsed_s, self.remaining_s = state.elapsed_s, None

    def _finish(self, ended: Ended) -> list[event_log.Entry]:
        result, entries = ended.result, []
        if self.state.status in ("idle", "running") and not result.success:
            # It ended before the first event, or in a way that the executor could not report.
            kind = "info" if ended.cancelled else "error"
            entries.append(event_log.Entry(time.time(), str(result.error), kind))
        if ended.remark:
            entries.append(event_log.Entry(time.time(), ended.remark))
        self.result, self.error, self.truth = result, result.error, ended.truth
        if ended.truth is not None:
            self._before_db = ended.truth.before_db
        self.remaining_s = None
        self._remember(result)
        self.status = ended.status
        return entries

    def _remember(self, result: PipelineResult) -> None:
        """Keep what a run took, for forecasts."""
        if result.plan is None or not result.success or self._context is None:
            return
        raw = self._context.get_raw() if self._context.has_raw() else None
        if raw is None or self._thread is None:
            return
        thread = self._thread
        self._finished = Finished(thread.pipeline, dict(thread.settings), self._context)
        steps = [repr(p) for p in self._thread.pipeline]
        shape, state = (len(raw.ch_names), int(raw.n_times)), result.state
        new = record_run(result.plan, steps, shape, result.execution_time, state.step_cpu_s)
        self.records = (*self.records, new)[-_RECORDS:]
