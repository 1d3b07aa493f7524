"""Statistics: coverage of the intervals, and verdicts on planted differences."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb.benchmark import stats
from facet_nb.core import ValidationError


def draw_times(seed: int, slowdown: float, n: int = 10, noise: float = 0.02):
    """Two configurations in `n` blocks: what slows a block slows both."""
    rng = np.random.default_rng(seed)
    block = np.exp(rng.normal(0, 0.1, n))
    base, other = (np.exp(rng.normal(0, noise, n)) for _ in range(2))
    return 2.0 * block * base, 2.0 * slowdown * block * other


def test_a_planted_slowdown_of_10_percent_is_found():
    verdicts = [stats.compare(*draw_times(seed, 1.1)).verdict for seed in range(100)]
    assert verdicts.count("slower") >= 99 and "faster" not in verdicts


def test_a_planted_difference_of_0_is_inconclusive_in_95_of_100_tries():
    verdicts = [stats.compare(*draw_times(seed, 1.0)).verdict for seed in range(100)]
    assert verdicts.count("inconclusive") >= 95


@pytest.mark.parametrize("n", [3, 5])
def test_intervals_of_few_repeats_are_honest(n):
    inside = 0
    for seed in range(200):
        found = stats.compare(*draw_times(seed, 1.0, n)).ratio
        inside += found.low <= 1.0 <= found.high
    assert inside >= 180  # 95 % promised; 90 % is four standard deviations below


def test_an_outlier_moves_nothing():
    base, other = draw_times(1, 1.1)
    quiet = stats.compare(base, other).ratio.value
    other[3] *= 20
    assert stats.compare(base, other).ratio.value == pytest.approx(quiet, rel=0.02)


def test_ratios_are_taken_within_blocks():
    found = stats.pair_ratios([1.0, 2.0, 4.0], [4.0, 1.0, 9.0], [0, 1, 2], [2, 1, 7])
    assert found == pytest.approx([2.0, 1.0])
    doubled = stats.pair_ratios([1.0, 4.0, 3.0], [1.0, 1.0], [0, 0, 1], [0, 1])
    assert doubled == pytest.approx([2.0, 3.0])


def test_exact_ratios_have_no_width():
    found = stats.compare([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert found.verdict == "faster"
    assert (found.ratio.low, found.ratio.value, found.ratio.high) == pytest.approx((2, 2, 2))
    assert stats.compare([2.0] * 4, [2.0] * 4).verdict == "inconclusive"


def test_too_few_repeats_say_nothing():
    found = stats.compare([2.0, 2.0], [1.0, 1.0])
    assert found.verdict == "inconclusive" and np.isnan(found.ratio.low)
    assert np.isnan(stats.compare([], []).ratio.value)


def test_centre_of_all_pairs():
    assert stats.estimate_centre([1.0, 2.0, 9.0]) == pytest.approx(3.5)
    assert stats.estimate_centre([5.0]) == 5.0


@pytest.mark.parametrize(("times", "blocks"), [([0.0], [0]), ([-1.0], [0]), ([1.0], [0, 1])])
def test_times_that_are_none(times, blocks):
    with pytest.raises(ValidationError):
        stats.pair_ratios(times, [1.0], blocks, [0])
