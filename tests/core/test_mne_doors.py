"""Ways in for MNE users: Raw in, Raw out; parameters by name; defaults of a session."""

from __future__ import annotations

import logging

import mne
import numpy as np
import pytest
from sklearn.base import clone

import facet_nb
from facet_nb import (
    AASCorrection,
    Crop,
    FacetError,
    GradientCorrection,
    HighPassFilter,
    LowPassFilter,
    Pipeline,
    PlanError,
    ProcessingContext,
    StepError,
    TriggerDetector,
    ValidationError,
    correct_gradient,
    correct_pulse,
    set_defaults,
)
from facet_nb.datasets import simulate
from tests.contract.recordings import make_context
from tests.contract.test_processors import STEPS, chain, make

CHAIN = [TriggerDetector(regex=r"\b1\b"), AASCorrection(window_size=10), LowPassFilter(40.0)]


@pytest.fixture(scope="module")
def raw():
    return make_context().get_raw()


@pytest.fixture
def plain_defaults():
    before = set_defaults(mode=None, n_jobs=None, n_workers=None, progress=None)
    yield
    set_defaults(**before)


# ------------------------------------------------------------------------------------ runs
def test_a_run_begins_with_a_raw_or_a_file(raw, tmp_path):
    expected = Pipeline(CHAIN).run(ProcessingContext(raw), raise_on_error=True)
    assert np.array_equal(
        Pipeline(CHAIN).run(raw).raw.get_data(), expected.context.get_raw().get_data()
    )
    raw.save(tmp_path / "a_raw.fif", fmt="double", verbose="error")
    for path in (tmp_path / "a_raw.fif", str(tmp_path / "a_raw.fif")):
        result = Pipeline(CHAIN).run(path, raise_on_error=True)
        assert np.array_equal(result.raw.get_data(), expected.raw.get_data())
        assert [step.name for step in result.get_history()] == [
            "auto_loader",
            *(step.name for step in CHAIN),
        ]
    assert len(Pipeline(CHAIN)) == 3


def test_a_raw_is_an_input_of_plan_and_map(raw):
    pipeline = Pipeline(CHAIN)
    assert pipeline.plan(raw).stages == pipeline.plan(ProcessingContext(raw)).stages
    batch = pipeline.map([raw, raw], keep_raw=True)
    expected = pipeline.run(raw).raw.get_data()
    assert [r.success for r in batch] == [True, True]
    assert all(np.array_equal(r.raw.get_data(), expected) for r in batch)


def test_a_path_needs_a_pipeline_without_a_loader(tmp_path):
    pipeline = Pipeline([facet_nb.Loader(path="other.fif"), HighPassFilter(1.0)])
    with pytest.raises(ValidationError, match="loads a recording by itself"):
        pipeline.run(tmp_path / "a_raw.fif")
    missing = Pipeline([HighPassFilter(1.0)]).run(tmp_path / "none.fif")
    assert not missing.success and missing.failed_processor == "auto_loader"
    with pytest.raises(FacetError, match="no such file"):
        _ = missing.raw


@pytest.mark.parametrize("wrong", [3, np.zeros((2, 100)), [1, 2], object()])
def test_what_no_run_can_begin_with(wrong):
    with pytest.raises(ValidationError, match="a run begins with"):
        Pipeline(CHAIN).run(wrong)


# ------------------------------------------------------------------------------------ steps
@pytest.mark.parametrize("name", [n for n in STEPS if not STEPS[n].requires_triggers])
def test_every_step_is_a_function_of_a_raw(raw, name):
    """It does what it does to a context, and shares nothing with its input."""
    if len(chain(name)) > 1 and name in ("obs_correction", "pca_correction", "anc_correction"):
        pytest.skip("it needs what a correction removed")
    kept = raw.get_data().copy()
    step = make(name)
    try:
        expected = step(ProcessingContext(raw)).get_raw()
    except FacetError as error:
        with pytest.raises(type(error)):
            step(raw)
        return
    new = step(raw)
    assert isinstance(new, mne.io.BaseRaw) and new is not raw
    assert np.array_equal(new.get_data(), expected.get_data())
    new._data[:] = 0.0
    assert np.array_equal(raw.get_data(), kept)


