"""Reports: the state of a panel as plain HTML, for saved notebooks."""

from __future__ import annotations

from facet_nb.models import RunModel
from facet_nb.models.run_thread import describe_traceback
from facet_nb.widgets.fragments import write_code_block, write_error, write_table, write_text
from facet_nb.widgets.progress_view import describe_failure, describe_status
from facet_nb.widgets.result_view import ResultView, write_metrics, write_step_times

_INTERRUPTED = (
    "A run was in progress when this was written. If this is all you see, the kernel was restarted "
    "or stopped before the run ended, and the run has ended with it. Run the cell again."
)


def write_report(model: RunModel, results: ResultView) -> str:
    """Return status, picture, metrics, times, settings and code as self-contained HTML."""
    parts = [f"<p><strong>{write_text(describe_status(model))}</strong></p>"]
    if model.running:
        parts.append(f"<p>{_INTERRUPTED}</p>")
    if model.error is not None and model.status == "failed":
        where, message = describe_failure(model)
        parts.append(write_error(where, message, describe_traceback(model.error)))
    if results.sketch is not None:
        parts.append(results.sketch.to_html())
    parts.append(write_metrics(model, results.comparison))
    if model.result is not None and model.result.state.steps:
        parts.append(write_step_times(model.result.state))
    rows = list(model.settings.items())
    parts.append(write_table("Settings", ["setting", "value"], rows))
    code = write_code_block(model.code())
    parts.append(f"<details><summary>The same in Python</summary>{code}</details>")
    return "".join(parts)


def write_summary(model: RunModel) -> str:
    """Return status and settings in one line of text."""
    settings = ", ".join(f"{k}={v}" for k, v in model.settings.items())
    return f"{describe_status(model)} ({settings})"
