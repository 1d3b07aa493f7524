"""Spacing of triggers: artifact length, pauses between volumes, missing triggers."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from facet_nb.kernels.triggers import spacing
from facet_nb.kernels.triggers.spacing import artifact_length, describe_spacing, missing_positions

PERIODS = st.floats(20.0, 3000.0, allow_nan=False)
FEW = settings(max_examples=150)


def regular(n, period, phase=0.3):
    return np.rint(np.arange(n) * period + phase).astype(np.int64)


def volumes(n_volumes, n_slices, period, pause, phase=0.3):
    starts = np.arange(n_volumes)[:, np.newaxis] * (n_slices * period + pause)
    # Not rint: halves would go to even numbers, and equal distances would differ by two samples.
    return np.floor(starts + np.arange(n_slices) * period + phase + 0.5).ravel().astype(np.int64)


def facetpy_length(triggers):
    """FACETpy 2.0.2's rule, as a fact: what a regular train must give."""
    diffs = np.diff(triggers)
    if np.ptp(diffs) <= 3:
        return int(diffs.max())
    return int(diffs[diffs < (np.median(diffs) + diffs.max()) / 2].max())


# ------------------------------------------------------------------------- regular trains
@FEW
@given(st.integers(2, 300), PERIODS)
def test_regular_train_has_the_largest_difference_as_length(n, period):
    train = regular(n, period)
    known = describe_spacing(train)
    assert known.artifact_length == facetpy_length(train) == np.diff(train).max()
    assert not known.volume_gaps and known.slices_per_volume is None
    assert known.n_missing == known.n_irregular == 0
    np.testing.assert_array_equal(known.slots, 1)


@FEW
@given(st.data(), st.integers(6, 200), st.integers(20, 3000))
def test_jitter_of_two_samples_is_no_pause(data, n, period):
    jitter = data.draw(st.lists(st.integers(-2, 2), min_size=n, max_size=n))
    train = np.arange(n) * period + np.array(jitter) + 2
    known = describe_spacing(train)
    assert not known.volume_gaps and known.pause == 0
    assert known.n_missing == 0
    assert abs(known.artifact_length - period) <= 4
    if n > 20:
        assert abs(known.artifact_length - period) <= 2


@FEW
@given(st.data(), st.integers(16, 200), PERIODS)
def test_missing_triggers_change_nothing_but_the_slots(data, n, period):
    train = regular(n, period)
    k = data.draw(st.integers(1, 4))
    missing = sorted(data.draw(st.sets(st.integers(1, n - 2), min_size=k, max_size=k)))
    known = describe_spacing(np.delete(train, missing))
    assert known.artifact_length == describe_spacing(train).artifact_length
    assert not known.volume_gaps
    assert known.n_missing == k and known.n_irregular == 0
    places = missing_positions(np.delete(train, missing), known)
    assert np.abs(np.sort(places) - train[missing]).max() <= 1


def test_three_missing_triggers_are_no_volume_gaps():
    train = np.delete(regular(100, 292.116), [20, 40, 60])
    known = describe_spacing(train)
    assert (known.artifact_length, known.volume_gaps, known.n_missing) == (293, False, 3)


def test_two_adjacent_missing_triggers_are_two():
    train = regular(60, 146.0)
    known = describe_spacing(np.delete(train, [30, 31]))
    assert known.n_missing == 2
    np.testing.assert_array_equal(
        missing_positions(np.delete(train, [30, 31]), known), train[[30, 31]]
    )


# ---------------------------------------------------------------------- pauses between volumes
@FEW
@given(
    st.integers(3, 30),
    st.integers(2, 40),
    st.floats(40.0, 300.0),
    st.floats(9.5, 600.0),
)
def test_pause_after_each_volume_is_found(n_volumes, n_slices, period, pause):
    # A pause that is a multiple of the spacing looks like missing triggers: see the tests below.
    assume(abs(pause / period - round(pause / period)) * period > 6 or pause < 0.5 * period)
    train = volumes(n_volumes, n_slices, period, pause)
    known = describe_spacing(train)
    assert known.volume_gaps
    assert known.slices_per_volume == n_slices
    assert known.artifact_length in (math.floor(period), math.ceil(period))
    assert known.pause == pytest.approx(pause, abs=1.5)
    assert known.n_missing == known.n_irregular == 0
    if n_slices > 2:
        assert known.artifact_length == facetpy_length(train)


@FEW
@given(st.data(), st.integers(4, 20), st.integers(5, 30), st.floats(60.0, 300.0))
def test_missing_triggers_among_volumes(data, n_volumes, n_slices, period):
    train = volumes(n_volumes, n_slices, period, 12.0)
    k = data.draw(st.integers(1, 3))
    n = len(train)
    missing = sorted(data.draw(st.sets(st.integers(1, n - 2), min_size=k, max_size=k)))
    # With four volumes there are three pauses: keep two that nothing hides.
    edges = [m for m in missing if m % n_slices in (0, n_slices - 1)]
    assume(len(edges) < n_volumes - 3 or not edges)
    left = np.delete(train, missing)
    known = describe_spacing(left)
    assert known.slices_per_volume == n_slices
    assert known.artifact_length in (math.floor(period), math.ceil(period))
    assert known.n_missing == k
    assert np.abs(np.sort(missing_positions(left, known)) - train[missing]).max() <= 3


