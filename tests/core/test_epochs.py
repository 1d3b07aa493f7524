"""Steps on epochs: each epoch is processed by itself."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from facet_nb import (
    AASCorrection,
    CommonReference,
    Crop,
    DownSample,
    LambdaProcessor,
    LowPassFilter,
    Pipeline,
    Resample,
)
from facet_nb.core.errors import PlanError, StepError, ValidationError


@pytest.fixture(scope="module")
def epochs():
    rng = np.random.default_rng(0)
    info = mne.create_info(["Fz", "Cz", "Pz", "STI"], 500.0, ["eeg"] * 3 + ["stim"])
    raw = mne.io.RawArray(rng.standard_normal((4, 6000)) * 1e-5, info, verbose="error")
    events = np.column_stack([np.arange(600, 5400, 600), np.zeros(8, int), [1, 2] * 4])
    epochs = mne.Epochs(raw, events, {"a": 1, "b": 2}, -0.2, 0.79, preload=True, verbose="error")
    return epochs.drop([2], verbose="error")


def test_each_epoch_is_filtered_as_a_recording_of_its_own(epochs):
    before = epochs.get_data(copy=True)
    got = Pipeline([LowPassFilter(40.0), CommonReference("average")]).apply(epochs)
    options = {"picks": "eeg", "pad": "reflect_limited", "verbose": "error"}
    expected = epochs.copy().filter(None, 40.0, **options).get_data()
    expected[:, :3] -= expected[:, :3].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(got.get_data(), expected, atol=1e-16)
    assert np.array_equal(epochs.get_data(copy=True), before)
    assert np.array_equal(got.events, epochs.events) and got.event_id == epochs.event_id
    assert got.drop_log == epochs.drop_log and got.tmin == epochs.tmin
    assert got.baseline == epochs.baseline and got.info["lowpass"] == 40.0
    assert len(got["b"]) == len(epochs["b"])


def test_the_rate_may_change(epochs):
    got = Pipeline([Resample(250.0)]).apply(epochs)
    assert got.info["sfreq"] == 250.0 and got.tmin == epochs.tmin
    assert got.get_data().shape == (7, 4, 248)


def test_a_part_of_each_epoch(epochs):
    """Times of steps count from the beginning of an epoch."""
    got = Pipeline([Crop(0.1, 0.5)]).apply(epochs)
    assert got.tmin == pytest.approx(-0.1) and got.tmax == pytest.approx(0.3)
    assert got.baseline is None
    assert np.array_equal(got.get_data(), epochs.copy().crop(-0.1, 0.3).get_data())


def test_steps_that_make_no_sense_are_named(epochs):
    steps = [AASCorrection(), LambdaProcessor(lambda context: context, "own"), DownSample(2)]
    with pytest.raises(PlanError, match=r"aas_correction needs the triggers.*whole recordings"):
        Pipeline(steps).apply(epochs)
    with pytest.raises(ValidationError, match="use run"):
        Pipeline([DownSample(2)]).apply(epochs.average())
    with pytest.raises((StepError, ValidationError), match="Nyquist"):
        Pipeline([LowPassFilter(400.0)]).apply(epochs)


def test_none_stay_none(epochs):
    assert len(Pipeline([LowPassFilter(40.0)]).apply(epochs[:0])) == 0
