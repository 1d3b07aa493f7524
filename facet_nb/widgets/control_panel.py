"""The panel of the quickstart: settings, Run and Cancel, progress, result, code."""

from __future__ import annotations

from collections import deque
from importlib import resources
from typing import Any

import ipywidgets as w
from IPython.display import DisplayHandle, display

from facet_nb.core import Pipeline, PipelineResult
from facet_nb.models import RunModel
from facet_nb.models.sources import describe_source
from facet_nb.widgets.code_view import CodeView
from facet_nb.widgets.fragments import write_text
from facet_nb.widgets.progress_view import ProgressView
from facet_nb.widgets.pump import Pump
from facet_nb.widgets.report import write_report, write_summary
from facet_nb.widgets.result_view import ResultView
from facet_nb.widgets.settings_view import SettingsView

#: What pages without a kernel show in the place of the live panel.
_STATIC_TEXT = "The control panel works while the notebook runs. This is what it found last:"


class ControlPanel(w.VBox):
    """Runs a pipeline from a notebook, and shows what happens.

    The same run is to be had without a screen: :meth:`run` works in plain Python, papermill and
    nbval. Shown in a notebook, the panel leaves its result as plain HTML in the saved file, hidden
    as long as the panel itself is alive.

    Parameters
    ----------
    pipeline : Pipeline
        What to run.
    source : ProcessingContext | mne.io.BaseRaw | str | pathlib.Path | Simulation | None
        What to run it on: a context, a recording, a file, or anything with ``context()``. None is
        for pipelines that begin with a loader.
    cores : int | None
        The largest number of workers to offer; None for the cores that this process may use.
    **settings
        ``mode``, ``n_jobs``, ``n_workers``, ``backend``, ``batch_size`` to begin with.

    Attributes
    ----------
    model : RunModel
        The state that the panel shows.

    Examples
    --------
    >>> from facet_nb import CommonReference, Pipeline
    >>> from facet_nb.datasets import example
    >>> from facet_nb.widgets import ControlPanel
    >>> panel = ControlPanel(Pipeline([CommonReference()]), example())
    >>> panel.run().success
    True
    """

    def __init__(
        self, pipeline: Pipeline, source: Any = None, *, cores: int | None = None, **settings: Any
    ) -> None:
        self.model = RunModel(pipeline, source, cores=cores, **settings)
        self.pump = Pump(self.model.drain)
        self.model.on_news = self.pump.wake
        self.settings = SettingsView(self.model)
        self.progress = ProgressView(self.model)
        self.results = ResultView(self.model)
        self.code_view = CodeView(self.model)
        self._handles: deque[DisplayHandle] = deque(maxlen=8)
        self._style = w.HTML()
        super().__init__(
            [
                self._style,
                w.HTML(_write_title(pipeline, source)),
                self.settings.widget,
                self.progress.widget,
                self.results.widget,
                self.progress.log,
                self.code_view.widget,
            ]
        )
        self.add_class("fnb-panel")
        self._style.value = f"<style>{_read_css()}{self._hiding_rule}</style>"
        self._style.layout.display = "none"
        self.model.observe(self._refresh_report, "status")

    # ----------------------------------------------------------------- the same without a screen
    @property
    def result(self) -> PipelineResult | None:
        """The outcome of the last run."""
        return self.model.result

    @property
    def status(self) -> str:
        """Where the run is: idle, running, cancelling, done, failed or cancelled."""
        return self.model.status

    def run(self) -> PipelineResult:
        """Run to the end, as the Run button does, and return the outcome."""
        return self.model.run()

    def start(self) -> None:
        """Begin a run and return at once, as the Run button does."""
        self.model.start()

    def cancel(self) -> None:
        """Ask the run to stop, as the Cancel button does."""
        self.model.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the run has ended, at most `timeout` seconds; return whether it has."""
        return self.model.wait(timeout)

    def code(self) -> str:
        """Return the Python that does the same."""
        return self.model.code()

    def to_html(self) -> str:
        """Return the panel's state as plain HTML: what remains of it in a saved notebook."""
        return write_report(self.model, self.results.comparison, self._report_class)

    # -------------------------------------------------------------------------------- displaying
    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        return {**(data or {}), **self._report_bundle()}

    def _ipython_display_(self) -> None:
        # Two outputs: renewing one that holds the live view would take the focus away from it.
        bundle = super()._repr_mimebundle_()
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        display({**(data or {}), "text/plain": _STATIC_TEXT}, raw=True)
        handle = display(self._report_bundle(), raw=True, display_id=True)
        if handle is not None:
            self._handles.append(handle)

    def _report_bundle(self) -> dict[str, str]:
        return {"text/html": self.to_html(), "text/plain": write_summary(self.model)}

    def _refresh_report(self, _change: Any) -> None:
        if not self.model.running:
            for handle in self._handles:
                handle.update(self._report_bundle(), raw=True)

    @property
    def _report_class(self) -> str:
        return f"fnb-report-{self.model_id}"

    @property
    def _hiding_rule(self) -> str:
        css = self._report_class
        return f".{css}, .jp-OutputArea-child:has(.{css}) {{ display: none !important; }}"

    def __repr__(self) -> str:
        model = self.model
        return f"<ControlPanel: {len(model.pipeline)} steps, {model.mode}, {model.status}>"


def _write_title(pipeline: Pipeline, source: Any) -> str:
    steps = " → ".join(p.name for p in pipeline)
    return (
        f'<div class="fnb-title">{write_text(pipeline.name)}: {write_text(describe_source(source))}'
        f'</div><div class="fnb-quiet">{write_text(steps)}</div>'
    )


def _read_css() -> str:
    return resources.files("facet_nb.widgets").joinpath("panel.css").read_text(encoding="utf-8")