def test_missing_trigger_at_a_long_pause_lands_on_its_side():
    train = volumes(8, 10, 100.0, 777.0)
    for missing in (39, 40, 41):  # last, first and second slice of a volume
        left = np.delete(train, missing)
        known = describe_spacing(left)
        assert known.slices_per_volume == 10
        np.testing.assert_allclose(missing_positions(left, known), [train[missing]], atol=1)


def test_pause_with_jitter():
    rng = np.random.default_rng(4)
    train = volumes(20, 12, 150.0, 40.0) + rng.integers(-2, 3, 240)
    known = describe_spacing(train)
    assert (known.volume_gaps, known.slices_per_volume) == (True, 12)


def test_pause_that_is_a_multiple_must_recur_five_times():
    few, many = volumes(4, 10, 100.0, 200.0), volumes(8, 10, 100.0, 200.0)
    assert describe_spacing(few).n_missing == 6
    assert not describe_spacing(few).volume_gaps
    known = describe_spacing(many)
    assert (known.volume_gaps, known.slices_per_volume, known.n_missing) == (True, 10, 0)
    assert known.artifact_length == describe_spacing(few).artifact_length == 100


def test_single_larger_difference_is_no_pause():
    train = regular(100, 200.0)
    train[50:] += 30
    known = describe_spacing(train)
    assert (known.volume_gaps, known.artifact_length, known.n_missing) == (False, 200, 0)


def test_larger_differences_that_do_not_recur_are_no_pauses():
    train = regular(100, 200.0)
    for at in (13, 20, 61, 77, 90):
        train[at:] += 30
    assert not describe_spacing(train).volume_gaps


def test_break_between_runs_is_not_a_row_of_missing_triggers():
    run = volumes(10, 21, 292.116, 10.2)
    train = np.concatenate([run, run + run[-1] + 90_000])
    known = describe_spacing(train)
    assert known.slices_per_volume == 21 and known.artifact_length == 293
    assert (known.n_missing, known.n_irregular) == (0, 1)


# ------------------------------------------------------------------------------ real trains
def test_niazy_markers(shared_data):
    train = np.load(shared_data / "real" / "niazy_slice_triggers_2048Hz.npy")
    known = describe_spacing(train)
    assert known.artifact_length == facetpy_length(train) == 293
    assert known.slices_per_volume == 21
    assert known.usual == pytest.approx(292.116, abs=0.005)
    assert known.usual * 21 + known.pause == pytest.approx(6144.626, abs=0.1)


def test_real_five_kilohertz_train_with_a_pause_of_four_samples(shared_data):
    path = shared_data / "real" / "facetpy_xp101_events.tsv"
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    by_type = {
        kind: np.array([int(r["sample"]) for r in rows if r["trial_type"] == kind])
        for kind in ("trigger", "Response/R128")
    }
    slices = describe_spacing(by_type["trigger"])
    assert (slices.artifact_length, slices.slices_per_volume) == (313, 32)
    assert slices.n_missing == slices.n_irregular == 0
    whole = describe_spacing(by_type["Response/R128"])
    assert (whole.artifact_length, whole.volume_gaps) == (10_000, False)


# --------------------------------------------------------------------------------- small ones
def test_fewer_than_two_triggers_have_no_length():
    for train in ([], [5], [5, 5]):
        known = describe_spacing(np.array(train, dtype=np.int64))
        assert known.artifact_length is None and known.n_missing == known.n_irregular == 0
    assert artifact_length(np.array([5, 105])) == 100


def test_input_is_not_changed():
    train = np.array([300, 100, 200, 200])
    describe_spacing(train)
    np.testing.assert_array_equal(train, [300, 100, 200, 200])


def test_outer_positions_beyond_a_pause_too():
    train = volumes(5, 4, 100.0, 50.0, phase=200)
    found = spacing.outer_positions(train, describe_spacing(train))
    last = train[-1]
    np.testing.assert_array_equal(found, [50, 100, last + 100, last + 150])


@pytest.mark.parametrize(
    ("offset", "expected"), [(0, (10, 130)), (-5, (5, 130)), (7, (10, 137)), (-50, (0, 130))]
)
def test_acquisition_span(offset, expected):
    assert spacing.acquisition_span(np.array([10, 60, 110]), 20, offset, 200) == expected
    assert spacing.acquisition_span(np.array([10, 190]), 20, 0, 200) == (10, 200)


# ------------------------------------------------------------------------------- best match
def test_best_match_against_a_plain_loop():
    rng = np.random.default_rng(1)
    x, template = rng.normal(3.0, 1.0, 400), rng.normal(-7.0, 2.0, 40)
    position, r = spacing.find_best_match(x, template, 150, 30)
    loop = {s: np.corrcoef(x[s : s + 40], template)[0, 1] for s in range(120, 181)}
    assert position == max(loop, key=loop.get)
    assert r == pytest.approx(loop[position], abs=1e-12)


def test_best_match_at_the_edges_and_on_flat_signal():
    x, template = np.arange(50.0), np.arange(10.0)
    assert spacing.find_best_match(x, template, 60, 3) == (60, -1.0)
    assert spacing.find_best_match(x, template, -3, 4)[0] in (0, 1)
    assert spacing.find_best_match(np.ones(50), template, 20, 3)[1] == 0.0
    assert spacing.find_best_match(x, np.ones(10), 20, 3)[1] == 0.0
