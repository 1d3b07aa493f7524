"""A benchmark under way: which settings to try, the table as it grows, and what it advises."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from traitlets import Bool, Dict, Enum, Float, HasTraits, Instance, Int, Tuple, Unicode

from facet_nb.benchmark import (
    Advice,
    BenchmarkEvent,
    BenchmarkState,
    BenchmarkTable,
    Configuration,
)
from facet_nb.core import CancelToken
from facet_nb.core.errors import FacetError, RunCancelled, ValidationError
from facet_nb.models.background import Background
from facet_nb.models.replay import list_frames
from facet_nb.models.run_model import RunModel
from facet_nb.models.verdict import Score, score_guess, write_verdict

STATUSES = ("idle", "running", "cancelling", "replaying", "done", "failed", "cancelled")
_LOOK_S = 0.05
#: How long a replay takes, in s.
REPLAY_S = 6.0


class TuneModel(HasTraits):
    """Measures settings of a run, one benchmark at a time.

    The benchmark works on a thread of its own; its events wait until :meth:`drain` takes them, in
    the thread that owns the traits.

    Parameters
    ----------
    run : RunModel
        Chain, recording and settings; what is chosen here goes there.
    measure : callable | None
        What measures, as :func:`facet_nb.benchmark.benchmark`, which it is by default.
    advise : callable | None
        What advises, as :func:`facet_nb.benchmark.advise`, which it is by default.

    Attributes
    ----------
    modes, n_jobs, n_workers, backends, batch_sizes : tuple
        What to combine.
    repeats : int | None
        Timed runs of each; None for as many as it takes.
    time_budget_s : float
        Time after which no more is measured, in s.
    memory : bool
        Whether to measure memory, too.
    goal : {"fastest", "smallest", "balanced"}
        What the advice is to look for.
    status : str
        idle, running, cancelling, replaying, done, failed or cancelled.
    state : BenchmarkState
        What the events told; ``state.table`` grows.
    elapsed_s : float
        Time since the start, in s.
    error : str
        What went wrong.
    chosen : Configuration | None
        The point that was chosen last.
    advice : Advice | None
        What the table advises.
    guess : dict
        Expected speed-up by number of workers.
    hidden : bool
        Whether the figures are still to be revealed.
    """

    modes = Tuple(("serial", "channel_sequential", "parallel"))
    n_jobs = Tuple()
    n_workers = Tuple((1,))
    backends = Tuple(("threading",))
    batch_sizes = Tuple((1,))
    repeats = Int(None, allow_none=True)
    time_budget_s = Float(60.0)
    memory = Bool(True)
    goal = Enum(("fastest", "smallest", "balanced"), "balanced")

    status = Enum(STATUSES, "idle")
    state = Instance(BenchmarkState, ())
    elapsed_s = Float(0.0)
    error = Unicode("")
    chosen = Instance(Configuration, allow_none=True)
    advice = Instance(Advice, allow_none=True)
    guess: Dict[int, float] = Dict()
    hidden = Bool(False)

    RANGES = ("modes", "n_jobs", "n_workers", "backends", "batch_sizes")

    def __init__(
        self,
        run: RunModel,
        *,
        measure: Callable[..., BenchmarkTable] | None = None,
        advise: Callable[..., Advice] | None = None,
    ) -> None:
        super().__init__(n_jobs=tuple(_list_levels(run.cores)))
        self.run = run
        self.measure = measure
        self.advise = advise
        self.on_news: Callable[[], None] | None = None
        self._events: queue.SimpleQueue[BenchmarkEvent] = queue.SimpleQueue()
        self._background = Background(self._tell)
        self._token = CancelToken()
        self._frames: list[BenchmarkTable] = []
        self._begin_s = 0.0
        self._draining = threading.RLock()

    # --------------------------------------------------------------------------------- settings
    @property
    def table(self) -> BenchmarkTable | None:
        """The table as far as it has grown."""
        return self.state.table

    @property
    def busy(self) -> bool:
        """Whether something is measured."""
        return self.status in ("running", "cancelling")

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of :func:`facet_nb.benchmark.benchmark`."""
        values = {name: getattr(self, name) for name in self.RANGES}
        return {
            **values,
            "repeats": self.repeats,
            "time_budget_s": self.time_budget_s,
            "memory": self.memory,
        }

    def configurations(self) -> tuple[Configuration, ...]:
        """Return what will be measured.

        Raises
        ------
        PlanError
            If a range cannot be used.
        """
        from facet_nb.benchmark.grid import list_configurations

        ranges = {name: getattr(self, name) for name in self.RANGES}
        return list_configurations(self.run.pipeline, **ranges)

    def predict_time_s(self) -> float | None:
        """Return about how long it will take, in s; None if nothing has run yet."""
        known = [r.wall_s for r in self.run.records]
        if not known:
            return None
        # A warm-up in a fresh process, three timed runs or as many as are asked for, and one of
        # which the memory is watched; each process imports the package first.
        runs = (self.repeats or 3) + 1 + self.memory
        starts_s = (1 + self.memory) * _START_S
        return min(self.time_budget_s, len(self.configurations()) * (runs * known[-1] + starts_s))

    # -------------------------------------------------------------------------------- measuring
    def start(self) -> TuneModel:
        """Begin to measure, on a thread of its own; return at once.

        Raises
        ------
        ValidationError
            If something is under way.
        PlanError
            If a range cannot be used.
        """
        if self.busy:
            raise ValidationError("a benchmark is under way: cancel it, or wait() for its end.")
        if self.run.running:
            raise ValidationError("a run is under way: it would disturb the measurement.")
        if self.run.blocked:
            raise ValidationError(self.run.blocked)
        self.configurations()
        self._frames, self._token = [], CancelToken()
        with self.hold_trait_notifications():
            self.state, self.error = BenchmarkState(status="running"), ""
            self.advice = self.chosen = None
            self.elapsed_s = 0.0
            self.status = "running"
        self._begin_s = time.monotonic()
        pipeline, source, settings = self.run.pipeline, self._source(), self.settings
        token, measure = self._token, self.measure or _find_measure()
        self._background.start(
            "measure",
            lambda: measure(pipeline, source, **settings, on_event=self._put, cancel=token),
        )
        return self

    def cancel(self) -> None:
        """Stop measuring; the table keeps what there is. Ends a replay, too."""
        if self.status == "replaying":
            self._show_frame(self._frames[-1])
            self.status = "done"
        if self.status == "running":
            self.status = "cancelling"
            self._token.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is under way, at most `timeout` seconds; return whether that is so.

        An interrupt cancels the benchmark.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while self.drain() and (deadline is None or time.monotonic() < deadline):
                time.sleep(_LOOK_S)
        except KeyboardInterrupt:
            self.cancel()
            while self.drain():
                time.sleep(_LOOK_S)
            raise
        return not self.busy and self.status != "replaying"

    def benchmark(self) -> BenchmarkTable:
        """Measure to the end, and return the table.

        Raises
        ------
        FacetError
            What went wrong.
        """
        if not self.busy:
            self.start()
        self.wait()
        if self.status != "done" or self.table is None:
            raise FacetError(self.error or "the benchmark was cancelled.")
        return self.table

    # ---------------------------------------------------------------------------- stored tables
    def load(self, source: str | Path | BenchmarkTable) -> BenchmarkTable:
        """Show a stored table; its points can be chosen like measured ones.

        Raises
        ------
        ValidationError
            If it is none, or something is under way.
        """
        if self.busy:
            raise ValidationError("a benchmark is under way: cancel it, or wait() for its end.")
        table = source if isinstance(source, BenchmarkTable) else BenchmarkTable.from_json(source)
        with self.hold_trait_notifications():
            self.error, self.chosen, self.advice = "", None, None
            self._show_frame(table)
            self.status = "done"
        self.ask()
        return table

    def replay(
        self, source: str | Path | BenchmarkTable | None = None, seconds: float = REPLAY_S
    ) -> None:
        """Show how a stored table (or the one that is shown) grew; nothing is measured.

        Parameters
        ----------
        source : path | str | BenchmarkTable | None
            The table.
        seconds : float
            How long that takes, in s.

        Raises
        ------
        ValidationError
            If there is none, or something is under way.
        """
        if source is None and self.table is None:
            raise ValidationError("there is no table yet: measure, or name a file.")
        wanted = self.table if source is None else source
        assert wanted is not None  # it was asked just now
        table = self.load(wanted)
        self._frames, self._pace_s = list_frames(table), seconds
        self._begin_s = time.monotonic()
        with self.hold_trait_notifications():
            self._show_frame(self._frames[0])
            self.status = "replaying"
        self._tell()

    def save(self, path: str | Path) -> Path:
        """Write the table (``.json``, ``.csv``) or its picture (``.png``, ``.svg``); return where.

        Raises
        ------
        ValidationError
            If there is no table, or the suffix is none of these.
        """
        if self.table is None:
            raise ValidationError("there is no table yet: measure, or load one.")
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix == ".json":
            self.table.to_json(path)
        elif suffix == ".csv":
            self.table.to_csv(path)
        elif suffix in (".png", ".svg"):
            from facet_nb.plots import tuning_picture

            picture = tuning_picture(self.table, chosen=self.chosen)
            data = picture.to_png() if suffix == ".png" else picture.to_svg().encode()
            path.write_bytes(data)
        else:
            raise ValidationError(f"{path.name}: name a file .json, .csv, .png or .svg.")
        return path

    # --------------------------------------------------------------------------- what it is for
    def choose(self, configuration: Configuration) -> None:
        """Take over the settings of a point for the next run."""
        settings = {k: v for k, v in configuration.settings.items() if k in RunModel.SETTINGS}
        for name in ("n_jobs", "n_workers"):
            settings[name] = min(settings[name], self.run.cores)
        with self.run.hold_trait_notifications():
            for name, value in settings.items():
                setattr(self.run, name, value)
        self.chosen = configuration

    def take_advice(self) -> None:
        """Take over what the table advises."""
        if self.advice is not None:
            self.choose(self.advice.configuration)

    @property
    def verdict(self) -> str:
        """What the table says, in one sentence."""
        return "Guess first, then reveal." if self.hidden else write_verdict(self.table)

    def scores(self) -> tuple[Score, ...]:
        """Return the guesses beside what was measured; empty as long as that is hidden."""
        if self.hidden or self.table is None:
            return ()
        return score_guess(self.guess, self.table)

    # ------------------------------------------------------------------ the traits' own thread
    def drain(self) -> bool:
        """Take what is new and set the traits; return whether there is more to come."""
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
        """Ask for advice, on a thread: it may think for a moment."""
        table, goal = self.table, self.goal
        advise = self.advise or _find_advise()
        if table is None or advise is None:
            return
        pipeline, source = self.run.pipeline, self._source()
        self._background.start("advice", lambda: advise(pipeline, source, goal=goal, table=table))

    def _step(self) -> None:
        part = (time.monotonic() - self._begin_s) / max(self._pace_s, 1e-6)
        number = min(int(part * len(self._frames)), len(self._frames) - 1)
        self._show_frame(self._frames[number])
        if part >= 1.0:
            self.status = "done"

    def _show_frame(self, table: BenchmarkTable) -> None:
        if self.state.table is not table:
            self.state = BenchmarkState(status="done", table=table)

    def _source(self) -> Any:
        return self.run.source

    def _put(self, event: BenchmarkEvent) -> None:
        self._events.put(event)
        self._tell()

    def _tell(self) -> None:
        if self.on_news is not None:
            self.on_news()


#: Start of a process with the package in it, in s.
_START_S = 1.5


def _find_measure() -> Callable[..., BenchmarkTable]:
    from facet_nb.benchmark import benchmark

    return benchmark


def _find_advise() -> Callable[..., Advice] | None:
    import facet_nb.benchmark

    return getattr(facet_nb.benchmark, "advise", None)


def _list_levels(cores: int) -> list[int]:
    from facet_nb.benchmark.grid import list_levels

    return list_levels(cores)
