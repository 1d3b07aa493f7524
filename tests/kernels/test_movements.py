"""Templates within movements, and samples at the limits of the amplifier."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb.kernels.lowrank.clipping import bridge, find_limits, restore
from facet_nb.kernels.lowrank.movements import blend


@pytest.mark.parametrize("n", [60, 500])
@pytest.mark.parametrize("begin, duration", [(0.2, 0.0), (0.7, 0.0), (0.4, 0.1), (0.0, 1.0)])
def test_a_movement_is_found_at_its_time(n, begin, duration):
    rng = np.random.default_rng(n)
    before, after = rng.standard_normal((2, n))
    times = np.arange(n) / n - begin
    share = np.clip(times / duration, 0, 1) if duration else (times >= 0).astype(float)
    x = before + share * (after - before) + 0.01 * rng.standard_normal(n)
    own = 0.5 * (before + after)
    found = blend(x, own, before, after)
    assert np.std(found - x) < (0.2 if duration else 0.06) and np.std(own - x) > 0.3


@pytest.mark.parametrize("size", [0.0, 0.3])
def test_muscles_are_no_movement(size):
    rng = np.random.default_rng(1)
    own, change, muscles = rng.standard_normal((3, 200))
    found = blend(own + 3.0 * muscles, own, own, own + size * change)
    assert found is own


def test_limits_are_those_of_an_amplifier():
    rng = np.random.default_rng(2)
    artifact = np.tile(np.sin(np.linspace(0, 40, 97)), 60)
    eeg = 0.05 * rng.standard_normal(len(artifact))
    free = (-np.inf, np.inf)
    assert find_limits(artifact) == free  # repeats its peak, without EEG
    assert find_limits(artifact + eeg) == free
    assert find_limits(np.round((artifact + eeg) / 0.02) * 0.02) == free
    assert find_limits(np.clip(artifact + eeg, -2.0, 0.8)) == (-np.inf, 0.8)
    assert find_limits(np.clip(artifact + eeg, -0.7, 0.8)) == (-0.7, 0.8)
    assert find_limits(np.zeros(100)) == free


def test_saturated_samples_become_what_lies_beside_them():
    t = np.arange(2000)
    slow, artifact = 0.1 * np.sin(t / 150), np.tile(np.hanning(50), 40)
    x = np.clip(artifact + slow, -np.inf, 0.9)
    row = artifact.copy()
    bridge(x, row, (-np.inf, 0.9))
    assert np.abs((x - row) - slow).max() < 0.01 < np.abs((x - artifact) - slow).max()
    again = restore(x, (-np.inf, 0.9), lambda signal: signal - artifact)
    assert np.abs(again - artifact - slow).max() < 0.01 and x.max() == 0.9
