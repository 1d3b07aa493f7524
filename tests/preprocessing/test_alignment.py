"""Alignment finds moves that are known."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from facet_nb import (
    Pipeline,
    ProcessingContext,
    SliceAligner,
    StepError,
    SubsampleAligner,
    TriggerAligner,
    UpSample,
)

N = 120


def wave(t):
    return 1e-3 * np.sin(2 * np.pi * t / 17.0) * np.exp(-(((t - 60) / 25.0) ** 2))


def make(shifts, flat=False):
    """Artifacts that come `shifts` samples after their triggers, on two channels."""
    triggers = 300 + 150 * np.arange(len(shifts))
    x = 1e-7 * np.random.default_rng(0).standard_normal((2, triggers[-1] + 500))
    for trigger, shift in zip(triggers, shifts, strict=True):
        t = np.arange(-20, N + 20)
        x[:, trigger + t] += wave(t - shift)
    if flat:
        x[0] = 0.0
    raw = mne.io.RawArray(x, mne.create_info(["A", "B"], 1000.0, "eeg"), verbose="error")
    return ProcessingContext(raw).with_trigger_samples(triggers, artifact_length=N), triggers


@pytest.mark.parametrize("step", [TriggerAligner(search_window=5), SliceAligner(search_window=5)])
def test_whole_samples(step):
    shifts = [0, 2, -3, 5, 0]
    context, triggers = make(shifts)
    got = Pipeline([step]).run(context, raise_on_error=True)
    assert list(got.context.get_triggers() - triggers) == shifts
    assert got.get_history()[0].parameters["ref_channel"] == "A"
    assert got.get_history()[0].parameters["largest_move"] == 5
    assert np.array_equal(got.get_raw().get_data(), context.get_data())


def test_tenths_of_a_sample_behind_upsampling():
    shifts = [0.0, 0.4, -1.3, 2.1]
    context, triggers = make(shifts)
    steps = [UpSample(factor=10), TriggerAligner()]
    got = Pipeline(steps).run(context, raise_on_error=True).context
    assert list(got.get_triggers() - 10 * triggers) == [0, 4, -13, 21]


def test_subsample_aligner():
    shifts = [0.0, 0.45, -1.3, 2.6]
    context, triggers = make(shifts)
    step = SubsampleAligner(search_window=4)
    got = Pipeline([step]).run(context, raise_on_error=True).context
    assert list(got.get_triggers() - triggers) == [0, 0, -1, 3]
    found = got.metadata.custom["subsample_alignment"]["shifts"]
    np.testing.assert_allclose(found, shifts, atol=0.06)
    assert context.metadata.custom == {}


@pytest.mark.parametrize("step", [TriggerAligner, SliceAligner, SubsampleAligner])
@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"ref_trigger_index": 99}, "there are 3 triggers"),
        ({"ref_channel": "Z"}, "ref_channel='Z'"),
    ],
)
def test_bad_parameters(step, options, remedy):
    context, _ = make([0, 0, 0])
    result = Pipeline([step(**options)]).run(context)
    assert not result.success
    assert remedy in str(result.error)


@pytest.mark.parametrize("step", [TriggerAligner(), SubsampleAligner()])
def test_flat_reference_is_named(step):
    context, _ = make([0, 0, 0], flat=True)
    result = Pipeline([step]).run(context)
    assert isinstance(result.error, StepError)
    assert "reference channel A is flat" in str(result.error)
    other = type(step)(ref_channel="B")
    assert Pipeline([other]).run(context).success


def test_moving_the_recording_is_not_offered():
    context, _ = make([0, 0])
    result = Pipeline([SubsampleAligner(apply_to_raw=True)]).run(context)
    assert "jumps" in str(result.error)
