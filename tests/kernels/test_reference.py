"""Common reference against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb.kernels.reference import subtract_common


@pytest.mark.parametrize("n_channels", [1, 2, 7, 64])
@pytest.mark.parametrize("n_times", [1, 5000, 9001])
def test_median_is_numpys_to_the_bit(n_channels, n_times):
    x = np.random.default_rng(0).standard_normal((n_channels, n_times))
    assert np.array_equal(subtract_common(x, "median"), x - np.median(x, axis=0))


def test_average_leaves_no_mean():
    x = np.random.default_rng(1).standard_normal((9, 5000))
    np.testing.assert_allclose(subtract_common(x, "average").mean(axis=0), 0, atol=1e-15)
    np.testing.assert_allclose(subtract_common(x, "average"), x - x.mean(axis=0), atol=1e-15)


@pytest.mark.parametrize("operator", ["median", "average"])
def test_a_sample_does_not_depend_on_others(operator):
    x = np.random.default_rng(2).standard_normal((6, 10_000))
    whole = subtract_common(x, operator)
    for a, b in [(0, 10_000), (17, 8209), (4095, 4097), (9999, 10_000)]:
        assert np.array_equal(subtract_common(x[:, a:b], operator), whole[:, a:b])
