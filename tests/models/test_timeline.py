"""Timelines: bars from events, memory on their clock, and forecasts of plans."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet_nb.core import Pipeline
from facet_nb.core.events import (
    BatchDone,
    RunDone,
    RunFailed,
    RunStarted,
    StageDone,
    StageStarted,
    StepTime,
)
from facet_nb.models import RunModel
from facet_nb.models.timeline import Bar, Timeline, merge_bars, plan_timeline
from facet_nb.widgets.timeline_view import describe_timeline, write_legend, write_timelines
from tests.models.helpers import Choosy, Halve, make_simulation

MB = 1_000_000


def batch(number: int, began_s: float, ended_s: float, thread: int, rss: int = 0) -> BatchDone:
    times = (
        StepTime(0, 0.25 * (ended_s - began_s), 0.0),
        StepTime(1, 0.5 * (ended_s - began_s), 0.0),
    )
    pid = os.getpid()
    return BatchDone(ended_s, 0, number, (f"C{number}",), times, pid, rss, began_s, ended_s, thread)


def start(steps=("trigger_detector", "gradient_correction")):
    return [
        RunStarted(100.0, "channel_sequential", "threading", 2, 1, steps, 1),
        StageStarted(100.0, 0, (0, 1), (("C0",), ("C1",)), ""),
    ]


def test_lanes_bars_and_memory():
    events = [
        *start(),
        batch(0, 101.0, 103.0, 7, 110 * MB),
        batch(1, 101.0, 102.0, 9, 130 * MB),
        StageDone(103.0, 0, 2.0),
        RunDone(104.0, 4.0),
    ]
    run = Timeline(number=3).apply_all(events, 100 * MB)
    assert (run.status, run.number, run.stop_s, run.n_lanes) == ("done", 3, 4.0, 2)
    first = [bar for bar in run.bars if bar.lane == 0]
    assert [(b.start_s, b.stop_s, b.step) for b in first] == [
        (1.0, 1.5, 0),
        (1.5, 2.5, 1),
        (2.5, 3.0, -1),  # reading and writing
    ]
    assert run.busy_s == pytest.approx(3.0) and run.added_mb == pytest.approx(30.0)
    html = write_timelines([run]) + write_legend([run])
    assert html.count("<rect class") == 6 and "+30 MB" in html and "gradient correction" in html


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0.01, 2), st.integers(0, 3)), max_size=30))
def test_events_in_any_portions_give_one_timeline(work):
    events = [*start(), *(batch(i, 100 + a, 100 + a + d, t) for i, (a, d, t) in enumerate(work))]
    whole, pieces = Timeline().apply_all(events), Timeline()
    for event in events:
        pieces = pieces.apply_all([event])
    assert whole == pieces
    assert all(0 <= bar.lane < whole.n_lanes for bar in whole.bars)
    merged = merge_bars(whole.bars, 10)
    assert sum(b.stop_s - b.start_s for b in merged) >= 0
    assert {bar.lane for bar in merged} == {bar.lane for bar in whole.bars}


def test_merging_keeps_ends():
    bars = [Bar(0, 0.001 * i, 0.001 * (i + 1), i % 2, "") for i in range(1000)]
    merged = merge_bars(bars, 50)
    assert len(merged) <= 60 and merged[0].start_s == 0 and merged[-1].stop_s == bars[-1].stop_s


def test_modes_look_different():
    """One lane, several lanes with all steps, several lanes step by step."""
    model = RunModel(Pipeline([Halve(0.004), Halve(0.004)]), make_simulation(), cores=2)
    shapes = {}
    for mode, jobs in (("serial", 1), ("channel_sequential", 2), ("parallel", 2)):
        model.mode, model.n_jobs, model.batch_size = mode, jobs, 1
        assert model.run().success
        run = model.timeline
        first_done = max(b.stop_s for b in run.bars if b.step == 0)
        second_begins = min(b.start_s for b in run.bars if b.step == 1)
        shapes[mode] = (run.n_lanes, second_begins >= first_done - 1e-6)
    assert shapes == {
        "serial": (1, True),
        "channel_sequential": (2, False),
        "parallel": (2, True),
    }
    assert [t.number for t in model.timelines] == [1, 2, 3]
    assert "Run 3: parallel × 2" in describe_timeline(model.timelines[-1])


def test_a_failure_ends_the_timeline():
    model = RunModel(Pipeline([Choosy("C3")]), make_simulation(), backend="serial")
    model.run()
    assert model.timeline.status == "failed" and model.timelines == ()
    broken = Timeline().apply_all([*start(), RunFailed(101.0, "no", "x", 1, "C1")])
    assert (broken.failed_step, broken.message) == (1, "no")


def test_forecast_of_a_plan():
    pipeline = Pipeline([Halve(), Halve()])
    settings = {"backend": "threading", "batch_size": 1, "oversubscribe": True}
    serial = plan_timeline(pipeline.plan(mode="serial", batch_size=1), 4, (2.0, 4.0))
    both = plan_timeline(
        pipeline.plan(mode="channel_sequential", n_jobs=2, **settings), 4, (2.0, 4.0)
    )
    assert (serial.n_lanes, serial.stop_s) == (1, pytest.approx(6.0))
    assert (both.n_lanes, both.stop_s) == (2, pytest.approx(3.0))
    assert both.status == "planned" and "forecast" in describe_timeline(both).lower()
