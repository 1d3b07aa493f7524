"""Overlapping responses against a dense least-squares problem."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb.kernels.pulse.beats import Beats, collect, fit_waves, render

N_TIMES = 900


@pytest.fixture
def beats():
    rng = np.random.default_rng(0)
    starts = np.concatenate([[-12], 60 + np.cumsum(rng.integers(25, 45, 20)), [N_TIMES - 10]])
    scores = np.linalg.qr(rng.standard_normal((len(starts), 2)))[0]
    return Beats(starts, 40, scores)


def dense(beats):
    """The model as one matrix, column by column."""
    columns = []
    for wave in range(beats.scores.shape[1]):
        for lag in range(beats.n_samples):
            unit = np.zeros((beats.scores.shape[1], beats.n_samples))
            unit[wave, lag] = 1.0
            columns.append(render(unit, beats, N_TIMES))
    return np.stack(columns, axis=1)


def test_render_adds_each_beat_where_it_is():
    beats = Beats(np.array([2, 4, 7]), 3, np.array([[1.0], [2.0], [3.0]]))
    out = render(np.array([[1.0, 10.0, 100.0]]), beats, 9)
    np.testing.assert_array_equal(out, [0, 0, 1, 10, 102, 20, 200, 3, 30])


def test_collect_is_the_adjoint_of_render(beats):
    rng = np.random.default_rng(1)
    waves, x = rng.standard_normal((2, 40)), rng.standard_normal(N_TIMES)
    there = np.dot(render(waves, beats, N_TIMES), x)
    assert there == pytest.approx(np.vdot(waves, collect(x, beats)), rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_fit_is_the_least_squares_solution(beats, weighted):
    rng = np.random.default_rng(2)
    x = rng.standard_normal(N_TIMES)
    weights = rng.uniform(0.5, 1.0, N_TIMES) if weighted else None
    root = np.ones(N_TIMES) if weights is None else np.sqrt(weights)
    best = np.linalg.lstsq(root[:, np.newaxis] * dense(beats), root * x, rcond=None)[0]
    waves = fit_waves(x, beats, weights=weights)
    error = render(waves - best.reshape(2, 40), beats, N_TIMES)
    assert np.std(error) < 5e-3 * np.std(dense(beats) @ best)


def test_zero_gives_zero(beats):
    assert not fit_waves(np.zeros(N_TIMES), beats).any()
