"""Averaged artifact subtraction against a slow oracle, and its laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet_nb.kernels.templates import averaging
from facet_nb.kernels.templates.neighbours import average_sliding, correlate_rows
from facet_nb.kernels.templates.subtraction import subtract_templates
from tests.oracles import averaging as oracle

N = 120


def make(n_epochs, seed=0, noise=0.05, odd=()):
    """A recording of `n_epochs` artifacts, of which some are different."""
    rng = np.random.default_rng(seed)
    starts = 300 + np.cumsum(rng.integers(N - 1, N + 2, n_epochs))
    x = noise * rng.standard_normal(starts[-1] + N + 300) + 0.7
    shape = np.sin(np.arange(N) / 7.0) * np.hanning(N)
    for i, start in enumerate(starts):
        x[start : start + N] += (-0.5 if i in odd else 1 + 0.01 * i) * shape
    return x, starts


def run_blocks(x, starts, window, threshold, **kw):
    templates, which = averaging.average_blocks(
        x, starts, N, window=window, threshold=threshold, **kw
    )
    return subtract_templates(x, starts, templates, which)


@pytest.mark.parametrize("n_epochs", [7, 30, 31, 34, 35, 61, 90])
@pytest.mark.parametrize("window", [10, 30])
@pytest.mark.parametrize("odd", [(), (6, 12, 25)])
def test_blocks_equal_the_oracle(n_epochs, window, odd):
    x, starts = make(n_epochs, odd=odd)
    expected = oracle.correct_blocks(x, starts, N, window, 0.975)
    np.testing.assert_allclose(run_blocks(x, starts, window, 0.975), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("n_epochs", [2, 9, 40])
@pytest.mark.parametrize("odd", [(), (5, 6, 30)])
def test_sliding_equals_the_oracle(n_epochs, odd):
    x, starts = make(n_epochs, odd=odd)
    templates = average_sliding(x, starts, N, window=12, threshold=0.9)
    got = subtract_templates(x, starts, templates, np.arange(n_epochs), overlap=False)
    expected = oracle.correct_sliding(x, starts, N, 12, 0.9)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


def test_last_block_of_one_epoch_is_not_its_own_template():
    x, starts = make(31)
    corrected = run_blocks(x, starts, 30, 0.975)
    last = corrected[starts[-1] : starts[-1] + N]
    assert last.std() > 0.03  # the noise is still there
    assert averaging.list_blocks(31, 30) == [(0, 31)]


def test_an_epoch_unlike_the_others_is_left_out():
    x, starts = make(30, odd=(12,))
    epochs = averaging.take_epochs(x, starts, N)
    chosen = averaging.choose_epochs(epochs, np.arange(5), np.arange(30), 0.975)
    assert 12 not in chosen
    assert len(chosen) == 29


@given(
    scale=st.floats(1e-6, 1e3),
    offset=st.floats(-10, 10),
    seed=st.integers(0, 100),
)
def test_scaling_the_signal_scales_the_result(scale, offset, seed):
    x, starts = make(24, seed)
    one = run_blocks(x, starts, 12, 0.5)
    two = run_blocks(scale * x + offset, starts, 12, 0.5)
    np.testing.assert_allclose(two, scale * one + offset, rtol=0, atol=1e-10 * (scale + 10))


@given(st.integers(0, 200))
def test_zero_stays_zero(seed):
    _, starts = make(20, seed)
    x = np.zeros(starts[-1] + 2 * N)
    assert not run_blocks(x, starts, 10, 0.975).any()
    templates = average_sliding(x, starts, N, window=10, threshold=0.975)
    assert not templates.any()


def test_a_repeating_artifact_without_noise_is_removed():
    x, starts = make(30, noise=0.0)
    flat = x.copy()
    for start in starts:  # every artifact the same
        flat[start : start + N] = 0.7 + np.sin(np.arange(N) / 7.0) * np.hanning(N)
    flat[: starts[0]] = flat[starts[-1] + N :] = 0.7
    templates, which = averaging.average_blocks(flat, starts, N, window=30, threshold=0.9)
    corrected = subtract_templates(flat, starts, templates, which, overlap=False)
    inside = corrected[starts[0] : starts[-1]]
    assert np.ptp(inside) < 0.15  # the border samples of unequal spacing
    assert np.median(np.abs(inside - np.median(inside))) < 1e-12


@pytest.mark.parametrize("shift", [-40, 40])
def test_epochs_beyond_the_ends(shift):
    x, starts = make(12)
    x = x[starts[0] + 50 : starts[-1] + N - 50]
    starts = starts - starts[0] - 50
    templates, which = averaging.average_blocks(x, starts, N, window=30, threshold=0.9)
    corrected = subtract_templates(x, starts, templates, which)
    assert np.isfinite(corrected).all()
    assert np.abs(corrected[:50] - 0.7).max() < 0.5  # corrected as far as it goes
    whole = averaging.is_complete(starts, N, len(x))
    assert list(whole) == [False] + [True] * 10 + [False]


def test_scaled_templates_follow_the_amplitude():
    x, starts = make(30, noise=0.01)
    templates, which = averaging.average_blocks(x, starts, N, window=30, threshold=0.5)
    plain = subtract_templates(x, starts, templates, which)
    scaled = subtract_templates(x, starts, templates, which, scale=True)
    assert scaled.std() < 0.5 * plain.std()


def test_gaps_are_bridged_with_a_line():
    x = np.zeros(1000)
    starts = np.array([100, 300])
    templates = np.stack([np.full(50, 2.0), np.full(50, 4.0)])
    got = subtract_templates(x, starts, templates, np.array([0, 1]), bridge=True)
    steps = np.arange(1, 151) / 151
    np.testing.assert_allclose(got[150:300], -(2 + 2 * steps))
    assert not got[:100].any()
    assert not got[350:].any()


def test_flat_signal_has_no_correlation():
    a = np.vstack([np.ones(10), np.arange(10.0)])
    np.testing.assert_allclose(correlate_rows(a, a), [0.0, 1.0])


@pytest.mark.parametrize("threshold", [-1.0, 0.2, 0.8, 0.97])
def test_greedy_choice_equals_the_rule_written_out(threshold):
    rng = np.random.default_rng(3)
    for spread in (0.5, 2.0, 8.0):
        epochs = rng.standard_normal((40, 12)) * spread + 3 * rng.standard_normal(12)
        centred = epochs - epochs.mean(axis=1, keepdims=True)
        got = averaging.choose_greedily(centred @ centred.T, 5, threshold)
        chosen = list(range(5))
        for j in range(5, 40):
            if oracle.pearson(np.mean(epochs[chosen], axis=0), epochs[j]) > threshold:
                chosen.append(j)
        assert list(got) == chosen