def test_a_step_that_needs_triggers_says_how_to_get_them(raw):
    with pytest.raises(ValidationError, match=r"Pipeline\(\[TriggerDetector"):
        AASCorrection()(raw)


def test_a_pipeline_is_a_function_of_a_raw(raw):
    new = Pipeline(CHAIN)(raw)
    assert np.array_equal(new.get_data(), Pipeline(CHAIN).run(raw).raw.get_data())
    unchanged = Pipeline([])(raw)
    assert unchanged is not raw and not np.may_share_memory(unchanged._data, raw._data)


# ------------------------------------------------------------------------------------ functions
@pytest.mark.parametrize("n_jobs", [None, 1, 2])
def test_gradient_in_one_function(raw, n_jobs):
    steps = [TriggerDetector(regex=r"\b1\b"), GradientCorrection(slices=None)]
    expected = Pipeline(steps).run(raw, raise_on_error=True).raw
    new = correct_gradient(raw, slices=None, n_jobs=n_jobs)
    assert np.array_equal(new.get_data(), expected.get_data())
    some = correct_gradient(raw, slices=None, n_jobs=n_jobs, picks=["E2", "E4"])
    rows = [raw.ch_names.index(name) for name in ("E2", "E4")]
    others = [i for i in range(len(raw.ch_names)) if i not in rows]
    assert np.array_equal(some.get_data(rows), expected.get_data(rows))
    assert np.array_equal(some.get_data(others), raw.get_data(others))


def test_markers_as_events(raw):
    """MNE's events count from the recorder's first sample; the recording begins at another."""
    events, _ = mne.events_from_annotations(raw, regexp=r".*\b1\b", verbose="error")
    assert raw.first_samp and events[0, 0] > raw.first_samp
    by_events = correct_gradient(raw, events=events, slices=None)
    assert np.array_equal(by_events.get_data(), correct_gradient(raw, slices=None).get_data())
    with pytest.raises(ValidationError, match="three columns"):
        correct_gradient(raw, events=events[:, 0])


def test_pulse_in_one_function():
    sim = simulate(4, 250.0, 30.0, 2.0, 5, seed=3, pulse=True, artifact_amplitude_v=0.0)
    peaks = np.rint(sim.r_peaks_s * 250.0).astype(int)
    events = np.column_stack([peaks, 0 * peaks, 0 * peaks + 9])
    new = correct_pulse(sim.raw, events=events, method="mean", picks="eeg")
    context = ProcessingContext(sim.raw).with_trigger_samples(peaks)
    steps = [facet_nb.PulseCorrection(method="mean")]
    assert np.array_equal(new.get_data(), Pipeline(steps).run(context).raw.get_data())
    assert not np.array_equal(new.get_data("eeg"), sim.raw.get_data("eeg"))


def test_verbose_sets_the_level_of_messages_and_restores_it(raw, caplog):
    logger = logging.getLogger("facet_nb")
    before = logger.level, mne.utils.logger.level
    for verbose in (True, False, "ERROR", 10):
        correct_gradient(raw, slices=None, verbose=verbose)
        assert (logger.level, mne.utils.logger.level) == before


# ------------------------------------------------------------------------------------ parameters
@pytest.mark.parametrize("name", STEPS)
def test_params_of_every_step(name):
    step = make(name)
    params = step.get_params(deep=False)
    copied = clone(step)
    assert copied is not step and copied.to_dict() == step.to_dict()
    for key, value in params.items():
        assert step.set_params(**{key: value}) is step
        assert repr(step.get_params(deep=False)) == repr(params)
    assert step.to_dict() == copied.to_dict()
    with pytest.raises(ValidationError, match="no parameter"):
        step.set_params(no_such_parameter=1)


