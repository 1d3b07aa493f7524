"""The studio: recording, chain, run, benchmark, comparison and code in tabs."""

from __future__ import annotations

from typing import Any

import ipywidgets as w

from facet_nb.core import Pipeline, PipelineResult
from facet_nb.models import RunModel, StudioModel
from facet_nb.widgets.chain_editor import ChainEditor
from facet_nb.widgets.code_view import CodeView
from facet_nb.widgets.compare_panel import ComparePanel
from facet_nb.widgets.fragments import write_text
from facet_nb.widgets.lazy_drawing import follow_tabs
from facet_nb.widgets.panel import Panel
from facet_nb.widgets.progress_view import describe_status
from facet_nb.widgets.recording_view import RecordingView
from facet_nb.widgets.report import write_report
from facet_nb.widgets.run_panel import RunPanel
from facet_nb.widgets.signal_view import SignalView
from facet_nb.widgets.tune_panel import TunePanel

_HINTS = {
    "Recording": "Choose a recording and press Load. View it, and choose the trigger events.",
    "Chain": "Select a step to change its arguments. Problems are shown while you type.",
    "Run": "Choose how the chain runs, and press Run. All modes give bit-identical results.",
    "Tune": "Measure settings on this machine. Choose a point to use its settings in Run.",
    "Compare": "Keep results of different chains or settings, and compare them side by side.",
    "Code": "Python code that gives the same result without the panel.",
}


class Studio(Panel):
    """Recording, chain, run, benchmark, comparison and code in one panel.

    Parameters
    ----------
    source : ProcessingContext | mne.io.BaseRaw | str | pathlib.Path | Simulation | None
        The initial recording; None for the example.
    pipeline : Pipeline | None
        The initial chain; None for that of :func:`facet_nb.gradient_correction`.
    cores : int | None
        Largest number of workers to offer; None for all cores that this process may use.
    **settings
        Initial ``mode``, ``n_jobs``, ``n_workers``, ``backend``, ``batch_size``.

    Attributes
    ----------
    model : StudioModel
        State: ``model.recording``, ``model.signal``, ``model.chain``, ``model.run``.
    signal, chain, run_panel, tune_panel, compare_panel, code_view : object
        Contents of the tabs.

    Examples
    --------
    >>> from facet_nb.widgets import Studio
    >>> studio = Studio()
    >>> studio.run().success
    True
    """

    def __init__(
        self,
        source: Any = None,
        pipeline: Pipeline | None = None,
        *,
        cores: int | None = None,
        **settings: Any,
    ) -> None:
        self.model = StudioModel(source, pipeline, cores=cores, **settings)
        model = self.model
        self.recording = RecordingView(model.recording, model.chain.use_trigger)
        self.signal = SignalView(model.signal, nested=True)
        self.chain = ChainEditor(model.chain, plan=model.run.plan, nested=True)
        self.run_panel = RunPanel(model.run, nested=True)
        self.tune_panel = TunePanel(model.tune, nested=True)
        self.compare_panel = ComparePanel(model.run, model.compare, nested=True)
        self.code_view = CodeView(model.run)
        self.head = w.HTML()
        self.head.add_class("fnb-headline")
        self.tabs = w.Tab()
        self._fill_tabs()
        super().__init__([self.head, self.tabs])
        self.add_class("fnb-studio")
        follow_tabs(
            self.tabs,
            {"Recording": self.signal.drawing, "Tune": self.tune_panel.curves.drawing},
        )
        self.follow(model.recording, model.run)
        model.tune.observe(self._keep_table, "status")
        self._observe()
        self._show_head()

    def _fill_tabs(self) -> None:
        contents = {
            "Recording": [self.recording.widget, self.signal],
            "Chain": [self.chain],
            "Run": [self.run_panel],
            "Tune": [self.tune_panel],
            "Compare": [self.compare_panel],
            "Code": [self.code_view.widget],
        }
        pages = []
        for title, parts in contents.items():
            hint = w.HTML(f'<p class="fnb-hint">{write_text(_HINTS[title])}</p>')
            page = w.VBox([hint, *parts])
            page.add_class("fnb-tab")
            page.add_class(f"fnb-tab-{title.lower()}")
            pages.append(page)
        self.tabs.children, self.tabs.titles = pages, tuple(contents)
        self.tabs.selected_index = 0

    def _observe(self) -> None:
        run, model = self.model.run, self.model
        run.observe(self._show_head, ["status", "pipeline", "source"])
        run.observe(self.chain.refresh_plan, [*RunModel.SETTINGS, "pipeline"])
        run.observe(self.signal.refresh, "result")
        run.observe(self.refresh_report, "status")
        model.recording.observe(self._show_head, "status")

    # -------------------------------------------------------------------- without a display
    @property
    def result(self) -> PipelineResult | None:
        """Result of the last run."""
        return self.model.result

    @property
    def status(self) -> str:
        """Status of the run: idle, running, cancelling, done, failed or cancelled."""
        return self.model.run.status

    @property
    def pipeline(self) -> Pipeline:
        """The chain on screen."""
        return self.model.chain.pipeline

    def run(self) -> PipelineResult:
        """Run to the end and return the result."""
        return self.model.run.run()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of the run, at most `timeout` seconds; return whether it has ended."""
        return self.model.run.wait(timeout)

    def code(self) -> str:
        """Return Python code that does the same."""
        return self.model.code()

    def show(self, title: str) -> None:
        """Select a tab by its title."""
        self.tabs.selected_index = list(self.tabs.titles).index(title)

    def stop(self) -> bool:
        """Cancel all work; return whether there was any."""
        return self.model.close()

    def to_html(self) -> str:
        """Return the state of the studio as plain HTML, for the saved notebook."""
        report = write_report(self.model.run, self.run_panel.results)
        parts = [f"<p>{self._describe()}</p>", report]
        if self.model.tune.table is not None:
            parts.append(self.tune_panel.to_html())
        if self.model.compare.entries:
            parts.append(self.compare_panel.to_html())
        return "".join(parts)

    def summary(self) -> str:
        """Return status and settings in one line of text."""
        return self.run_panel.summary()

    # ------------------------------------------------------------------------------------ inner
    def _keep_table(self, change: Any) -> None:
        if change["new"] != "replaying":
            self.refresh_report()

    def _show_head(self, _change: Any = None) -> None:
        self.head.value = f'<div class="fnb-title">{self._describe()}</div>'

    def _describe(self) -> str:
        model = self.model
        steps = len(model.run.pipeline)
        chain = f"{model.chain.name}, {steps} step{'' if steps == 1 else 's'}"
        words = [model.recording.describe(), chain]
        if model.run.status != "idle":
            words.append(describe_status(model.run))
        return " · ".join(write_text(word) for word in words)

    def __repr__(self) -> str:
        return f"<Studio: {self.summary()}>"
