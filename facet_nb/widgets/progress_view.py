"""View of a run's progress: bar, status, time, grid of steps and channels, error and log."""

from __future__ import annotations

import time
from typing import Any

import ipywidgets as w

from facet_nb.models import RunModel
from facet_nb.models.run_thread import describe_traceback
from facet_nb.models.sources import describe_source
from facet_nb.widgets.controls import make_progress, make_row
from facet_nb.widgets.fragments import write_duration, write_error, write_log, write_text
from facet_nb.widgets.progress_grid import FailedStep, write_grid

#: Shortest interval between two updates of the log, in s.
_LOG_S = 0.5
#: Lines of the log during a run, of which eight are visible, and after it.
_LIVE_LINES, _LINES = 20, 100
_BAR_STYLE = {"done": "success", "failed": "danger", "cancelled": "warning", "idle": ""}


class ProgressView:
    """Shows the progress of a run.

    Parameters
    ----------
    model : RunModel
        The model of the run.
    """

    def __init__(self, model: RunModel) -> None:
        self.model = model
        self._logged_s = float("-inf")
        self.bar = make_progress("fnb-progress")
        self.time, self.status = w.HTML().add_class("fnb-time"), w.HTML().add_class("fnb-status")
        self.grid, self.error = w.HTML().add_class("fnb-grid"), w.HTML().add_class("fnb-error")
        self.log = w.HTML().add_class("fnb-log")
        row = make_row([self.bar, self.time])
        self.widget = w.VBox([row, self.status, self.error, self.grid])
        model.observe(
            self._show_progress, ["state", "status", "failed_index", "pipeline", "source"]
        )
        model.observe(self._show_time, ["elapsed_s", "remaining_s", "status"])
        model.observe(self._show_error, ["error", "failed_index"])
        model.observe(self._show_log, ["log", "status"])
        for show in (self._show_progress, self._show_time, self._show_error, self._show_log):
            show()

    def _show_progress(self, _change: Any = None) -> None:
        model = self.model
        self.bar.value = 1.0 if model.status == "done" else model.state.fraction
        self.bar.bar_style = _BAR_STYLE.get(model.status, "info")
        self.status.value = f'<span role="status">{write_text(describe_status(model))}</span>'
        _show(self.grid, write_grid(model.state, _find_failure(model)))

    def _show_time(self, _change: Any = None) -> None:
        model = self.model
        if model.status == "idle":
            self.time.value = ""
            return
        left = ""
        if model.running and model.remaining_s is not None:
            left = f", about {write_duration(model.remaining_s)} left{_write_range(model)}"
        percent = f"{100 * self.bar.value:.0f} %"
        self.time.value = f"{percent} · {write_duration(model.elapsed_s)}{left}"

    def _show_error(self, _change: Any = None) -> None:
        model = self.model
        if model.error is None or model.status == "cancelled":
            _show(self.error, "")
            return
        where, message = describe_failure(model)
        _show(self.error, write_error(where, message, describe_traceback(model.error)))

    def _show_log(self, _change: Any = None) -> None:
        """Show the log; during a run, only its newest lines and at a limited rate."""
        busy, now_s = self.model.running, time.monotonic()
        if busy and now_s - self._logged_s < _LOG_S:
            return
        self._logged_s = now_s
        self.log.value = write_log(self.model.log, _LIVE_LINES if busy else _LINES)


def _show(widget: w.HTML, html: str) -> None:
    """Set the content of a widget; an empty widget is hidden."""
    widget.value = html
    widget.layout.display = "" if html else "none"


def _write_range(model: RunModel) -> str:
    """Return the range of the time left; empty if both limits are written alike."""
    limits = [write_duration(limit_s) for limit_s in model.remaining_range_s]
    return f" ({limits[0]} to {limits[1]})" if len(set(limits)) == 2 else ""


def describe_status(model: RunModel) -> str:
    """Return the status in one sentence, which screen readers read on each change."""
    state, status = model.state, model.status
    if status == "running":
        return f"Running{_describe_steps(state)}"
    if status == "cancelling":
        return "Cancelling: running batches are completed first"
    if status == "done":
        return f"Done in {write_duration(model.elapsed_s)}"
    if status == "cancelled":
        return f"Cancelled after {write_duration(model.elapsed_s)}; nothing was changed"
    if status == "failed":
        where, _ = describe_failure(model)
        return f"Failed after {write_duration(model.elapsed_s)}: {where}"
    return f"Ready: {len(model.pipeline)} steps on {describe_source(model.source)}"


def _describe_steps(state: Any) -> str:
    if not state.stage_steps:
        return ""
    names = [state.steps[i] for i in state.stage_steps]
    first, last = state.stage_steps[0] + 1, state.stage_steps[-1] + 1
    if first == last:
        return f" step {first} of {len(state.steps)}: {names[0]}"
    return f" steps {first} to {last} of {len(state.steps)}: {' → '.join(names)}"


def describe_failure(model: RunModel) -> tuple[str, str]:
    """Return where the run failed, and the error message."""
    error = model.error
    step, channel = getattr(error, "step", None), getattr(error, "channel", None)
    index = model.failed_index
    if step is None:
        return type(error).__name__, str(error)
    number = "" if index is None else f" {index + 1}"
    on = f", channel {channel}" if channel else ""
    begin = f"Step{number} ({step}) failed" + (f" on channel {channel}" if channel else "")
    return f"Step{number} ({step}){on}", str(error).removeprefix(f"{begin}: ")


def _find_failure(model: RunModel) -> FailedStep | None:
    if model.status != "failed":
        return None
    return FailedStep(model.failed_index, model.state.failed_channel)
