"""Agreement with the truth, and unlocked power, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet_nb.kernels.measures import recovery


def test_agreement_by_hand():
    truth, x = np.array([3.0, -4.0, 0.0, 1.0]), np.array([3.0, -3.0, 0.0, 0.0])
    found = recovery.agreement(x, truth)  # Σ truth² = 26, Σ error² = 2
    assert found.snr_db == pytest.approx(10 * np.log10(13))
    assert found.nrmse == pytest.approx(np.sqrt(1 / 13))
    assert found.correlation == pytest.approx(np.corrcoef(x, truth)[0, 1])


def test_agreement_at_its_ends():
    x = np.array([1.0, -1.0])
    assert recovery.agreement(x, x).snr_db == np.inf
    assert np.isnan(recovery.agreement(x, np.zeros(2)).snr_db)
    assert np.isnan(recovery.correlate(x, np.ones(2)))
    # A correlation of 1 says nothing of the amplitude.
    half = recovery.agreement(0.5 * x, x)
    assert half.correlation == pytest.approx(1.0) and half.nrmse == pytest.approx(0.5)


def test_a_recurring_signal_is_locked_and_noise_is_not():
    wave, starts = np.sin(np.arange(50)), 50 * np.arange(40)
    power, share = recovery.unlocked_share(np.tile(wave, 40), starts, 50)
    assert power == pytest.approx(0.0, abs=1e-25) and share == pytest.approx(0.0, abs=1e-25)
    noise = np.random.default_rng(0).normal(scale=2.0, size=2000)
    power, share = recovery.unlocked_share(noise, starts, 50)
    assert power == pytest.approx(4.0, rel=0.1) and share == pytest.approx(1.0, rel=0.05)


def test_unlocked_share_by_hand():
    noise = np.array([1.0, 2.0, 3.0, 2.0, 9.0])  # epochs (1, 2) and (3, 2), mean (2, 2)
    power, share = recovery.unlocked_share(noise, np.array([0, 2, 4]), 2)
    assert power == pytest.approx(2.0 / (1 * 2)) and share == pytest.approx(1.0 / (18.0 / 4))
    assert np.isnan(recovery.unlocked_share(noise, np.array([0]), 2)).all()
    assert np.isnan(recovery.unlocked_share(np.zeros(4), np.array([0, 2]), 2)[1])


def test_clipped_samples_by_hand():
    x = np.array([0.0, 5, 5, 5, 1, 5, 5, 2, 2, 2, -3, -3, -3, -3])
    found = np.flatnonzero(recovery.find_clipped(x)).tolist()
    assert found == [1, 2, 3, 10, 11, 12, 13]
    assert np.flatnonzero(recovery.find_clipped(x, 5.0)).tolist() == [
        1,
        2,
        3,
        5,
        6,
        10,
        11,
        12,
        13,
    ]
    assert not recovery.find_clipped(np.ones(9)).any()
    assert not recovery.find_clipped(np.random.default_rng(0).normal(size=999)).any()


def test_untouched_samples_are_runs():
    noise = np.array([1.0, 0, 1, 0, 0, 0, -1, 1e-9, 0, 0, 1])
    assert np.flatnonzero(recovery.find_untouched(noise, 3)).tolist() == [3, 4, 5, 7, 8, 9]
    assert recovery.find_untouched(np.zeros(4), 3).all()


@given(
    parts=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 30)), max_size=12),
    least=st.integers(2, 12),
)
def test_runs_of_equal_samples(parts, least):
    """As found by comparing all neighbours; few of them are compared."""
    x = np.repeat([value for value, _ in parts], [n for _, n in parts]).astype(float)
    wanted = recovery.find_runs(x[1:] == x[:-1], max(least - 1, 1)) if len(x) > 1 else []
    assert recovery.find_constant(x, least) == [(start, stop + 1) for start, stop in wanted]
