"""The course of a benchmark: over fakes with known costs, and once in earnest."""

from __future__ import annotations

import pickle
import time
from pathlib import Path

import numpy as np
import pytest

from facet_nb.benchmark import (
    BenchmarkDone,
    BenchmarkFailed,
    BenchmarkStarted,
    BenchmarkState,
    Configuration,
    PointMeasured,
    PointStarted,
    benchmark,
)
from facet_nb.benchmark.child import find_difference
from facet_nb.benchmark.grid import list_configurations, list_levels
from facet_nb.benchmark.inputs import find_input, leave_out_writers
from facet_nb.benchmark.measured_process import MeasurementFailed
from facet_nb.benchmark.process_pool import ProcessPool
from facet_nb.benchmark.session import Session
from facet_nb.benchmark.table import BenchmarkTable
from facet_nb.core import CancelToken, Pipeline, PlanError, RunCancelled, ValidationError
from facet_nb.datasets import simulate
from facet_nb.io import Exporter
from tests.benchmark.fakes import FakeClock, FakeProcess, QuietGauge
from tests.benchmark.samples import ENVIRONMENT, SERIAL, SUBJECT, THREADS
from tests.core import toys

TWO = THREADS[2]
SEQUENTIAL = Configuration("channel_sequential")


def run_fakes(cost, configurations=(SERIAL, SEQUENTIAL, TWO), quirks=None, **options):
    """Run a session over fakes; return table, events and the journal of what was done."""
    journal, events = [], []

    def make(configuration):
        return FakeProcess(configuration, cost, journal, **(quirks or {}).get(configuration, {}))

    values = {
        "table": BenchmarkTable(ENVIRONMENT, SUBJECT),
        "configurations": tuple(configurations),
        "make": make,
        "folder": Path("nowhere"),
        "repeats": 4,
        "time_budget_s": 60.0,
        "memory": True,
        "seed": 0,
        "on_event": events.append,
        "cancel": CancelToken(),
        "gauge": QuietGauge(cores=4),
    }
    table = Session(**{**values, **options}).run()
    return table, events, journal


def steady(configuration, n):
    return {SERIAL: 4.0, SEQUENTIAL: 3.0, TWO: 1.5}[configuration]


def test_known_costs_give_exact_figures():
    table, _, _ = run_fakes(steady)
    frame = table.to_frame()
    assert list(frame.verdict) == ["slower", "base", "faster"]
    assert list(frame.wall_s) == [4.0, 3.0, 1.5] and list(frame.cpu_s) == [8.0, 6.0, 3.0]
    assert list(frame.speedup) == pytest.approx([0.75, 1.0, 2.0])
    assert list(frame.efficiency) == pytest.approx([0.75, 1.0, 1.0])
    assert list(frame.cold_start_s) == pytest.approx([5.5] * 3)  # not in the steady times
    assert list(frame.peak_pss_mb) == [100, 100, 200]
    assert set(frame.n_repeats) == {4} and set(frame.max_abs_diff_v) == {0.0}


def test_blocks_are_complete_and_in_random_order():
    _, events, journal = run_fakes(steady, repeats=6)
    timed = [e for e in events if isinstance(e, PointStarted) and e.phase == "time"]
    blocks = [[e.configuration for e in timed if e.block == b] for b in range(6)]
    assert all(set(block) == {SERIAL, SEQUENTIAL, TWO} for block in blocks)
    assert len({tuple(block) for block in blocks}) > 1
    again = run_fakes(steady, repeats=6)[1]
    assert [e.configuration for e in again if isinstance(e, PointStarted)] == [
        e.configuration for e in events if isinstance(e, PointStarted)
    ]
    assert [e[0] for e in journal[:3]] == ["start", "run", "save"]  # the serial result first


