"""The result view lists findings above the picture."""

from __future__ import annotations

import mne
import numpy as np
import pytest

pytest.importorskip("ipywidgets")

from facet_nb import Pipeline, ProcessingContext, Processor
from facet_nb.models import RunModel
from facet_nb.widgets.result_view import ResultView


class TellsOdd(Processor):
    """Tells something that is no valid HTML."""

    def process(self, context):
        return context.add_finding("odd", "a < b", title="odd & <even>")


def test_findings_are_listed_and_cleared():
    raw = mne.io.RawArray(np.zeros((2, 500)), mne.create_info(2, 250.0, "eeg"), verbose=False)
    model = RunModel(Pipeline([TellsOdd()]))
    view = ResultView(model)
    model.result = Pipeline([TellsOdd()]).run(ProcessingContext(raw))
    assert "odd &amp; &lt;even&gt;. a &lt; b" in view.findings.value
    assert '<ul aria-label="Findings">' in view.findings.value
    assert view.findings in view.widget.children
    model.result = Pipeline([]).run(ProcessingContext(raw))
    assert view.findings.value == ""
    model.result = None
    assert view.findings.value == ""
