"""What reports find, against recordings in which it was put."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb import AnalyzeDataReport, CheckDataReport, Pipeline, ProcessingContext
from facet_nb.core.errors import ValidationError
from tests.evaluation.test_calculators import make_raw

TRIGGERS = np.arange(300, 1500, 100)


def make(n=2000, triggers=TRIGGERS, **fields):
    data = 1e-5 * np.random.default_rng(0).normal(size=(3, n))
    context = ProcessingContext(make_raw(data, ["A", "B", "STI"], ["eeg", "eog", "stim"]))
    return context if triggers is None else context.with_trigger_samples(triggers, **fields)


def test_analysis(capsys):
    found = AnalyzeDataReport().execute(make()).metadata.custom["analyze_data_report"]
    assert found["channels"] == 3 and found["channel_types"] == {"eeg": 1, "eog": 1, "stim": 1}
    assert found["sampling_rate_hz"] == 100.0 and found["duration_s"] == 20.0
    assert found["num_triggers"] == 12 and found["last_trigger_sample"] == 1400
    assert found["trigger_distance"] == {
        "min": 100, "max": 100, "mean": 100.0, "std": 0.0, "median": 100.0,
    }  # fmt: skip
    assert found["trigger_distance_histogram"] == [{"distance_samples": 100, "count": 11}]
    out = capsys.readouterr().out
    assert "duration_s             20" in out and "eog 1" in out
    AnalyzeDataReport(verbose=False).execute(make(triggers=None))
    assert capsys.readouterr().out == ""


def test_missing_triggers_are_counted():
    triggers = np.delete(np.arange(300, 1500, 100), [4, 5])
    report = AnalyzeDataReport(verbose=False).execute(make(triggers=triggers))
    assert report.metadata.custom["analyze_data_report"]["n_missing"] == 2
    found = CheckDataReport().execute(make(triggers=triggers)).metadata.custom["check_data_report"]
    assert found["num_errors"] == 0 and found["num_warnings"] == 1
    assert "2 triggers are missing" in found["warnings"][0]


def test_channels_are_looked_at():
    context = make()
    raw = context.get_raw()
    raw._data[0, 100:110] = 1.0
    raw._data[1] = 0.5
    found = CheckDataReport(verbose=False).execute(context).metadata.custom["check_data_report"]
    assert found["flat_channels"] == ["B"] and found["clipped_channels"] == {"A": 10}
    raw._data[1, 5] = np.nan
    with pytest.raises(ValidationError, match="NaN or infinite samples in B"):
        CheckDataReport().execute(context)
    lax = CheckDataReport(strict=False).execute(context).metadata.custom["check_data_report"]
    assert lax["nan_channels"] == ["B"] and lax["num_errors"] == 1


def test_triggers_are_looked_at():
    with pytest.raises(ValidationError, match="TriggerDetector"):
        CheckDataReport().execute(make(triggers=None))
    CheckDataReport(require_triggers=False).execute(make(triggers=None))
    with pytest.raises(ValidationError, match="1 triggers lie outside"):
        CheckDataReport().execute(make(triggers=np.array([300, 400, 5000])))
    late = make()
    late.metadata.triggers = np.array([300, 300, 400])
    with pytest.raises(ValidationError, match="not in order"):
        CheckDataReport().execute(late)
    tight = CheckDataReport(strict=False).execute(make(1450, np.arange(20, 1400, 100)))
    assert "without artifact" in tight.metadata.custom["check_data_report"]["warnings"][-1]


def test_reports_are_part_of_a_saved_pipeline(capsys):
    pipeline = Pipeline([CheckDataReport(strict=False), AnalyzeDataReport()])
    again = Pipeline.from_yaml(pipeline.to_yaml())
    assert again.to_dict() == pipeline.to_dict()
    assert again.run(make(), raise_on_error=True).success
