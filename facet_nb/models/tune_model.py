"""Model of a benchmark: ranges of settings, the growing table and advice."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from traitlets import Bool, Dict, Enum, Float, Instance, Unicode

from facet_nb.benchmark import (
    Advice,
    BenchmarkEvent,
    BenchmarkState,
    BenchmarkTable,
    Configuration,
    benchmark,
)
from facet_nb.benchmark import advise as find_advice
from facet_nb.core import CancelToken
from facet_nb.core.errors import FacetError, RunCancelled, ValidationError
from facet_nb.models.background_tasks import BackgroundTasks, Notifier, wait_while
from facet_nb.models.replay import list_frames
from facet_nb.models.run_model import RunModel
from facet_nb.models.tune_settings import TuneSettings
from facet_nb.models.verdict import Score, score_guess, write_verdict

STATUSES = ("idle", "running", "cancelling", "replaying", "done", "failed", "cancelled")
#: Duration of a replay, in s.
REPLAY_S = 6.0


class TuneModel(Notifier, TuneSettings):
    """Measures settings of a run, one benchmark at a time.

    The benchmark has its own thread; its events are queued until :meth:`drain` applies them in the
    thread that owns the traits.

    Parameters
    ----------
    run : RunModel
        Chain, recording and settings; a chosen configuration is applied to it.
    measure : callable | None
        Replacement of :func:`facet_nb.benchmark.benchmark`.
    advise : callable | None
        Replacement of :func:`facet_nb.benchmark.advise`.

    Attributes
    ----------
    status : str
        idle, running, cancelling, replaying, done, failed or cancelled.
    state : BenchmarkState
        State derived from the events; ``state.table`` grows.
    elapsed_s : float
        Time since the start, in s.
    error : str
        Error of the last benchmark or advice.
    chosen : Configuration | None
        The configuration that was chosen last.
    advice : Advice | None
        Advice based on the table.
    guess : dict
        Expected speed-up by number of workers.
    hidden : bool
        Whether the results are hidden until the user reveals them.
    """

    status = Enum(STATUSES, "idle")
    state = Instance(BenchmarkState, ())
    elapsed_s = Float(0.0)
    error = Unicode("")
    chosen = Instance(Configuration, allow_none=True)
    advice = Instance(Advice, allow_none=True)
    guess: Dict[int, float] = Dict()
    hidden = Bool(False)
    #: Called before a benchmark, to end what would disturb it.
    make_way: Callable[[], None] | None = None

    def __init__(
        self,
        run: RunModel,
        *,
        measure: Callable[..., BenchmarkTable] | None = None,
        advise: Callable[..., Advice] | None = None,
    ) -> None:
        super().__init__(run)
        self.measure = measure or benchmark
        self.advise = advise or find_advice
        self._events: queue.SimpleQueue[BenchmarkEvent] = queue.SimpleQueue()
        self._background = BackgroundTasks(self._notify)
        self._token = CancelToken()
        self._frames: list[BenchmarkTable] = []
        self._begin_s = 0.0
        self.measured_chain: Any = None
        self.measured_source: Any = None
        self._draining = threading.RLock()

    @property
    def table(self) -> BenchmarkTable | None:
        """The table of the measurements so far."""
        return self.state.table

    @property
    def waiting(self) -> tuple[Configuration, ...]:
        """Configurations of the benchmark that have not been measured yet."""
        return self.state.waiting

    @property
    def origin(self) -> str:
        """Why the table is not one of the chain and recording on screen; empty if it is."""
        if self.table is None:
            return ""
        if self.measured_chain is None:
            return "a stored table"
        if self.measured_source is not self.run.source:
            return "another recording"
        return "" if self.measured_chain is self.run.pipeline else "another chain"

    @property
    def busy(self) -> bool:
        """Whether a benchmark is in progress."""
        return self.status in ("running", "cancelling")

    # -------------------------------------------------------------------------------- measuring
    def start(self) -> TuneModel:
        """Start a benchmark on a new thread; return immediately.

        Raises
        ------
        ValidationError
            If a benchmark or a run is in progress, or the chain cannot run.
        PlanError
            If a range of settings is not valid.
        """
        self._check_not_busy()
        if self.run.running:
            raise ValidationError("a run is in progress: it would disturb the measurement.")
        if self.run.blocked:
            raise ValidationError(self.run.blocked)
        self.configurations()
        if self.make_way is not None:
            self.make_way()
        self._frames, self._token = [], CancelToken()
        with self.hold_trait_notifications():
            self.state, self.error = BenchmarkState(status="running"), ""
            self.advice = self.chosen = None
            self.elapsed_s = 0.0
            self.status = "running"
        self._begin_s = time.monotonic()
        pipeline, source, settings = self.run.pipeline, self.run.source, self.settings
        self.measured_chain, self.measured_source = pipeline, source
        token, measure = self._token, self.measure
        self._background.start(
            "measure",
            lambda: measure(pipeline, source, **settings, on_event=self._put, cancel=token),
        )
        return self

    def cancel(self) -> None:
        """Cancel the benchmark, whose table keeps its measurements; or end a replay."""
        if self.status == "replaying":
            self._show_frame(self._frames[-1])
            self.status = "done"
        if self.status == "running":
            self.status = "cancelling"
            self._token.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of a benchmark or replay, at most `timeout` seconds.

        Returns whether it has ended. A keyboard interrupt cancels the benchmark.
        """
        wait_while(self.drain, time.sleep, self.cancel, timeout)
        return not self.busy and self.status != "replaying"

    def benchmark(self) -> BenchmarkTable:
        """Run a benchmark to the end and return its table.

        Raises
        ------
        FacetError
            If the benchmark fails or is cancelled.
        """
        if not self.busy:
            self.start()
        self.wait()
        if self.status != "done" or self.table is None:
            raise FacetError(self.error or "the benchmark was cancelled.")
        return self.table

    # ---------------------------------------------------------------------------- stored tables
    def load(self, source: str | Path | BenchmarkTable) -> BenchmarkTable:
        """Show a stored table, whose points can be chosen like measured ones.

        Raises
        ------
        ValidationError
            If it is not a table, or a benchmark is in progress.
        """
        self._check_not_busy()
        table = source if isinstance(source, BenchmarkTable) else BenchmarkTable.from_json(source)
        if table is not self.table:
            self.measured_chain = self.measured_source = None
        with self.hold_trait_notifications():
            self.error, self.chosen, self.advice = "", None, None
            self._show_frame(table)
            self.status = "done"
        self.ask()
        return table

    def replay(
        self, source: str | Path | BenchmarkTable | None = None, seconds: float = REPLAY_S
    ) -> None:
        """Show how a table grew, without measuring anything.

        Parameters
        ----------
        source : path | str | BenchmarkTable | None
            A stored table; None for the current one.
        seconds : float
            Duration of the replay, in s.

        Raises
        ------
        ValidationError
            If there is no table, or a benchmark is in progress.
        """
        if source is None and self.table is None:
            raise ValidationError("there is no table yet: run a benchmark, or name a file.")
        wanted = self.table if source is None else source
        assert wanted is not None  # checked above
        table = self.load(wanted)
        self._frames, self._replay_s = list_frames(table), seconds
        self._begin_s = time.monotonic()
        with self.hold_trait_notifications():
            self._show_frame(self._frames[0])
            self.status = "replaying"
        self._notify()

    def save(self, path: str | Path) -> Path:
        """Write the table (``.json``, ``.csv``) or its picture (``.png``, ``.svg``).

        Raises
        ------
        ValidationError
            If there is no table, or the suffix is not one of these.
        """
        if self.table is None:
            raise ValidationError("there is no table yet: run a benchmark, or load one.")
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix == ".json":
            self.table.to_json(path)
        elif suffix == ".csv":
            self.table.to_csv(path)
        elif suffix in (".png", ".svg"):
            from facet_nb.plots import tuning_picture

            picture = tuning_picture(self.table, chosen=self.chosen)
            path.write_bytes(picture.to_png() if suffix == ".png" else picture.to_svg().encode())
        else:
            raise ValidationError(f"{path.name}: the suffix must be .json, .csv, .png or .svg.")
        return path

    def _check_not_busy(self) -> None:
        if self.busy:
            raise ValidationError("a benchmark is in progress: cancel it, or wait() for its end.")

    # --------------------------------------------------------------------------------- choices
    def choose(self, configuration: Configuration) -> None:
        """Apply a configuration to the next run."""
        settings = {k: v for k, v in configuration.settings.items() if k in RunModel.SETTINGS}
        for name in ("n_jobs", "n_workers"):
            settings[name] = min(settings[name], self.run.cores)
        with self.run.hold_trait_notifications():
            for name, value in settings.items():
                setattr(self.run, name, value)
        self.chosen = configuration

    def take_advice(self) -> None:
        """Apply the advice to the next run."""
        if self.advice is not None:
            self.choose(self.advice.configuration)

    @property
    def verdict(self) -> str:
        """The main result of the table, in one or a few sentences."""
        return "Guess first, then reveal." if self.hidden else write_verdict(self.table)

    def scores(self) -> tuple[Score, ...]:
        """Return guesses with measured speed-ups; empty while results are hidden."""
        if self.hidden or self.table is None:
            return ()
        return score_guess(self.guess, self.table)

    # ------------------------------------------------------------------ the traits' own thread
    def drain(self) -> bool:
        """Apply events and outcomes to the traits; return whether there is more to come."""
        with self._draining:
            if self.status == "replaying":
                self._step()
            state = self.state
            while not self._events.empty():
                state = state.apply(self._events.get())
            outcomes = self._background.take()
            if state is not self.state or outcomes or self.busy:
                with self.hold_trait_notifications():
                    self.state = state
                    if self.busy:
                        self.elapsed_s = time.monotonic() - self._begin_s
                    for outcome in outcomes:
                        self._finish(outcome)
            return self.busy or self.status == "replaying"

    def _finish(self, outcome: Any) -> None:
        if outcome.key == "advice":
            self.advice = outcome.value
            if outcome.error is not None:
                self.error = f"no advice: {outcome.error}"
            return
        if outcome.error is None:
            self._show_frame(outcome.value)
            self.status = "done"
            self.ask()
        elif isinstance(outcome.error, RunCancelled):
            self.status = "cancelled"
        else:
            self.status, self.error = "failed", str(outcome.error)

    def ask(self) -> None:
        """Compute advice on a new thread, as it may take a moment."""
        table, goal = self.table, self.goal
        if table is None:
            return
        pipeline, source, advise = self.run.pipeline, self.run.source, self.advise
        self._background.start("advice", lambda: advise(pipeline, source, goal=goal, table=table))

    def _step(self) -> None:
        part = (time.monotonic() - self._begin_s) / max(self._replay_s, 1e-6)
        number = min(int(part * len(self._frames)), len(self._frames) - 1)
        self._show_frame(self._frames[number])
        if part >= 1.0:
            self.status = "done"

    def _show_frame(self, table: BenchmarkTable) -> None:
        if self.state.table is not table:
            self.state = BenchmarkState(status="done", table=table)

    def _put(self, event: BenchmarkEvent) -> None:
        self._events.put(event)
        self._notify()
