"""What a run gives back."""

from __future__ import annotations

import re

import numpy as np
import pytest

from facet_nb.core import FacetError, Pipeline, PipelineResult, StepError
from tests.core import toys


@pytest.fixture(scope="module")
def good():
    result = Pipeline([toys.Halved(), toys.ZScore()]).run(toys.make_context())
    result.context.metadata.custom["metrics"] = {
        "snr": 12.5,
        "rms": np.float32(0.25),
        "n": np.int64(3),
        "per_channel": {"E1": 1.0},
    }
    return result


@pytest.fixture(scope="module")
def bad():
    return Pipeline([toys.Halved(), toys.Raising()]).run(toys.make_context())


def test_success(good):
    assert good.success and good.was_successful() and good.error is None and not good.cancelled
    assert good.failed_processor is None and good.failed_processor_index is None
    assert good.get_context() is good.context and good.get_raw() is good.context.get_raw()
    assert [s.name for s in good.get_history()] == ["halved", "zscore"]
    assert 0 < good.execution_time < 60


def test_failure(bad):
    assert not bad.success and not bad.was_successful() and bad.context is None
    assert isinstance(bad.error, StepError)
    assert (bad.failed_processor, bad.failed_processor_index) == ("raising", 1)
    assert bad.metrics == {} and bad.metric("snr", 3) == 3 and len(bad.metrics_df) == 0
    for get in (bad.get_context, bad.get_raw, bad.get_history):
        with pytest.raises(StepError, match="no such thing"):
            get()
    bad.release_raw()
    with pytest.raises(FacetError, match="no context"):
        PipelineResult(None).get_context()


def test_metrics(good, capsys):
    assert good.metric("snr") == 12.5 and good.metric("other") is None
    table = good.metrics_df
    assert dict(zip(table["metric"], table["value"], strict=True)) == {
        "snr": 12.5,
        "rms": 0.25,
        "n": 3.0,
    }
    good.print_metrics()
    assert "snr" in capsys.readouterr().out
    Pipeline([]).run(toys.make_context()).print_metrics()
    assert "no metrics" in capsys.readouterr().out


def test_summary(good, bad, capsys):
    good.print_summary()
    shown = capsys.readouterr().out
    assert re.match(r"done in \d+\.\d\d s \(serial, n_jobs=1\)\n", shown)
    assert re.search(r"zscore +\d+\.\d{3} s wall +\d+\.\d{3} s CPU", shown)
    assert re.search(r"snr +12\.5\n", shown) and "per_channel" not in shown
    assert shown.endswith("\n  bad channels, not corrected: E3\n")
    assert "bad channels" not in Pipeline([]).run(toys.wide_context()).summary()
    assert re.match(r"failed after .* Step 2 \(raising\) failed on channel E4", bad.summary())
    assert "<PipelineResult | done in" in repr(good) and "failed" in repr(bad)


def test_table(good, bad):
    html = good._repr_html_()
    assert html.count("<tr>") == 1 + 2 + 3 and "12.5" in html
    assert "; bad channels, not corrected: E3</caption>" in html
    shares = [int(x) for x in re.findall(r"(\d+) %", html)]
    assert len(shares) == 2 and 98 <= sum(shares) <= 102
    assert "failed after" in bad._repr_html_()


def test_release_of_samples():
    result = Pipeline([toys.Found(), toys.Demeaned()]).run(toys.make_context())
    kept = result.context
    result.release_raw()
    assert not result.context.has_raw() and not result.context.has_estimated_noise()
    assert result.context.metadata.custom == {"found": ["E1"]}
    assert len(result.get_history()) == 2 and kept.has_raw()


@pytest.mark.parametrize("step", [toys.Found(), toys.Referred()])
def test_steps_that_change_no_samples_alone(step):
    class Looking(type(step)):
        modifies_raw = False

    ctx = toys.make_context()
    for result in (ctx | Looking(), Pipeline([Looking()])(ctx)):
        assert result.get_raw()._data is ctx.get_raw()._data
        assert [s.name for s in result.get_history()] == ["looking"]
        assert not result.has_estimated_noise()
    assert ctx.get_history() == []
