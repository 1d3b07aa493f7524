"""Filters against MNE's own."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb import (
    BandPassFilter,
    Filter,
    HighPassFilter,
    LowPassFilter,
    NotchFilter,
    Pipeline,
    StepError,
)
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.processor import View
from tests.contract.recordings import make_context

PICKS = ["E1", "E2", "E3", "E4", "E6", "EOG1", "ECG1"]


@pytest.fixture(scope="module")
def ctx():
    return make_context()


def run(step, ctx, **options):
    return Pipeline([step]).run(ctx, raise_on_error=True, **options).get_raw()


@pytest.mark.filterwarnings("ignore:filter_length")
@pytest.mark.parametrize(
    ("step", "edges"),
    [
        (HighPassFilter(freq=1.0), (1.0, None)),
        (HighPassFilter(freq=0.5), (0.5, None)),
        (LowPassFilter(freq=70.0), (None, 70.0)),
        (BandPassFilter(l_freq=1.0, h_freq=40.0), (1.0, 40.0)),
        (Filter(l_freq=2.0, h_freq=100.0), (2.0, 100.0)),
    ],
)
def test_equals_raw_filter(ctx, step, edges):
    expected = ctx.get_raw().copy().filter(*edges, picks=PICKS, verbose="error")
    got = run(step, ctx)
    scale = np.abs(expected.get_data(PICKS)).max()
    np.testing.assert_allclose(
        got.get_data(PICKS), expected.get_data(PICKS), rtol=0, atol=1e-10 * scale
    )
    whole = ctx.get_raw().copy().filter(*edges, picks="all", verbose="error")
    assert got.info["highpass"] == whole.info["highpass"]
    assert got.info["lowpass"] == whole.info["lowpass"]


@pytest.mark.filterwarnings("ignore:filter_length")
@pytest.mark.parametrize("freqs", [50.0, [50.0, 100.0]])
def test_equals_raw_notch_filter(ctx, freqs):
    expected = ctx.get_raw().copy().notch_filter(freqs, picks=PICKS, verbose="error")
    got = run(NotchFilter(freqs=freqs), ctx)
    scale = np.abs(expected.get_data(PICKS)).max()
    np.testing.assert_allclose(
        got.get_data(PICKS), expected.get_data(PICKS), rtol=0, atol=1e-10 * scale
    )
    assert got.info["highpass"] == ctx.get_raw().info["highpass"]


def test_iir_equals_raw_filter(ctx):
    expected = ctx.get_raw().copy().filter(1.0, 40.0, picks=PICKS, method="iir", verbose="error")
    got = run(BandPassFilter(l_freq=1.0, h_freq=40.0, method="iir"), ctx)
    scale = np.abs(expected.get_data(PICKS)).max()
    np.testing.assert_allclose(
        got.get_data(PICKS), expected.get_data(PICKS), rtol=0, atol=1e-10 * scale
    )


@pytest.mark.parametrize("order", [1, 2, 5])
@pytest.mark.parametrize(
    ("step", "edges"),
    [
        (BandPassFilter, {"l_freq": 1.0, "h_freq": 40.0}),
        (Filter, {"l_freq": 5.0, "h_freq": 70.0}),
        (HighPassFilter, {"freq": 1.0}),
        (LowPassFilter, {"freq": 40.0}),
    ],
)
def test_iir_of_any_order_equals_raw_filter(ctx, step, edges, order):
    made = step(**edges, method="iir", order=order)
    assert made.get_parameters()["order"] == order
    low, high = made.edges()
    iir_params = {"order": order, "ftype": "butter", "output": "sos"}
    expected = ctx.get_raw().copy()
    expected.filter(low, high, picks=PICKS, method="iir", iir_params=iir_params, verbose="error")
    got = run(made, ctx)
    scale = np.abs(expected.get_data(PICKS)).max()
    np.testing.assert_allclose(
        got.get_data(PICKS), expected.get_data(PICKS), rtol=0, atol=1e-10 * scale
    )


@pytest.mark.parametrize("mode", ["serial", "channel_sequential", "parallel"])
def test_picks_are_filtered_and_others_not(ctx, mode):
    got = run(HighPassFilter(freq=1.0, picks=["E2", "E6"]), ctx, mode=mode, batch_size=3)
    everything = run(HighPassFilter(freq=1.0), ctx)
    for name in ctx.get_channel_names():
        source = everything if name in ("E2", "E6") else ctx.get_raw()
        assert np.array_equal(got.get_data(name), source.get_data(name)), name


def test_bad_and_other_channels_stay(ctx):
    got = run(HighPassFilter(freq=1.0), ctx)
    for name in ("E5", "STI", "temp"):
        assert np.array_equal(got.get_data(name), ctx.get_raw().get_data(name))


@pytest.mark.parametrize(
    ("step", "remedy"),
    [
        (HighPassFilter(freq=300.0), "Nyquist"),
        (HighPassFilter(freq=0.0), "Nyquist"),
        (Filter(), "give l_freq"),
        (LowPassFilter(freq=40.0, phase="minimum"), "'zero' or 'forward'"),
        (LowPassFilter(freq=40.0, method="spam"), "'fir' or 'iir'"),
        (LowPassFilter(freq=40.0, method="iir", order=0), "whole number"),
        (BandPassFilter(l_freq=1.0, h_freq=40.0, method="iir", order=2.5), "whole number"),
        (LowPassFilter(freq=40.0, picks=["E99"]), "E99"),
        (LowPassFilter(freq=40.0, fir_window="spam"), "fir_window"),
        (NotchFilter(freqs=50.0, method="iir"), "method='fir'"),
    ],
)
def test_bad_parameters_name_step_and_remedy(ctx, step, remedy):
    result = Pipeline([step]).run(ctx)
    assert not result.success
    assert isinstance(result.error, StepError)
    assert result.failed_processor == step.name
    assert remedy in str(result.error)


def test_a_design_is_made_once_and_few_are_kept():
    from facet_nb.preprocessing.filtering import make_design

    make_design.cache_clear()
    for _ in range(2):
        for freq in (1.0, 2.0):
            HighPassFilter(freq).prepare(View(500.0, 1000, ProcessingMetadata(), ("a",)))
        NotchFilter([50.0, 100.0]).prepare(View(500.0, 1000, ProcessingMetadata(), ("a",)))
    info = make_design.cache_info()
    assert (info.misses, info.hits) == (3, 3)
    assert info.maxsize is not None
    assert info.maxsize <= 8
