"""FIR filters against MNE and against explicit convolution, compiled and not."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mne.filter import create_filter, filter_data

from facet_nb.kernels.filters import fir
from facet_nb.kernels.filters.fir import choose_n_fft, filter_in_scipy, filter_zero_phase
from tests.oracles.signals import convolve_reflected

TYPES = [np.float64, np.float32]


@pytest.fixture(params=["compiled", "scipy"])
def way(request, monkeypatch):
    if request.param == "scipy":
        monkeypatch.setattr(fir, "_find_compiled", lambda: None)


def low_pass(n_taps, cutoff=0.05):
    """A windowed sinc of unit gain, and not more."""
    t = np.arange(n_taps) - n_taps // 2
    taps = np.sinc(cutoff * t) * np.hamming(n_taps)
    return taps / taps.sum()


@pytest.mark.filterwarnings("ignore:filter_length")
@pytest.mark.parametrize("n_times", [40_000, 5_000, 900])
@pytest.mark.parametrize(("low", "high"), [(1.0, None), (None, 70.0), (1.0, 40.0)])
def test_equals_mne(way, n_times, low, high):
    x = np.random.default_rng(0).standard_normal((3, n_times))
    taps = create_filter(None, 1000.0, low, high, verbose="error")
    expected = filter_data(x, 1000.0, low, high, verbose="error")
    np.testing.assert_allclose(
        filter_zero_phase(x, taps), expected, rtol=0, atol=1e-12 * np.abs(expected).max()
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n_times=st.integers(2, 400),
    half=st.integers(0, 120),
    seed=st.integers(0, 2**16),
)
def test_equals_convolution(way, n_times, half, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((1, n_times))
    taps = rng.standard_normal(2 * half + 1)
    taps = taps + taps[::-1]
    expected = convolve_reflected(x[0], taps)
    scale = np.abs(taps).sum() * np.abs(x).max() * 3
    np.testing.assert_allclose(filter_zero_phase(x, taps)[0], expected, rtol=0, atol=1e-12 * scale)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n_channels", [1, 3, 9, 17])
@pytest.mark.parametrize("n_times", [1, 700, 30_001])
def test_channel_does_not_depend_on_batch(way, n_channels, n_times, dtype):
    x = np.random.default_rng(1).standard_normal((n_channels, n_times)).astype(dtype)
    taps = create_filter(None, 1000.0, 1.0, None, verbose="error")
    together = filter_zero_phase(x, taps)
    assert together.dtype == dtype
    for i in range(n_channels):
        assert np.array_equal(together[i], filter_zero_phase(x[i : i + 1].copy(), taps)[0])
    assert np.array_equal(filter_zero_phase(x[::-1], taps), together[::-1])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("log2", range(13, 20))
def test_any_length_of_transform(monkeypatch, log2, dtype):
    """Lengths that are transformed in different ways: leaves of both kinds, one pass or two."""
    monkeypatch.setattr(fir, "choose_n_fft", lambda n_taps: 1 << log2)
    n_times = 30_000 if log2 < 17 else 3000
    x = np.random.default_rng(2).standard_normal((2, n_times))
    taps = low_pass(1001)
    expected = np.array([np.convolve(row, taps, "same") for row in x])
    got = filter_zero_phase(x.astype(dtype), taps)
    inner = slice(500, -500)
    atol = 1e-14 if dtype is np.float64 else 2e-6
    np.testing.assert_allclose(got[:, inner], expected[:, inner], rtol=0, atol=atol)
    twin = filter_in_scipy(x.astype(dtype), taps)
    np.testing.assert_allclose(got, twin, rtol=0, atol=atol)


@pytest.mark.parametrize(("low", "high"), [(1.0, None), (None, 70.0)])
def test_float32_is_as_exact_as_promised(way, low, high):
    """A record of 5 kHz, its offset removed: 2e-6 of the result's peak."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2, 120_000)).cumsum(axis=1)
    x -= x.mean(axis=1, keepdims=True)
    x += 300 * np.sin(0.12 * np.arange(120_000))
    x = x.astype(np.float32)
    taps = create_filter(None, 5000.0, low, high, verbose="error")
    exact = filter_zero_phase(x.astype(float), taps)
    error = np.abs(filter_zero_phase(x, taps) - exact).max()
    assert error <= 2e-6 * np.abs(exact).max()


def test_compiled_and_not_agree():
    x = np.random.default_rng(4).standard_normal((11, 60_000))
    for n_taps in (1, 943, 16_501):
        taps = low_pass(n_taps)
        got, expected = filter_zero_phase(x, taps), filter_in_scipy(x, taps)
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("order", ["F", "reversed", "every second"])
def test_layout_does_not_matter(way, order):
    x = np.random.default_rng(5).standard_normal((10, 600))
    taps = low_pass(101)
    expected = filter_zero_phase(x, taps)
    if order == "F":
        y, out = np.asfortranarray(x), np.empty_like(x, order="F")
    elif order == "reversed":
        y, out = x[:, ::-1].copy()[:, ::-1], np.empty_like(x)[:, ::-1]
    else:
        y, out = np.repeat(x, 2, axis=1)[:, ::2], np.empty((10, 1200))[:, ::2]
    assert filter_zero_phase(y, taps, out=out) is out
    assert np.array_equal(out, expected)


