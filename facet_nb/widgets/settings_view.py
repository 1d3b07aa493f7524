"""Controls for the settings of a run, with its plan, forecast, Run and Cancel."""

from __future__ import annotations

from functools import partial
from typing import Any

import ipywidgets as w
from traitlets import link

from facet_nb.core.backends.registry import list_backend_names
from facet_nb.core.errors import FacetError
from facet_nb.core.planning.modes.registry import list_mode_names
from facet_nb.models import RunModel
from facet_nb.models.time_forecast import TimeForecast
from facet_nb.widgets.controls import TOOLTIPS, make_button, make_control, make_row, of_width
from facet_nb.widgets.fragments import write_duration, write_table, write_text
from facet_nb.widgets.plan_view import describe_plan


class SettingsView:
    """Controls for the settings of a run.

    Parameters
    ----------
    model : RunModel
        The model of the run.
    """

    def __init__(self, model: RunModel) -> None:
        self.model = model
        make_choice = partial(make_control, w.Dropdown, width="235px")
        self.mode = make_choice(
            "Mode", "fnb-mode", options=list_mode_names(), tooltip="How the pipeline runs"
        )
        self.backend = make_choice(
            "Backend", "fnb-backend", options=list_backend_names(), tooltip="Where batches run"
        )
        self.batch_size = make_control(
            w.BoundedIntText, "Batch size", "fnb-batch-size", width="155px", min=0, max=10_000
        )
        self.batch_size.tooltip = TOOLTIPS["batch_size"]
        self.memory_budget = make_control(
            w.Text,
            "Memory",
            "fnb-memory-budget",
            width="225px",
            placeholder="no limit, or 1.5 GB",
            continuous_update=False,
        )
        self.memory_budget.tooltip = "Largest memory of the run"
        self.n_jobs, self.n_workers = (WorkersView(n, model.cores) for n in ("n_jobs", "n_workers"))
        for name in ("mode", "backend", "batch_size", "memory_budget"):
            link((model, name), (getattr(self, name), "value"))
        for view in (self.n_jobs, self.n_workers):
            link((model, view.name), (view.box, "value"))
            link((view.box, "value"), (view.slider, "value"))
        self.plan = w.HTML().add_class("fnb-plan")
        self.forecast = w.HTML().add_class("fnb-forecast")
        self.run = make_button(
            "Run", "fnb-run", icon="play", style="primary", tooltip="Run the pipeline"
        )
        self.cancel = make_button("Cancel", "fnb-cancel", icon="stop", tooltip="Stop the run")
        self.run.on_click(lambda _button: None if model.running else model.start())
        self.cancel.on_click(lambda _button: model.cancel())
        model.observe(self._show_buttons, ["status", "blocked"])
        model.observe(self._show_plan, [*RunModel.SETTINGS, "pipeline"])
        shown = [*RunModel.SETTINGS, "pipeline", "source", "records", "blocked"]
        model.observe(self._show_forecast, shown)
        self._show_buttons()
        self._show_plan()
        self._show_forecast()
        self.widget = w.VBox(
            [
                make_row([self.mode, self.backend, self.batch_size, self.memory_budget]),
                make_row([self.n_jobs.widget, self.n_workers.widget]),
                self.plan,
                self.forecast,
                make_row([self.run, self.cancel]),
            ]
        )

    def _show_buttons(self, _change: Any = None) -> None:
        self.run.disabled = self.model.running or bool(self.model.blocked)
        self.cancel.disabled = self.model.status != "running"

    def _show_forecast(self, _change: Any = None) -> None:
        self.forecast.value = write_forecast(self.model)

    def _show_plan(self, _change: Any = None) -> None:
        try:
            plan = self.model.plan()
        except FacetError as error:
            self.plan.value = f'<span class="fnb-quiet">{write_text(error)}</span>'
            return
        rows = [(i, " → ".join(s.names), s.reason) for i, s in enumerate(plan.stages, 1)]
        summary = f"Plan: {describe_plan(plan)}"
        table = write_table("", ["stage", "steps", "why"], rows, "fnb-table fnb-plan-table")
        self.plan.value = f"<details><summary>{write_text(summary)}</summary>{table}</details>"


def write_forecast(model: RunModel) -> str:
    """Return the predicted time and memory of a run, or why they are unknown, as HTML."""
    if model.blocked:
        return f'<span class="fnb-wrong" role="alert">{write_text(model.blocked)}</span>'
    try:
        forecast = model.forecast()
    except FacetError as error:
        return f'<span class="fnb-wrong">{write_text(error)}</span>'
    return f"<strong>Forecast</strong> {write_text(describe_forecast(forecast))}"


def describe_forecast(forecast: TimeForecast) -> str:
    """Return a forecast in one sentence."""
    if forecast.time_s is None:
        time = f"time {forecast.basis}"
    else:
        low, high = map(write_duration, forecast.time_s)
        span = f"about {low}" if low == high else f"{low} to {high}"
        time = f"time {span} ({forecast.basis})"
    if forecast.memory_bytes is None:
        return f"{time}; memory unknown."
    return f"{time}; memory up to {forecast.memory_bytes / 1e6:.0f} MB, including libraries."


class WorkersView:
    """A number of workers: a box and a slider, linked with each other.

    Parameters
    ----------
    name : str
        Name of the setting.
    cores : int
        Largest number.
    """

    def __init__(self, name: str, cores: int) -> None:
        self.name = name
        self.box = make_control(w.BoundedIntText, name, width="150px", min=1, max=cores)
        # A slider from 1 to 1 is an error in the browser: with one core it is disabled instead.
        self.slider = w.IntSlider(
            min=1,
            max=max(2, cores),
            readout=False,
            continuous_update=False,
            disabled=cores == 1,
            layout=of_width("180px"),
        )
        self.box.tooltip = self.slider.tooltip = TOOLTIPS[name]
        hint = w.HTML(f'<span class="fnb-quiet">1 – {cores}</span>' if cores > 1 else _ONE_CORE)
        self.widget = w.HBox([self.box, self.slider, hint])
        self.widget.add_class("fnb-" + name.replace("_", "-"))


_ONE_CORE = '<span class="fnb-quiet">this process may use one core</span>'
