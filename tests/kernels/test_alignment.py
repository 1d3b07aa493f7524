"""Alignment against explicit sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facet_nb.kernels.compiled.dispatch import use_compiled
from facet_nb.kernels.resampling import windowed_sinc
from facet_nb.kernels.triggers.alignment import best_lags, refine_lags
from tests.oracles.signals import cross_correlate


def wave(t):
    return np.sin(2 * np.pi * t / 13.0) * np.exp(-(((t - 40) / 18.0) ** 2))


def test_equals_the_oracle():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(3000)
    template = rng.standard_normal(60)
    starts = np.array([100, 400, 1000, 2000])
    expected = [cross_correlate(x, s, template, 9) for s in starts]
    assert list(best_lags(x, starts, template, 9)) == expected


def test_finds_known_shifts_and_leaves_incomplete_pieces():
    t = np.arange(80.0)
    starts = np.array([200, 400, 600, 800, 2960, -5])
    true = np.array([0, 3, -4, 7, 0, 0])
    x = np.zeros(3000)
    for start, shift in zip(starts[:4], true[:4], strict=True):
        x[start + shift : start + shift + 80] += wave(t)
    assert list(best_lags(x, starts, wave(t), 10)) == list(true)
    each = np.tile(wave(t), (6, 1))
    assert list(best_lags(x, starts, each, 10)) == list(true)


@given(
    seed=st.integers(0, 10**6),
    n_samples=st.integers(1, 70),
    max_lag=st.integers(1, 40),
    n_templates=st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_with_and_without_compiled_kernels(seed, n_samples, max_lag, n_templates):
    rng = np.random.default_rng(seed)
    x, starts = rng.standard_normal(400), rng.integers(-30, 420, 12)
    templates = rng.standard_normal((n_templates, n_samples))
    which = rng.integers(0, n_templates, 12)
    found = best_lags(x, starts, templates, max_lag, which)
    with use_compiled(frozenset()):
        assert np.array_equal(found, best_lags(x, starts, templates, max_lag, which))
    complete = (starts >= 0) & (starts + n_samples + max_lag <= 400)
    assert not found[~complete].any()
    assert np.abs(found).max() <= max_lag


def test_a_lazily_upsampled_signal_gives_what_its_samples_give():
    rng = np.random.default_rng(3)
    x = rng.standard_normal(2000)
    starts, templates = np.arange(-50, 8100, 500), rng.standard_normal((3, 400))
    which = rng.integers(0, 3, len(starts))
    lazy = windowed_sinc.Upsampled(x, 4)
    expected = best_lags(np.asarray(lazy), starts, templates, 12, which)
    assert np.array_equal(best_lags(lazy, starts, templates, 12, which), expected)
    assert expected.any()


@pytest.mark.parametrize("shift", [-3.3, -0.5, 0.0, 0.27, 2.61])
def test_parabola_finds_parts_of_a_sample(shift):
    t = np.arange(80.0)
    x = 1e-3 * np.random.default_rng(1).standard_normal(600)
    x[200:280] += wave(t - shift)
    lag = refine_lags(x, np.array([200]), wave(t), 6)[0]
    assert lag == pytest.approx(shift, abs=0.05)


def test_flat_signal_is_not_moved():
    assert refine_lags(np.zeros(300), np.array([100]), wave(np.arange(80.0)), 5)[0] == 0
