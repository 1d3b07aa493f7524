"""Filters and averages as streams equal those of the whole signal, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb.kernels.compiled.dispatch import has_compiled, use_compiled
from facet_nb.kernels.filters.fir import choose_n_fft, filter_zero_phase
from facet_nb.kernels.means import RunningMean, find_mean
from facet_nb.kernels.streams import AverageStream, FilterStream
from facet_nb.kernels.templates.subsample import HALO, Layout
from facet_nb.kernels.templates.subsample_channel import correct


@pytest.fixture(autouse=True, params=["compiled", "NumPy"])
def kernels(request):
    """Every stream with compiled kernels, and without."""
    if request.param == "compiled" and not has_compiled():
        pytest.skip("the kernels are not compiled")
    with use_compiled(None if request.param == "compiled" else frozenset()):
        yield


def pieces(x, size, rng=None):
    start = 0
    while start < len(x):
        n = size if rng is None else int(rng.integers(1, 2 * size))
        yield x[start : start + n]
        start += n


def flow(stream, x, size, rng=None):
    return np.concatenate([*(stream.push(p).copy() for p in pieces(x, size, rng)), stream.finish()])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n_times", [5, 9_000, 200_001])
def test_filter(n_times, dtype):
    rng = np.random.default_rng(n_times)
    taps = np.hanning(801)
    x = (rng.standard_normal(n_times) + 3.0).astype(dtype)
    whole = filter_zero_phase(x[np.newaxis], taps)[0]
    for size, random in [(30_000, None), (7_001, rng)]:
        stream = FilterStream(taps, n_times, np.dtype(dtype))
        assert np.array_equal(flow(stream, x, size, random), whole)


def test_a_filter_keeps_no_more_than_its_transforms():
    taps = np.hanning(801)
    stream = FilterStream(taps, 2_000_000, np.dtype(float))
    most = 0
    for piece in pieces(np.zeros(1_999_999), 10_000):
        stream.push(piece)
        most = max(most, len(stream.buffer.data))
    assert most < 10_000 + 2 * choose_n_fft(801) + 8 * stream.pair + stream.half


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("lead", [0, 40, 20_000])
def test_average(lead, dtype):
    rng = np.random.default_rng(lead)
    period, n_epochs = 97.3, 250
    onsets = lead + period * np.arange(n_epochs)
    n_times = round(onsets[-1] + period) + (0 if lead == 40 else 3_000)
    x = rng.standard_normal(n_times)
    for i, onset in enumerate(onsets):  # every eleventh is unlike the others
        at = np.arange(int(np.ceil(onset)), min(int(onset + period), n_times))
        x[at] += (20.0 if i % 11 else -9.0) * np.sin(np.arange(len(at)) / 5.0)
    x = x.astype(dtype)
    layout = Layout.of(onsets, 97, n_times)
    whole = correct(x, layout, window=30, threshold=0.9)
    assert np.abs(whole - x).max() > 5.0
    for size, random in [(4_000, None), (900, rng)]:
        stream = AverageStream.make(layout, 30, 0.9, find_mean(x), np.dtype(dtype))
        assert np.array_equal(flow(stream, x, size, random), whole)
        assert len(stream.x.data) <= 40 * 98 + 2 * HALO + 2 * size


def test_epochs_out_of_order_and_none_at_all():
    layout = Layout.of(np.array([300.0, 100.0]), 50, 1000)
    assert AverageStream.make(layout, 30, 0.9, 0.0, np.dtype(float)) is None
    nothing = AverageStream.make(Layout.of(np.zeros(0), 50, 100), 30, 0.9, 0.0, np.dtype(float))
    assert np.array_equal(flow(nothing, np.arange(100.0), 30), np.arange(100.0))


@pytest.mark.parametrize("n", [0, 1, 65_536, 200_000])
def test_mean(n):
    x = np.random.default_rng(n).standard_normal(n) + 1e3
    mean = RunningMean()
    for piece in pieces(x, 12_345, np.random.default_rng(1)):
        mean.push(piece)
    assert mean.value == find_mean(x) and mean.count == n
    np.testing.assert_allclose(find_mean(x), x.mean() if n else 0.0, rtol=1e-14)
    near = x.astype("float32")
    np.testing.assert_allclose(find_mean(near), np.mean(near, dtype=float) if n else 0, rtol=1e-14)
