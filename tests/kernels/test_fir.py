"""FIR filters against MNE and against a convolution written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mne.filter import create_filter, filter_data

from facet_nb.kernels.fir import filter_zero_phase
from tests.oracles.signals import convolve_reflected


@pytest.mark.filterwarnings("ignore:filter_length")
@pytest.mark.parametrize("n_times", [40_000, 5_000, 900])
@pytest.mark.parametrize(("low", "high"), [(1.0, None), (None, 70.0), (1.0, 40.0)])
def test_equals_mne(n_times, low, high):
    x = np.random.default_rng(0).standard_normal((3, n_times))
    taps = create_filter(None, 1000.0, low, high, verbose="error")
    expected = filter_data(x, 1000.0, low, high, verbose="error")
    np.testing.assert_allclose(
        filter_zero_phase(x, taps), expected, rtol=0, atol=1e-12 * np.abs(expected).max()
    )


@given(
    n_times=st.integers(2, 400),
    half=st.integers(0, 120),
    seed=st.integers(0, 2**16),
)
def test_equals_convolution(n_times, half, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((1, n_times))
    taps = rng.standard_normal(2 * half + 1)
    taps = taps + taps[::-1]
    expected = convolve_reflected(x[0], taps)
    scale = np.abs(taps).sum() * np.abs(x).max() * 3
    np.testing.assert_allclose(filter_zero_phase(x, taps)[0], expected, rtol=0, atol=1e-12 * scale)


def test_channel_does_not_depend_on_batch():
    x = np.random.default_rng(1).standard_normal((5, 30_001))
    taps = create_filter(None, 1000.0, 1.0, None, verbose="error")
    together = filter_zero_phase(x, taps)
    for i in range(5):
        assert np.array_equal(together[i], filter_zero_phase(x[i : i + 1].copy(), taps)[0])


def test_input_is_not_written_to_and_out_is_used():
    x = np.random.default_rng(2).standard_normal((2, 1000))
    x.flags.writeable = False
    out = np.empty_like(x)
    assert filter_zero_phase(x, np.array([0.25, 0.5, 0.25]), out=out) is out


def test_even_filter_is_refused():
    with pytest.raises(ValueError, match="odd number of taps"):
        filter_zero_phase(np.zeros((1, 10)), np.ones(4))
