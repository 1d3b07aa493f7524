"""What a run says, and the state that follows from it."""

from __future__ import annotations

import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet_nb.core import Pipeline
from facet_nb.core.events import (
    BatchDone,
    RunDone,
    RunFailed,
    RunStarted,
    RunState,
    StageDone,
    StageStarted,
    StepTime,
)
from tests.core import toys
from tests.core.toys import RUNS, ids


# --------------------------------------------------------------------------------- a made-up run
@st.composite
def runs(draw):
    """The events of a run that could be: stages over consecutive steps, batches in any order."""
    n_steps = draw(st.integers(0, 6))
    cuts = sorted(draw(st.sets(st.integers(1, max(1, n_steps - 1)), max_size=3)) - {n_steps})
    edges = [0, *[c for c in cuts if 0 < c < n_steps], n_steps]
    stages = [tuple(range(a, b)) for a, b in pairwise(edges) if b > a]
    times = st.floats(0.0, 5.0)
    now = draw(st.floats(0.0, 1e9))
    events = [RunStarted(now, "serial", "serial", 1, 1, tuple("abcdef"[:n_steps]), len(stages))]

    def tick():
        nonlocal now
        now += draw(times)
        return now

    for number, steps in enumerate(stages):
        n_batches = draw(st.integers(1, 4))
        batches = tuple((f"ch{i}",) for i in range(n_batches))
        events.append(StageStarted(tick(), number, steps, batches, "why"))
        if draw(st.booleans()):
            spent = tuple(StepTime(s, draw(times), draw(times)) for s in steps)
            events.append(BatchDone(tick(), number, -1, (), spent, 1, 0))
        for batch in draw(st.permutations(range(n_batches))):
            spent = tuple(StepTime(s, draw(times), draw(times)) for s in steps)
            rss = draw(st.integers(0, 10**9))
            events.append(BatchDone(tick(), number, batch, batches[batch], spent, 1, rss))
        events.append(StageDone(tick(), number, 1.0))
    end = draw(st.sampled_from(["done", "failed", "cancelled"]))
    if end == "done":
        events.append(RunDone(tick(), 1.0))
    else:
        events = events[: draw(st.integers(1, len(events)))]
        events.append(RunFailed(now, "x", "a", 0, "ch0", cancelled=end == "cancelled"))
    return events, end


def states(events):
    found = [RunState()]
    for event in events:
        found.append(found[-1].apply(event))
    return found


@given(runs())
def test_laws_of_the_reducer(run):
    events, end = run
    seen = states(events)
    assert [s.status for s in seen] == ["idle", *["running"] * (len(events) - 1), end]
    fractions = [s.fraction for s in seen[:-1]]
    assert all(0.0 <= f <= 1.0 for f in fractions)
    assert all(b >= a - 1e-12 for a, b in pairwise(fractions))
    assert all(s.elapsed_s >= 0 for s in seen)
    assert all(s.remaining_s is None or s.remaining_s >= 0 for s in seen)
    last = seen[-1]
    if end == "done":
        assert last.fraction == 1.0 and last.remaining_s == 0.0
        assert last.stages_done == last.n_stages
        assert last.steps_done == frozenset(range(len(last.steps)))
    spent = [t for e in events if isinstance(e, BatchDone) for t in e.step_times]
    for step in range(len(last.steps)):
        assert last.step_wall_s[step] == pytest.approx(
            sum(t.wall_s for t in spent if t.step == step)
        )
        assert last.step_cpu_s[step] == pytest.approx(sum(t.cpu_s for t in spent if t.step == step))
    peak = max((e.rss_bytes for e in events if isinstance(e, BatchDone)), default=0)
    assert last.peak_rss_bytes == peak
    assert set(last.cells) == {
        (t.step, name)
        for e in events
        if isinstance(e, BatchDone)
        for t in e.step_times
        for name in e.channels
    }


@given(runs())
def test_the_reducer_is_pure(run):
    events, _ = run
    first = states(events)
    assert states(events) == first
    for event, state in zip(events, first, strict=False):
        kept = pickle.dumps(state)
        state.apply(event)
        assert pickle.loads(kept) == state
        assert pickle.loads(pickle.dumps(event)) == event


def test_an_unknown_event_changes_the_time_only():
    from facet_nb.core.events import Event

    state = RunState(status="running", started_s=1.0)
    assert state.apply(Event(5.0)) == RunState(status="running", started_s=1.0, now_s=5.0)
    assert state.apply(Event(0.5)).elapsed_s == 0.0, "clocks are set back now and then"


