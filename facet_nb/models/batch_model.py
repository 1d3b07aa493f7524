"""Model of a study in a notebook: its recordings, its progress, and a row for each recording."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from traitlets import Dict, Enum, Float, HasTraits, Instance, Tuple, Unicode

from facet_nb.batch import BatchResult, RunFile, Study, StudyPlan, StudyRow, make_study
from facet_nb.benchmark import Configuration
from facet_nb.core import CancelToken, Pipeline
from facet_nb.core.errors import ValidationError
from facet_nb.models.background_tasks import BackgroundTasks, Notifier, wait_while
from facet_nb.models.codegen import write_map
from facet_nb.models.eta import EtaEstimator
from facet_nb.models.run_model import RunModel
from facet_nb.models.tune_model import TuneModel

STATUSES = ("idle", "running", "cancelling", "done", "failed", "cancelled")


#: States of recordings that have no result yet.
_UNDER_WAY = ("running", "waiting")


class BatchModel(Notifier, HasTraits):
    """Runs one pipeline over many recordings, and holds a row for each.

    The study has its own thread. Its rows are queued until :meth:`drain` applies them in the thread
    that owns the traits. The model displays nothing.

    Parameters
    ----------
    chain : Pipeline | RunModel | TuneModel | RunFile | path
        The steps; the model of another panel, whose chain and settings at the start of a study
        count; or a run file, which has inputs, output and options too.
    inputs : path | sequence of path, ProcessingContext or mne.io.BaseRaw
        Files, patterns and folders; or recordings in memory.
    output : path | None
        Folder of the corrected files, of the table and of the page.
    **options
        Options of :class:`facet_nb.Study`. ``n_jobs`` is -1 by default, and ``resume`` True where
        there is an output: a study that was cancelled goes on at the next start.

    Attributes
    ----------
    places : tuple
        The inputs.
    output : str
        The output; empty for none.
    status : {"idle", "running", "cancelling", "done", "failed", "cancelled"}
        Progress of the study. ``"done"`` with failed recordings, ``"failed"`` if it could not run.
    plan : StudyPlan | None
        Which recordings run at once.
    rows : tuple of StudyRow
        Recordings that are finished, in the order in which they were.
    elapsed_s : float
        Time since the start, in s.
    remaining_range_s : tuple of float
        Least and most time left, in s; empty while it is unknown.
    error : str
        Why the study could not run.
    result : BatchResult | None
        The outcome of the study.

    Examples
    --------
    >>> from facet_nb import CommonReference, Pipeline
    >>> from facet_nb.datasets import example
    >>> from facet_nb.models import BatchModel
    >>> model = BatchModel(Pipeline([CommonReference()]), [example().context()])
    >>> model.run().rows[0].state
    'done'
    """

    status = Enum(STATUSES, "idle")
    places = Tuple()
    output = Unicode("")
    plan = Instance(StudyPlan, allow_none=True)
    rows = Tuple()
    elapsed_s = Float(0.0)
    remaining_range_s = Tuple()
    error = Unicode("")
    result = Instance(BatchResult, allow_none=True)
    options: Dict[str, Any] = Dict()

    def __init__(
        self, chain: Any, inputs: Any = (), output: str | Path | None = None, **options: Any
    ) -> None:
        super().__init__()
        self._events: queue.SimpleQueue[StudyRow] = queue.SimpleQueue()
        self._background = BackgroundTasks(self._notify)
        self._draining = threading.RLock()
        self._token = CancelToken()
        self._study: Study | None = None
        self._eta = EtaEstimator()
        self._begin_s = 0.0
        places = (inputs,) if isinstance(inputs, (str, Path)) else tuple(inputs)
        self.entities: Mapping[str, Any] = {}
        if isinstance(chain, (str, Path)):
            chain = RunFile.read(chain)
        if isinstance(chain, RunFile):
            places, output = places or tuple(chain.places), output or chain.target
            self.entities, options = chain.entities, {**chain.study_options, **options}
            chain = chain.make_pipeline()
        self.chain: Pipeline | RunModel | TuneModel = chain
        self.places, self.output = places, "" if output is None else str(output)
        self.options = options

    # ------------------------------------------------------------------------------------- asked
    @property
    def pipeline(self) -> Pipeline:
        """The steps."""
        return self.chain if isinstance(self.chain, Pipeline) else _find_run(self.chain).pipeline

    @property
    def settings(self) -> dict[str, Any]:
        """Options of the next study."""
        found: dict[str, Any] = {"n_jobs": -1}
        if not isinstance(self.chain, Pipeline):
            found |= _read_settings(_find_run(self.chain))
        if self.output:
            found["resume"] = True
        return found | dict(self.options)

    @property
    def busy(self) -> bool:
        """Whether a study is in progress."""
        return self.status in ("running", "cancelling")

    @property
    def header(self) -> dict[str, Any]:
        """What all recordings have in common; empty before the first start."""
        return {} if self._study is None else self._study.header

    @property
    def table(self) -> list[StudyRow]:
        """A row for each recording: of those without a result, ``"running"`` or ``"waiting"``."""
        rows = list(self.rows)
        if self._study is None or self.plan is None or not self.busy:
            return rows
        ended = {row.index for row in rows}
        running = self._find_running(ended)
        for file in self.plan.files:
            if file.index not in ended:
                state = _UNDER_WAY[file.index not in running]
                rows.append(StudyRow(file.index, file.name, state, forecast_bytes=file.needs_bytes))
        return rows

    @property
    def fraction(self) -> float:
        """Share of the samples that are finished, from 0 to 1."""
        if self.plan is None or not self.plan.files:
            return 0.0
        done, total = self._weigh()
        return done / total if total else 1.0

    def code(self) -> str:
        """Return the same study as source code."""
        return write_map(self.pipeline, self.places, self.entities, self.output, self.settings)

    # ------------------------------------------------------------------------------------- acting
    def start(self) -> BatchModel:
        """Start the study on a new thread; return immediately.

        Raises
        ------
        ValidationError
            If a study is in progress, or there are no inputs.
        """
        if self.busy:
            raise ValidationError("a study is in progress: cancel it, or wait() for its end.")
        if not self.places:
            raise ValidationError("there are no recordings: name a folder, a pattern or files.")
        self._token, self._study, self._eta = CancelToken(), None, EtaEstimator()
        self._eta.update(0.0, 0.0)  # the first record, from which the speed is measured
        with self.hold_trait_notifications():
            self.error, self.plan, self.result, self.rows = "", None, None, ()
            self.elapsed_s, self.remaining_range_s = 0.0, ()
            self.status = "running"
        self._begin_s = time.monotonic()
        self._background.start("study", self._find_work())
        self._notify()
        return self

    def cancel(self) -> None:
        """Stop the study at the next step; what is finished is kept."""
        if self.status == "running":
            self.status = "cancelling"
            self._token.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of the study, at most `timeout` seconds; return whether it has ended.

        A keyboard interrupt cancels the study.
        """
        wait_while(self.drain, time.sleep, self.cancel, timeout)
        return not self.busy

    def run(self) -> BatchResult:
        """Run the study to its end, and return its outcome.

        Raises
        ------
        ValidationError
            If it could not run.
        """
        if not self.busy:
            self.start()
        self.wait()
        if self.result is None:
            raise ValidationError(self.error or "the study was cancelled.")
        return self.result

    def _find_work(self) -> Callable[[], BatchResult]:
        """Return the function of the thread, with the inputs and settings of this moment."""
        pipeline, places, entities = self.pipeline, tuple(self.places), self.entities
        options = {"output": self.output or None, **self.settings, "show_progress": False}
        options |= {"cancel": self._token, "on_finish": self._put}

        def work() -> BatchResult:
            self._study = make_study(pipeline, places, entities, **options)
            return self._study.run()

        return work

    # ------------------------------------------------------------------ the traits' own thread
    def drain(self) -> bool:
        """Apply rows and the outcome to the traits; return whether there is more to come."""
        with self._draining:
            if not self.busy:
                return False
            outcomes = self._background.take()
            rows = list(self.rows)
            while not self._events.empty():
                rows.append(self._events.get())
            with self.hold_trait_notifications():
                self.elapsed_s = time.monotonic() - self._begin_s
                if self.plan is None and self._study is not None:
                    self.plan = self._study.current
                if len(rows) > len(self.rows):
                    self.rows = tuple(rows)
                    self._eta.update(self.elapsed_s, self.fraction)
                self.remaining_range_s = self._eta.remaining_range_s() or ()
                for outcome in outcomes:
                    self._finish(outcome)
            return self.busy

    def _finish(self, outcome: Any) -> None:
        self.remaining_range_s = ()
        if outcome.error is not None:
            self.status, self.error = "failed", str(outcome.error)
            return
        self.result = outcome.value
        self.status = "cancelled" if self._token.cancelled else "done"

    def _put(self, row: StudyRow) -> None:
        self._events.put(row)
        self._notify()

    def _find_running(self, ended: set[int]) -> tuple[int, ...]:
        assert self._study is not None and self.plan is not None  # checked by the caller
        again = sorted(set(self._study.again) - ended)
        return self.plan.find_running(ended | set(again)) or tuple(again[:1])

    def _weigh(self) -> tuple[float, float]:
        """Return the samples that are finished, and all of them, without those of earlier calls."""
        assert self.plan is not None  # checked by the caller
        known = [file.n_bytes for file in self.plan.files if file.n_bytes]
        usual = sum(known) / len(known) if known else 1.0
        ended = {row.index: row for row in self.rows}
        done = total = 0.0
        for file in self.plan.files:
            row = ended.get(file.index)
            if file.problem is not None or (row and (row.resumed or row.state == "skipped")):
                continue
            weight = file.n_bytes or usual
            total += weight
            done += weight if row is not None else 0.0
        return done, total


def _find_run(owner: RunModel | TuneModel) -> RunModel:
    return owner.run if isinstance(owner, TuneModel) else owner


def _read_settings(run: RunModel) -> dict[str, Any]:
    """Return the settings of a run as options of a study."""
    size = run.batch_size  # 0: as many as are fast
    chosen = Configuration(run.mode, run.backend, run.n_jobs, run.n_workers, size).study_settings
    budget = run.memory_budget.strip()
    return {**chosen, "memory_budget": budget} if budget else chosen
