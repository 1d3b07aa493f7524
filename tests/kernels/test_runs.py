"""Runs of a marker train, and markers that belong to none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from facet_nb.kernels.triggers.clock import fit_clock
from facet_nb.kernels.triggers.runs import split_train


def train(n, period, start=1000.3):
    return np.rint(start + period * np.arange(n)).astype(np.int64)


def with_more(markers, more):
    return np.unique(np.append(markers, more))


def assert_same(found, *runs):
    assert len(found.runs) == len(runs)
    for one, other in zip(found.runs, runs, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("n, period", [(20, 2000.04), (600, 292.116), (3, 1500.0), (2, 400.0)])
def test_regular_trains_stay_whole(n, period):
    markers = train(n, period)
    found = split_train(markers)
    assert_same(found, markers)
    assert not len(found.doubled) and not len(found.stray)


def test_a_real_train_stays_whole(shared_data):
    markers = np.load(shared_data / "real" / "niazy_slice_triggers_2048Hz.npy")
    assert_same(split_train(markers), np.unique(markers))


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(20, 80),
    period=st.floats(60.0, 5000.0),
    where=st.lists(st.floats(0.2, 0.8), min_size=1, max_size=3),
    data=st.data(),
)
def test_strays_are_left_out(n, period, where, data):
    """Up to three in a train, anywhere between two markers.

    Strays of neighbouring slots, equally far from their markers, would be a train of their own.
    """
    markers = train(n, period)
    slots = data.draw(st.lists(st.integers(0, n - 2), min_size=len(where), max_size=len(where)))
    assume(all(abs(a - b) > 1 for i, a in enumerate(slots) for b in slots[:i]))
    strays = np.array(
        [markers[k] + round(part * period) for k, part in zip(slots, where, strict=True)]
    )
    found = split_train(with_more(markers, strays))
    assert_same(found, markers)
    left = np.concatenate([found.doubled, found.stray])
    np.testing.assert_array_equal(np.unique(left), np.unique(strays))


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(10, 80),
    period=st.floats(100.0, 5000.0),
    part=st.floats(0.01, 0.1),
    share=st.sampled_from([0.1, 0.4, 1.0]),
    seed=st.integers(0, 99),
)
def test_doubled_trains_are_thinned(n, period, part, share, seed):
    markers = train(n, period)
    chosen = np.random.default_rng(seed).permutation(n)[: max(1, round(share * n))]
    doubles = markers[np.sort(chosen)] + max(2, round(part * period))
    found = split_train(np.unique(np.append(markers, doubles)))
    assert_same(found, markers)
    np.testing.assert_array_equal(found.doubled, doubles)


@pytest.mark.parametrize("early", [2, 3])
def test_of_a_pair_the_one_on_the_grid_is_kept(early):
    markers = train(40, 500.2)
    found = split_train(with_more(markers, [markers[7] - early, markers[30] - early]))
    assert_same(found, markers)
    assert found.doubled.tolist() == [markers[7] - early, markers[30] - early]


@pytest.mark.parametrize("slices, pause", [(20, 300), (10, 2000), (3, 900)])
def test_slices_before_a_pause_are_no_doubles(slices, pause):
    grid = np.add.outer((slices * 100 + pause) * np.arange(12), 100 * np.arange(slices)).ravel()
    found = split_train(grid + 500)
    assert_same(found, grid + 500)


@settings(max_examples=40, deadline=None)
@given(
    first=st.integers(8, 60),
    second=st.integers(8, 60),
    period=st.floats(100.0, 3000.0),
    ratio=st.sampled_from([0.5, 0.75, 0.9, 1.3, 2.0]),
    pause=st.floats(1.2, 9.7),
)
def test_sequences_with_their_own_period(first, second, period, ratio, pause):
    one = train(first, period)
    other = train(second, ratio * period, one[-1] + (1.0 + pause) * period)
    found = split_train(np.append(one, other))
    assert len(found.runs) == 2
    # One marker at the seam may belong to either.
    assert abs(len(found.runs[0]) - first) <= 1 and abs(len(found.runs[1]) - second) <= 1


@pytest.mark.parametrize("lost", [[5], [7, 8], [3, 11, 12]])
def test_missing_markers_split_nothing(lost):
    markers = np.delete(train(60, 1234.5), lost)
    assert_same(split_train(markers), markers)


@pytest.mark.parametrize("step", [3.0, -2.5, 30.0])
@pytest.mark.parametrize("n_slots", [5, 12])
def test_a_break_near_a_whole_number_of_periods(step, n_slots):
    one = train(20, 2000.046)
    other = train(20, 2000.046, 1000.3 + (19 + n_slots) * 2000.046 + step)
    fit = fit_clock(np.append(one, other))
    assert fit.run.max() == 1 and not len(fit.missing)
    assert fit.trusted and fit.degree == 1
    assert fit.period == pytest.approx(2000.046, abs=0.02)


@pytest.mark.parametrize("n_first, n_second", [(5, 3), (8, 4), (12, 3), (3, 9)])
@pytest.mark.parametrize("ratio", [0.75, 1.5])
def test_short_sequences(n_first, n_second, ratio):
    """Fewer than five markers are a run if they follow each other evenly."""
    one = train(n_first, 2000.3)
    other = train(n_second, ratio * 2000.3, one[-1] + 7000.0)
    found = split_train(np.append(one, other))
    assert [len(run) for run in found.runs] == [n_first, n_second] and not len(found.stray)


@pytest.mark.parametrize("n_second", [2, 3, 4])
def test_a_short_part_of_the_same_sequence_belongs_to_it(n_second):
    one = train(8, 2000.3)
    markers = np.append(one, train(n_second, 2000.3, one[-1] + 7000.0))
    assert_same(split_train(markers), markers)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 20_000), min_size=2, max_size=4, unique=True))
def test_a_few_markers_at_random_times_are_no_run(extra):
    late = np.sort(extra) + 130_000
    assume(np.ptp(np.diff(late)) > 2 or len(late) == 2)
    assume(np.all(np.abs(np.diff(late) - 2000) > 3))
    found = split_train(np.append(train(60, 2000.3), late))
    assert len(found.runs) == 1
