"""Whether something recurs at the triggers, and the reference channel that follows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facet_nb.kernels.triggers import evidence
from facet_nb.kernels.triggers.evidence import ABSENT, PRESENT, choose_reference, measure_recurrence

TRIGGERS = 300 + 250 * np.arange(30)


def make(seed, sizes, n_times=8000):
    """White noise of 10 µV, and an artifact of a size of its own in each channel."""
    rng = np.random.default_rng(seed)
    data = 10e-6 * rng.standard_normal((len(sizes), n_times))
    wave = rng.standard_normal(200)
    for trigger in TRIGGERS:
        data[:, trigger : trigger + 200] += np.multiply.outer(sizes, wave)
    return data


@pytest.mark.parametrize("seed", range(4))
def test_noise_shows_nothing_and_artifacts_do(seed):
    data = make(seed, [0.0, 1e-3])
    assert measure_recurrence(data[0], TRIGGERS, 250) < ABSENT
    assert measure_recurrence(data[1], TRIGGERS, 250) > PRESENT


@pytest.mark.parametrize("value", [0.0, 1e-3])
def test_a_flat_channel_shows_nothing(value):
    assert measure_recurrence(np.full(8000, value), TRIGGERS, 250) == 0.0
    assert measure_recurrence(make(0, [1e-3])[0], TRIGGERS[:3], 250) == 0.0


@pytest.mark.parametrize("sizes, first, chosen", [
    ([1e-4, 1e-3], 0, 0),  # the first channel shows the artifact: it stays
    ([0.0, 1e-4, 1e-3], 0, 2),
    ([1e-4, 0.0, 1e-3], 1, 2),
    ([0.0, 0.0], 0, 0),  # none does
])  # fmt: skip
@pytest.mark.parametrize("seed", [0, 1])
def test_choice(sizes, first, chosen, seed):
    rows = np.arange(len(sizes))
    assert choose_reference(make(seed, sizes), rows, first, TRIGGERS, 250) == chosen


def test_channels_that_are_not_picked_are_not_chosen():
    data = make(0, [0.0, 1e-3, 1e-4])
    assert choose_reference(data, np.array([0, 2]), 0, TRIGGERS, 250) == 2


@settings(max_examples=100, deadline=None)
@given(
    ends=st.tuples(st.integers(0, 90_000), st.integers(0, 90_000)),
    n=st.integers(4, 50_000),
    seed=st.integers(0, 9),
)
def test_blocks_are_measured_in_groups_as_all_at_once(ends, n, seed):
    x = np.random.default_rng(seed).standard_normal(90_000)
    start, stop = min(ends), max(ends)
    count = (stop - start) // n
    bend = np.zeros(count * n)
    if count:
        bend[1:-1] = np.diff(x[start : start + count * n], 2)
    expected = np.sum(bend.reshape(count, n) ** 2, axis=1)
    np.testing.assert_allclose(evidence._measure_blocks(x, start, stop, n), expected, rtol=1e-12)
