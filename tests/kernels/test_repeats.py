"""Slices found within a volume."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet_nb.kernels.triggers.repeats import find_repeats

SFREQ = 1000.0
_RNG = np.random.default_rng(5)
_TONES = [(_RNG.uniform(0.05, 0.4), _RNG.uniform(0, 6), _RNG.uniform(0.3, 1)) for _ in range(9)]


def wave(t, length):
    """A slice: quiet at its ends, like nothing shifted within."""
    shape = sum(a * np.sin(2 * np.pi * f * t + p + 0.002 * f * t**2) for f, p, a in _TONES)
    inside = (t > 0) & (t < length)
    return np.where(inside, shape * np.sin(np.pi * np.clip(t / length, 0, 1)) ** 2, 0.0)


def volume(n_slices, distance, period, lag=0.0):
    t = np.arange(int(np.ceil(period)))
    return sum(wave(t - k * distance + lag, distance) for k in range(-1, n_slices))


@given(n=st.integers(2, 30), distance=st.floats(60.0, 130.0))
def test_slices_fill_the_volume(n, distance):
    period = n * distance
    found, step = find_repeats(volume(n, distance, period, lag=2.0), period, SFREQ)
    assert found == n
    assert step == pytest.approx(distance, abs=1e-9)


@pytest.mark.parametrize("gap", [45.0, 333.3, 4000.0])
def test_a_pause_at_the_end(gap):
    found, step = find_repeats(volume(12, 90.37, 12 * 90.37 + gap), 12 * 90.37 + gap, SFREQ)
    assert found == 12
    assert step == pytest.approx(90.37, abs=0.02)


def test_noise_does_not_repeat():
    x = np.random.default_rng(0).standard_normal(3000)
    assert find_repeats(x, 3000.0, SFREQ) == (1, 3000.0)
    assert find_repeats(np.zeros(3000), 3000.0, SFREQ) == (1, 3000.0)
    assert find_repeats(x[:20], 20.0, SFREQ) == (1, 20.0)


def test_slices_that_differ_are_not_taken_for_one():
    x = volume(10, 100.0, 1000.0)
    x[300:400] = np.random.default_rng(1).standard_normal(100)
    x[700:800] = np.random.default_rng(2).standard_normal(100)
    assert find_repeats(x, 1000.0, SFREQ)[0] == 1


def test_one_slice_is_no_volume():
    x = wave(np.arange(120), 120)
    assert find_repeats(x, 120.0, SFREQ) == (1, 120.0)
