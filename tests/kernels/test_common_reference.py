"""Common reference against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb.kernels.filters import common_reference
from facet_nb.kernels.filters.common_reference import subtract_common


@pytest.fixture(params=["compiled", "numpy"])
def way(request, monkeypatch):
    if request.param == "numpy":
        monkeypatch.setattr(common_reference, "_find_compiled", lambda: None)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_channels", [1, 2, 7, 64])
@pytest.mark.parametrize("n_times", [1, 5000, 9001])
def test_median_is_numpys_to_the_bit(way, n_channels, n_times, dtype):
    x = np.random.default_rng(0).standard_normal((n_channels, n_times)).astype(dtype)
    got = subtract_common(x, "median")
    assert got.dtype == dtype
    assert np.array_equal(got, x - np.median(x, axis=0))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_average_leaves_no_mean(dtype):
    x = np.random.default_rng(1).standard_normal((9, 5000)).astype(dtype)
    atol = 3 * np.finfo(dtype).eps
    got = subtract_common(x, "average")
    assert got.dtype == dtype
    np.testing.assert_allclose(got.mean(axis=0, dtype=float), 0, atol=atol)
    np.testing.assert_allclose(got, x - x.mean(axis=0, dtype=float), atol=2 * atol)


@pytest.mark.parametrize("operator", ["median", "average"])
def test_a_sample_does_not_depend_on_others(way, operator):
    x = np.random.default_rng(2).standard_normal((6, 10_000))
    whole = subtract_common(x, operator)
    for a, b in [(0, 10_000), (17, 8209), (4095, 4097), (2047, 2049), (9999, 10_000)]:
        assert np.array_equal(subtract_common(x[:, a:b], operator), whole[:, a:b])


@pytest.mark.parametrize("operator", ["median", "average"])
def test_input_is_not_written_to_and_any_layout_will_do(way, operator):
    x = np.random.default_rng(3).standard_normal((8, 300))
    expected = subtract_common(x, operator)
    y = np.asfortranarray(x)
    y.flags.writeable = False
    out = np.empty_like(x, order="F")
    assert subtract_common(y, operator, out=out) is out
    assert np.array_equal(out, expected)


def test_other_types_are_referenced_too():
    x = np.random.default_rng(4).integers(-9, 9, (5, 100))
    out = np.empty(x.shape)
    subtract_common(x, "median", out=out)
    assert np.array_equal(out, x - np.median(x, axis=0))
