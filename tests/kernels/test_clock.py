"""Sub-sample marker times from the model of the scanner's clock."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet_nb.kernels.triggers.clock import MAX_RMS, fit_clock


def line(n=600, period=333.337, start=1000.3):
    return start + period * np.arange(n)


def rounded(times):
    return np.rint(times).astype(np.int64)


def error(fit, times):
    """Largest error, apart from an offset that all share."""
    return np.abs(fit.times - times - np.mean(fit.times - times)).max()


def test_markers_of_a_real_scan(shared_data):
    """840 slice markers: 292.116 samples per slice, 6144.626 per volume of 21."""
    fit = fit_clock(np.load(shared_data / "real" / "niazy_slice_triggers_2048Hz.npy"))
    assert fit.period == pytest.approx(292.116, abs=5e-4)
    assert 21 * fit.period + fit.pause == pytest.approx(6144.626, abs=5e-4)
    assert np.abs(fit.residuals).max() == pytest.approx(0.51, abs=0.01)
    assert fit.trusted and fit.degree == 1
    assert fit.uncertainty.max() < 0.03


@pytest.mark.parametrize("n", [8, 60, 600])
def test_times_are_known_better_than_samples(n):
    times = line(n)
    fit = fit_clock(rounded(times))
    assert fit.trusted
    assert error(fit, times) < {8: 0.15, 60: 0.07, 600: 0.01}[n]


def test_uncertainty_is_honest():
    """Over many phases and periods, errors are as large as they are said to be."""
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(200):
        times = line(80, 200 + 100 * rng.random(), 100 * rng.random())
        fit = fit_clock(rounded(times))
        scores.append((fit.times - times) / fit.uncertainty)
    assert 0.7 < np.sqrt(np.mean(np.square(scores))) < 1.2


def test_outliers_do_not_move_the_line():
    times = line()
    markers = rounded(times)
    markers[50] += 40
    markers[300] -= 7
    fit = fit_clock(markers)
    assert np.flatnonzero(fit.outliers).tolist() == [50, 300]
    assert error(fit, times) < 0.01


def test_a_marker_too_many_belongs_to_no_run():
    markers = np.sort(np.append(rounded(line()), rounded(line())[200] + 120))
    fit = fit_clock(markers)
    assert fit.outliers[201] and fit.run[201] == -1
    assert fit.outliers.sum() == 1
    assert fit.run.max() == 0
    assert fit.period == pytest.approx(333.337, abs=1e-3)


def test_missing_markers_are_told():
    times = line()
    lost = [10, 11, 200, 599]
    fit = fit_clock(np.delete(rounded(times), lost))
    np.testing.assert_allclose(fit.missing, times[[10, 11, 200]], rtol=0, atol=0.05)
    assert error(fit, np.delete(times, lost)) < 0.02


def test_missing_markers_beside_a_pause():
    grid = np.add.outer(3000.7 * np.arange(30), 280.123 * np.arange(10)).ravel() + 50.2
    lost = [47, 59, 60]
    fit = fit_clock(np.delete(rounded(grid), lost))
    assert fit.trusted
    assert fit.period == pytest.approx(280.123, abs=2e-3)
    assert fit.pause == pytest.approx(3000.7 - 2801.23, abs=2e-2)
    assert len(fit.missing) == 3
    np.testing.assert_allclose(fit.missing, grid[lost], rtol=0, atol=1.0)


def test_runs_share_the_clock_but_not_the_offset():
    times = np.concatenate([line(300), 250_000.77 + line(300)])
    fit = fit_clock(rounded(times))
    assert fit.run.tolist() == [0] * 300 + [1] * 300
    assert fit.trusted
    assert np.abs(fit.times - times).max() < 0.1


def test_synchronised_clocks():
    fit = fit_clock(1000 + 300 * np.arange(400))
    assert fit.trusted and fit.rms < 1e-6
    np.testing.assert_allclose(fit.times, 1000 + 300 * np.arange(400), rtol=0, atol=1e-6)
    assert "synchronised" in fit.verdict


def test_markers_that_jitter_are_not_put_on_a_line():
    rng = np.random.default_rng(0)
    markers = rounded(line()) + rng.integers(-2, 3, 600)
    fit = fit_clock(markers)
    assert not fit.trusted
    assert fit.rms > MAX_RMS and "jitter" in fit.verdict
    assert np.array_equal(fit.times, markers)
    assert fit.uncertainty[0] == pytest.approx(1.45, abs=0.1)
    assert np.abs(fit.fitted - line()).max() < 0.3  # the line is told all the same


def test_clocks_that_wander():
    k = np.arange(2000)
    times = line(2000) + 4.0 * np.sin(k / 2000 * np.pi)
    fit = fit_clock(rounded(times))
    assert fit.trusted and fit.degree > 1
    assert error(fit, times) < 0.15


def test_two_markers_are_no_test_of_a_line():
    fit = fit_clock(np.array([100, 400]))
    assert not fit.trusted and "too few" in fit.verdict
    assert fit.times.tolist() == [100.0, 400.0]
    assert fit.period == pytest.approx(300.0)


@given(shift=st.integers(0, 10**7), period=st.floats(40.0, 9000.0), n=st.integers(3, 120))
def test_later_markers_give_later_times(shift, period, n):
    markers = rounded(line(n, period))
    fit, later = fit_clock(markers), fit_clock(markers + shift)
    np.testing.assert_allclose(later.times, fit.times + shift, rtol=0, atol=1e-5)
    assert later.trusted == fit.trusted


def test_report_is_plain():
    report = fit_clock(rounded(line(50))).report()
    assert report["n_markers"] == 50 and report["trusted"] is True
    assert {type(value) for value in report.values()} <= {int, float, bool, str}


@pytest.mark.parametrize("n, trusted", [(16, True), (12, True), (6, False)])
@pytest.mark.parametrize("off", [52, -7])
def test_one_marker_beside_its_time_spoils_no_clock(n, trusted, off):
    markers = np.rint(500.3 + 2000.02 * np.arange(n)).astype(np.int64)
    markers[n // 2] += off
    fit = fit_clock(markers)
    assert fit.trusted == trusted
    if trusted:
        assert fit.outliers.sum() == 1
        assert abs(fit.times[n // 2] - 500.3 - 2000.02 * (n // 2)) < 0.5