def test_input_is_not_written_to_and_out_is_used(way):
    x = np.random.default_rng(6).standard_normal((2, 1000))
    kept = x.copy()
    x.flags.writeable = False
    out = np.empty_like(x)
    assert filter_zero_phase(x, np.array([0.25, 0.5, 0.25]), out=out) is out
    assert np.array_equal(x, kept)


def test_nothing_is_written_beside_the_output(way):
    x = np.random.default_rng(7).standard_normal((3, 20_000))
    around = np.full((5, 20_040), 7.0)
    filter_zero_phase(x, low_pass(943), out=around[1:4, 20:-20])
    assert np.array_equal(around[1:4, 20:-20], filter_zero_phase(x, low_pass(943)))
    around[1:4, 20:-20] = 7.0
    assert (around == 7.0).all()


def test_other_types_are_filtered_too():
    x = np.arange(-300, 300).reshape(1, -1)
    out = np.empty(x.shape)
    filter_zero_phase(x, low_pass(11), out=out)
    np.testing.assert_allclose(out, filter_zero_phase(x.astype(float), low_pass(11)), atol=1e-11)
    assert filter_zero_phase(np.empty((0, 50)), low_pass(11)).shape == (0, 50)


def test_threads_share_nothing():
    x = np.random.default_rng(8).standard_normal((20, 30_000))
    expected = filter_zero_phase(x, low_pass(943))
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda _: filter_zero_phase(x, low_pass(943)), range(6))
        assert all(np.array_equal(r, expected) for r in results)


@pytest.mark.parametrize("n_taps", [943, 16_501])
def test_scratch_is_what_is_promised(way, n_taps):
    x = np.random.default_rng(9).standard_normal((1, 200_000))
    out, taps = np.empty_like(x), low_pass(n_taps)
    filter_zero_phase(x[:, :9], np.ones(1))
    fir._spectrum.cache_clear()
    fir._sorted_spectrum.cache_clear()
    tracemalloc.start()
    filter_zero_phase(x, taps, out=out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= fir.scratch_bytes(n_taps)


def test_transform_is_longer_than_the_filter():
    for n_taps in (1, 3, 943, 8191, 8193, 16_501, 70_001, 200_001):
        n_fft = choose_n_fft(n_taps)
        assert n_fft >= max(8192, 1.2 * n_taps)
        assert n_fft & (n_fft - 1) == 0


def test_read_only_output_is_refused(way):
    out = np.empty((1, 100))
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        filter_zero_phase(np.zeros((1, 100)), low_pass(11), out=out)


def test_spectra_are_made_once_and_few_are_kept():
    """A second run with the same filter makes no spectrum; many filters do not fill the memory."""
    fir._spectrum.cache_clear()
    fir._sorted_spectrum.cache_clear()
    x = np.zeros((1, 100))
    for _ in range(2):
        for n_taps in range(1, 41, 2):
            filter_zero_phase(x, low_pass(n_taps))
            filter_zero_phase(x, low_pass(n_taps))
            filter_in_scipy(x, low_pass(n_taps))
            filter_in_scipy(x, low_pass(n_taps))
    for cache in (fir._spectrum, fir._sorted_spectrum):
        info = cache.cache_info()
        assert (info.misses, info.hits) == (40, 40)
        assert info.currsize == info.maxsize <= 8


def test_even_filter_is_refused():
    with pytest.raises(ValueError, match="odd number of taps"):
        filter_zero_phase(np.zeros((1, 10)), np.ones(4))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n_channels=st.integers(1, 5),
    n_times=st.integers(2, 60_000),
    half=st.integers(0, 2_000),
    dtype=st.sampled_from(TYPES),
    seed=st.integers(0, 2**16),
)
def test_result_may_replace_the_input(way, n_channels, n_times, half, dtype, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n_channels, n_times)).astype(dtype)
    taps = rng.standard_normal(2 * half + 1)
    taps = taps + taps[::-1]
    expected = filter_zero_phase(x, taps)
    whole = np.zeros((n_channels, n_times + 3), dtype)
    whole[:, 1:-2] = x
    assert filter_zero_phase(whole[:, 1:-2], taps, out=whole[:, 1:-2]).base is whole
    np.testing.assert_array_equal(whole[:, 1:-2], expected)
    assert not whole[:, 0].any() and not whole[:, -2:].any()


@pytest.mark.parametrize("dtype", TYPES)
def test_result_replaces_the_input_with_any_share_of_taps(monkeypatch, dtype):
    x = np.random.default_rng(0).standard_normal((3, 9_000)).astype(dtype)
    for log2 in (8, 9, 11):
        monkeypatch.setattr(fir, "choose_n_fft", lambda n_taps, n=2**log2: n)
        for n_taps in (3, 2**log2 // 3, 2**log2 // 2 + 1, 2**log2 - 9):
            taps = low_pass(n_taps | 1)
            expected = filter_zero_phase(x, taps)
            here = x.copy()
            filter_zero_phase(here, taps, out=here)
            np.testing.assert_array_equal(here, expected)
