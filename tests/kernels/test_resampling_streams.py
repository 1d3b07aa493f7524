"""Resampling as a stream equals that of the whole signal, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from facet_nb.kernels.resampling import windowed_sinc
from facet_nb.kernels.streams import make_resampler
from tests.kernels.test_streams import flow, pieces


@settings(max_examples=60, deadline=None)
@given(
    up=st.integers(1, 13),
    down=st.integers(1, 13),
    n_times=st.sampled_from([1, 2, 50, 1339, 2700, 9_001, 16_384, 40_000, 100_003]),
    size=st.integers(1, 40_000),
    seed=st.integers(0, 100),
)
@example(10, 1, 100_003, 7_000, 0)
@example(1, 10, 400_003, 50_000, 0)
@example(128, 625, 100_003, 7_000, 0)
@example(625, 128, 30_000, 7_000, 0)
def test_pieces_give_the_same(up, down, n_times, size, seed):
    divisor = np.gcd(up, down)
    up, down = int(up // divisor), int(down // divisor)
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.standard_normal(n_times))
    whole = windowed_sinc.resample(x[np.newaxis], up, down)[0]
    stream = make_resampler(up, down, n_times)
    assert np.array_equal(flow(stream, x, max(size, n_times // 50), rng), whole)


@pytest.mark.parametrize(("up", "down", "most"), [(4, 1, 60e3), (1, 3, 200e3), (2, 5, 40e3)])
def test_they_keep_a_few_transforms(up, down, most):
    stream = make_resampler(up, down, 1_000_000)
    for piece in pieces(np.zeros(1_000_000), 5_000):
        stream.push(piece)
        assert len(stream.buffer.data) < most
