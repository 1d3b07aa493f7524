"""Rows of channels from numbers stored sample by sample, and back: the bits of NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet_nb.core.storage.multiplexed import Piece
from facet_nb.io.formats import brainvision
from facet_nb.kernels.compiled.dispatch import has_compiled, use_compiled
from facet_nb.kernels.compiled.multiplexed import put_rows, take_rows

needs_compiled = pytest.mark.skipif(not has_compiled(), reason="the kernels are not compiled")

#: Numbers of channels and of samples, around whole squares and stripes.
SIZES = st.sampled_from([1, 2, 7, 8, 9, 16, 31, 63, 64, 65, 130, 257])
TYPES = st.sampled_from(["float32", "float64"])
SEEDS = st.integers(0, 2**32 - 1)


@needs_compiled
@given(n_channels=SIZES, n_times=SIZES, dtype=TYPES, seed=SEEDS)
def test_rows_that_are_taken(n_channels, n_times, dtype, seed):
    rng = np.random.default_rng(seed)
    stored = rng.integers(-(2**15), 2**15, (n_times, n_channels)).astype(np.int16)
    factors = 10.0 ** rng.uniform(-9, 2, n_channels) * rng.choice([-1, 1], n_channels)
    first = int(rng.integers(n_channels))
    got = take_rows(stored, first, factors[first:], dtype)
    wanted = (stored[:, first:].T * factors[first:, np.newaxis]).astype(dtype)
    assert got.dtype == dtype and np.array_equal(got, wanted)


@needs_compiled
@given(n_channels=SIZES, n_times=SIZES, dtype=TYPES, seed=SEEDS)
def test_rows_that_are_put(n_channels, n_times, dtype, seed):
    rng = np.random.default_rng(seed)
    held = rng.standard_normal((n_channels, n_times + 5)).astype(dtype)
    held[rng.random(held.shape) < 0.01] = np.nan
    rows, factors = held[:, 3 : 3 + n_times], rng.uniform(0.1, 1e6, n_channels).astype(dtype)
    got = put_rows(rows, factors)
    assert got.dtype == dtype and got.flags.c_contiguous
    np.testing.assert_array_equal(got, (rows * factors[:, np.newaxis]).T)


@needs_compiled
@pytest.mark.parametrize("stored", ["<i2", "<i4", "<f4"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numpy_does_the_same(stored, dtype):
    rng = np.random.default_rng(0)
    piece = Piece((1000 * rng.standard_normal((500, 70))).astype(stored), rng.uniform(0, 1e-6, 70))
    compiled = np.array([row.copy() for row in piece.iter_rows(dtype)])
    assert np.array_equal(compiled[3], piece[3].astype(dtype))
    factors = np.full(70, 1e6)
    put = brainvision._interleave(compiled, factors)
    with use_compiled(frozenset()):
        assert np.array_equal(compiled, list(piece.iter_rows(dtype)))
        assert np.array_equal(put, brainvision._interleave(compiled, factors))
    assert put.dtype == "<f4"
