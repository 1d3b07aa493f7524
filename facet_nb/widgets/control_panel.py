"""Control panel: settings, Run and Cancel, progress, result and code."""

from __future__ import annotations

from typing import Any

import ipywidgets as w

from facet_nb.core import Pipeline
from facet_nb.models.sources import describe_source
from facet_nb.widgets.code_view import CodeView
from facet_nb.widgets.fragments import write_text
from facet_nb.widgets.run_panel import RunPanel


class ControlPanel(RunPanel):
    """Runs a pipeline from a notebook, and shows progress, result and the equivalent Python code.

    The panel also works without a display: :meth:`run` works in plain Python, papermill and nbval.
    A saved notebook holds the result as plain HTML, which is hidden while the panel is alive.

    Parameters
    ----------
    pipeline : Pipeline
        The chain.
    source : ProcessingContext | mne.io.BaseRaw | str | pathlib.Path | Simulation | None
        A context, a recording, a file, or an object with ``context()``. None is for pipelines that
        start with a loader.
    cores : int | None
        Largest number of workers to offer; None for all cores that this process may use.
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
    >>> from facet_nb.widgets import ControlPanel
    >>> panel = ControlPanel(Pipeline([CommonReference()]), example())
    >>> panel.run().success
    True
    """

    def __init__(
        self, pipeline: Pipeline, source: Any = None, *, cores: int | None = None, **settings: Any
    ) -> None:
        super().__init__(pipeline, source, cores=cores, **settings)

    def _arrange(self) -> list[w.Widget]:
        self.code_view = CodeView(self.model)
        title = w.HTML(_write_title(self.model.pipeline, self.model.source))
        return [title, *super()._arrange(), self.code_view.widget]


def _write_title(pipeline: Pipeline, source: Any) -> str:
    steps = " → ".join(p.name for p in pipeline)
    return (
        f'<div class="fnb-title">{write_text(pipeline.name)}: {write_text(describe_source(source))}'
        f'</div><div class="fnb-quiet">{write_text(steps)}</div>'
    )