def test_memory_is_watched_in_fresh_processes():
    _, _, journal = run_fakes(steady)
    words = [e[0] for e in journal]
    first = words.index("memory")
    assert words[:first].count("start") == 4 and words.count("start") == 6
    assert words[first - 1] == "start" and words.count("close") == 6
    without = run_fakes(steady, memory=False)
    assert "memory" not in [e[0] for e in without[2]] and without[0].points[0].memory is None


def test_repeats_grow_until_intervals_are_narrow():
    rng = np.random.default_rng(3)

    def noisy(configuration, n):
        spread = 0.02 if configuration == TWO else 0.0
        return steady(configuration, n) * float(np.exp(rng.normal(0, spread)))

    table, _, _ = run_fakes(noisy, repeats=None)
    repeats = dict(zip((SERIAL, SEQUENTIAL, TWO), table.to_frame().n_repeats, strict=True))
    assert repeats[SERIAL] == 3 and 3 < repeats[TWO] < 30
    row = table.find(TWO)
    assert row.speedup.width < 0.05 and row.verdict == "faster"


def test_a_spent_budget_is_said_and_leaves_verdicts_inconclusive():
    rng = np.random.default_rng(0)

    def slow(configuration, n):
        time.sleep(0.02)
        return float(np.exp(rng.normal(0, 0.4)))

    table, _, _ = run_fakes(slow, repeats=None, time_budget_s=0.8)
    assert "inconclusive" in set(table.to_frame().verdict)
    assert any("time budget" in text for text in table.warnings)
    assert "inconclusive" in table.summary()


PARALLEL = tuple(Configuration("parallel", "threading", n) for n in (2, 4, 8))
EIGHT = (SERIAL, SEQUENTIAL, *THREADS.values(), *PARALLEL)


@pytest.mark.parametrize(
    ("budget_s", "run_s", "repeats"),
    [(s, r, n) for s in (1.0, 12.0, 25.0) for r, n in ((0.02, None), (3.0, 5), (3.0, None))]
    + [(60.0, 3.0, 5), (60.0, 3.0, None), (2000.0, 3.0, 3)],
)
def test_the_time_budget_is_kept(budget_s, run_s, repeats):
    """By a clock of its own: nothing is exceeded by more than one configuration's first turn."""
    clock = FakeClock()
    rng = np.random.default_rng(1)

    def cost(configuration, n):
        return run_s * float(np.exp(rng.normal(0, 0.2)))

    began = clock()
    table, _, _ = run_fakes(
        cost,
        EIGHT,
        quirks={c: {"clock": clock} for c in EIGHT},
        clock=clock,
        repeats=repeats,
        time_budget_s=budget_s,
    )
    first_s = 0.6 + FakeProcess.cold_s + 2 * run_s
    assert clock() - began <= max(budget_s + 2 * run_s, first_s + 2 * run_s)
    text = " ".join(table.warnings)
    verdicts = {row.configuration: row.verdict for row in table.rows}
    assert table.find(SERIAL).point.n_repeats >= 1
    untold = [c for c in EIGHT if not table.find(c) or not table.find(c).point.n_repeats]
    assert all(c.label in text for c in untold) and bool(untold) == ("Not measured for" in text)
    assert budget_s < 25 or len(untold) <= 6  # serial and another one at least
    few = [r for r in table.rows if 0 < r.point.n_repeats < 3 and r.verdict != "base"]
    assert all(r.verdict == "inconclusive" for r in few) and len(verdicts) == len(table.rows)
    unwatched = [p for p in table.points if p.n_repeats and p.memory is None]
    assert bool(unwatched) == ("Memory not measured" in text)
    if budget_s == 2000.0:
        assert not untold and not unwatched and table.find(TWO).point.n_repeats >= 3


def test_a_different_result_and_a_failure_are_told_apart_from_the_rest():
    quirks = {TWO: {"difference": 3e-6}, SEQUENTIAL: {"fails": True}}
    table, events, _ = run_fakes(steady, quirks=quirks)
    assert list(table.to_frame().verdict) == ["base", "failed", "different output"]
    assert not table.find(TWO).point.usable and not table.find(SEQUENTIAL).point.usable
    assert "no luck" in table.find(SEQUENTIAL).point.error
    assert isinstance(events[-1], BenchmarkDone)