def test_a_second_run_begins_anew():
    one = states([RunStarted(1.0, "serial", "serial", 1, 1, ("a",), 1), RunFailed(2.0, "x", "a")])[
        -1
    ]
    two = one.apply(RunStarted(3.0, "parallel", "threading", 2, 1, ("b", "c"), 2))
    assert (two.status, two.failed_step, two.step_wall_s) == ("running", None, (0.0, 0.0))


def test_what_is_left_is_told_from_what_was_done():
    begun = RunState().apply(RunStarted(100.0, "serial", "serial", 1, 1, ("a", "b"), 2))
    assert begun.remaining_s is None
    stage = begun.apply(StageStarted(100.0, 0, (0,), (("w",), ("x",), ("y",), ("z",)), ""))
    one = stage.apply(BatchDone(105.0, 0, 0, ("w",), (StepTime(0, 5.0, 5.0),), 1, 5))
    assert one.remaining_s is None, "one batch may have been the start-up alone"
    half = one.apply(BatchDone(110.0, 0, 1, ("x",), (StepTime(0, 5.0, 5.0),), 1, 5))
    assert half.fraction == 0.25 and half.remaining_s == pytest.approx(30.0)


@given(runs())
def test_nothing_is_told_before_work_of_the_stage_was_computed(run):
    """Steps of other stages, preparation and what a checkpoint restores are no evidence."""
    state, computed = RunState(), 0
    for event in run[0]:
        state = state.apply(event)
        if isinstance(event, (StageStarted, StageDone)):
            computed = 0
        computed += isinstance(event, BatchDone) and event.batch >= 0 and not event.restored
        if state.status == "running" and computed < 2:
            assert state.remaining_s is None


@pytest.mark.parametrize("n_restored", [1, 5, 8])
def test_what_was_restored_does_not_count_as_speed(n_restored):
    names = tuple((f"{i}",) for i in range(n_restored + 4))
    state = RunState().apply(RunStarted(0.0, "serial", "serial", 1, 1, ("a",), 1))
    state = state.apply(StageStarted(0.0, 0, (0,), names, ""))
    for i in range(n_restored):
        state = state.apply(BatchDone(0.0, 0, i, names[i], (), 1, 5, restored=True))
        assert state.remaining_s is None
    for i in range(2):
        time = (StepTime(0, 5.0, 5.0),)
        state = state.apply(BatchDone(5.0 * (i + 1), 0, n_restored + i, names[-1], time, 1, 5))
    assert state.remaining_s == pytest.approx(10.0), "two of four batches took 10 s"


# ------------------------------------------------------------------------------------- a real run
@pytest.mark.parametrize("options", RUNS, ids=ids)
def test_events_of_a_run(options):
    events = []
    ctx = toys.make_context()
    result = Pipeline(toys.chain()).run(ctx, on_event=events.append, raise_on_error=True, **options)
    kinds = [type(e).__name__ for e in events]
    assert kinds[0] == "RunStarted" and kinds[-1] == "RunDone"
    assert kinds.count("StageStarted") == kinds.count("StageDone") == events[0].n_stages
    seen = states(events)
    assert seen[-1] == result.state and result.state.status == "done"
    fractions = [s.fraction for s in seen[:-1]]
    assert all(b >= a - 1e-12 for a, b in pairwise(fractions))
    assert fractions[-1] == 1.0
    batches = [(e.stage, e.batch) for e in events if isinstance(e, BatchDone) and e.batch >= 0]
    assert len(batches) == len(set(batches))
    for number, stage in enumerate(result.plan.stages):
        started = next(e for e in events if isinstance(e, StageStarted) and e.stage == number)
        assert started.steps == stage.steps and started.reason == stage.reason
        done = sorted(b for s, b in batches if s == number)
        assert done == list(range(len(started.batches)))
    assert result.state.steps_done == frozenset(range(len(toys.chain())))
    times = [e.time_s for e in events]
    assert times == sorted(times)
    assert result.state.peak_rss_bytes > 10e6
    assert set(toys.GOOD) <= set(result.state.channels)
    pickle.loads(pickle.dumps(events))


class Busy(toys.ChannelWise):
    """Computes for a while."""

    def change(self, x, context):
        import time

        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass
        return x


@pytest.mark.parametrize("mode", ["serial", "channel_sequential"])
def test_step_times_are_measured(mode):
    """Within one thread they are parts of the run's time, and the busy step has its own."""
    steps = [toys.Halved(), Busy(), toys.Spread(), toys.Sleeping(0.02), lambda c: c]
    result = Pipeline(steps).run(toys.make_context(), mode=mode, raise_on_error=True)
    table = result.step_times
    assert list(table["step"]) == ["halved", "busy", "spread", "sleeping", "lambda"]
    assert 0 < table["wall_s"].sum() <= result.execution_time
    assert (table["wall_s"] > 0).all() and (table["cpu_s"] >= 0).all()
    once = len(toys.GOOD)  # the reference channel's run before the batches is not repeated
    assert table["cpu_s"][1] >= 0.02 * once * 0.99
    assert table["wall_s"][3] >= 0.02 * once * 0.99 and table["cpu_s"][3] < 0.05
    assert table["wall_s"].sum() > 0.2


