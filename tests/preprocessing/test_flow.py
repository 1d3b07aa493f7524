"""Steps made of other steps do what these do by themselves, and can be written to a file."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb import (
    AASCorrection,
    ConditionalProcessor,
    HighPassFilter,
    LowPassFilter,
    NoOpProcessor,
    Pipeline,
    ProcessingContext,
    RawTransform,
    SequenceProcessor,
    SwitchProcessor,
    TriggerDetector,
)
from facet_nb.core.errors import FacetError, ValidationError
from tests.contract.recordings import detect, make_context, scale


@pytest.fixture(scope="module")
def ctx():
    return Pipeline(detect()).run(make_context(), raise_on_error=True).context


def through(step, context, **options):
    return Pipeline([step]).run(context, raise_on_error=True, **options).context


def data_of(context):
    return context.get_raw().get_data()


def test_sequence_is_its_steps(ctx):
    steps = [HighPassFilter(freq=1.0), AASCorrection(window_size=10), LowPassFilter(freq=70.0)]
    apart = Pipeline(steps).run(ctx, raise_on_error=True).context
    as_one = through(SequenceProcessor(steps), ctx, mode="parallel", n_jobs=2, backend="threading")
    assert np.array_equal(data_of(as_one), data_of(apart))
    assert np.array_equal(as_one.get_estimated_noise(), apart.get_estimated_noise())
    assert len(as_one.get_history()) == len(ctx.get_history()) + 1
    entry = as_one.get_history()[-1]
    inner = [step["processor"] for step in entry.parameters["steps"]]
    assert inner == ["highpass_filter", "aas_correction", "lowpass_filter"]
    assert through(SequenceProcessor(), ctx).get_raw().n_times == ctx.get_raw().n_times


def test_sequence_can_find_the_triggers_that_it_needs():
    step = SequenceProcessor([TriggerDetector(regex=r"\b1\b"), AASCorrection(window_size=10)])
    assert through(step, make_context()).has_triggers()
    with pytest.raises(FacetError, match="no triggers"):
        through(SequenceProcessor([AASCorrection()]), make_context())


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (lambda context: context.get_sfreq() == 500.0, True),
        (lambda context: context.get_sfreq() > 500.0, False),
        (True, True),
        (False, False),
        ("triggers", True),
        ("volume_gaps", False),
        ("custom.metrics.snr", True),
        ("metrics.none", False),
        ("nothing", False),
    ],
)
def test_condition(ctx, condition, holds):
    start = ctx.copy()
    start.metadata.custom["metrics"] = {"snr": 2.0}
    yes, no = HighPassFilter(freq=1.0), LowPassFilter(freq=40.0)
    found = through(ConditionalProcessor(condition, yes, no), start)
    assert np.array_equal(data_of(found), data_of(through(yes if holds else no, start)))
    skipped = through(ConditionalProcessor(condition, yes), start)
    assert np.array_equal(data_of(skipped), data_of(start)) == (not holds)


def test_switch(ctx):
    cases = {"500.0": HighPassFilter(freq=1.0), "b": NoOpProcessor()}
    by_rate = through(SwitchProcessor(lambda c: c.get_sfreq(), cases), ctx)
    assert np.array_equal(data_of(by_rate), data_of(through(cases["500.0"], ctx)))
    nothing = through(SwitchProcessor(lambda c: "b", cases), ctx)
    assert np.array_equal(data_of(nothing), data_of(ctx))
    other = through(SwitchProcessor(lambda c: "x", cases, default=cases["500.0"]), ctx)
    assert np.array_equal(data_of(other), data_of(by_rate))
    with pytest.raises(FacetError, match="no case 'x'"):
        through(SwitchProcessor(lambda c: "x", cases), ctx)


def test_what_is_text_can_be_written(ctx):
    inner = SequenceProcessor([HighPassFilter(freq=1.0), NoOpProcessor()])
    steps = [
        ConditionalProcessor("volume_gaps", NoOpProcessor(), inner),
        SwitchProcessor("volume_gaps", {False: inner}, default=NoOpProcessor()),
    ]
    pipeline = Pipeline(steps)
    again = Pipeline.from_yaml(pipeline.to_yaml())
    assert again.to_dict() == pipeline.to_dict()
    before = pipeline.run(ctx, raise_on_error=True).context
    assert np.array_equal(data_of(again.run(ctx, raise_on_error=True).context), data_of(before))
    assert not np.array_equal(data_of(before), data_of(ctx))


def test_functions_cannot_be_written(ctx):
    steps = [
        ConditionalProcessor(lambda c: True, NoOpProcessor()),
        SwitchProcessor(lambda c: 1, {1: NoOpProcessor()}),
        RawTransform("double", scale),
    ]
    for step in steps:
        again = Pipeline.from_yaml(Pipeline([step]).to_yaml())
        with pytest.raises(FacetError, match=r"function"):
            again.run(ctx, raise_on_error=True)


def test_raw_transform(ctx):
    found = through(RawTransform("double", scale), ctx)
    np.testing.assert_array_equal(found.get_data("E1"), 2.0 * ctx.get_data("E1"))
    assert found.get_history()[-1].name == "double"
    assert "double" in Pipeline([RawTransform("double", scale)]).plan().stages[0].names
    with pytest.raises(FacetError, match="End it with 'return raw'"):
        through(RawTransform("none", lambda raw: None), ctx)
    with pytest.raises(FacetError, match="copy"):
        through(RawTransform("in place", lambda raw: raw._data.__imul__(2)), ctx)


def test_what_is_no_step_is_said():
    with pytest.raises(ValidationError, match="must be a Processor"):
        SequenceProcessor([3])
    with pytest.raises(ValidationError, match="is a class"):
        ConditionalProcessor(True, HighPassFilter)
    assert SequenceProcessor([lambda context: context]).process(ProcessingContext()) is not None
