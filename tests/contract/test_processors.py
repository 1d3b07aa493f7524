"""What every registered processor promises. New ones are found by themselves."""

from __future__ import annotations

import inspect
import pickle
import tracemalloc
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest

from facet_nb import (
    AASCorrection,
    ArrayProcessor,
    Pipeline,
    ProcessingContext,
    list_processors,
)
from facet_nb.core import View
from tests.contract.equality import assert_same
from tests.contract.recordings import (
    AFTER_CORRECTION,
    ARGUMENTS,
    LIBRARIES,
    detect,
    few_iterations,
    make_context,
)

__all__ = ["few_iterations"]

REGISTERED = list_processors()  # other tests register steps of their own, too
PROCESSORS = {n: c for n, c in REGISTERED.items() if c.__module__.startswith("facet_nb.")}
LACKING = {n for n, library in LIBRARIES.items() if find_spec(library) is None}
STEPS = {
    n: c
    for n, c in PROCESSORS.items()
    if not n.endswith(("exporter", "loader")) and n not in LACKING
}
ARRAYS = {n: c for n, c in STEPS.items() if issubclass(c, ArrayProcessor)}

RUNS = [
    {"mode": "serial", "n_workers": 2},
    {"mode": "channel_sequential"},
    {"mode": "channel_sequential", "backend": "threading", "n_jobs": 2, "batch_size": 3},
    {"mode": "channel_sequential", "backend": "multiprocessing", "n_jobs": 2, "n_workers": 2},
    {"mode": "parallel", "backend": "threading", "n_jobs": 3, "n_workers": 2},
    {"mode": "parallel", "backend": "multiprocessing", "n_jobs": 2, "batch_size": 3},
    {"mode": "auto"},
]


def make(name):
    return PROCESSORS[name](**(ARGUMENTS.get(name) or {}))


def chain(name):
    before = [] if name == "trigger_detector" else detect()
    if name in AFTER_CORRECTION:
        before.append(AASCorrection(window_size=10))
    return [*before, make(name)]


@pytest.fixture(scope="module")
def ctx():
    return make_context()


@pytest.fixture(scope="module")
def serial(ctx):
    """Results of serial runs, by the name of the last step."""
    return cache(lambda name: Pipeline(chain(name)).run(ctx, raise_on_error=True).context)


@pytest.mark.parametrize("name", STEPS)
def test_same_answer_in_every_mode(ctx, serial, name):
    before = ctx.get_raw().get_data().copy()
    expected = serial(name)
    for options in RUNS:
        other = Pipeline(chain(name)).run(ctx, raise_on_error=True, **options).context
        assert_same(other, expected)
    assert np.array_equal(ctx.get_raw().get_data(), before)
    assert ctx.get_triggers() is None
    assert ctx.get_history() == []


@pytest.mark.parametrize("name", STEPS)
def test_alone_it_gives_what_the_pipeline_gives(ctx, serial, name):
    by_hand = ctx
    for step in chain(name):
        by_hand = by_hand | step
    assert_same(by_hand, serial(name))


@pytest.mark.parametrize("name", PROCESSORS)
def test_constructor_stores_its_arguments(name):
    cls = PROCESSORS[name]
    takes_path = "path" in inspect.signature(cls.__init__).parameters
    step = cls(path="x.edf") if takes_path and name not in ARGUMENTS else make(name)
    for argument in list(inspect.signature(cls.__init__).parameters)[1:]:
        assert hasattr(step, argument), argument
    again = Pipeline.from_dict(Pipeline([step]).to_dict())[0]
    assert again.to_dict() == step.to_dict()
    assert pickle.loads(pickle.dumps(step)).to_dict() == step.to_dict()


@pytest.mark.parametrize("name", PROCESSORS)
def test_it_is_documented(name):
    cls = PROCESSORS[name]
    assert cls.description
    assert cls.name == name
    doc = inspect.getdoc(cls)
    for argument in list(inspect.signature(cls.__init__).parameters)[1:]:
        assert argument in doc, f"{cls.__name__}: {argument} is not documented"
    assert "Parameters" in doc or not list(inspect.signature(cls.__init__).parameters)[1:]