def test_cpu_time_of_inner_threads_counts():
    class Wide(toys.Halved):
        def compute(self, x, prepared, out=None):
            import time

            end = time.thread_time() + 0.03 * len(x)
            while time.thread_time() < end:
                pass
            return np.multiply(x, 0.5, out=out)

    ctx = toys.wide_context(4)
    from facet_nb.core.execution.runner import Runner
    from facet_nb.core.planning.planner import RunOptions, make_plan

    options = RunOptions("serial", n_workers=2, backend="serial", batch_size=4)
    plan = make_plan([Wide()], options, 2)
    events = []
    Runner([Wide()], plan, events.append).run(ctx)
    assert 0.12 <= states(events)[-1].step_cpu_s[0] < 0.3


@pytest.mark.parametrize("options", [RUNS[0], RUNS[7], RUNS[8]], ids=ids)
def test_events_of_a_failure(options):
    events = []
    Pipeline([toys.Halved(), toys.Raising("E4")]).run(
        toys.make_context(), on_event=events.append, **options
    )
    last = events[-1]
    assert isinstance(last, RunFailed) and not last.cancelled
    assert (last.step, last.step_index, last.channel) == ("raising", 1, "E4")
    state = states(events)[-1]
    assert (state.status, state.failed_step, state.failed_channel) == ("failed", "raising", "E4")
    assert "no such thing" in state.message


@pytest.mark.parametrize("backend", ["serial", "threading", "multiprocessing"])
def test_batches_tell_when_and_where_they_ran(backend):
    events = []
    Pipeline([toys.Halved(), toys.Squared()]).run(
        toys.make_context(),
        mode="channel_sequential",
        n_jobs=2,
        backend=backend,
        on_event=events.append,
        raise_on_error=True,
    )
    batches = [e for e in events if isinstance(e, BatchDone) and e.batch >= 0]
    assert batches
    for e in batches:
        took_s = e.ended_s - e.began_s + 1e-3  # two clocks
        assert e.thread and took_s >= sum(t.wall_s for t in e.step_times)
        assert e.began_s <= e.ended_s <= e.time_s


@pytest.mark.parametrize("options", toys.PLACES, ids=toys.ids)
def test_a_step_that_runs_once_is_done_for_every_channel_of_its_stage(options):
    state = (
        Pipeline([toys.Halved(), toys.Found(), toys.ZScore()])
        .run(toys.make_context(), **options)
        .state
    )
    others = {(step, name) for step in (0, 2) for name in toys.GOOD}
    found = {name for step, name in state.cells if step == 1}
    assert state.cells >= others
    assert found == ({"E1"} if options["mode"] != "channel_sequential" else set(toys.GOOD))


def test_where_a_run_failed():
    state = Pipeline([toys.Halved(), toys.Raising("E4")]).run(toys.make_context()).state
    assert (state.failed_index, state.failed_step, state.failed_channel) == (1, "raising", "E4")


def test_events_all_at_once_are_the_same_as_one_after_another():
    events = [
        RunStarted(1.0, "serial", "serial", 1, 1, ("a", "b"), 2),
        StageStarted(2.0, 0, (0, 1), (("x",), ("y",)), "why"),
        BatchDone(3.0, 0, 0, ("x",), (StepTime(0, 0.1, 0.2), StepTime(1, 0.1, 0.2)), 1, 10),
        BatchDone(4.0, 0, 1, ("y",), (StepTime(0, 0.1, 0.2),), 1, 20),
        StageDone(5.0, 0, 1.0),
    ]
    state = RunState()
    for event in events:
        state = state.apply(event)
    assert RunState().apply_all(events) == state
    assert state.apply_all([]) == state
    halfway = RunState().apply_all(events[:3])
    assert halfway.apply_all(events[3:]) == state
    assert state.apply_all(events) == state  # a new run begins anew


@pytest.mark.parametrize("mode", ["serial", "channel_sequential"])
def test_one_worker_is_one_thread(mode):
    """Steps on all channels, preparations and batches of such a run have one thread."""
    from facet_nb import classic_correction
    from facet_nb.datasets import simulate

    events = []
    context = simulate(2, 500, 20, 2.0, 5).context()
    classic_correction(r"\b1\b").run(context, mode=mode, on_event=events.append)
    batches = [e for e in events if isinstance(e, BatchDone)]
    assert {e.batch < 0 for e in batches} == {True, False}
    assert len({(e.pid, e.thread) for e in batches}) == 1
