"""Model of a control panel: settings, run, progress and result."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from traitlets import Enum, Float, Instance, Int, Tuple, observe

from facet_nb.benchmark import process_usage
from facet_nb.core import Pipeline, PipelineResult, ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.events import BatchDone, RunState
from facet_nb.core.memory import lasting_bytes
from facet_nb.models import event_log
from facet_nb.models.background_tasks import Notifier, wait_while
from facet_nb.models.eta import EtaEstimator
from facet_nb.models.resource_meter import ResourceMeter, extend
from facet_nb.models.run_settings import RunSettings
from facet_nb.models.run_thread import Ended, News, RunThread
from facet_nb.models.sources import as_context
from facet_nb.models.time_forecast import record_run
from facet_nb.models.timeline import Timeline
from facet_nb.models.truth import TruthComparison

STATUSES = ("idle", "running", "cancelling", "done", "failed", "cancelled")

#: Number of runs that are kept for forecasts.
_RECORDS = 50
#: Number of timelines that are kept.
_TIMELINES = 9


@dataclass(frozen=True, eq=False)
class Finished:
    """Pipeline, settings and input of a finished run.

    Attributes
    ----------
    pipeline : Pipeline
        The chain.
    settings : dict
        Its arguments of :meth:`Pipeline.run`.
    context : ProcessingContext
        Its input.
    """

    pipeline: Pipeline
    settings: dict[str, Any]
    context: ProcessingContext


class RunModel(Notifier, RunSettings):
    """Settings, one run at a time, and its result.

    The run has its own thread. Its events are queued until :meth:`drain` applies them in the
    thread that owns the traits: :meth:`wait` and :meth:`run` call it, and the callback `on_news`
    should arrange for it. The model displays nothing.

    Parameters
    ----------
    pipeline : Pipeline
        The chain.
    source : ProcessingContext | mne.io.BaseRaw | str | pathlib.Path | Simulation | None
        The recording; see :func:`facet_nb.models.as_context`.
    cores : int | None
        Number of cores to use; None for all that this process may use.
    **settings
        ``mode``, ``n_jobs``, ``n_workers``, ``backend``, ``batch_size``, ``memory_budget``. They
        are attributes, as are `pipeline` and `source`; see :class:`RunSettings`.

    Attributes
    ----------
    status : {"idle", "running", "cancelling", "done", "failed", "cancelled"}
        Progress of the run.
    state : RunState
        State derived from its events.
    log : tuple of Entry
        Its events as text, newest first, of limited length.
    elapsed_s : float
        Time since the start, in s.
    remaining_s : float | None
        Estimated time left, in s; None while it is unknown.
    remaining_range_s : tuple of float
        Least and most time left, in s, from the speed of this run; empty while unknown.
    result : PipelineResult | None
        Result of the last run.
    error : Exception | None
        Error of the last run.
    failed_index : int | None
        Index of the step that failed.
    truth : TruthComparison | None
        Agreement with the truth, if the source is a simulation.
    samples : tuple of ResourceSample
        Memory and CPU during the run.
    timeline : Timeline
        What each worker did, and when.
    timelines : tuple of Timeline
        Those of the finished runs of this recording, the oldest first.

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
    timeline = Instance(Timeline, ())
    timelines = Tuple()

    #: Called before a run, to end what would disturb it.
    make_way: Callable[[], None] | None = None

    def __init__(
        self, pipeline: Pipeline, source: Any = None, *, cores: int | None = None, **settings: Any
    ) -> None:
        self._events: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._draining = threading.RLock()
        self._thread: RunThread | None = None
        self._before_db: Any = None
        self._eta = EtaEstimator()
        self._finished: Finished | None = None
        self._n_runs, self._base_bytes = 0, 0
        self._meter = ResourceMeter()
        super().__init__(pipeline, source, cores=cores, **settings)

    @observe("source")
    def _forget_truth(self, _change: Any) -> None:
        """Nothing of the previous recording stays."""
        self._before_db = None
        self.timelines, self.timeline, self._n_runs = (), Timeline(), 0
        self.cancel()
        if not self.running:
            self._forget_result()
            self.status, self.state, self.log = "idle", RunState(), ()

    # ---------------------------------------------------------------------------------- running
    @property
    def running(self) -> bool:
        """Whether a run is in progress."""
        return self.status in ("running", "cancelling")

    def start(self) -> RunModel:
        """Start a run on a new thread; return immediately.

        Raises
        ------
        ValidationError
            If a run is in progress, or the chain cannot run.
        """
        if self.running:
            raise ValidationError("a run is in progress: cancel it, or wait() for its end.")
        if self.blocked:
            raise ValidationError(self.blocked)
        if self.make_way is not None:
            self.make_way()
        with self.hold_trait_notifications():
            self.state, self.log = RunState(), ()
            self.elapsed_s, self.remaining_s, self._eta = 0.0, None, EtaEstimator()
            self._forget_result()
            self.status = "running"
        self._n_runs += 1
        self.timeline = Timeline(status="running", number=self._n_runs)
        self._base_bytes = lasting_bytes()
        self._begin_s, self._meter = time.time(), ResourceMeter()
        self._thread = RunThread(
            self.pipeline, self.settings, self.load_context, self._compare, self._put
        )
        self._thread.start()
        return self

    def _forget_result(self) -> None:
        self.result = self.error = self.failed_index = self.truth = None
        self.samples = ()

    def cancel(self) -> None:
        """Cancel the run; do nothing if there is none."""
        if self.status == "running" and self._thread is not None:
            self.status = "cancelling"
            self._thread.token.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of the run, at most `timeout` seconds; return whether it has ended.

        A keyboard interrupt cancels the run.
        """
        wait_while(lambda: self.running, self._join, self.cancel, timeout)
        return not self.running

    def run(self) -> PipelineResult:
        """Run to the end and return the result, as :meth:`Pipeline.run` does.

        A failure is reported in ``success`` and ``error`` of the result. If a run is in progress,
        this waits for its end.
        """
        if not self.running:
            self.start()
        self.wait()
        assert self.result is not None  # every ended run has one
        return self.result

    @property
    def unmeasured(self) -> str:
        """Why memory and CPU are not measured during a run; empty if they are."""
        return "" if process_usage.can_measure() else process_usage.NOT_MEASURED

    @property
    def finished(self) -> Finished | None:
        """Pipeline, settings and input of the last successful run."""
        return self._finished

    def drain(self) -> bool:
        """Apply the queued events to the traits; return whether the run is in progress.

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
    def load_context(self) -> ProcessingContext:
        """Return the recording; it is loaded if it has not been yet."""
        if self._context is None:
            self._context = as_context(self.source)
        return self._context

    def _compare(self, context: ProcessingContext) -> TruthComparison | None:
        return TruthComparison.of(self.source, self._before_db, context)

    def _put(self, news: News) -> None:
        self._events.put(news)
        self._notify()

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
            self.timeline = self.timeline.apply_all(events, self._base_bytes)
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
        """Update elapsed and remaining time, also between events."""
        state, now_s = self.state, time.time()
        if state.started_s is None:
            self.elapsed_s = now_s - self._begin_s
        elif state.status == "running":
            self.elapsed_s = max(0.0, now_s - state.started_s)
            since_s = now_s - (state.now_s or now_s)
            left_s = state.remaining_s
            if left_s is not None:  # what came before says nothing about the speed
                self._eta.update(state.elapsed_s, state.fraction)
            limits_s = () if left_s is None else self._eta.remaining_range_s() or ()
            self.remaining_s = None if left_s is None else max(0.0, left_s - since_s)
            self.remaining_range_s = tuple(max(0.0, limit_s - since_s) for limit_s in limits_s)
        else:
            self.elapsed_s, self.remaining_s = state.elapsed_s, None

    def _finish(self, ended: Ended) -> list[event_log.Entry]:
        result, entries = ended.result, []
        if self.state.status in ("idle", "running") and not result.success:
            # No event reported the failure: it came before the first one, or from outside.
            kind = "info" if ended.cancelled else "error"
            entries.append(event_log.Entry(time.time(), str(result.error), kind))
        if ended.remark:
            entries.append(event_log.Entry(time.time(), ended.remark))
        self.result, self.error, self.truth = result, result.error, ended.truth
        if ended.truth is not None:
            self._before_db = ended.truth.before_db
        self.remaining_s = None
        if self.timeline.status == "done":
            self.timelines = (*self.timelines, self.timeline)[-_TIMELINES:]
        self._remember(result)
        self.status = ended.status
        return entries

    def _remember(self, result: PipelineResult) -> None:
        """Keep the time of a run, for forecasts."""
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
