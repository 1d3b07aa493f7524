"""Second-order sections against scipy's, to the bit."""

from __future__ import annotations

import platform
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, sosfiltfilt

from facet_nb.kernels.filters import iir
from facet_nb.kernels.filters.iir import filter_in_scipy, filter_sos

#: Elsewhere scipy may be compiled with fused multiplication.
IS_X86 = platform.machine().lower() in ("x86_64", "amd64")

DESIGNS = {
    "spikes": butter(5, [300, 6000], "bandpass", fs=30_000, output="sos"),
    "eeg": butter(5, [1, 40], "bandpass", fs=1000, output="sos"),
    "one section": butter(2, 30, "highpass", fs=1000, output="sos"),
    "one pole": butter(1, 30, "lowpass", fs=1000, output="sos"),
    "four": butter(4, [8, 12], "bandpass", fs=500, output="sos"),
    "eight": butter(8, [8, 12], "bandpass", fs=100, output="sos"),
    "nine": butter(9, [8, 12], "bandpass", fs=100, output="sos"),
}


def signals(n_channels, n_times, dtype=float, seed=0):
    x = np.random.default_rng(seed).standard_normal((n_channels, n_times))
    return (x.cumsum(axis=1) + 3.0).astype(dtype)


def check_equal(got, expected):
    if IS_X86:
        assert np.array_equal(got, expected)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("n_channels", [1, 5])
def test_equals_scipy(name, n_channels):
    x = signals(n_channels, 3000)
    expected = sosfiltfilt(DESIGNS[name], x, padlen=700)
    check_equal(filter_sos(x, DESIGNS[name], padlen=700), expected)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_channels", [1, 3, 16, 17, 40])
def test_channel_does_not_depend_on_batch(n_channels, dtype):
    x = signals(n_channels, 1000, dtype)
    together = filter_sos(x, DESIGNS["spikes"], padlen=50)
    for i in range(n_channels):
        assert np.array_equal(
            together[i], filter_sos(x[i : i + 1], DESIGNS["spikes"], padlen=50)[0]
        )
    assert np.array_equal(together[::-1], filter_sos(x[::-1], DESIGNS["spikes"], padlen=50))


@pytest.mark.parametrize("n_channels", [2, 20])
def test_float32_is_rounded_once(n_channels):
    x = signals(n_channels, 2000, np.float32)
    got = filter_sos(x, DESIGNS["eeg"], padlen=300)
    assert got.dtype == np.float32
    expected = sosfiltfilt(DESIGNS["eeg"], x.astype(float), padlen=300)
    if IS_X86:
        assert np.array_equal(got, expected.astype(np.float32))
    np.testing.assert_allclose(got, expected, rtol=2**-23, atol=1e-10 * np.abs(expected).max())


@settings(max_examples=60)
@given(
    n_channels=st.integers(1, 35),
    n_times=st.integers(2, 700),
    padlen=st.integers(0, 900),
    name=st.sampled_from(sorted(DESIGNS)),
)
def test_any_shape(n_channels, n_times, padlen, name):
    x = signals(n_channels, n_times)
    expected = sosfiltfilt(DESIGNS[name], x, padlen=min(padlen, n_times - 1))
    check_equal(filter_sos(x, DESIGNS[name], padlen=padlen), expected)


@pytest.mark.parametrize("n_channels", [1, 17])
@pytest.mark.parametrize("held", [256, 4096, 16 * 511])
def test_chunks_do_not_change_the_result(monkeypatch, n_channels, held):
    from facet_nb.kernels.compiled import sos_rows

    x = signals(n_channels, 5003)
    whole = filter_sos(x, DESIGNS["eeg"], padlen=900)
    monkeypatch.setattr(sos_rows, "_HELD", held)
    assert np.array_equal(filter_sos(x, DESIGNS["eeg"], padlen=900), whole)


def test_one_sample_and_none():
    sos_rows = DESIGNS["one section"]
    x = np.array([[3.0], [4.0]])
    check_equal(filter_sos(x, sos_rows, padlen=10), sosfiltfilt(sos_rows, x, padlen=0))
    for shape in ((0, 100), (3, 0)):
        assert filter_sos(np.empty(shape), sos_rows, padlen=10).shape == shape


@pytest.mark.parametrize("order", ["F", "reversed", "every second"])
def test_layout_does_not_matter(order):
    x = signals(18, 600)
    expected = filter_sos(x, DESIGNS["four"], padlen=100)
    if order == "F":
        y, out = np.asfortranarray(x), np.empty_like(x, order="F")
    elif order == "reversed":
        y, out = x[:, ::-1].copy()[:, ::-1], np.empty_like(x)[:, ::-1]
    else:
        y, out = np.repeat(x, 2, axis=1)[:, ::2], np.empty((18, 1200))[:, ::2]
    assert filter_sos(y, DESIGNS["four"], padlen=100, out=out) is out
    assert np.array_equal(out, expected)


def test_input_is_not_written_to_and_out_is_used():
    x = signals(3, 500)
    kept = x.copy()
    x.flags.writeable = False
    out = np.empty_like(x)
    assert filter_sos(x, DESIGNS["eeg"], padlen=100, out=out) is out
    assert np.array_equal(x, kept)


def test_without_compiled_kernels_scipy_does_the_same(monkeypatch):
    x = signals(4, 900, np.float32)
    compiled = filter_sos(x, DESIGNS["eeg"], padlen=200)
    monkeypatch.setattr(iir, "_find_compiled", lambda: None)
    check_equal(compiled, filter_sos(x, DESIGNS["eeg"], padlen=200))


def test_other_types_are_filtered_too():
    x = np.arange(-200, 200).reshape(1, -1)
    out = np.empty(x.shape)
    filter_sos(x, DESIGNS["one pole"], padlen=20, out=out)
    assert np.array_equal(out, filter_in_scipy(x.astype(float), DESIGNS["one pole"], padlen=20))


def test_threads_share_nothing():
    x = signals(20, 4000)
    expected = filter_sos(x, DESIGNS["spikes"], padlen=50)
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda _: filter_sos(x, DESIGNS["spikes"], padlen=50), range(8))
        assert all(np.array_equal(r, expected) for r in results)


def test_nan_stays_in_its_channel():
    x = signals(17, 400)
    expected = filter_sos(x, DESIGNS["eeg"], padlen=50)
    x[4, 7] = np.nan
    got = filter_sos(x, DESIGNS["eeg"], padlen=50)
    assert np.isnan(got[4]).all()
    others = np.arange(17) != 4
    assert np.array_equal(got[others], expected[others])


def test_scratch_is_what_is_promised():
    import tracemalloc

    x = signals(1, 100_000)
    out = np.empty_like(x)
    filter_sos(x, DESIGNS["eeg"], padlen=1000, out=out)
    for n_channels in (1, 16):
        x, out = np.repeat(x[:1], n_channels, axis=0), np.empty((n_channels, 100_000))
        tracemalloc.start()
        filter_sos(x, DESIGNS["eeg"], padlen=1000, out=out)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= n_channels * iir.scratch_bytes(100_000)