@pytest.mark.parametrize("name", STEPS)
def test_what_goes_along_survives(ctx, name):
    result = Pipeline(chain(name)).run(ctx, mode="channel_sequential", raise_on_error=True)
    old, new = ctx.get_raw(), result.get_raw()
    assert new.info["bads"] == [b for b in old.info["bads"] if b in new.ch_names]
    if name != "crop":
        assert new.first_time == pytest.approx(old.first_time, abs=1 / new.info["sfreq"])
        added = 1 if name == "signal_interval_selector" else 0
        assert len(new.annotations) == len(old.annotations) + added
    assert [s.name for s in result.get_history()] == [s.name for s in chain(name)]
    if "STI" in new.ch_names:
        assert set(np.unique(new.get_data("STI"))) == {0.0, 5.0}


def _view_of(raw, x, metadata):
    """What a step sees of a recording with one data channel, E1."""
    return View(
        sfreq=raw.info["sfreq"],
        n_times=x.shape[1],
        metadata=metadata,
        ch_names=("E1",),
        reference=x[0],
        reference_name="E1",
        data=x,
        ch_types=("eeg",),
        all_data=raw.get_data(),
        all_names=tuple(raw.ch_names),
        all_types=tuple(raw.get_channel_types()),
    )


def _prepared(ctx, name):
    """A processor of arrays with what it needs to compute one channel."""
    step = make(name)
    ready = Pipeline(chain(name)[:-1]).run(ctx, raise_on_error=True).context
    x = np.ascontiguousarray(ready.get_raw().get_data("E1"))
    view = _view_of(ready.get_raw(), x, ready.metadata)
    extra = {"noise": 0.5 * x} if step.uses_noise else {}
    return step, step.prepare(view), x, extra


@pytest.mark.parametrize("name", [n for n in ARRAYS if ARRAYS[n].modifies_raw])
def test_compute_writes_to_out_and_never_to_its_input(ctx, name):
    step, prepared, x, extra = _prepared(ctx, name)
    kept = x.copy()
    x.flags.writeable = False
    result = step.compute(x, prepared, **extra)
    assert np.array_equal(x, kept)
    out = np.full_like(result, np.nan)
    step.compute(x, prepared, out=out, **extra)
    assert np.array_equal(out, result)
    assert result.shape == (1, prepared.n_times or x.shape[1])
    if step.can_overwrite():
        own = kept.copy()
        step.compute(own, prepared, out=own, **extra)
        assert np.array_equal(own, result)


@pytest.mark.parametrize("name", [n for n in ARRAYS if ARRAYS[n].linear])
def test_linear_steps_are_linear(ctx, name):
    step, prepared, x, _ = _prepared(ctx, name)
    y = np.random.default_rng(0).standard_normal(x.shape) * 1e-4
    both = step.compute(2.0 * x - 3.0 * y, prepared)
    apart = 2.0 * step.compute(x, prepared) - 3.0 * step.compute(y, prepared)
    np.testing.assert_allclose(both, apart, rtol=0, atol=1e-12 * np.abs(both).max())


@pytest.mark.parametrize("name", [n for n in ARRAYS if ARRAYS[n].channel_wise])
def test_memory_is_what_is_measured(name):
    ctx = make_context()
    raw = ctx.get_raw()
    long = type(raw)(np.tile(raw.get_data(), 12), raw.info.copy(), verbose="error")
    events = np.concatenate([ctx.get_raw().time_as_index([4.0]) + 100 * k for k in range(60)])
    ready = ProcessingContext(long).with_trigger_samples(events, artifact_length=100)
    step = make(name)
    x = np.ascontiguousarray(long.get_data("E1"))
    view = _view_of(long, x, ready.metadata)
    extra = {"noise": 0.5 * x} if step.uses_noise else {}
    prepared = step.prepare(view)
    step.compute(x, prepared, **extra) if not step.linear else None
    tracemalloc.start()
    try:
        result = step.compute(x, prepared, **extra)
        measured = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    promised = step.memory(x.shape, 500.0)
    assert result is not None
    assert measured <= promised * 1.1 + 300_000
    assert promised <= 4 * measured + 8_000_000
