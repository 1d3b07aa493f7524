"""The code of a panel does what the panel does."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import facet_nb
from facet_nb.core import Pipeline, get_processor, list_processors
from facet_nb.models import RunModel
from facet_nb.models.literals import write_call, write_value
from facet_nb.preprocessing import HighPassFilter, LowPassFilter, TriggerDetector
from tests.models.helpers import Choosy, Halve, make_simulation


@pytest.fixture(scope="module")
def simulation():
    return make_simulation()


def execute(code: str, **names) -> dict:
    """Run `code` and return its names."""
    exec(compile(code, "panel", "exec"), names)
    return names


def make_chain() -> Pipeline:
    return Pipeline(
        [TriggerDetector(regex=r"\b1\b"), HighPassFilter(freq=1.0), LowPassFilter(freq=70)]
    )


def test_code_gives_the_same_result(simulation):
    model = RunModel(make_chain(), simulation, mode="parallel", cores=4, n_jobs=2, batch_size=3)
    done = execute(model.code())["result"]
    ours = model.run()
    assert done.success and ours.success
    assert np.array_equal(done.context.get_data(), ours.context.get_data())
    assert (done.plan.mode, done.plan.n_jobs, done.plan.batch_size) == ("parallel", 2, 3)


def test_code_for_a_recording_and_a_context(simulation):
    for source, names in (
        (simulation.raw, {"raw": simulation.raw}),
        (simulation.context(), {"context": simulation.context()}),
    ):
        assert execute(RunModel(make_chain(), source).code(), **names)["result"].success


def test_code_for_a_file(simulation, tmp_path):
    path = tmp_path / "it's a recording_raw.fif"
    simulation.raw.save(path, verbose="error")
    model = RunModel(make_chain(), path)
    assert execute(model.code())["result"].success
    assert model.run().success


def test_code_for_a_pipeline_that_loads(simulation, tmp_path):
    path = tmp_path / "some_raw.fif"
    simulation.raw.save(path, verbose="error")
    model = RunModel(Pipeline([facet_nb.Loader(path), *make_chain()]))
    assert "context" not in model.code().partition("result")[2]
    assert execute(model.code())["result"].success
    assert model.run().success


def test_code_names_what_only_the_reader_has(simulation):
    def shift(context):
        return context

    steps = [shift, lambda context: context, Choosy("no such channel")]
    code = RunModel(Pipeline(steps), simulation, backend="serial").code()
    assert "# shift: defined in this notebook" in code
    assert "# step_2: your own function" in code
    assert "from tests.models.helpers import Choosy" in code
    names = execute(code, shift=shift, step_2=lambda context: context)
    assert names["result"].success


def test_unwritable_argument_is_named(simulation):
    step = Halve()
    step.seconds = object()
    code = RunModel(Pipeline([step]), simulation).code()
    assert "Halve(seconds=seconds)" in code
    assert "# seconds: your own object, an argument of Halve" in code


def test_code_follows_the_settings(simulation):
    model = RunModel(make_chain(), simulation, cores=4)
    model.mode, model.n_workers = "auto", 3
    assert 'mode="auto"' in model.code() and "n_workers=3" in model.code()


def test_every_processor_can_be_imported_as_it_is_written():
    """`from facet_nb import Name` is what the code says for our own steps."""
    for name in list_processors():
        cls = get_processor(name)
        if cls.__module__.startswith("facet_nb."):
            assert getattr(facet_nb, cls.__name__) is cls


@pytest.mark.parametrize(
    "value", [1, -0.5, math.inf, "a'b\"c", None, True, [1, 2.0], {"a": 1}, Path("x/y"), np.int64(3)]
)
def test_values_come_back(value):
    assert eval(write_value(value)) == (str(value) if isinstance(value, Path) else value)


def test_long_calls_are_broken():
    arguments = {f"argument_{i}": i for i in range(12)}
    text, unknown = write_call("dict", arguments, indent=4)
    assert unknown == [] and "\n" in text and max(map(len, text.splitlines())) < 89
    assert eval(text) == arguments
