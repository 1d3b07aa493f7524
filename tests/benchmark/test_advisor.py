"""Advice: what it recommends, on what evidence, and what it refuses."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from facet_nb.benchmark import BenchmarkTable, Configuration, advise
from facet_nb.benchmark.advisor import forecast_peak_mb, list_candidates, write_call
from facet_nb.benchmark.excerpt import Excerpt, take_excerpt, take_larger_excerpt
from facet_nb.benchmark.inputs import find_input
from facet_nb.benchmark.measurement import BatchTime, RunTrace, StageTrace
from facet_nb.benchmark.probe import extrapolate_rest, predict, try_out
from facet_nb.core import Pipeline, PlanError, ValidationError
from facet_nb.core.planning.planner import choose_mode
from facet_nb.core.recording import data_picks
from facet_nb.io import Exporter
from tests.benchmark.samples import ENVIRONMENT, SERIAL, THREADS, make_memory, make_point
from tests.core import toys

PIPELINE = Pipeline([toys.Halved()], name="Half")
SEQUENTIAL = Configuration("channel_sequential")


@pytest.fixture(scope="module")
def ctx():
    return toys.wide_context(16, n_times=40_000)


@pytest.fixture(scope="module")
def table(ctx):
    """Serial 4 s and 900 MB; sequential 3.9 s and 300 MB; threads 2.0 and 1.1 s; a wrong one."""
    subject, _ = find_input(PIPELINE, ctx)
    made = BenchmarkTable(ENVIRONMENT, subject)
    for c, wall_s, mb, changes in (
        (SERIAL, 4.0, 900.0, {}),
        (SEQUENTIAL, 3.9, 300.0, {}),
        (THREADS[2], 2.0, 400.0, {}),
        (THREADS[4], 1.1, 700.0, {}),
        (THREADS[8], 0.5, 100.0, {"max_abs_diff_v": 1e-9}),
        (Configuration("parallel", "multiprocessing", 4), 0.0, 0.0, {"error": "no <b>"}),
    ):
        walls = tuple(wall_s * f for f in (0.98, 1.0, 1.03)) if wall_s else ()
        point = make_point(c, walls, subject_id=subject.id, memory=make_memory(mb), **changes)
        made = made.append(point)
    return made


def test_the_fastest_measured_one_with_the_right_result(ctx, table):
    advice = advise(PIPELINE, ctx, table=table)
    assert advice.configuration == THREADS[4] and advice.runner_up == THREADS[2]
    assert advice.clear and advice.basis == "measured"
    assert advice.predicted_wall_s == pytest.approx(1.1) and advice.predicted_peak_mb == 700.0
    low, high = advice.intervals["predicted_wall_s"]
    assert low < 1.1 < high
    assert "fastest of 4 measured" in advice.reason and len(advice.evidence) >= 4
    assert advice.code == (
        "result = pipeline.run(context, mode='channel_sequential', backend='threading', n_jobs=4, "
        "batch_size=1)"
    )


@pytest.mark.parametrize("watched", [(), (SEQUENTIAL,), (SERIAL, THREADS[4]), None])
@pytest.mark.parametrize("goal", ["fastest", "smallest", "balanced"])
def test_no_number_is_called_measured_that_was_not(ctx, table, watched, goal):
    """Whatever was watched, each number is named by its own origin, wherever it is shown."""
    points = [
        p if watched is None or p.configuration in watched else replace(p, memory=None)
        for p in table.points
    ]
    advice = advise(PIPELINE, ctx, table=replace(table, points=tuple(points)), goal=goal)
    (point,) = [p for p in points if p.configuration == advice.configuration]
    known = point.memory is not None
    assert advice.peak_basis == ("measured" if known else "forecast")
    assert advice.reason.endswith("MB" if known else "MB (forecast)")
    memory = next(line for line in str(advice).splitlines() if line.startswith("memory:"))
    assert memory.endswith(advice.peak_basis)
    assert f"MB ({advice.peak_basis})" in advice._repr_html_()
    usable = [p for p in points if p.usable]
    lines = advice.evidence[: len(usable)]
    for p, line in zip(usable, lines, strict=True):
        assert line.endswith("MB measured" if p.memory is not None else "MB forecast")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"goal": "smallest"}, SEQUENTIAL),
        ({"goal": "balanced"}, THREADS[2]),  # 800 MB s beside 770, with half the workers
        ({"memory_budget": "500 MB"}, THREADS[2]),
        ({"memory_budget": 350e6}, SEQUENTIAL),
    ],
)
def test_goals_and_budgets(ctx, table, options, expected):
    advice = advise(PIPELINE, ctx, table=table, **options)
    assert advice.configuration == expected
    if "memory_budget" in options:
        assert "others need more than" in advice.reason


def test_memory_that_was_not_watched_is_forecast(ctx, table):
    bare = [replace(p, memory=None) for p in table.points]
    advice = advise(PIPELINE, ctx, table=replace(table, points=tuple(bare)))
    assert advice.configuration == THREADS[4]
    forecast_mb = forecast_peak_mb(PIPELINE, ctx, THREADS[4])  # of a process that may have grown
    assert advice.predicted_peak_mb == pytest.approx(forecast_mb, rel=0.05)
    low, high = advice.peak_interval_mb
    assert high - low == pytest.approx(0.5 * advice.predicted_peak_mb)


def test_no_clear_difference_is_an_answer(ctx, table):
    kept = [p for p in table.points if p.configuration in (SERIAL, SEQUENTIAL)]
    few = BenchmarkTable(ENVIRONMENT, table.subject, tuple(kept))
    advice = advise(PIPELINE, ctx, table=few)
    # 2.5 % apart in all three blocks: told apart, and 4 % is told apart from nothing else
    assert advice.configuration in (SERIAL, SEQUENTIAL)
    noisy = [
        make_point(SERIAL, (4.0, 5.0, 3.8), subject_id=table.subject.id),
        make_point(SEQUENTIAL, (4.1, 4.0, 4.4), subject_id=table.subject.id),
    ]
    advice = advise(PIPELINE, ctx, table=BenchmarkTable(ENVIRONMENT, table.subject, tuple(noisy)))
    assert advice.configuration == SERIAL and not advice.clear
    assert "no clear difference" in advice.reason and "simplest" in advice.reason


def test_what_cannot_be_advised(ctx, table):
    with pytest.raises(PlanError, match="needs 300 MB"):
        advise(PIPELINE, ctx, table=table, memory_budget="10 MB")
    with pytest.raises(PlanError, match="goal"):
        advise(PIPELINE, ctx, table=table, goal="best")
    with pytest.raises(ValidationError, match="another chain or recording"):
        advise(Pipeline([toys.Squared()]), ctx, table=table)
    with pytest.raises(ValidationError, match="no usable"):
        advise(PIPELINE, ctx, table=BenchmarkTable(ENVIRONMENT, table.subject))
    for probe_s in (0, float("nan"), "3"):
        with pytest.raises(ValidationError, match="probe_s"):
            advise(PIPELINE, ctx, probe_s=probe_s)
    with pytest.raises(ValidationError, match="table must be"):
        advise(PIPELINE, ctx, table="table.json")
    with pytest.raises(PlanError, match="smallest configuration needs"):
        advise(PIPELINE, ctx, memory_budget="1 MB")


def test_a_probe_in_earnest(ctx, tmp_path):
    target = tmp_path / "never.fif"
    pipeline = Pipeline([toys.Halved(), toys.Squared(), Exporter(target)])
    advice = advise(pipeline, ctx, probe_s=0.3)
    assert advice.basis == "probe" and not target.exists()
    assert choose_mode(advice.mode, False, False) == advice.mode
    assert 0 < advice.wall_interval_s[0] <= advice.predicted_wall_s <= advice.wall_interval_s[1]
    assert 20 < advice.predicted_peak_mb < 2000
    assert "probe of" in advice.reason and len(advice.evidence) >= 2
    assert advice.peak_basis == "forecast" and "measured" not in f"{advice}{advice._repr_html_()}"
    result = Pipeline([toys.Halved()]).run(ctx, **advice.settings)
    assert result.success


def test_a_step_that_fails_in_the_probe_says_so(ctx):
    name = ctx.get_channel_names()[0]
    with pytest.raises(Exception, match="no such thing"):
        advise(Pipeline([toys.Raising(name)]), ctx, probe_s=0.2)


def test_candidates_suit_the_chain(ctx, monkeypatch):
    from facet_nb.benchmark import advisor

    monkeypatch.setattr(advisor, "count_cores", lambda: 4)
    monkeypatch.setattr(advisor, "list_levels", lambda most: [1, 2, 4])
    ours = list_candidates(PIPELINE, ctx)
    assert not any(c.backend == "multiprocessing" for c in ours) and THREADS[4] in ours
    anyones = list_candidates(Pipeline([toys.ZScore()]), ctx)
    assert Configuration("channel_sequential", "multiprocessing", 4) in anyones
    monkeypatch.setattr(advisor, "list_levels", lambda most: [1])
    assert all(c.workers == 1 for c in list_candidates(PIPELINE, ctx))


def test_an_excerpt_holds_what_the_steps_name(ctx):
    last = ctx.get_channel_names()[-1]
    excerpt = take_excerpt(Pipeline([toys.Referred(last)]), ctx, 10.0, cores=1)
    names = excerpt.context.get_channel_names()
    assert last in names and names[0] == ctx.get_channel_names()[0]
    assert excerpt.n_channels == 8 and excerpt.time_scale == 1.0
    n_all = excerpt.n_channels * excerpt.channel_scale
    assert n_all == pytest.approx(len(data_picks(ctx.get_raw())))


@pytest.mark.parametrize(("n_jobs", "expected"), [(1, 0.5 + 1.0 + 32 * 0.2), (2, 0.5 + 1.0 + 3.2)])
def test_prediction_from_a_piece_by_hand(n_jobs, expected):
    """8 of 32 channels; half a second outside, one of decisions, and 0.2 s for each batch."""
    jobs = [k % n_jobs for k in range(8)]
    starts = [1.25 + 0.2 * (k // n_jobs) for k in range(8)]
    batches = tuple(
        BatchTime(f"worker {j}", s, s + 0.2, 0.2) for j, s in zip(jobs, starts, strict=True)
    )
    stop_s = 1.25 + 1.6 / n_jobs
    stage = StageTrace(
        "channel_wise", ("x",), 0.25, stop_s, 1.0, (2.6,), (2.6,), batches, n_jobs, (1.0,), True
    )
    trace = RunTrace(stop_s + 0.25, (stage,))
    excerpt = Excerpt(None, 8, 4.0, 1.0)
    found = predict(trace, excerpt, Configuration(n_jobs=n_jobs), n_data=32)
    assert found == pytest.approx(expected)
    longer = predict(trace, Excerpt(None, 8, 4.0, 3.0), Configuration(n_jobs=n_jobs), n_data=32)
    assert longer == pytest.approx(3 * (expected - 0.5) + 0.5)


def make_trace(n, rest_s, batch_s=0.1, n_jobs=1):
    """n batches after a step over all channels and half a second of decisions."""
    first_s = 0.5 * rest_s
    begin_s = first_s + 0.5
    starts = [begin_s + batch_s * (k // n_jobs) for k in range(n)]
    batches = tuple(
        BatchTime(f"worker {k % n_jobs}", s, s + batch_s, batch_s) for k, s in enumerate(starts)
    )
    stop_s = batches[-1].stop_s
    stages = (
        StageTrace("global", ("g",), 0.0, first_s),
        StageTrace("channel_wise", ("x",), first_s, stop_s, 0.5, batches=batches, n_jobs=n_jobs,
                   splits=True),
    )  # fmt: skip
    return RunTrace(stop_s + 0.5 * rest_s, stages)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_two_sizes_tell_what_grows_with_the_data(n_jobs):
    """1 s that stays and 0.02 s for each channel, half of both in a step over all channels."""

    def cost(n):
        return make_trace(n, 1.0 + 0.02 * n, n_jobs=n_jobs)

    small, large = cost(8), cost(16)
    rest_s = extrapolate_rest([small], 8 / 64, [large], 16 / 64)
    assert rest_s == pytest.approx(1.0 + 0.02 * 64)
    c = Configuration(n_jobs=n_jobs)
    assert predict(large, Excerpt(None, 16, 4.0, 1.0), c, 64, rest_s) == pytest.approx(
        cost(64).wall_s
    )
    assert predict(cost(64), Excerpt(None, 64, 1.0, 1.0), c, 64) == cost(64).wall_s
    longer_s = predict(large, Excerpt(None, 16, 4.0, 3.0), c, 64, rest_s)
    assert longer_s == pytest.approx(rest_s + 3 * (0.5 + 6.4 / n_jobs))
    noisy = make_trace(8, 9.0)  # nothing takes less time because it has more data
    assert extrapolate_rest([noisy], 8 / 64, [large], 16 / 64) == pytest.approx(1.32)


def test_a_larger_piece_is_as_large_as_asked(ctx):
    small = take_excerpt(PIPELINE, ctx, 10.0, cores=1)
    assert take_larger_excerpt(PIPELINE, ctx, small, 3.0).context is ctx
    assert take_larger_excerpt(PIPELINE, ctx, small, 0.9) is small  # beside the whole, half at most
    wide = toys.wide_context(64, n_times=4_000)
    small = take_excerpt(PIPELINE, wide, 10.0, cores=1)
    excerpt = take_larger_excerpt(PIPELINE, wide, small, 0.4)
    assert excerpt.n_channels == 25 and excerpt.time_scale == 1.0
    assert excerpt.share == pytest.approx(25 / len(data_picks(wide.get_raw())))
    assert take_larger_excerpt(PIPELINE, wide, small, 0.1) is small


def test_a_probe_takes_the_whole_of_a_short_recording_and_its_time(ctx):
    found = try_out(PIPELINE, ctx, list_candidates(PIPELINE, ctx), 30.0, cores=1)
    assert found.excerpt.context is ctx and found.excerpt.share == 1.0
    begin = time.process_time()  # on a busy machine, a clock on the wall says little
    many = try_out(PIPELINE, ctx, [SERIAL, SEQUENTIAL], 1e-3, cores=1)
    assert many.excerpt.n_channels == 8 and time.process_time() - begin < 5.0
    assert all(1 <= len(t.wall_s) <= 3 for t in many.trials)
    few = toys.wide_context(4, n_times=20_000)
    all_of_few = try_out(PIPELINE, few, [SERIAL, SEQUENTIAL], 0.2, cores=1)
    assert all_of_few.excerpt.share == 1.0 and all(t.likely_s > 0 for t in all_of_few.trials)
    tight = try_out(PIPELINE, ctx, [SERIAL], 1.0, cores=1, enlarge=False)
    assert tight.excerpt.n_channels == 8 and len(tight.trials[0].wall_s) > 2


def test_what_is_near_the_budget_counts_as_too_large(ctx):
    ways = list_candidates(PIPELINE, ctx)
    peaks = {c: forecast_peak_mb(PIPELINE, ctx, c) for c in ways}
    least = min(peaks, key=lambda c: peaks[c])
    tight = advise(PIPELINE, ctx, memory_budget=1.01e6 * peaks[least], probe_s=0.2)
    assert tight.configuration == least and "others need more than" in tight.reason
    ample = advise(PIPELINE, ctx, memory_budget=2e6 * max(peaks.values()), probe_s=0.2)
    assert "others" not in ample.reason


def test_the_call_is_what_was_advised():
    assert write_call(SERIAL) == "result = pipeline.run(context, mode='serial', batch_size=1)"
    assert "n_jobs=1, batch_size=1" in write_call(Configuration("parallel"))
    c = Configuration("parallel", "multiprocessing", 4, 2, 8)
    assert "n_jobs=4, n_workers=2, batch_size=8" in write_call(c) and "backend" not in write_call(c)


def test_words_are_escaped(ctx, table):
    advice = advise(PIPELINE, ctx, table=table)
    assert "<b>channel_sequential, 4 threads</b>" in advice._repr_html_()
    assert "4 threads" in str(advice) and advice.code in str(advice)
