"""Panel that runs a pipeline: settings, forecast, Run and Cancel, progress and result."""

from __future__ import annotations

from typing import Any

import ipywidgets as w

from facet_nb.core import Pipeline, PipelineResult
from facet_nb.models import RunModel
from facet_nb.models.run_thread import describe_traceback
from facet_nb.widgets.fragments import write_code_block, write_error, write_table, write_text
from facet_nb.widgets.panel import Panel
from facet_nb.widgets.progress_view import ProgressView, describe_failure, describe_status
from facet_nb.widgets.resource_sparkline import write_sparklines
from facet_nb.widgets.result_view import ResultView, write_metrics, write_step_times
from facet_nb.widgets.settings_view import SettingsView

_INTERRUPTED = (
    "A run was in progress when this was written. If this is all you see, the kernel was restarted "
    "or stopped before the run ended, and the run has ended with it. Run the cell again."
)


class RunPanel(Panel):
    """Runs a pipeline from a notebook, and shows progress and result.

    Parameters
    ----------
    pipeline : Pipeline | RunModel
        The chain, or the model of another panel.
    source : ProcessingContext | mne.io.BaseRaw | str | pathlib.Path | Simulation | None
        The recording, as for :func:`facet_nb.models.as_context`.
    cores : int | None
        Largest number of workers to offer; None for all cores that this process may use.
    nested : bool
        Whether the panel is part of another one.
    **settings
        Initial ``mode``, ``n_jobs``, ``n_workers``, ``backend``, ``batch_size``.

    Attributes
    ----------
    model : RunModel
        State of the panel.

    Examples
    --------
    >>> from facet_nb import CommonReference, Pipeline
    >>> from facet_nb.datasets import example
    >>> from facet_nb.widgets import RunPanel
    >>> RunPanel(Pipeline([CommonReference()]), example()).run().success
    True
    """

    def __init__(
        self,
        pipeline: Pipeline | RunModel,
        source: Any = None,
        *,
        cores: int | None = None,
        nested: bool = False,
        **settings: Any,
    ) -> None:
        if isinstance(pipeline, RunModel):
            self.model = pipeline
        else:
            self.model = RunModel(pipeline, source, cores=cores, **settings)
        self.settings = SettingsView(self.model)
        self.progress = ProgressView(self.model)
        self.strip = w.HTML().add_class("fnb-strip-chart")
        self.results = ResultView(self.model)
        super().__init__(self._arrange(), nested=nested)
        self.follow(self.model)
        self.model.observe(self._show_strip, "samples")
        self.model.observe(self.refresh_report, "status")
        self._show_strip()

    def _arrange(self) -> list[w.Widget]:
        """Return the parts from top to bottom."""
        return [
            self.settings.widget,
            self.progress.widget,
            self.strip,
            self.results.widget,
            self.progress.log,
        ]

    # -------------------------------------------------------------------- without a display
    @property
    def result(self) -> PipelineResult | None:
        """Result of the last run."""
        return self.model.result

    @property
    def status(self) -> str:
        """Status of the run: idle, running, cancelling, done, failed or cancelled."""
        return self.model.status

    def run(self) -> PipelineResult:
        """Run to the end and return the result."""
        return self.model.run()

    def start(self) -> None:
        """Start a run and return immediately, like the Run button."""
        self.model.start()

    def cancel(self) -> None:
        """Cancel the run, like the Cancel button."""
        self.model.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of the run, at most `timeout` seconds; return whether it has ended."""
        return self.model.wait(timeout)

    def code(self) -> str:
        """Return Python code that does the same."""
        return self.model.code()

    def stop(self) -> bool:
        """Cancel the run; return whether there was one."""
        busy = self.model.running
        self.model.cancel()
        return busy

    def to_html(self) -> str:
        """Return the state of the panel as plain HTML, for the saved notebook."""
        return write_report(self.model, self.results)

    def summary(self) -> str:
        """Return status and settings in one line of text."""
        return write_summary(self.model)

    def fit_plots(self, width_px: int) -> None:
        """Draw the result for a panel of this width, in pixels."""
        self.results.fit(width_px)

    def _show_strip(self, _change: Any = None) -> None:
        html = write_sparklines(self.model.samples, self.model.cores)
        if self.model.unmeasured:
            html = f'<p class="fnb-quiet">Memory and CPU {write_text(self.model.unmeasured)}.</p>'
        self.strip.value = html
        self.strip.layout.display = "" if html else "none"

    def __repr__(self) -> str:
        model = self.model
        return f"<{type(self).__name__}: {len(model.pipeline)} steps, {model.mode}, {model.status}>"


def write_report(model: RunModel, results: ResultView | None) -> str:
    """Return status, picture, metrics, times, settings and code as self-contained HTML."""
    parts = [f"<p><strong>{write_text(describe_status(model))}</strong></p>"]
    if model.running:
        parts.append(f"<p>{_INTERRUPTED}</p>")
    if model.error is not None and model.status == "failed":
        where, message = describe_failure(model)
        parts.append(write_error(where, message, describe_traceback(model.error)))
    if results is not None and results.sketch is not None:
        parts.append(results.sketch.to_html())
    parts.append(write_metrics(model, None if results is None else results.comparison))
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
