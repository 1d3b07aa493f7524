"""The Tune and Compare tabs without a browser."""

from __future__ import annotations

import pytest

from facet_nb.core import Pipeline
from facet_nb.models import RunModel, TuneModel
from facet_nb.pipelines import classic_correction
from facet_nb.widgets import ComparePanel, Studio, TunePanel
from tests.models.helpers import Halve, make_simulation
from tests.models.tables import TWO, advise, make_table, measure
from tests.widgets.finding import find


@pytest.fixture(scope="module")
def simulation():
    return make_simulation()


@pytest.fixture
def panel(simulation):
    run = RunModel(Pipeline([Halve()]), simulation, cores=4)
    return TunePanel(TuneModel(run, measure=measure, advise=advise))


@pytest.mark.parametrize(
    "name", ["benchmark", "benchmark-cancel", "verdict", "advice", "replay", "point", "curves"]
)
def test_classes_for_people_who_style_it(panel, name):
    assert find(panel, f"fnb-{name}") is not None


def test_a_benchmark_from_the_button(panel):
    assert find(panel, "fnb-benchmark-cancel").disabled
    assert "6 configurations, at most 1 min 00 s" in find(panel, "fnb-tune-forecast").value
    panel.start_button.click()
    assert panel.start_button.disabled
    assert panel.model.wait(10) and panel.model.status == "done"
    panel.model.wait()
    assert "parallel, 4 threads is 2.5" in find(panel, "fnb-verdict").value
    assert "it is the balanced one" in panel.advice.value
    assert find(panel, "fnb-advice").layout.display == ""
    assert "data:image/svg+xml" in panel.curves.image.value
    assert "verdict" in panel.table.value and "faster" in panel.table.value
    html = panel.to_html()
    assert "data:image/svg+xml" in html and "parallel, 4 threads" in html


def test_choosing_a_point(panel):
    panel.model.load(make_table())
    labels = [label for label, _ in panel.point.options]
    assert "channel_sequential, 2 threads" in labels
    panel.point.value = TWO
    run = panel.model.run
    assert (run.mode, run.n_jobs) == ("channel_sequential", 2)
    assert "Chosen: channel_sequential, 2 threads" in panel.curves.image.value
    panel.model.wait()
    run.n_jobs = 1
    find(panel, "fnb-use-advice").click()
    assert run.n_jobs == 2


def test_ranges(panel):
    box = find(panel, "fnb-range-n-jobs")
    box.value = "1, two"
    assert "whole numbers" in panel.ranges.problem.value and panel.model.n_jobs == (1, 2, 4)
    box.value = "1 2"
    assert panel.ranges.problem.value == "" and panel.model.n_jobs == (1, 2)
    panel.ranges.modes[2].value = False
    assert panel.model.modes == ("serial", "channel_sequential")
    assert "3 configurations" in find(panel, "fnb-tune-forecast").value
    panel.ranges.repeats.value = 3
    assert panel.model.repeats == 3
    panel.model.n_workers = (1, 2)
    assert find(panel, "fnb-range-n-workers").value == "1, 2"


def test_predict_then_reveal(panel):
    find(panel, "fnb-predict").value = True
    assert panel.model.hidden and list(panel.guess.boxes) == [2, 4]
    panel.guess.boxes[2].value = 1.8
    panel.guess.boxes[4].value = 4.0
    panel.model.benchmark()
    assert "Guess first" in find(panel, "fnb-verdict").value
    assert panel.table.value == "" and find(panel, "fnb-score").value == ""
    assert find(panel, "fnb-advice").layout.display == "none"
    find(panel, "fnb-reveal").click()
    assert "1 of 2 guesses lie in the measured interval" in find(panel, "fnb-score").value
    assert "parallel, 4 threads" in find(panel, "fnb-verdict").value
    assert "data:image/svg+xml" in panel.curves.image.value


def test_files_and_replay(panel, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    find(panel, "fnb-replay").click()
    assert "cannot read benchmark.json" in find(panel, "fnb-file-said").value
    make_table().to_json("benchmark.json")
    find(panel, "fnb-load-table").click()
    assert "Loaded" in find(panel, "fnb-file-said").value and panel.model.table == make_table()
    for suffix in ("json", "csv"):
        find(panel, f"fnb-save-{suffix}").click()
        assert (tmp_path / f"benchmark.{suffix}").stat().st_size > 500
    find(panel, "fnb-replay").click()
    assert panel.model.status == "replaying" and panel.start_button.disabled
    assert "without measuring" in find(panel, "fnb-benchmark-status").value
    panel.cancel_button.click()
    assert panel.model.status == "done"


def test_a_failure_is_said(simulation):
    run = RunModel(Pipeline([Halve()]), simulation)
    broken = TuneModel(run, measure=lambda *a, **k: measure(*a, fail=True, **k), advise=advise)
    panel = TunePanel(broken)
    panel.start_button.click()
    assert panel.model.wait(5) and panel.model.status == "failed"
    assert "it broke" in find(panel, "fnb-benchmark-status").value
    assert not panel.start_button.disabled


def test_while_it_is_measured_no_run_can_begin(simulation):
    studio = Studio(simulation, Pipeline([Halve()]))
    studio.model.tune.measure = lambda *a, **k: measure(*a, pause_s=0.05, **k)
    studio.tune_panel.start_button.click()
    assert find(studio, "fnb-run").disabled
    assert "benchmark is in progress" in find(studio, "fnb-forecast").value
    find(studio, "fnb-benchmark-cancel").click()
    assert studio.model.tune.wait(5) and not find(studio, "fnb-run").disabled
    assert "Cancelled" in find(studio, "fnb-benchmark-status").value


def test_comparing_all_channels(simulation):
    run = RunModel(classic_correction(), simulation, mode="serial")
    panel = ComparePanel(run)
    run.run()
    panel.keep()
    panel.what.value = "all channels"
    panel.model.wait()
    assert "1. serial" in panel.image.value and "dB off at harmonics" in panel.image.value
    assert "off at slice harmonics (dB)" in panel.table.value and "before" in panel.table.value


def test_comparing(simulation):
    run = RunModel(Pipeline([Halve()]), simulation, mode="serial")
    panel = ComparePanel(run)
    assert panel.keep_button.disabled and "No result is kept yet" in panel.table.value
    run.run()
    assert not panel.keep_button.disabled
    panel.keep_button.click()
    panel.keep_button.click()
    assert "kept already" in panel.said.value
    run.mode = "channel_sequential"
    run.run()
    panel.name.value = "<b>second</b>"
    panel.keep_button.click()
    assert "identical to serial" in panel.table.value
    assert "2. &lt;b&gt;second&lt;/b&gt;" in panel.table.value and "<b>" not in panel.table.value
    assert "data:image/svg+xml" in panel.image.value and panel.which.index == 1
    find(panel, "fnb-check").click()
    panel.model.wait()
    assert "identical to the serial result" in panel.table.value
    find(panel, "fnb-compare-what").value = "all channels"
    assert "Nothing to show" in panel.image.value and "no triggers" in panel.image.value
    assert panel.channel.layout.display == "none"
    find(panel, "fnb-compare-what").value = "one channel"
    assert "data:image/svg+xml" in panel.image.value and panel.channel.layout.display == ""
    find(panel, "fnb-remove-kept").click()
    assert len(panel.model.entries) == 1 and "serial" in panel.summary()
    panel.begin_s.value = 9999.0
    assert "no samples between" in panel.image.value
