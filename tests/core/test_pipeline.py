"""Lists of steps: made, changed, described, kept in files."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from facet_nb.core import (
    FacetError,
    LambdaProcessor,
    Pipeline,
    ProcessingContext,
    Processor,
    ValidationError,
    list_processors,
)
from tests.contract.recordings import ARGUMENTS
from tests.core import toys

HOSTILE = "<script>alert('x')</script>&\"'`${}"


@pytest.fixture
def ctx():
    return toys.make_context()


def names(pipeline):
    return [p.name for p in pipeline]


def shout(context):
    return context


# ------------------------------------------------------------------------------------ list of steps
def test_list_of_steps():
    pipeline = Pipeline([toys.Halved()], name="mine")
    assert pipeline.add(toys.ZScore()) is pipeline
    assert pipeline.insert(0, toys.Demeaned()) is pipeline
    assert pipeline.extend([shout, toys.Squared()]) is pipeline
    assert names(pipeline) == ["demeaned", "halved", "zscore", "lambda", "squared"]
    assert pipeline.remove(-1) is pipeline and pipeline.remove(0) is pipeline
    assert names(pipeline) == ["halved", "zscore", "lambda"] and len(pipeline) == 3
    assert pipeline[1].name == "zscore" and isinstance(pipeline[2], LambdaProcessor)
    for index in (3, -4):
        with pytest.raises(ValidationError, match="there are 3 steps"):
            pipeline.remove(index)
    assert [p.parallel_safe for p in pipeline.processors] == [True, True, False]


def test_pipelines_are_joined():
    one, two = Pipeline([toys.Halved()], "one"), Pipeline([toys.ZScore()], "two")
    joined = one | two | toys.Squared() | shout
    assert names(joined) == ["halved", "zscore", "squared", "lambda"] and joined.name == "one"
    assert len(one) == len(two) == 1


@pytest.mark.parametrize("step", [toys.Halved, 3, "halved", None])
def test_what_is_no_step(step):
    for make in (lambda: Pipeline([step]), lambda: Pipeline().add(step)):
        with pytest.raises(ValidationError, match=r"Halved\(…\)|a step must be"):
            make()


def test_processor_without_process(ctx):
    class Empty(Processor):
        pass

    assert "no process(context) method" in str(Pipeline([Empty()]).run(ctx).error)


def test_plain_callables(ctx):
    class Adder:
        def __call__(self, context):
            return context.with_triggers([1])

    result = Pipeline([lambda c: c.with_triggers([2]), Adder(), shout]).run(ctx)
    assert result.success and result.context.get_triggers().tolist() == [1]
    assert [s.parameters["func"] for s in result.get_history()] == ["<lambda>", "Adder", "shout"]


def test_an_empty_pipeline(ctx):
    for mode in ("serial", "channel_sequential", "parallel", "auto"):
        result = Pipeline().run(ctx, mode=mode)
        assert result.success and np.array_equal(result.get_raw().get_data(), ctx.get_data())
    assert Pipeline().run().success


def test_flags_are_the_words_of_the_mode(ctx):
    steps = [toys.ZScore()]
    assert Pipeline(steps).run(ctx).plan.mode == "serial"
    assert Pipeline(steps).run(ctx, channel_sequential=True).plan.mode == "channel_sequential"
    parallel = Pipeline(steps).run(ctx, parallel=True, backend="threading", n_jobs=2).plan
    assert (parallel.mode, parallel.n_jobs) == ("parallel", 2)
    assert Pipeline(steps).run(initial_context=ctx, parallel=False).plan.mode == "serial"


def test_complaints_of_all_steps():
    class Needing(toys.Halved):
        requires_triggers = True

    pipeline = Pipeline([toys.Halved(), Needing(), shout])
    complaints = pipeline.validate_all(ProcessingContext(toys.make_raw()))
    assert len(complaints) == 1 and complaints[0].startswith("Step 2 (needing): there are no trig")
    assert len(pipeline.validate_all(ProcessingContext())) == 2
    assert pipeline.validate_all(toys.make_context()) == []


# -------------------------------------------------------------------------------------- description
def test_description():
    pipeline = Pipeline([toys.Scaled(3.0), toys.Found(), toys.Unsafe(), shout], name="mine")
    assert pipeline.describe().splitlines() == [
        "mine (4 steps)",
        "  1. Scaled(factor=3.0)  [channel_wise, parallel_safe]",
        "  2. Found()  [channel_wise, parallel_safe, run_once]",
        "  3. Unsafe(factor=2.0)  [channel_wise]",
        "  4. LambdaProcessor(func='shout')  [global]",
    ]
    assert repr(pipeline) == "<Pipeline 'mine': scaled → found → unsafe → lambda>"
    assert repr(Pipeline()) == "<Pipeline 'Pipeline': empty>"


def test_names_from_outside_are_escaped(ctx):
    """Whatever a step, a channel or a file is called, it is text."""
    step = toys.Picked([HOSTILE])
    hostile_class = type("Hostile", (toys.Halved,), {"name": HOSTILE})
    raw = toys.make_raw()
    raw.rename_channels({"E1": HOSTILE})
    pipeline = Pipeline([step, hostile_class()], name=HOSTILE)
    good = pipeline.run(ctx.with_raw(raw), mode="channel_sequential")
    assert good.success
    good.context.metadata.custom["metrics"] = {HOSTILE: 1.0}
    bad = Pipeline([toys.Raising(HOSTILE)]).run(ctx.with_raw(raw))
    assert HOSTILE in str(bad.error)
    batch = Pipeline([hostile_class()]).map([f"{HOSTILE}.edf"], show_progress=False)
    assert not batch[0].success
    shown = [pipeline, step, pipeline.plan(mode="parallel"), good, bad, batch, good.plan]
    for thing in shown:
        html = thing._repr_html_()
        assert "<script" not in html
        assert "alert" not in html or "&lt;script&gt;" in html
    assert "&lt;script&gt;" in pipeline._repr_html_() + bad._repr_html_() + batch._repr_html_()


# -------------------------------------------------------------------------------------------- files
@pytest.mark.parametrize("name", list_processors())
def test_every_processor_goes_into_a_file_and_back(name, tmp_path):
    cls = list_processors()[name]
    arguments = ARGUMENTS.get(name) or {}
    if name.endswith(("loader", "exporter")) and not arguments:
        arguments = {"path": str(tmp_path / "a.fif")}
    pipeline = Pipeline([cls(**arguments)], name="ü")
    again = Pipeline.from_yaml(pipeline.to_yaml())
    assert again.to_dict() == pipeline.to_dict() and type(again[0]) is cls
    pipeline.to_yaml(tmp_path / "chain.yaml")
    for path in (tmp_path / "chain.yaml", str(tmp_path / "chain.yaml")):
        assert Pipeline.from_yaml(path).to_dict() == pipeline.to_dict()


def test_class_names_serve_too():
    made = Pipeline.from_dict({"processors": [{"processor": "CommonReference"}]})
    assert names(made) == ["common_reference"] and made.name == "Pipeline"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1\n", "not a YAML pipeline"),
        ("just text\n", "a pipeline is"),
        ("- 1\n", "a pipeline is"),
        ("processors: 3\n", "a pipeline is"),
        ("processors: [3]\n", "step 1 needs a 'processor' name"),
        ("processors:\n- processor: upsample\n- parameters: {}\n", "step 2 needs"),
        ("processors:\n- processor: upsampel\n", "Did you mean upsample"),
        ("processors:\n- processor: lambda\n", "plain function"),
        ("processors:\n- {processor: upsample, parameters: {factr: 3}}\n", "step 1 (upsample)"),
        ("processors:\n- {processor: upsample, parameters: [3]}\n", "step 1 (upsample)"),
        ("processors:\n- {processor: highpass_filter}\n", "'freq'"),
        ("x: 2024-99-99\n", "not a YAML pipeline"),
        ("a: !!python/object/apply:os.system [echo]\n", "not a YAML pipeline"),
    ],
)
def test_files_that_hold_no_pipeline(text, told):
    with pytest.raises(ValidationError) as caught:
        Pipeline.from_yaml(text)
    assert told in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for source, told in [
        (tmp_path / "none.yaml", "No such file"),
        (tmp_path, "cannot read"),
        (tmp_path / "binary", "not a YAML pipeline"),
        ("a\0b", "not a YAML pipeline"),
    ]:
        with pytest.raises(ValidationError, match=told):
            Pipeline.from_yaml(source)


def test_a_function_is_named_but_not_kept():
    text = Pipeline([shout]).to_yaml()
    assert yaml.safe_load(text)["processors"][0]["parameters"] == {"func": "shout"}
    with pytest.raises(FacetError, match="plain function"):
        Pipeline.from_yaml(text)
