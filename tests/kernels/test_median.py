"""The compiled median across channels against numpy's, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

pytest.importorskip("facet_nb.kernels.compiled._native")

from facet_nb.kernels.compiled.median import median_across, subtract_median

TYPES = [np.float64, np.float32]


def draw(kind, n_channels, n_times, dtype):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n_channels, n_times))
    first, second = (np.arange(n_channels)[:, np.newaxis] % 2 == i for i in range(2))
    powers = np.repeat(2.0 ** np.linspace(-120, 120, n_channels)[:, np.newaxis], n_times, axis=1)
    limits = np.finfo(dtype)
    with np.errstate(under="ignore"):
        return {
            "normal": x,
            "heavy tails": rng.standard_cauchy(x.shape),
            "gains": x * np.exp(2 * rng.standard_normal((n_channels, 1))) + 10 * x[:, :1],
            "ties": np.round(2 * x),
            "two values": np.sign(x),
            "constant": np.full_like(x, -0.7),
            "two heaps": x + 1e6 * second,
            "far apart": x + 1e30 * first,
            "powers": rng.permuted(powers, axis=0),
            "tiny": x * (float(limits.tiny) / 1000),
            "huge": np.clip(x, -4, 4) * (float(limits.max) / 4),
        }[kind].astype(dtype)


KINDS = [
    "normal",
    "heavy tails",
    "gains",
    "ties",
    "two values",
    "constant",
    "two heaps",
    "far apart",
    "powers",
    "tiny",
    "huge",
]


@pytest.mark.parametrize("dtype", TYPES)
def test_any_number_of_channels(dtype):
    x = draw("normal", 400, 33, dtype)
    for n_channels in range(1, 401):
        got = median_across(x[:n_channels])
        assert got.dtype == dtype
        assert np.array_equal(got, np.median(x[:n_channels], axis=0)), n_channels


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n_channels", [2, 3, 31, 64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:overflow")
def test_any_distribution(kind, n_channels, dtype):
    x = draw(kind, n_channels, 200, dtype)
    assert np.array_equal(median_across(x), np.median(x, axis=0))


@pytest.mark.parametrize("dtype", TYPES)
def test_any_length(dtype):
    x = draw("normal", 5, 700, dtype)
    expected = np.median(x, axis=0)
    for n_times in [0, 1, *range(14, 18), *range(30, 34), *range(126, 130), *range(255, 258), 700]:
        assert np.array_equal(median_across(x[:, :n_times]), expected[:n_times])


@settings(max_examples=200)
@given(
    arrays(
        st.sampled_from([np.dtype(t) for t in TYPES]),
        st.tuples(st.integers(1, 12), st.integers(1, 5)),
        elements=st.floats(-(2.0**99), 2.0**99, width=32) | st.sampled_from([0.0, -0.0, 1.0, -1.0]),
    )
)
def test_any_numbers(x):
    assert np.array_equal(median_across(x), np.median(x, axis=0))


@pytest.mark.parametrize("n_channels", [1, 2, 3, 8, 63])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_is_not_finite_ends(n_channels):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((n_channels, 500))
    odd = rng.random(x.shape)
    for value, share in ((np.nan, 0.01), (np.inf, 0.1), (-np.inf, 0.2)):
        x[odd < share] = value
        odd[odd < share] = 1.0
    assert np.array_equal(median_across(x), np.median(x, axis=0), equal_nan=True)
    assert np.isnan(median_across(np.full((n_channels, 20), np.nan))).all()


@pytest.mark.parametrize("dtype", TYPES)
def test_subtracted_median_is_the_same(dtype):
    x = draw("gains", 9, 1111, dtype)
    out = np.empty_like(x)
    subtract_median(x, out)
    assert np.array_equal(out, x - np.median(x, axis=0))
    strided = np.repeat(x, 2, axis=1)[:, ::2]
    assert np.array_equal(median_across(strided), np.median(x, axis=0))
