"""The table of metrics."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from facet_nb.core import Pipeline, ProcessingContext, ProcessingMetadata, get_processor
from facet_nb.evaluation import MetricsReport
from facet_nb.evaluation.report import format_report

METRICS = {
    "snr": 3.25,
    "snr_per_channel": [3.0, 3.5, float("nan")],
    "snr_channels": ["A", "B", "C"],
    "snr_excluded": ["C"],
    "rms_ratio": float("inf"),
}


def make_context(metrics=METRICS):
    custom = {} if metrics is None else {"metrics": dict(metrics)}
    return ProcessingContext(metadata=ProcessingMetadata(custom=custom))


def test_table_has_a_line_for_each_number(capsys):
    MetricsReport("first").execute(make_context())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Metrics: first"
    assert lines[1].split() == ["snr", "3.25", "2", "channels,", "without", "C"]
    assert lines[2].split() == ["rms_ratio", "inf"]
    assert len(lines) == 3


def test_report_without_metrics_says_what_to_add(capsys):
    done = MetricsReport("empty").execute(make_context(None))
    assert "SNRCalculator()" in capsys.readouterr().out
    assert done.metadata.custom["reports"] == {"empty": {}}


def test_copies_go_to_the_context_and_the_store(capsys):
    store, start = {}, make_context()
    first = MetricsReport("one", store).execute(start)
    MetricsReport(store=store).execute(make_context({"snr": 1.0}))
    assert list(store) == ["one", "Result_2"]
    assert first.metadata.custom["reports"]["one"]["snr"] == 3.25
    assert "reports" not in start.metadata.custom
    store["one"]["snr_channels"].append("X")
    assert METRICS["snr_channels"] == ["A", "B", "C"]
    assert first.metadata.custom["metrics"]["snr_channels"] == ["A", "B", "C"]
    assert pd.DataFrame({k: {"snr": v["snr"]} for k, v in store.items()}).loc["snr", "one"] == 3.25


def test_reports_without_names_are_numbered(capsys):
    two = MetricsReport().execute(MetricsReport().execute(make_context()))
    assert list(two.metadata.custom["reports"]) == ["Result_1", "Result_2"]


def test_description_of_the_step_has_no_store(capsys):
    step = MetricsReport("one", {"big": np.zeros(3)})
    assert step.to_dict() == {"processor": "metrics_report", "parameters": {"name": "one"}}
    pipeline = Pipeline.from_dict(Pipeline([step]).to_dict())
    assert pipeline.processors[0].report_name == "one"
    done = step.execute(make_context())
    assert dict(done.get_history()[-1].parameters) == {"name": "one"}


@pytest.mark.parametrize("mode", ["serial", "channel_sequential", "parallel"])
def test_report_in_every_mode(mode, capsys):
    store = {}
    steps = [MetricsReport("run", store)]
    result = Pipeline(steps).run(make_context(), mode=mode, backend="threading", n_jobs=2)
    assert result.success, result.error
    assert store["run"]["snr"] == 3.25 == result.metric("snr")


def test_names_in_the_registry():
    for name in ("snr_calculator", "rms_calculator", "metrics_report"):
        processor = get_processor(name)
        assert processor.name == name
        assert not processor.parallel_safe and not processor.channel_wise


def test_flags_do_not_count_as_numbers():
    assert format_report("x", {"done": True, "text": "a"}).count("\n") == 1
