"""HTML that says what it should, whatever the texts are."""

from __future__ import annotations

import re
import time

import pytest

from facet_nb.core.events import BatchDone, RunStarted, RunState, StageDone, StageStarted, StepTime
from facet_nb.models.event_log import Entry
from facet_nb.widgets.fragments import (
    write_code_block,
    write_duration,
    write_error,
    write_log,
    write_table,
)
from facet_nb.widgets.progress_grid import MOST_COLUMNS, FailedStep, write_grid

HOSTILE = "<script>alert('x')</script>&\"$"


def make_state(channels=("A", "B", "C"), n_done=2, steps=("first", "second")) -> RunState:
    """Return the state of a fused stage in which `n_done` channels are through."""
    now = time.time()
    batches = tuple((name,) for name in channels)
    state = RunState().apply(RunStarted(now, "serial", "serial", 1, 1, tuple(steps), 1))
    state = state.apply(StageStarted(now, 0, tuple(range(len(steps))), batches, "why"))
    for i, name in enumerate(channels[:n_done]):
        times = tuple(StepTime(s, 0.5, 0.4) for s in range(len(steps)))
        state = state.apply(BatchDone(now, 0, i, (name,), times, 1, 0))
    return state


@pytest.mark.parametrize(
    "html",
    [
        write_table(HOSTILE, [HOSTILE], [(HOSTILE, HOSTILE)]),
        write_error(HOSTILE, HOSTILE, HOSTILE),
        write_log([Entry(0.0, HOSTILE)]),
        write_code_block(HOSTILE),
        write_grid(make_state((HOSTILE, "B"), 1, (HOSTILE,))),
        write_grid(make_state((HOSTILE,) * 100, 3)),
    ],
)
def test_everything_is_escaped(html):
    assert "<script" not in html and "&lt;script&gt;" in html
    assert "'x'" not in html


def test_grid_counts_and_fills():
    html = write_grid(make_state())
    rows = re.findall(r"<tr class.*?</tr>", html)
    assert len(rows) == 2
    for row in rows:
        assert "2 of 3" in row and "1.0 s" in row and "fnb-row-busy" in row
        assert row.count("fnb-cell-done") == 2
    assert [re.sub("<.*?>", "", h) for h in re.findall("<th.*?</th>", html)][3:6] == ["A", "B", "C"]


def test_steps_that_run_as_one_fill_together():
    """The time is told for one of them; a channel that is through it is through those before."""
    state, now = make_state(n_done=0, steps=("up", "average", "down", "last")), time.time()
    state = state.apply(BatchDone(now, 0, 0, ("A",), (StepTime(1, 0.5, 0.4),), 1, 0))
    rows = re.findall(r"<tr class.*?</tr>", write_grid(state))
    assert [row.count("fnb-cell-done") for row in rows] == [1, 1, 0, 0]


def test_grid_of_a_finished_stage_is_full():
    """A step that looked at one channel for all is done for all."""
    state = make_state(n_done=0).apply(StageDone(time.time(), 0, 1.0))
    html = write_grid(state)
    assert html.count("fnb-cell-done") == 6 and html.count("3 of 3") == 2


def test_grid_marks_the_failure():
    html = write_grid(make_state(), FailedStep(1, "C"))
    assert html.count("fnb-cell-failed") == 1 and html.count("fnb-row-failed") == 1
    assert write_grid(make_state(), FailedStep(0, "A, B")).count("fnb-cell-failed") == 2
    assert write_grid(make_state(), FailedStep(1, None)).count("fnb-cell-failed") == 0


def test_grid_of_many_channels_shares_columns():
    names = tuple(f"E{i}" for i in range(256))
    html = write_grid(make_state(names, 10))
    first = re.findall(r"<tr class.*?</tr>", html)[0]
    assert first.count("fnb-cell") - first.count("fnb-cell-") <= 2 * MOST_COLUMNS
    assert "10 of 256" in first and "7 channels in a cell" in html
    assert first.count("fnb-cell-done") == 1 and first.count("fnb-cell-part") == 1
    assert len(html) < 20_000


def test_grid_before_the_run_is_empty():
    assert write_grid(RunState()) == ""


def test_global_step_has_no_channel_of_its_own():
    now = time.time()
    state = RunState().apply(RunStarted(now, "serial", "serial", 1, 1, ("all",), 1))
    state = state.apply(StageStarted(now, 0, (0,), (("all channels",),), "why"))
    done = state.apply(BatchDone(now, 0, 0, ("all channels",), (StepTime(0, 0.1, 0.1),), 1, 0))
    assert "all channels" not in write_grid(done)
    assert ">done<" in write_grid(done) and ">done<" not in write_grid(state)


def test_log_is_short_and_newest_first():
    html = write_log([Entry(0.0, f"line {i}") for i in range(300)], 100)
    assert html.count("<time>") == 100
    assert html.index("line 0") < html.index("line 99") and "line 100" not in html
    assert "No events yet" in write_log([])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.04, "40 ms"),
        (0.2, "0.2 s"),
        (59.9, "59.9 s"),
        (65, "1 min 05 s"),
        (3600, "60 min 00 s"),
    ],
)
def test_durations(seconds, text):
    assert write_duration(seconds) == text
