"""Averages, differences and extreme values of windows: NumPy and compiled kernels agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet_nb.kernels.compiled.dispatch import has_compiled, use_compiled
from facet_nb.kernels.measures.recovery import find_edges
from facet_nb.kernels.measures.residual import Grid, pick_differences

needs_compiled = pytest.mark.skipif(not has_compiled(), reason="the kernels are not compiled")

SEEDS = st.integers(0, 2**32 - 1)
#: Rows are parts of longer ones, so that they are not all contiguous.
SIZES = st.sampled_from([1, 2, 3, 7, 16])


def draw(seed, n_rows, n_times, dtype="float64"):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n_rows, n_times + 9)).astype(dtype)[:, 4 : 4 + n_times]


def in_both(function, *arguments):
    """Return what a function makes with compiled kernels, and without."""
    compiled = function(*arguments)
    with use_compiled(frozenset()):
        return compiled, function(*arguments)


def average(x, sfreq):
    grid = Grid.of(x.shape[1], sfreq)
    out = np.full((len(x), x.shape[1] // grid.factor), np.nan, dtype=np.float32)
    grid.average(x, out)
    return out


@needs_compiled
@given(
    n_rows=SIZES,
    n_times=st.integers(60, 700),
    sfreq=st.sampled_from([500.0, 1000.0, 2048.0, 5000.0, 25000.0]),
    seed=SEEDS,
)
def test_differences_of_averages(n_rows, n_times, sfreq, seed):
    x = draw(seed, n_rows, n_times)
    compiled, numpy = in_both(average, x, sfreq)
    np.testing.assert_allclose(compiled, numpy, rtol=1e-5, atol=1e-6)
    factor, n = int(sfreq / 500.0), compiled.shape[1]
    means = x[:, : n * factor].reshape(n_rows, n, factor).mean(axis=2)
    np.testing.assert_allclose(compiled[:, 1:], np.diff(means), rtol=1e-5, atol=1e-6)
    assert not compiled[:, 0].any()


@pytest.mark.parametrize(
    "x", [draw(0, 3, 400, "float32"), np.repeat(draw(1, 3, 200), 2, 1)[:, ::2]]
)
def test_averages_of_other_arrays(x):
    copy = np.ascontiguousarray(x, dtype=float)
    np.testing.assert_allclose(average(x, 5000.0), average(copy, 5000.0), rtol=1e-4, atol=1e-6)


@needs_compiled
@given(n_rows=SIZES, n_places=st.integers(1, 30), lag=SIZES, n=st.integers(1, 12), seed=SEEDS)
def test_differences_here_and_there(n_rows, n_places, lag, n, seed):
    x = draw(seed, n_rows, 300)
    first = np.random.default_rng(seed).integers(0, 300 - n * lag, (2, n_places))
    compiled, numpy = in_both(pick_differences, x, first, lag, n)
    assert compiled.shape == (n_rows, 2, n_places, n)
    np.testing.assert_array_equal(compiled, numpy)
    np.testing.assert_array_equal(compiled[0, 1, 0], np.diff(x[0, first[1, 0] :: lag][: n + 1]))


@pytest.mark.parametrize("first", [-1, 280])
def test_places_beyond_the_samples(first):
    if first < 0 and not has_compiled():
        pytest.skip("NumPy counts from the end")
    with pytest.raises(IndexError):
        pick_differences(draw(0, 2, 300), np.array([first]), 2, 10)


@needs_compiled
@given(
    n_rows=SIZES,
    n_times=st.integers(1, 60),
    dtype=st.sampled_from(["float32", "float64"]),
    least=st.integers(1, 5),
    n_values=st.sampled_from([1, 2, 4, 1000]),
    with_nan=st.booleans(),
    seed=SEEDS,
)
def test_extreme_values(n_rows, n_times, dtype, least, n_values, with_nan, seed):
    x = np.rint(draw(seed, n_rows, n_times, dtype) * n_values / 4)
    if with_nan:
        x[0, n_times // 2] = np.nan
    compiled, numpy = in_both(find_edges, x, least)
    assert compiled.dtype == numpy.dtype == dtype
    np.testing.assert_array_equal(compiled, numpy)


@pytest.mark.parametrize("compiled", [None, frozenset()])
def test_a_signal_at_its_limit(compiled):
    x = draw(3, 3, 500)
    x[1] = np.minimum(x[1], 0.2)
    x[2, [10, 11, 400, 401]] = -9.0  # twice two samples are no run of three
    with use_compiled(compiled):
        edges = find_edges(x)
    np.testing.assert_array_equal(edges[:, 0], x.max(axis=1))
    np.testing.assert_array_equal(edges[:, 1], x.min(axis=1))
    assert edges[1, 2] == 0.2 and np.isnan(np.delete(edges[:, 2:].ravel(), 2)).all()
