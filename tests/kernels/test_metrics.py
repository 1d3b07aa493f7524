"""Metrics against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet_nb.kernels.measures import metrics


def test_snr_by_hand():
    without = np.array([1.0, 4.0, 2.0, 3.0])
    corrected = np.array([3.0, 5.0, 1.0, 3.0])
    np.testing.assert_array_equal(metrics.snr(without, corrected), [0.5, 4.0, -2.0, np.inf])


def test_snr_of_microvolts_is_not_clamped():
    # Defect of a peer: 10 µV of EEG, residuals of 0.1 to 10 µV all gave 1.00.
    residual_v = np.array([0.1e-6, 1e-6, 10e-6])
    without = np.full(3, (10e-6) ** 2)
    found = metrics.snr(without, without + residual_v**2)
    np.testing.assert_allclose(found, [1e4, 1e2, 1.0], rtol=1e-9)


def test_flat_channels_are_nan():
    np.testing.assert_array_equal(metrics.snr([0.0, 1.0, np.nan], [1.0, 0.0, 1.0]), [np.nan] * 3)
    np.testing.assert_array_equal(
        metrics.rms_ratio([0.0, 1.0, 6.0, np.nan], [1.0, 0.0, 2.0, 1.0]),
        [np.nan, np.nan, 3, np.nan],
    )


@given(
    st.integers(1, 5),
    st.lists(st.integers(0, 40), min_size=1, max_size=6),
    st.floats(-1e-2, 1e-2),
    st.integers(0, 2**32 - 1),
)
def test_variance_of_pieces_is_that_of_the_whole(n_channels, lengths, offset, seed):
    rng = np.random.default_rng(seed)
    pieces = [offset + 1e-5 * rng.normal(size=(n_channels, n)) for n in lengths]
    found = metrics.variance(pieces, n_channels)
    if sum(lengths) < 2:
        return
    np.testing.assert_allclose(found, np.concatenate(pieces, axis=1).var(axis=1), rtol=1e-6)


def test_variance_of_a_constant_is_zero_and_of_nothing_nan():
    pieces = [np.full((1, 7), 0.1), np.full((1, 5), 0.1)]
    assert metrics.variance(pieces, 1)[0] == 0.0
    assert np.isnan(metrics.variance([np.zeros((1, 0))], 1)[0])
    assert np.isnan(metrics.variance([np.array([[1.0, np.inf]])], 1)[0])


def test_summaries_leave_out_nan():
    assert metrics.mean_of_valid([1.0, np.nan, 4.0]) == 2.5
    assert metrics.mean_of_valid([1.0, np.inf]) == np.inf
    assert metrics.median_of_valid([1.0, np.nan, 4.0, 5.0]) == 4.0
    assert np.isnan(metrics.mean_of_valid([np.nan]))
    assert metrics.median_of_valid([]) != pytest.approx(0.0)
