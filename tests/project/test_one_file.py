"""A new backend or mode is one class and one line: every place that lists them has it then."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from traitlets import TraitError
from typer.testing import CliRunner

from facet_nb.benchmark import Configuration, benchmark
from facet_nb.benchmark.curves import find_curves
from facet_nb.benchmark.grid import list_configurations
from facet_nb.benchmark.whatif import ask_what_if
from facet_nb.cli import app
from facet_nb.core import Pipeline, PlanError, ValidationError
from facet_nb.core.backends import registry as backends
from facet_nb.core.backends.threads import ThreadBackend
from facet_nb.core.planning.modes import registry as modes
from facet_nb.core.planning.modes.channel_sequential import ChannelSequential
from facet_nb.models import RunModel, StudioModel
from facet_nb.models.cost_points import CostPoint
from facet_nb.models.quick_look import order_points
from facet_nb.models.tune_model import TuneModel
from facet_nb.plots import palette, plot_scaling
from facet_nb.preprocessing import HighPassFilter
from facet_nb.widgets import cost_view
from facet_nb.widgets.plan_view import write_plan
from facet_nb.widgets.settings_view import SettingsView
from facet_nb.widgets.studio_parts import write_transport
from facet_nb.widgets.tune_ranges import TuneRanges
from tests.benchmark.samples import make_point, make_table
from tests.benchmark.synthetic import Costs, run
from tests.core.toys import make_context


class ToyBackend(ThreadBackend):
    """Threads under another name."""

    name = "toy"
    label = "toy <workers>"
    short_label = "ty"
    rank = 1.5  # between threads and processes
    color = "#123456"


class ToyMode(ChannelSequential):
    """Channel after channel under another name."""

    name = "toy_mode"
    short_label = "tm"
    rank = 1.5  # between channel_sequential and parallel
    color = "#654321"
    summary = "as a toy"
    details = "as a toy, in batches"


TOY = Configuration("toy_mode", "toy", 2)
SETTINGS = {"mode": "toy_mode", "backend": "toy", "n_jobs": 2}


@pytest.fixture(autouse=True)
def registered():
    """Register both; the registries are as before after the test."""
    before = dict(backends.BACKENDS), dict(modes.MODES)
    backends.register_backend(ToyBackend)
    modes.register_mode(ToyMode)
    yield
    for registry, entries in zip((backends.BACKENDS, modes.MODES), before, strict=True):
        registry.clear()
        registry.update(entries)


@pytest.fixture
def pipeline():
    return Pipeline([HighPassFilter(freq=1.0)])


def test_a_pipeline_runs(pipeline):
    ctx = make_context()
    result = pipeline.run(ctx, raise_on_error=True, **SETTINGS)
    serial = pipeline.run(ctx, mode="serial", raise_on_error=True)
    assert (result.plan.mode, result.plan.backend) == ("toy_mode", "toy")
    assert np.array_equal(result.get_raw().get_data(), serial.get_raw().get_data())


def test_the_plan_names_its_workers(pipeline):
    plan = pipeline.plan(**SETTINGS)
    assert "over 2 toy <workers>" in str(plan)
    assert "over 2 toy &lt;workers&gt;" in plan._repr_html_()
    drawn = write_plan(plan)
    assert "2 batches at once (toy &lt;workers&gt;)" in drawn and "<workers>" not in drawn


def test_workers_of_dask_are_not_called_processes(pipeline):
    plan = pipeline.plan(mode="channel_sequential", backend="dask", n_jobs=2)
    assert "2 batches at once (tasks of the Dask cluster)" in write_plan(plan)


# ------------------------------------------------------------------------------------- benchmarks
def test_a_configuration_has_its_label_and_its_place():
    assert TOY.label == "toy_mode, 2 toy <workers>"
    places = ("threading", "toy", "multiprocessing", "dask", "of another installation")
    alike = [Configuration("parallel", place, 2) for place in places]
    assert [c.complexity for c in alike] == sorted({c.complexity for c in alike})
    ways = ("serial", "channel_sequential", "toy_mode", "parallel")
    alike = [Configuration(way, "toy", 2) for way in ways]
    assert [c.complexity for c in alike] == sorted({c.complexity for c in alike})


def test_a_stored_table_may_name_backends_that_are_not_registered():
    stranger = Configuration("their_mode", "theirs", 2)
    assert stranger.label == "their_mode, 2 theirs workers"
    assert palette.shorten(stranger) == "their_mode 2 theirs"
    assert re.fullmatch("#[0-9a-f]{6}", palette.choose_color(stranger))


def test_a_benchmark_measures_it_by_default(pipeline):
    found = list_configurations(pipeline, n_jobs=(1, 2))
    assert {TOY, Configuration("toy_mode")} <= set(found)
    assert {c.backend for c in found} == {"serial", "threading", "toy", "multiprocessing"}
    assert benchmark.__kwdefaults__["modes"] is None  # as list_configurations has it


@pytest.mark.parametrize("missing", ["toy", "toy_mode"])
def test_without_it_a_benchmark_is_as_before(pipeline, missing):
    backends.BACKENDS.pop(missing, None)
    modes.MODES.pop(missing, None)
    found = list_configurations(pipeline, n_jobs=(1, 2))
    kept = {"toy", "toy_mode"} - {missing}
    assert {c.backend for c in found} - kept == {"serial", "threading", "multiprocessing"}
    assert {c.mode for c in found} - kept == {"serial", "channel_sequential", "parallel"}


def test_a_mode_over_one_job_keeps_its_name_only_if_it_joins_steps(pipeline):
    class Splitting(modes.Mode):
        name = "splitting"

    modes.register_mode(Splitting)
    found = list_configurations(pipeline, modes=("splitting", "toy_mode"), n_jobs=1)
    assert found == (Configuration(), Configuration("toy_mode"))


# ---------------------------------------------------------------------------------------- figures
def test_figures_have_its_short_label_and_its_color():
    assert palette.shorten(TOY) == "tm 2 ty"
    assert palette.choose_color(TOY) == ToyBackend.color
    assert palette.choose_color(Configuration("toy_mode", n_workers=2)) == ToyMode.color


def test_a_scaling_curve_has_its_label_and_its_color():
    points = [make_point(Configuration("toy_mode"), trace=run(Costs()))]
    points += [
        make_point(dataclasses.replace(TOY, n_jobs=n), trace=run(Costs(), n)) for n in (2, 4)
    ]
    table = make_table(*points)
    (curve,) = find_curves(table)
    assert curve.label == "toy_mode, toy <workers>"
    assert palette.label_curve(curve) == "tm, toy <workers>"
    (ax,) = plot_scaling(table).axes
    assert ToyBackend.color in {line.get_color() for line in ax.lines}
    assert ask_what_if(table, "toy_mode").mode == "toy_mode"
    with pytest.raises(ValidationError, match="toy_mode was not measured"):
        ask_what_if(make_table(make_point(TOY)), "toy_mode")


# ----------------------------------------------------------------------------- panels and terminal
def test_the_run_panel_offers_it(pipeline):
    model = RunModel(pipeline, cores=2, **SETTINGS)
    view = SettingsView(model)
    assert "toy" in view.backend.options and "toy_mode" in view.mode.options
    assert (view.backend.value, view.mode.value) == ("toy", "toy_mode")
    assert "toy" in view.plan.value
    for name in ("backend", "mode"):
        with pytest.raises(TraitError, match="toy"):
            setattr(model, name, "unheard")


@pytest.mark.parametrize(("words", "said"), [("explain", "as a toy<"), ("expert", "in batches<")])
def test_the_studio_describes_and_looks_at_it(words, said):
    studio = StudioModel()
    studio.words = words
    assert said in write_transport(studio)
    assert {"toy_mode", "parallel"} <= {point.mode for point in order_points(2)}


def test_cost_curves_have_its_color_and_a_marker(monkeypatch):
    point = CostPoint("measured", "toy_mode", 2, 1, time_s=1.0, speedup=1.9)
    stranger = dataclasses.replace(point, mode='a mode"><b>')
    monkeypatch.setattr(cost_view, "list_points", lambda model: [point, stranger])
    drawn = cost_view.write_charts(StudioModel())
    assert ":where(.fnb-m-toy_mode) { --m: #654321; }" in drawn
    assert drawn.count('class="fnb-m-toy_mode fnb-solid"') > 1  # the legend, and a chart
    assert "<b>" not in drawn


def test_the_tune_panel_offers_it(pipeline):
    model = TuneModel(RunModel(pipeline, cores=2))
    ranges = TuneRanges(model)
    assert [box.description for box in ranges.backends] == ["threading", "toy", "multiprocessing"]
    offered = {box.description: box for box in ranges.modes}
    assert offered["toy_mode"].value and "toy_mode" in model.modes
    next(box for box in ranges.backends if box.description == "toy").value = True
    assert model.backends == ("threading", "toy")
    assert any(c.backend == "toy" for c in model.configurations())


def test_the_command_line_takes_it():
    words = ["plan", "--mode", "toy_mode", "--backend", "toy", "--n-jobs", "2"]
    taken = CliRunner().invoke(app, words)
    assert taken.exit_code == 0 and "over 2 toy <workers>" in taken.stdout
    refused = CliRunner().invoke(app, ["plan", "--backend", "unheard"])
    assert refused.exit_code == 2 and "toy" in refused.stderr


def test_without_a_label_it_is_refused():
    with pytest.raises(PlanError, match="label"):
        backends.register_backend(type("Nameless", (ThreadBackend,), {"name": "x", "label": ""}))
