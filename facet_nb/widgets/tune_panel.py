"""Panel that benchmarks settings: growing curves, verdict, advice and files."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import ipywidgets as w

from facet_nb.benchmark import BenchmarkTable
from facet_nb.core import Pipeline
from facet_nb.core.planning.cost_model import GOALS
from facet_nb.models import RunModel
from facet_nb.models.tune_model import TuneModel
from facet_nb.plots import tuning_picture
from facet_nb.widgets.controls import attempt, make_button, make_control, make_progress, make_row
from facet_nb.widgets.curves_view import PAUSE_S, CurvesView
from facet_nb.widgets.fragments import write_duration, write_error, write_scrolling, write_text
from facet_nb.widgets.panel import Panel
from facet_nb.widgets.prediction_view import PredictionView
from facet_nb.widgets.tune_ranges import TuneRanges, write_tune_forecast

_STATUS = {
    "idle": "Ready.",
    "cancelling": "Cancelling …",
    "cancelled": "Cancelled: the table keeps the measurements.",
    "done": "Done.",
    "failed": "Failed.",
}
_NO_POINT = ("choose one to use its settings", "")
#: Interval between drawings of a replay, in s.
_TICK_S = 0.25


class TunePanel(Panel):
    """Measures a pipeline with different settings, and shows the results as they arrive.

    Parameters
    ----------
    pipeline : Pipeline | RunModel | TuneModel
        The chain, or the model of another panel.
    source : object
        The recording, as for :func:`facet_nb.models.as_context`.
    cores : int | None
        Largest number of workers; None for all cores that this process may use.
    nested : bool
        Whether the panel is part of another one.

    Attributes
    ----------
    model : TuneModel
        State: ranges, table, verdict and advice.

    Examples
    --------
    >>> from facet_nb import CommonReference, Pipeline
    >>> from facet_nb.datasets import example
    >>> from facet_nb.widgets import TunePanel
    >>> panel = TunePanel(Pipeline([CommonReference()]), example())
    >>> panel.model.verdict
    'Nothing has been measured yet.'
    """

    def __init__(
        self,
        pipeline: Pipeline | RunModel | TuneModel,
        source: Any = None,
        *,
        cores: int | None = None,
        nested: bool = False,
    ) -> None:
        if isinstance(pipeline, TuneModel):
            self.model = pipeline
        elif isinstance(pipeline, RunModel):
            self.model = TuneModel(pipeline)
        else:
            self.model = TuneModel(RunModel(pipeline, source, cores=cores))
        self.ranges = TuneRanges(self.model)
        self.guess = PredictionView(self.model)
        self.curves = CurvesView(self.model)
        self._make_start()
        self._make_outcome()
        self._make_files()
        parts = [
            self.ranges.widget,
            self.forecast,
            make_row([self.start_button, self.cancel_button]),
            self.guess.widget,
            make_row([self.bar, self.time]),
            self.status,
            self.curves.widget,
            self.point,
            self.verdict,
            self.advice_box,
            self.table,
            *self.files,
        ]
        super().__init__(parts, nested=nested)
        self.add_class("fnb-tune")
        self.follow(self.model, tick_s=_TICK_S)
        self._observe()
        self._show_all()

    # -------------------------------------------------------------------- without a display
    def benchmark(self) -> BenchmarkTable:
        """Run a benchmark to the end and return its table."""
        return self.model.benchmark()

    def stop(self) -> bool:
        """Cancel the benchmark; return whether there was one."""
        busy = self.model.busy
        self.model.cancel()
        return busy

    def to_html(self) -> str:
        """Return curves, verdict and table as plain HTML."""
        table = self.model.table
        if table is None or not table.points:
            return f"<p>{write_text(self.model.verdict)}</p>"
        picture = tuning_picture(table, chosen=self.model.chosen).to_html()
        verdict = f"<p><strong>{write_text(self.model.verdict)}</strong></p>"
        return verdict + picture + _write_table(table)

    def summary(self) -> str:
        """Return the verdict."""
        return self.model.verdict

    def fit_plots(self, width_px: int) -> None:
        """Draw the curves for a panel of this width, in pixels."""
        self.curves.fit(width_px)

    # ------------------------------------------------------------------------------------ parts
    def _make_start(self) -> None:
        model = self.model
        self.forecast = w.HTML().add_class("fnb-tune-forecast")
        self.start_button = make_button(
            "Benchmark",
            "fnb-benchmark",
            lambda: attempt(self.said, model.start),
            width="130px",
            icon="tachometer",
            style="primary",
        )
        self.cancel_button = make_button(
            "Cancel", "fnb-benchmark-cancel", model.cancel, width="130px", icon="stop"
        )
        self.bar = make_progress("fnb-benchmark-progress")
        self.time = w.HTML().add_class("fnb-benchmark-time")
        self.status = w.HTML().add_class("fnb-benchmark-status")

    def _make_outcome(self) -> None:
        make_choice = partial(make_control, w.Dropdown)
        self.point = make_choice("Point", "fnb-point", width="420px", options=[_NO_POINT])
        self.point.tooltip = "A measured point, whose settings are used in Run and Code"
        self.point.observe(self._choose, "value")
        self.verdict = w.HTML().add_class("fnb-verdict")
        self.table = w.HTML().add_class("fnb-bench-table")
        self.advice = w.HTML()
        self.goal = make_choice("Goal", width="220px", options=GOALS)
        self.goal.value = self.model.goal
        self.goal.observe(self._set_goal, "value")
        self.use = make_button("Use this", "fnb-use-advice", self.model.take_advice, width="130px")
        self.advice_box = w.VBox([make_row([self.goal, self.use]), self.advice]).add_class(
            "fnb-advice"
        )
        self._busy = False
        self._shown_s, self._late = -1e9, False

    def _make_files(self) -> None:
        self.file = make_control(
            w.Text, "File", "fnb-table-file", width="260px", value="benchmark.json"
        )
        self.said = w.HTML().add_class("fnb-file-said")
        buttons = [self._make_save(suffix) for suffix in ("json", "csv", "png", "svg")]
        self.load_button = make_button("Load", "fnb-load-table", self._load, width="80px")
        self.replay_button = make_button(
            "Replay", "fnb-replay", self._replay, width="100px", icon="play"
        )
        self.replay_button.tooltip = "Show how the table grew, without measuring"
        save = w.HTML('<span class="fnb-quiet">save as</span>')
        bar = make_row([self.file, self.load_button, self.replay_button, save, *buttons])
        self.files = [bar, self.said]

    # ---------------------------------------------------------------------------------- actions
    def _make_save(self, suffix: str) -> w.Button:
        button = make_button(
            suffix.upper(), f"fnb-save-{suffix}", lambda: self._save(suffix), width="58px"
        )
        button.tooltip = f"Save as {suffix.upper()}"
        return button

    def _load(self) -> None:
        attempt(self.said, lambda: self.model.load(self.file.value.strip()), "Loaded.")

    def _replay(self) -> None:
        """Replay the current table, or that of the file if there is none."""
        if self.model.table is None or not self.model.table.points:
            attempt(self.said, lambda: self.model.replay(self.file.value.strip()))
        else:
            attempt(self.said, self.model.replay)

    def _save(self, suffix: str) -> None:
        name = self.file.value.strip() or "benchmark"
        stem = name.rpartition(".")[0] or name
        saved = f"{stem}.{suffix}"
        attempt(self.said, lambda: self.model.save(saved), f"Saved {saved}.")

    def _choose(self, change: Any) -> None:
        if not self._busy and change["new"]:
            self.model.choose(change["new"])

    def _set_goal(self, change: Any) -> None:
        self.model.goal = change["new"]
        if not self.model.busy and self.model.table is not None and self.model.table.points:
            self.model.ask()

    # ---------------------------------------------------------------------------------- showing
    def _observe(self) -> None:
        model, run = self.model, self.model.run
        model.observe(self._show_progress, ["state", "status", "elapsed_s", "error"])
        model.observe(self._show_table, ["state", "status", "hidden", "chosen"])
        model.observe(self._show_late, "elapsed_s")
        model.observe(self._show_advice, ["advice", "status", "hidden"])
        model.observe(self._show_forecast, [*model.RANGES, "repeats", "time_budget_s", "memory"])
        run.observe(self._show_forecast, ["pipeline", "source", "records"])
        run.observe(self._show_buttons, ["status", "blocked"])
        model.observe(self._keep, "status")

    def _keep(self, change: Any) -> None:
        if change["new"] != "replaying":
            self.refresh_report()

    def _show_all(self) -> None:
        for show in (
            self._show_progress,
            self._show_table,
            self._show_advice,
            self._show_forecast,
            self._show_buttons,
        ):
            show()

    def _show_forecast(self, _change: Any = None) -> None:
        self.forecast.value = write_tune_forecast(self.model)

    def _show_buttons(self, _change: Any = None) -> None:
        model = self.model
        under_way = model.busy or model.status == "replaying"
        self.start_button.disabled = under_way or model.run.running or bool(model.run.blocked)
        self.cancel_button.disabled = model.status not in ("running", "replaying")
        self.load_button.disabled = self.replay_button.disabled = under_way

    def _show_progress(self, _change: Any = None) -> None:
        model, state = self.model, self.model.state
        self._show_buttons()
        self.bar.value = 1.0 if model.status == "done" else state.fraction
        if model.status == "failed":
            self.status.value = write_error("The benchmark failed", model.error, "")
        else:
            text = _STATUS.get(model.status) or describe_progress(model)
            note = f" {model.error}" if model.error else ""
            self.status.value = f'<span role="status">{write_text(text + note)}</span>'
        left = state.remaining_s
        rest = f", about {write_duration(left)} left" if model.busy and left is not None else ""
        took = f"{write_duration(model.elapsed_s)}{rest}" if model.elapsed_s else ""
        self.time.value = write_text(took)

    def _show_table(self, _change: Any = None) -> None:
        """Show verdict, points and table; at a limited rate, as statistics disturb timed runs."""
        self._late = self.model.busy and time.monotonic() - self._shown_s < PAUSE_S
        if self._late:
            return
        self._shown_s = time.monotonic()
        model = self.model
        self.verdict.value = f'<p role="status"><strong>{write_text(model.verdict)}</strong></p>'
        points = self.curves.list_points()
        options = [_NO_POINT, *points]
        self._busy = True
        try:
            if tuple(self.point.options) != tuple(options):
                self.point.options = options
            self.point.value = model.chosen if model.chosen in dict(points).values() else ""
        finally:
            self._busy = False
        self.point.layout.display = "" if points else "none"
        self.table.value = "" if model.hidden or not points else _write_table(model.table)

    def _show_late(self, _change: Any) -> None:
        """Show what came too early after what was shown before."""
        if self._late:
            self._show_table()

    def _show_advice(self, _change: Any = None) -> None:
        advice = None if self.model.hidden else self.model.advice
        self.advice_box.layout.display = "none" if advice is None else ""
        self.advice.value = "" if advice is None else advice._repr_html_()


def describe_progress(model: TuneModel) -> str:
    """Return a description of the current measurement."""
    state = model.state
    if model.status == "replaying":
        n = 0 if state.table is None else sum(p.n_repeats for p in state.table.points)
        return f"Replaying: {n} runs, without measuring."
    if state.configuration is None:
        return "Starting …"
    what = {
        "reference": "the serial result, with which the others are compared",
        "warm-up": "the first run in a fresh process",
        "time": f"timed run, block {state.block + 1}",
        "memory": "memory, in a separate run",
    }.get(state.phase, state.phase)
    return f"Measuring {state.configuration.label}: {what} ({state.done} of {state.total} done)"


def _write_table(table: BenchmarkTable | None) -> str:
    if table is None:
        return ""
    inner = write_scrolling("Table of the benchmark", table._repr_html_() + _NARROW)
    return f"<details open><summary>Table</summary>{inner}</details>"


#: Shown by the style sheet where it omits columns.
_NARROW = (
    '<p class="fnb-narrow fnb-quiet" style="display:none">The window is narrow: IQR, CPU, cold '
    "start and efficiency are shown in a wider window and in the file.</p>"
)