def test_a_serial_run_that_fails_ends_the_benchmark():
    with pytest.raises(MeasurementFailed, match="no luck"):
        run_fakes(steady, quirks={SERIAL: {"fails": True}})


def test_cancel_keeps_what_was_measured():
    token, events = CancelToken(), []

    def note(event):
        events.append(event)
        if isinstance(event, PointMeasured) and event.phase == "time" and event.done == 5:
            token.cancel()

    with pytest.raises(RunCancelled):
        run_fakes(steady, cancel=token, on_event=note)
    last = events[-1]
    assert isinstance(last, BenchmarkFailed) and last.cancelled and len(last.table) == 3


def test_events_count_and_reduce_to_the_result():
    table, events, _ = run_fakes(steady)
    state = BenchmarkState()
    fractions, left = [], []
    for event in events:
        state = state.apply(event)
        fractions.append(state.fraction)
        if isinstance(event, PointMeasured):
            assert event.point in event.table.points
            left.append(event.total - event.done)
    assert isinstance(events[0], BenchmarkStarted) and state.status == "done"
    assert state.table == table and fractions == sorted(fractions)
    assert left == list(range(17, -1, -1))  # 3 warm-ups, 4 × 3 timed runs, 3 for memory


def test_short_runs_are_warned_of():
    table, _, _ = run_fakes(lambda c, n: 0.01)
    assert all("too short" in p.warnings[0] for p in table)
    assert table.summary().count("too short") == table._repr_html_().count("too short") == 3


def test_a_pool_ends_who_waited_longest_where_memory_is_short():
    journal = []
    pool = ProcessPool(lambda c: FakeProcess(c, steady, journal), memory_mb=600.0)  # 240 MB for it
    for configuration in (SERIAL, SEQUENTIAL, SERIAL, TWO):
        pool.get(configuration)
    assert ("close", SEQUENTIAL) in journal and ("close", SERIAL) not in journal
    pool.get(SEQUENTIAL, warm_up_s=10.0)
    assert journal[-1] == ("run", SEQUENTIAL, 8.0)  # its first run is discarded again
    pool.close()
    assert not pool.members


def test_grid_names_what_a_plan_would_do_once():
    pipeline = Pipeline([toys.Halved()])
    found = list_configurations(pipeline, n_jobs=[1, 2], batch_sizes=[1, 4])
    assert found[0] == SERIAL and len(set(found)) == len(found) == 11
    assert Configuration("parallel", "threading", 1) not in found
    assert list_configurations(pipeline, modes="serial") == (SERIAL,)
    assert list_levels(12) == [1, 2, 4, 8, 12] and list_levels(1) == [1]
    with pytest.raises(PlanError, match="auto"):
        list_configurations(pipeline, modes=["auto"])


# ------------------------------------------------------------------------------------- in earnest
class Sum(toys.Halved):
    """Gives another result over several workers: what no step of ours does."""

    def compute(self, x, prepared, out=None):
        import threading

        main = threading.current_thread() is threading.main_thread()
        return x * 0.5 + (0.0 if main else 1e-6)


@pytest.fixture(scope="module")
def simulation():
    return simulate(n_channels=4, sfreq=500, duration_s=15, lead_in_s=2, lead_out_s=2)


@pytest.mark.slow
def test_in_earnest(simulation, tmp_path):
    pipeline = Pipeline([Sum()], name="Sum")
    events = []
    table = benchmark(
        pipeline,
        simulation,
        modes=["channel_sequential"],
        backends=["threading"],
        n_jobs=2,
        repeats=3,
        on_event=events.append,
    )
    serial, threads = table.rows
    assert serial.point.max_abs_diff_v == 0.0
    assert threads.verdict == "different output"
    assert threads.point.max_abs_diff_v == pytest.approx(1e-6)
    assert {row.point.n_repeats for row in table.rows} == {3}
    for row in table.rows:
        assert 0 < row.wall_s < 5 and row.point.cold_start_s > 0.05
        assert 20 < row.point.memory.peak_mb < 2000 and row.point.memory.bands
        assert row.point.trace.stages[0].batches
    assert isinstance(events[-1], BenchmarkDone)
    assert BenchmarkTable.from_json(table.to_json(tmp_path / "t.json")) == table


