"""The clock model as a step, and alone."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb import ClockModel, FacetError, Pipeline, TriggerDetector
from facet_nb.datasets import simulate


@pytest.fixture(scope="module")
def sim():
    return simulate(2, 1000.0, 30.0, 2.0, 14, seed=4)


def test_alone_it_tells_true_times(sim):
    fit = ClockModel().fit(sim.triggers)
    offset = np.mean(fit.times - sim.onsets_s * 1000.0)
    assert np.abs(fit.times - sim.onsets_s * 1000.0 - offset).max() < 0.1
    assert abs(offset) < 0.1
    assert np.all((fit.uncertainty > 0) & (fit.uncertainty < 0.1))
    assert fit.report()["trusted"]


def test_in_a_pipeline_it_reports_and_changes_no_trigger(sim):
    result = Pipeline([TriggerDetector(r"\b1\b"), ClockModel()]).run(
        sim.context(), raise_on_error=True
    )
    report = result.context.metadata.custom["clock"]
    assert report["period_samples"] == pytest.approx(2000 * (1 + 23e-6) / 14, abs=1e-2)
    assert np.array_equal(result.context.get_triggers(), sim.triggers)
    entry = result.get_history()[-1]
    assert entry.name == "clock_model"
    assert entry.parameters["verdict"] == report["verdict"]


@pytest.mark.parametrize(
    ("markers", "remedy"),
    [([5], "two are needed"), ([], "two are needed"), ([1, np.nan], "remove NaN")],
)
def test_too_few_markers(markers, remedy):
    with pytest.raises(FacetError, match=remedy):
        ClockModel().fit(markers)
