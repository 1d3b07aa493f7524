"""Scaling: exact values on an executor with known costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet_nb.benchmark import laws, stats
from facet_nb.benchmark.curves import find_curves, find_waterfall
from facet_nb.benchmark.waterfall import split_lost_time
from facet_nb.benchmark.whatif import ask_what_if, replay, schedule
from facet_nb.core import ValidationError
from tests.benchmark.samples import SERIAL, Configuration, make_point, make_table
from tests.benchmark.synthetic import Costs, run

SEQUENTIAL = Configuration("channel_sequential")


def threads(n):
    return Configuration("channel_sequential", "threading", n)


def make_measured(costs: Costs, levels=(1, 2, 4, 8), noise: float = 0.0):
    """A table of runs of the synthetic executor."""
    rng = np.random.default_rng(0)
    points = []
    for n in levels:
        trace = run(costs, n)
        walls = trace.wall_s * np.exp(rng.normal(0, noise, 5))
        points.append(make_point(threads(n) if n > 1 else SEQUENTIAL, walls, trace=trace))
    return make_table(*points)


def test_karp_flatt_and_amdahl_are_exact_where_the_law_holds():
    costs = Costs(batches_s=(1.0,) * 8, serial_s=2.0)  # serial fraction 2 / 10
    (curve,) = find_curves(make_measured(costs))
    assert curve.workers == (1, 2, 4, 8)
    expected = [10 / (2 + 8 / p) for p in curve.workers]
    assert [s.value for s in curve.speedups] == pytest.approx(expected)
    assert curve.efficiencies == pytest.approx(
        [s / p for s, p in zip(expected, curve.workers, strict=True)]
    )
    assert curve.serial_shares == pytest.approx([0.2] * 3)
    ((name, serial),) = curve.amdahl.parameters
    assert name == "serial" and (serial.low, serial.value, serial.high) == pytest.approx((0.2,) * 3)
    assert curve.amdahl.residuals == pytest.approx([0.0] * 4, abs=1e-9)
    assert curve.amdahl.predict([1e9]) == pytest.approx([5.0])
    assert [v.value for _, v in curve.usl.parameters] == pytest.approx([0.2, 0.0], abs=1e-9)


def test_usl_is_exact_where_the_law_holds():
    workers = np.array([1, 2, 4, 8, 16])
    speedups = {int(p): [float(laws.usl(p, 0.05, 0.01))] for p in workers}
    fit = laws.fit_usl(speedups)
    assert [v.value for _, v in fit.parameters] == pytest.approx([0.05, 0.01])
    assert fit.rms < 1e-9 and "contention 0.050" in fit.describe()


def test_intervals_of_a_fit_hold_the_truth():
    inside = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        true = {p: float(laws.amdahl(np.float64(p), 0.1)) for p in (2, 4, 8)}
        noisy = {p: list(s * np.exp(rng.normal(0, 0.02, 10))) for p, s in true.items()}
        ((_, serial),) = laws.fit_amdahl({1: [1.0], **noisy}).parameters
        inside += serial.low <= 0.1 <= serial.high
    assert inside >= 7


@pytest.mark.parametrize(("levels", "n_laws"), [((1, 2), 0), ((1, 2, 4), 1), ((1, 2, 3, 4), 2)])
def test_laws_need_levels(levels, n_laws):
    (curve,) = find_curves(make_measured(Costs(), levels))
    assert [curve.amdahl is not None, curve.usl is not None] == [n_laws > 0, n_laws > 1]
    assert bool(curve.remark) == (n_laws < 2) and len(curve.serial_shares) == len(levels) - 1


def test_two_workers_are_needed_for_a_serial_share():
    with pytest.raises(ValidationError):
        laws.find_serial_share(1.0, 1)


# ------------------------------------------------------------------------------------- lost time
@pytest.mark.parametrize(
    ("change", "part", "expected"),
    [
        ({"startup_s": 0.4}, "startup_s", 0.4),
        ({"dispatch_s": 0.1}, "dispatch_s", 0.1 * 6 / 2),  # after the first batch of each
        ({"transfer_s": 0.05}, "transfer_s", 0.05 * 8 / 2),
        ({"contention": 1.25}, "contention_s", 0.25 * 8 / 2),
        ({"outside_s": 0.6}, "dispatch_s", 0.6),
        ({"prepare_s": 0.3}, "serial_steps_s", 0.3),
        ({"serial_s": 2.0}, "serial_steps_s", 2.0),
        ({"batches_s": (1.0,) * 7}, "imbalance_s", 0.5),
    ],
)
def test_each_part_of_lost_time_is_exact(change, part, expected):
    """Against a serial run that pays nothing of it but the work."""
    costs = Costs(**change)
    free = Costs(batches_s=costs.batches_s, serial_s=costs.serial_s, prepare_s=costs.prepare_s)
    fall = split_lost_time(run(free), run(costs, 2), 2)
    share = 0.5 if part == "serial_steps_s" else 1.0  # half of it is in the ideal
    assert getattr(fall.lost, part) == pytest.approx(share * expected)
    others = [s for name, s in vars(fall.lost).items() if name != part]
    assert others == pytest.approx([0.0] * 5, abs=1e-12)


@given(
    st.lists(st.floats(0.01, 3.0), min_size=2, max_size=20),
    st.tuples(*[st.floats(0.0, 0.5)] * 6),
    st.integers(2, 9),
)
def test_parts_add_up(batches, amounts, n_jobs):
    prepare, serial, startup, dispatch, transfer, outside = amounts
    costs = Costs(tuple(batches), prepare, serial, startup, dispatch, transfer, 1.3, outside)
    fall = split_lost_time(run(costs), run(costs, n_jobs), n_jobs)
    total = fall.ideal_s + sum(seconds for _, seconds in fall.lost.parts)
    assert total == pytest.approx(fall.measured_s)


def test_waterfall_of_a_table_and_of_different_chains():
    table = make_measured(Costs(serial_s=2.0))
    fall = find_waterfall(table, table.rows[2])
    assert (fall.workers, fall.ideal_s, fall.measured_s) == (4, 2.5, 4.0)
    assert fall.lost.serial_steps_s == pytest.approx(1.5)
    with pytest.raises(ValidationError, match="different chains"):
        split_lost_time(run(Costs()), run(Costs(serial_s=1.0), 2), 2)


# --------------------------------------------------------------------------------------- what if
def test_list_scheduling_by_hand():
    assert schedule([3, 3, 2, 2, 2], 2) == 7  # 3+2+2 beside 3+2
    assert schedule([1, 1, 1, 9], 3) == 10
    assert schedule([5], 64) == 5 and schedule([1, 2, 3], 1) == 6


@pytest.mark.parametrize("n_jobs", [1, 2, 3, 5, 8, 64])
def test_what_if_is_exact_on_a_synthetic_executor(n_jobs):
    costs = Costs(batches_s=(1.0, 2.5, 0.5, 3.0, 1.0, 0.25), serial_s=0.7, prepare_s=0.2)
    assert replay(run(costs), n_jobs) == pytest.approx(run(costs, n_jobs).wall_s)


def make_slowed(slowdown, levels, costs=None, backend="threading"):
    """A table in which each further worker slows all batches by the same amount."""
    costs = Costs(batches_s=(1.0,) * 24, serial_s=2.0) if costs is None else costs
    points = []
    for n in levels:
        trace = run(replace(costs, contention=1.0 + slowdown * (n - 1)), n)
        c = Configuration("channel_sequential", backend, n) if n > 1 else SEQUENTIAL
        points.append(make_point(c, [trace.wall_s] * 3, trace=trace))
    return make_table(*points)


@pytest.mark.parametrize("slowdown", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("serial_s", [0.0, 3.0])
def test_what_if_finds_the_ceiling_of_a_bandwidth(slowdown, serial_s):
    """From 1, 2 and 4 workers to 8 and 24, where the executor really is; each count held out."""
    costs = Costs(batches_s=(1.0,) * 24, serial_s=serial_s)
    found = ask_what_if(make_slowed(slowdown, (1, 2, 4), costs), workers=(8, 24))
    assert found.slowdown == pytest.approx(slowdown) and found.fitted == (2, 4)
    true = make_slowed(slowdown, (8, 24), costs)
    assert found.wall_s == pytest.approx([row.wall_s for row in true.rows])
    assert [c.configuration.n_jobs for c in found.checks] == [2, 4]
    assert found.worst_error == pytest.approx(0.0, abs=1e-9)
    if slowdown:
        assert max(found.speedup) < 1.0 / slowdown * (24 + serial_s) / 24


def test_an_error_is_that_of_counts_that_were_not_fitted():
    """A jump from two workers on: each count is predicted from the others, never from itself."""
    loaded = ask_what_if(make_measured(Costs(contention=1.25)))
    by_hand = {}
    for n in (2, 4, 8):
        others = [m for m in (2, 4, 8) if m != n]
        beta = sum(0.25 * (m - 1) for m in others) / sum((m - 1) ** 2 for m in others)
        by_hand[n] = (1.0 + beta * (n - 1)) / 1.25 - 1.0
    assert [c.error for c in loaded.checks] == pytest.approx(list(by_hand.values()))
    assert loaded.worst_error == pytest.approx(max(map(abs, by_hand.values())))
    assert loaded.worst_error > 0.05
    whole = 0.25 * (1 + 3 + 7) / (1 + 9 + 49)
    assert loaded.slowdown == pytest.approx(whole), "the curve itself is fitted to all"


@pytest.mark.parametrize(("levels", "fitted"), [((1,), ()), ((1, 2), (2,)), ((1, 8), (8,))])
def test_what_was_not_held_out_has_no_error(levels, fitted):
    found = ask_what_if(make_slowed(0.1, levels))
    assert found.checks == () and found.worst_error is None and found.fitted == fitted
    assert found.slowdown == pytest.approx(0.1 if fitted else 0.0)
    with pytest.raises(ValidationError, match="not measured"):
        ask_what_if(make_table(make_point(SERIAL)))


def test_backends_are_not_mixed():
    """Processes that slow each other down say nothing of threads."""
    both = make_slowed(0.4, (1, 2, 4), backend="multiprocessing")
    for point in make_slowed(0.1, (2, 4)).points:
        both = both.append(point)
    assert ask_what_if(both).slowdown == pytest.approx(0.1), "the faster ones"
    processes = ask_what_if(both, backend="multiprocessing")
    assert processes.slowdown == pytest.approx(0.4) and len(processes.checks) == 2


def test_curve_intervals_are_of_the_table():
    table = make_measured(Costs(), noise=0.03)
    (curve,) = find_curves(table)
    assert curve.speedups[1] == table.rows[1].speedup
    assert isinstance(curve.speedups[1], stats.Interval) and curve.speedups[1].width > 0