def test_params_of_a_pipeline():
    pipeline = Pipeline([HighPassFilter(1.0), LowPassFilter(70.0), HighPassFilter(2.0)], "mine")
    copied = clone(pipeline)
    assert pipeline.set_params(**{"highpass_filter-2__freq": 3.0, "name": "other"}) is pipeline
    assert [step.freq for step in pipeline] == [1.0, 70.0, 3.0] and pipeline.name == "other"
    assert [step.freq for step in copied] == [1.0, 70.0, 2.0] and copied.name == "mine"
    assert pipeline.get_params()["lowpass_filter__freq"] == 70.0
    pipeline.set_params(lowpass_filter=Crop(tmin=1.0, tmax=2.0))
    assert isinstance(pipeline[1], Crop)
    pipeline.set_params(processors=CHAIN)
    assert [step.name for step in pipeline] == [step.name for step in CHAIN]
    with pytest.raises(ValidationError, match="has no parameter 'notch__freq'"):
        pipeline.set_params(notch__freq=1.0)
    with pytest.raises(ValidationError, match="has no parameter"):
        pipeline.set_params(name__x=1.0)


# ------------------------------------------------------------------------------------ defaults
def test_defaults_of_a_session(raw, plain_defaults):
    before = set_defaults(mode="channel_sequential", n_jobs=2, n_workers=1, progress=False)
    assert before == {"mode": None, "n_jobs": None, "n_workers": 1, "progress": None}
    pipeline = Pipeline(CHAIN)
    result = pipeline.run(raw, backend="threading", raise_on_error=True)
    assert (result.plan.mode, result.plan.n_jobs) == ("channel_sequential", 2)
    assert pipeline.plan().mode == "channel_sequential"
    assert pipeline.run(raw, mode="serial").plan.mode == "serial"
    assert pipeline.run(raw, n_jobs=1).plan.n_jobs == 1
    parallel = pipeline.run(raw, parallel=True, backend="threading")
    assert parallel.plan.mode == "parallel", parallel.error
    set_defaults(**before)
    again = pipeline.run(raw)
    assert (again.plan.mode, again.plan.n_jobs) == ("serial", 1)
    assert np.array_equal(again.raw.get_data(), result.raw.get_data())


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"n_jobs": 0}, PlanError),
        ({"n_workers": 1.5}, PlanError),
        ({"mode": "fast"}, PlanError),
        ({"progress": "yes"}, ValidationError),
    ],
)
def test_wrong_defaults_change_nothing(plain_defaults, given, error):
    with pytest.raises(error):
        set_defaults(**{"n_jobs": 2, **given})
    assert set_defaults() == {"mode": None, "n_jobs": None, "n_workers": 1, "progress": None}


# ------------------------------------------------------------------------------------ showing
def test_samples_as_a_table(raw):
    result = Pipeline(CHAIN).run(raw)
    table = result.to_data_frame(picks=["E1", "E3"])
    assert list(table) == ["time", "E1", "E3"] and len(table) == raw.n_times
    np.testing.assert_allclose(table[["E1", "E3"]].T, 1e6 * result.raw.get_data(["E1", "E3"]))
    assert result.context.to_data_frame(index="time").index.name == "time"
    failed = Pipeline([TriggerDetector(regex="nothing")]).run(raw)
    with pytest.raises(StepError):
        failed.to_data_frame()


def test_a_simulation_shows_itself():
    sim = simulate(3, 500.0, 20.0, 2.0, 5, seed=7)
    html = sim._repr_html_()
    for text in ("3 EEG", "20 s, 10000 samples at 500 Hz", "markers", "7", "dB"):
        assert text in html, text


def test_a_context_shows_itself(raw):
    done = Pipeline(CHAIN).run(raw).context
    html = done._repr_html_()
    n = len(done.get_triggers())
    for text in ("6 eeg", "E5", f"{n}, artifacts of", "trigger_detector → aas_correction", "yes"):
        assert text in html, text
    assert f"{raw.n_times} samples at 500 Hz" in html
    assert "none" in ProcessingContext()._repr_html_()
    odd = raw.copy().rename_channels({"E5": "<b>"})
    assert "<b>&lt;" not in ProcessingContext(odd)._repr_html_()
    assert "&lt;b&gt;" in ProcessingContext(odd)._repr_html_()
