"""Rows of template weights against slow oracles, and their laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet_nb.kernels.templates import weights
from facet_nb.kernels.templates.weights import Weights
from tests.oracles import weights as oracle


@pytest.mark.parametrize(("n", "half"), [(40, 6), (40, 7), (23, 8), (100, 30)])
def test_alternate_is_fastrs_rule(n, half):
    np.testing.assert_allclose(
        oracle.dense(weights.list_alternate(n, half)), oracle.alternate(n, half), atol=1e-15
    )


@pytest.mark.parametrize(("n", "half"), [(40, 3), (21, 10), (9, 0)])
def test_neighbours(n, half):
    np.testing.assert_allclose(
        oracle.dense(weights.list_neighbours(n, half)), oracle.neighbours(n, half), atol=1e-15
    )


@pytest.mark.parametrize(
    ("n", "period", "half"), [(40, 5, 2), (42, 5, 3), (40, 5, 30), (12, 1, 2), (6, 3, 1)]
)
def test_corresponding(n, period, half):
    np.testing.assert_allclose(
        oracle.dense(weights.list_corresponding(n, period, half)),
        oracle.corresponding(n, period, half),
        atol=1e-15,
    )


@pytest.mark.parametrize(
    ("half", "threshold"), [(9, 0.5), (9, 0.97), (200, 0.9), (3, 0.0), (9, 1.1)]
)
def test_similar(half, threshold):
    rng = np.random.default_rng(1)
    shape = rng.standard_normal(50)
    epochs = shape * rng.choice([1, -1], 40)[:, np.newaxis]
    epochs = epochs + rng.uniform(0.1, 1.5, (40, 1)) * rng.standard_normal((40, 50))
    got = weights.list_similar(epochs, window=6, half=half, threshold=threshold)
    np.testing.assert_allclose(
        oracle.dense(got), oracle.similar(epochs, 6, half, threshold), atol=1e-15
    )


def test_similar_takes_usable_epochs_only_and_never_itself():
    epochs = np.random.default_rng(0).standard_normal((30, 20))
    usable = np.arange(30) % 3 > 0
    for i, row in enumerate(
        weights.list_similar(epochs, window=5, half=8, threshold=0.9, usable=usable)
    ):
        assert len(row)
        assert i not in row
        assert usable[row].all()


@pytest.mark.parametrize("seed", [0, 1])
def test_of_equally_similar_epochs_the_nearest(seed):
    """Two shapes take turns, with noise: the nearest of the own shape."""
    rng = np.random.default_rng(seed)
    shapes, kinds = rng.standard_normal((2, 400)), np.arange(40) // 5 % 2
    epochs = shapes[kinds] + 0.1 * rng.standard_normal((40, 400))
    options = {"window": 6, "half": 40, "threshold": 0.9}
    got = oracle.dense(weights.list_similar(epochs, **options, slack=3.0)) > 0
    for i, row in enumerate(got):
        own = np.setdiff1d(np.flatnonzero(kinds == kinds[i]), [i])
        nearest = own[np.argsort(np.abs(own - i), kind="stable")][:6]
        assert np.array_equal(np.flatnonzero(row), np.sort(nearest))
    least = weights.list_similar(epochs, **options, slack=1.0)
    assert np.array_equal(
        oracle.dense(least), oracle.dense(weights.list_similar(epochs, **options))
    )


def test_similar_of_flat_epochs():
    rows = weights.list_similar(np.zeros((8, 10)), window=3, half=3, threshold=0.9)
    assert all(len(row) == 3 for row in rows)


@pytest.mark.parametrize("moving", [{}, {7: 2.0}, {5: 1.0, 6: 3.0, 30: 0.5}, {0: 1.0, 39: 1.0}])
def test_at_rest(moving):
    speed = np.zeros(40)
    for scan, v in moving.items():
        speed[scan] = v
    got = weights.list_at_rest(speed, 9)
    np.testing.assert_allclose(oracle.dense(got), oracle.at_rest(speed, 9), atol=1e-15)


def test_minor_movements():
    speed = np.zeros(60)
    speed[[10, 11]] = 1.0, 1.0  # two scans: more than one, however fast
    speed[20] = 5.0
    speed[50] = 0.1  # far away: counts
    main = weights.thin_motion(speed, 9)
    assert np.flatnonzero(main).tolist() == [10, 11, 50]
    assert np.flatnonzero(weights.thin_motion(speed, 8)).tolist() == [10, 11, 20, 50]
    rows = weights.list_at_rest(speed, 9)
    assert 20 not in set(rows.members.tolist())
    assert min(len(row) for row in rows) == 8  # a minor movement leaves its row shorter
    assert speed[20] == 5.0


def test_of_equal_movements_the_earlier_is_minor():
    speed = np.zeros(30)
    speed[[10, 15]] = 1.0
    assert np.flatnonzero(weights.thin_motion(speed, 9)).tolist() == [15]


def test_motion_everywhere_leaves_no_template():
    assert all(len(row) == 0 for row in weights.list_at_rest(np.ones(5), 3))


def test_slices_follow_their_volume():
    rows = list(weights.repeat_for_slices(Weights.of([[1, 2], [0]]), 3))
    assert [row.tolist() for row in rows] == [[3, 6], [4, 7], [5, 8], [0], [1], [2]]


def test_restrict():
    rows = Weights.of([[0, 1], [0], [2, 1]])
    usable = np.array([False, True, True])
    assert [row.tolist() for row in rows.restrict(usable)] == [[1], [2], [1, 2]]
    assert rows.restrict(np.ones(3, dtype=bool)) is rows
    assert [row.tolist() for row in rows.restrict(np.zeros(3, dtype=bool))] == [[], [], []]


def test_average_is_the_product_with_the_matrix():
    rng = np.random.default_rng(0)
    epochs = rng.standard_normal((50, 30))
    rows = weights.list_alternate(50, 6)
    got = weights.average(epochs, rows)
    np.testing.assert_allclose(got, oracle.dense(rows) @ epochs, atol=1e-14)
    assert not weights.average(epochs, Weights.of([[], [3]]))[0].any()


@given(st.integers(2, 80), st.integers(0, 40), st.integers(1, 9))
def test_rows_are_whole_whatever_the_length(n, half, period):
    for rows in (
        weights.list_neighbours(n, half),
        weights.list_alternate(n, half),
        weights.list_corresponding(n, period, half),
    ):
        assert len(rows) == n
        for row in rows:
            assert len(row)
            assert len(set(row.tolist())) == len(row)
            assert row.min() >= 0
            assert row.max() < n
    for i, row in list(enumerate(weights.list_alternate(n, half)))[half + 2 : n - half - 2]:
        assert (i in row) == (half % 2 == 0)


@given(st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.3, 1.0]), min_size=2, max_size=60))
def test_no_row_holds_a_scan_in_motion(speed):
    speed = np.array(speed)
    for row in weights.list_at_rest(speed, 7):
        assert not speed[row].any()
        assert len(row) <= 7
