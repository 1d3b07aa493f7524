"""Sampling rates: positions, codes, headers and samples."""

from __future__ import annotations

import re

import numpy as np
import pytest

from facet_nb import DownSample, Pipeline, ProcessingContext, Resample, StepError, UpSample, signal
from facet_nb.core.errors import ValidationError
from tests.contract.recordings import make_context


@pytest.fixture(scope="module")
def ctx():
    return make_context().with_trigger_samples([1500, 1600, 1703], artifact_length=100)


def run(steps, ctx, **options):
    return Pipeline(steps).run(ctx, raise_on_error=True, **options).context


def test_up_then_down_returns_the_recording(ctx):
    back = run([UpSample(factor=10), DownSample(factor=10)], ctx)
    x, y = ctx.get_data(), back.get_data()
    for i, name in enumerate(ctx.get_channel_names()):
        np.testing.assert_allclose(y[i], x[i], rtol=0, atol=1e-9 * np.abs(x[i]).max(), err_msg=name)
    assert np.array_equal(back.get_data("STI"), ctx.get_data("STI"))
    assert list(back.get_triggers()) == [1500, 1600, 1703]
    assert back.get_artifact_length() == 100
    assert back.metadata.upsampling_factor == 1
    assert back.get_raw().first_samp == ctx.get_raw().first_samp


def test_positions_follow(ctx):
    up = run([UpSample(factor=10)], ctx)
    assert up.get_sfreq() == 5000.0
    assert list(up.get_triggers()) == [15000, 16000, 17030]
    assert up.get_artifact_length() == 1000
    assert up.metadata.upsampling_factor == 10
    assert up.get_raw().first_samp == 10 * ctx.get_raw().first_samp
    assert np.array_equal(up.get_raw().annotations.onset, ctx.get_raw().annotations.onset)
    down = run([DownSample(factor=2)], ctx)
    assert list(down.get_triggers()) == [750, 800, 852]  # 851.5 is rounded up
    assert down.get_raw().n_times == ctx.get_raw().n_times // 2
    assert down.get_raw().info["lowpass"] <= 125.0


def test_default_of_upsampling_factor_is_one():
    assert ProcessingContext().metadata.upsampling_factor == 1


def test_a_fraction(ctx):
    got = run([Resample(sfreq=400.0)], ctx)
    assert got.get_sfreq() == 400.0
    assert list(got.get_triggers()) == [1200, 1280, 1362]
    assert got.get_raw().n_times == round(ctx.get_raw().n_times * 0.8)
    assert set(np.unique(got.get_data("STI"))) == {0.0, 5.0}


def test_resampling_is_without_shift(ctx):
    t = np.arange(9000) / 500.0
    raw = ctx.get_raw().copy()
    raw._data[:] = np.sin(2 * np.pi * 7.3 * t)
    for sfreq in (5000.0, 250.0, 400.0, 640.0):
        got = run([Resample(sfreq=sfreq)], ProcessingContext(raw))
        times = np.arange(got.get_raw().n_times) / sfreq
        inside = (times > 4) & (times < 14)
        error = got.get_data("E1")[0, inside] - np.sin(2 * np.pi * 7.3 * times[inside])
        assert np.abs(error).max() < 1e-9


@pytest.mark.parametrize("sfreq", [500.0 * np.pi, 1e6 / 1999.3])
def test_the_rate_that_is_named_works(ctx, sfreq):
    refused = str(Pipeline([Resample(sfreq)]).run(ctx).error)
    (named,) = re.findall(r"use ([\d.]+) Hz", refused)
    assert float(named) == pytest.approx(sfreq, rel=1e-3)
    assert Pipeline([Resample(float(named))]).run(ctx).success
    with pytest.raises(ValidationError, match=f"use {named} Hz"):
        signal.resample(np.zeros((1, 100)), ctx.get_sfreq(), sfreq)


@pytest.mark.parametrize(
    ("step", "remedy"),
    [
        (UpSample(factor=0), "factor=0"),
        (UpSample(factor=1.5), "factor=1.5"),
        (DownSample(factor=-2), "factor=-2"),
        (Resample(sfreq=-1.0), "above 0"),
        (Resample(sfreq=500.0 * np.pi), "the nearest rate that is"),
    ],
)
def test_bad_parameters(ctx, step, remedy):
    result = Pipeline([step]).run(ctx)
    assert isinstance(result.error, StepError)
    assert remedy in str(result.error)