def test_what_cannot_be_measured(simulation):
    pipeline = Pipeline([toys.Halved()])
    for options in (
        *({"repeats": n} for n in (0, 2.5, True)),
        *({"time_budget_s": s} for s in (0, float("nan"), "60")),
        {"seed": "x"},
    ):
        with pytest.raises(ValidationError, match=next(iter(options))):
            benchmark(pipeline, simulation, **options)
    with pytest.raises(ValidationError, match="simulate"):
        benchmark(pipeline, {"n_chanels": 4})
    with pytest.raises(ValidationError, match=r"ProcessingContext\(raw\)"):
        benchmark(pipeline, simulation.raw)
    with pytest.raises(ValidationError, match="source"):
        benchmark(pipeline, 7)
    with pytest.raises(ValidationError, match="no steps"):
        benchmark(Pipeline([]), simulation)


def test_files_are_not_written_dozens_of_times(simulation, tmp_path):
    target = tmp_path / "never.fif"
    pipeline = Pipeline([toys.Halved(), Exporter(target)])
    subject, _ = find_input(pipeline, simulation)
    assert subject.steps == (repr(toys.Halved()),)
    assert [p.name for p in leave_out_writers(pipeline)] == ["halved"] and len(pipeline) == 2
    with pytest.raises(ValidationError, match="no steps"):
        benchmark(Pipeline([Exporter(target)]), simulation)
    assert not target.exists()


def test_a_step_that_fails_in_earnest(simulation):
    name = simulation.raw.ch_names[1]
    with pytest.raises(MeasurementFailed, match="no such thing"):
        benchmark(Pipeline([toys.Raising(name)]), simulation, modes=["serial"], repeats=1)


def test_points_are_compared_row_by_row():
    x = np.array([[1.0, np.nan, np.inf], [2.0, 3.0, 4.0]])
    y = x.copy()
    assert find_difference(x, y) == 0.0
    y[1, 2] += 0.25
    assert find_difference(x, y) == 0.25
    y[0, 0] = np.nan
    assert find_difference(x, y) == np.inf and find_difference(x, y[:1]) == np.inf


def test_events_are_picklable():
    _, events, _ = run_fakes(steady, repeats=1)
    assert [type(e) for e in pickle.loads(pickle.dumps(events))] == [type(e) for e in events]


@pytest.mark.parametrize("seed", range(6))
def test_two_workers_are_timed_before_one_is_repeated(seed):
    """And what has not been timed yet is known at each moment."""
    _, events, journal = run_fakes(steady, seed=seed, repeats=3, memory=False)
    counts: dict[Configuration, int] = {}
    for kind, configuration, *_ in journal:
        if kind == "run":  # the first run of each is its warm-up
            counts[configuration] = counts.get(configuration, 0) + 1
            if counts[configuration] == 3:
                assert all(counts[c] >= 2 for c in (SERIAL, SEQUENTIAL, TWO)), counts
    state, timed = BenchmarkState(), set()
    assert state.waiting == ()
    for event in events:
        state = state.apply(event)
        if isinstance(event, PointMeasured) and event.phase == "time":
            timed.add(event.point.configuration)
        assert state.waiting == tuple(c for c in (SERIAL, SEQUENTIAL, TWO) if c not in timed)


def test_what_failed_does_not_wait():
    _, events, _ = run_fakes(steady, quirks={TWO: {"fails": True}})
    state = BenchmarkState()
    for event in events:
        state = state.apply(event)
    assert state.waiting == ()
