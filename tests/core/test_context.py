"""Contexts: what they hold, and that nobody changes them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from facet_nb.core import (
    Pipeline,
    ProcessingContext,
    ProcessingMetadata,
    ProcessingStep,
    ValidationError,
)
from facet_nb.core.metadata import to_plain
from tests.core import toys
from tests.core.toys import PLACES, ids


@pytest.fixture
def ctx():
    return toys.make_context()


def test_empty_context():
    empty = ProcessingContext()
    assert not empty.has_raw() and not empty.has_triggers() and not empty.has_estimated_noise()
    assert empty.get_triggers() is None and empty.get_estimated_noise() is None
    assert empty.get_raw_original() is None and empty.get_history() == []
    assert "nothing loaded" in repr(empty)
    with pytest.raises(ValidationError, match="Loader"):
        empty.get_raw()
    with_raw = empty.with_raw(toys.make_raw())
    assert with_raw.get_raw_original() is with_raw.get_raw()


def test_what_it_tells(ctx):
    assert ctx.get_sfreq() == 500.0 and ctx.get_n_channels() == 8
    assert ctx.get_channel_names() == toys.NAMES
    assert ctx.get_artifact_length() == 200
    assert np.array_equal(ctx.get_data("E2"), ctx.get_raw().get_data("E2"))
    assert np.array_equal(ctx.get_data(picks=[0], start=5, stop=9), ctx.get_data()[:1, 5:9])
    assert repr(ctx) == (
        "<ProcessingContext | 8 channels × 3000 samples at 500 Hz, 14 triggers, 0 steps>"
    )


def test_original_recording_is_kept(ctx):
    original = ctx.get_raw()
    result = Pipeline([toys.Halved(), toys.ZScore()]).run(ctx, raise_on_error=True).context
    assert result.get_raw_original() is original
    other = toys.make_raw(seed=1)
    assert ProcessingContext(original, raw_original=other).get_raw_original() is other


# ---------------------------------------------------------------------------------------- triggers
@pytest.mark.parametrize(
    "given", [[300, 100, 200], np.array([100.0, 200.0, 300.0]), (100, 200, 300)]
)
def test_triggers_are_sorted_integers(ctx, given):
    triggers = ctx.with_triggers(given).get_triggers()
    assert triggers.tolist() == [100, 200, 300] and triggers.dtype == np.int64
    assert len(ctx.get_triggers()) == 14


@pytest.mark.parametrize("given", [[[1, 2]], ["a"], [1.0, np.nan], [1j, 2], 5, [np.inf]])
def test_what_is_no_trigger(ctx, given):
    with pytest.raises(ValidationError, match="triggers must be"):
        ctx.with_triggers(given)


def test_trigger_samples(ctx):
    new = ctx.with_trigger_samples([10, 60, 110, 170])
    assert new.get_artifact_length() == 50
    assert ctx.with_trigger_samples([10, 60], artifact_length=33).get_artifact_length() == 33
    assert ctx.with_trigger_samples([10, 60], tr_seconds=0.5).get_artifact_length() == 250
    assert ctx.with_trigger_samples([10]).get_artifact_length() is None
    new = ctx.with_trigger_samples([10, 60], trigger_regex="x", custom={"a": 1})
    assert new.metadata.trigger_regex == "x" and new.metadata.custom == {"a": 1}
    absolute = ctx.with_trigger_samples([1244, 1294], samples_are_absolute=True)
    assert absolute.get_triggers().tolist() == [10, 60]
    assert ctx.metadata.custom == {} and len(ctx.get_triggers()) == 14


def test_mne_events(ctx):
    events = np.array([[1244, 0, 1], [1294, 0, 2], [1344, 0, 1]])
    assert ctx.with_mne_events(events).get_triggers().tolist() == [10, 60, 110]
    assert ctx.with_mne_events(events, event=1).get_triggers().tolist() == [10, 110]
    named = ctx.with_mne_events(events, event="slice", event_id={"slice": 2})
    assert named.get_triggers().tolist() == [60]
    assert named.metadata.custom == {"event_id": {"slice": 2}}
    kept = ctx.with_mne_events(events, event_id={"a": 1}, store_event_id=False)
    assert kept.metadata.custom == {}
    with pytest.raises(ValidationError, match="'slice'"):
        ctx.with_mne_events(events, event="slice")


# ------------------------------------------------------------------------------------ immutability
def grabby(context):
    """A step that changes whatever it can reach."""
    context.metadata.custom["mine"] = 1
    context.metadata.artifact_length = 7
    context.metadata.triggers[:] = 0
    context.add_history_entry("mine")
    context.cache_set("mine", 1)
    context.set_estimated_noise(np.ones(context.get_data().shape))
    return context


def test_a_step_that_changes_its_context(ctx):
    before = ctx.to_dict()
    for options in PLACES:
        result = Pipeline([toys.Halved(), grabby]).run(ctx, raise_on_error=True, **options).context
        assert result.metadata.custom == {"mine": 1} and result.get_artifact_length() == 7
        assert [s.name for s in result.get_history()] == ["halved", "mine", "lambda"]
        assert result.has_estimated_noise() and result.cache_get("mine") == 1
    assert (ctx | Pipeline([grabby])).cache_has("mine")
    assert ctx.to_dict() == before and ctx.get_triggers()[0] == 100
    assert not ctx.has_estimated_noise() and not ctx.cache_has("mine")


def test_cache(ctx):
    ctx.cache_set("a", [1])
    assert ctx.cache_get("a") == [1] and ctx.cache_get("b") is None
    new = ctx.with_triggers([1])
    assert new.cache_has("a")
    new.cache_clear()
    assert ctx.cache_has("a") and not new.cache_has("a")


def test_copies(ctx):
    shallow, deep = ctx.copy(), ctx.copy(deep=True)
    assert shallow.get_raw() is ctx.get_raw() and deep.get_raw() is not ctx.get_raw()
    deep.get_raw()._data[...] = 0.0
    shallow.metadata.custom["a"] = 1
    shallow.metadata.triggers[0] = -5
    assert ctx.get_data().any() and ctx.metadata.custom == {} and ctx.get_triggers()[0] == 100
    assert ProcessingContext().copy(deep=True).get_raw_original() is None


def test_with_raw_may_share_metadata(ctx):
    raw = ctx.get_raw().copy()
    assert ctx.with_raw(raw).metadata is not ctx.metadata
    assert ctx.with_raw(raw, copy_metadata=False).metadata is ctx.metadata


def test_pipe_operator(ctx):
    result = ctx | toys.Halved() | (lambda c: c.with_triggers([3])) | Pipeline([toys.Scaled(4.0)])
    assert np.array_equal(result.get_data("E1"), 2.0 * ctx.get_data("E1"))
    assert result.get_triggers().tolist() == [3]
    with pytest.raises(TypeError):
        ctx | 3


# ----------------------------------------------------------------------------------------- history
@pytest.mark.parametrize("options", PLACES, ids=ids)
def test_history(ctx, options):
    ctx.add_history_entry("before", parameters={"x": np.int64(3)})
    ctx.add_history_entry(processor_name="named")
    steps = [toys.Scaled(3.0), toys.Referred("E2"), lambda c: c, toys.Assigning()]
    history = Pipeline(steps).run(ctx, raise_on_error=True, **options).get_history()
    assert [(s.name, s.processor_type) for s in history] == [
        ("before", ""),
        ("named", ""),
        ("scaled", "Scaled"),
        ("referred", "Referred"),
        ("lambda", "LambdaProcessor"),
        ("assigning", "Assigning"),
    ]
    assert history[0].parameters == {"x": 3} and history[2].parameters == {"factor": 3.0}
    assert history[3].parameters == {"ref_channel": "E2"}
    assert history[0].processor_name == "before"
    assert len(ctx.get_history()) == 2


# ---------------------------------------------------------------------------------------- metadata
def test_metadata_copies_are_independent():
    one = ProcessingMetadata(triggers=np.array([1, 2]), custom={"a": {"b": [1]}})
    two, three = one.copy(), one.updated(artifact_length=5)
    two.triggers[0] = 9
    two.custom["a"]["b"].append(2)
    three.custom["a"]["b"].append(3)
    assert one.triggers.tolist() == [1, 2] and one.custom == {"a": {"b": [1]}}
    assert three.artifact_length == 5 and one.artifact_length is None


def test_metadata_as_a_dictionary():
    one = ProcessingMetadata(np.array([1, 2]), "x", -0.005, 1, 2, 3, 4, 10, 50, 7, True, {"a": 1})
    values = one.to_dict()
    assert values["triggers"] == [1, 2] and values["custom"] == {"a": 1}
    again = ProcessingMetadata.from_dict({**values, "unknown": 1})
    assert again.to_dict() == values and again.triggers.dtype == np.int64
    assert ProcessingMetadata.from_dict({}).to_dict() == ProcessingMetadata().to_dict()


def test_plain_values():
    given = {1: np.float32(0.5), "a": (np.int8(1), {2}, None, True), "p": toys, "n": np.eye(2)}
    plain = to_plain(given)
    assert plain == {"1": 0.5, "a": [1, [2], None, True], "p": str(toys), "n": [[1, 0], [0, 1]]}
    assert type(plain["1"]) is float and type(plain["a"][0]) is int


def test_context_travels(ctx):
    ctx.add_history_entry("x")
    copy = pickle.loads(pickle.dumps(ctx.with_triggers([1, 2])))
    assert copy.get_triggers().tolist() == [1, 2] and copy.get_history() == ctx.get_history()
    assert np.array_equal(copy.get_data(), ctx.get_data())
    assert pickle.loads(pickle.dumps(ProcessingStep("a", "b", {"c": 1}))).parameters == {"c": 1}
    assert ctx.to_dict()["history"] == [{"name": "x", "processor_type": "", "parameters": {}}]


def test_metrics(ctx):
    ctx.metadata.custom["metrics"] = {"snr": 3.0}
    assert ctx.get_metric("snr") == 3.0
    assert ctx.get_metric("other", 1) == 1 and ProcessingContext().get_metric("snr") is None
