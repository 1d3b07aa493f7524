"""Resampling against the exact band-limited result, and its inverse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet_nb.kernels.resampling import windowed_sinc
from tests.oracles.signals import band_limited, sines

FREQS = [3.1, 47.3, 211.7, 390.2]
PHASES = [0.1, 1.2, 2.3, 3.4]


def _inside(x, margin):
    return x[..., margin:-margin]


@pytest.mark.parametrize(
    ("up", "down"), [(10, 1), (2, 1), (7, 1), (1, 1), (5, 4), (125, 128), (3, 2)]
)
def test_equals_exact_values(up, down):
    n, sfreq = 12_000, 1000.0
    x = sines(np.arange(n) / sfreq, FREQS, PHASES)[np.newaxis]
    y = windowed_sinc.resample(x, up, down)
    exact = sines(np.arange(y.shape[1]) * down / (up * sfreq), FREQS, PHASES)
    margin = 1500 * up // down
    assert np.abs(_inside(y[0] - exact, margin)).max() < 2e-9


@pytest.mark.parametrize("factor", [2, 5, 10])
def test_downsampling_equals_exact_values(factor):
    n, sfreq = 60_000, 10_000.0
    freqs = [3.1, 0.2 * sfreq / factor, 0.47 * sfreq / factor]
    x = sines(np.arange(n) / sfreq, freqs, PHASES[:3])[np.newaxis]
    y = windowed_sinc.downsample(x, factor)
    exact = sines(np.arange(y.shape[1]) * factor / sfreq, freqs, PHASES[:3])
    assert np.abs(_inside(y[0] - exact, 1500)).max() < 1e-9


def test_downsampling_stops_what_would_alias():
    n, factor = 60_000, 10
    x = np.sin(2 * np.pi * 0.5 / factor * 1.03 * np.arange(n))[np.newaxis]
    y = windowed_sinc.downsample(x, factor)
    assert np.abs(_inside(y, 1500)).max() < 1e-9


@given(
    n_times=st.integers(2, 4000),
    factor=st.integers(1, 12),
    seed=st.integers(0, 2**16),
)
def test_up_then_down_is_the_identity(n_times, factor, seed):
    x = np.random.default_rng(seed).standard_normal((1, n_times))
    back = windowed_sinc.downsample(windowed_sinc.upsample(x, factor), factor)
    assert np.abs(back - x).max() < 1e-9 * np.abs(x).max()


def test_up_then_down_of_a_band_limited_signal_at_ten():
    x = band_limited(np.random.default_rng(0), 30_011, 0.9, 2) * 1e-4
    back = windowed_sinc.downsample(windowed_sinc.upsample(x, 10), 10)
    assert np.abs(back - x).max() < 1e-9 * np.abs(x).max()


def test_upsampling_keeps_the_samples_to_the_bit():
    x = np.random.default_rng(3).standard_normal((2, 5000))
    assert np.array_equal(windowed_sinc.upsample(x, 10)[:, ::10], x)


def test_constants_and_lines_stay():
    n = np.arange(4000.0)
    x = np.stack([np.full(4000, 3.0), 0.5 * n])
    y = windowed_sinc.upsample(x, 4)
    np.testing.assert_allclose(y[0], 3.0, rtol=1e-13)
    np.testing.assert_allclose(y[1], np.arange(16_000) / 8, rtol=0, atol=1e-8)


def test_channel_does_not_depend_on_batch():
    x = np.random.default_rng(4).standard_normal((4, 20_003))
    for up, down in [(10, 1), (1, 10), (5, 4)]:
        together = windowed_sinc.resample(x, up, down)
        for i in range(4):
            assert np.array_equal(together[i], windowed_sinc.resample(x[i : i + 1], up, down)[0])


def test_counts_are_those_of_mne():
    for n, up, down in [(1000, 10, 1), (1005, 1, 10), (999, 1, 10), (2048, 125, 1024), (3, 1, 10)]:
        assert windowed_sinc.count(n, up, down) == max(1, round(n * up / down))


@given(st.integers(1, 50), st.integers(1, 7), st.integers(1, 7))
def test_codes_are_kept(n, up, down):
    x = np.arange(1, n + 1, dtype=float)[np.newaxis]
    y = windowed_sinc.hold(x, up, down)
    assert y.shape == (1, windowed_sinc.count(n, up, down))
    assert set(y[0]) <= set(x[0])


def test_no_code_is_lost_in_downsampling():
    x = np.zeros((1, 1000))
    x[0, 123] = 7
    x[0, 456] = -3
    y = windowed_sinc.hold(x, 1, 10)
    assert y[0, 12] == 7
    assert y[0, 45] == -3


@pytest.mark.parametrize("cache_bytes", [0, 64 << 20])
def test_a_signal_that_is_upsampled_where_it_is_looked_at(cache_bytes):
    x = np.random.default_rng(0).standard_normal(45_000)
    whole = windowed_sinc.upsample(x[np.newaxis], 3)[0]
    lazy = windowed_sinc.Upsampled(x, 3, cache_bytes)
    assert len(lazy) == len(whole)
    for where in (slice(0, 10), slice(41_000, 41_300), slice(5, 130_000), slice(-9, None)):
        assert np.array_equal(lazy[where], whole[where])
    assert np.array_equal(lazy[10:100:7], whole[10:100:7])
    assert len(lazy[7:7]) == 0
    assert np.array_equal(np.asarray(lazy), whole)
    assert (lazy.min(), lazy.max()) == (whole.min(), whole.max())
    assert lazy.mean() == pytest.approx(whole.mean(), abs=1e-15)
    assert len(lazy.blocks) <= max(2, cache_bytes)
    with pytest.raises(ValueError, match="read-only"):
        lazy[0:5][0] = 1.0
