"""The panel of the quickstart: settings, Run and Cancel, progress, result, code."""

from __future__ import annotations

from typing import Any

import ipywidgets as w

from facet_nb.core import Pipeline
from facet_nb.models.sources import describe_source
from facet_nb.widgets.code_view import CodeView
from facet_nb.widgets.fragments import write_text
from facet_nb.widgets.run_panel import RunPanel


class ControlPanel(RunPanel):
    """Runs a pipeline from a notebook, shows what happens, and the Python that does the same.

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
