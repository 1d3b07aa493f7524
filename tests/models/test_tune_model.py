"""Benchmarks, replays, guesses and comparisons without a screen."""

from __future__ import annotations

import threading
import time

import pytest

from facet_nb.benchmark import BenchmarkTable
from facet_nb.core import Pipeline
from facet_nb.core.errors import FacetError, PlanError, ValidationError
from facet_nb.models import RunModel, StudioModel, TuneModel
from facet_nb.models.replay import MOST_FRAMES, list_frames
from facet_nb.models.verdict import score_guess, write_score, write_verdict
from tests.models.helpers import Gate, Halve, make_simulation
from tests.models.tables import FOUR, INNER, SERIAL, TWO, advise, make_table, measure


@pytest.fixture(scope="module")
def simulation():
    return make_simulation()


@pytest.fixture
def run(simulation):
    return RunModel(Pipeline([Halve()]), simulation, cores=4)


@pytest.fixture
def tune(run):
    return TuneModel(run, measure=measure, advise=advise)


# --- measuring -------------------------------------------------------------------------------


def test_the_table_grows_in_the_owners_thread(tune):
    owners, sizes = set(), []

    def watch(change):
        owners.add(threading.current_thread())
        table = change["new"].table
        sizes.append(0 if table is None else sum(p.n_repeats for p in table.points))

    tune.observe(watch, "state")
    tune.measure = lambda *a, **k: measure(*a, pause_s=0.02, **k)
    table = tune.benchmark()
    assert table == make_table() and tune.status == "done" and tune.elapsed_s > 0
    assert owners == {threading.current_thread()}
    assert len(set(sizes)) > 3 and sizes == sorted(sizes)
    tune.wait()
    assert tune.advice is not None and tune.advice.n_jobs == 2


def test_what_will_be_measured(tune, run):
    labels = [c.label for c in tune.configurations()]
    assert labels[0] == "serial" and len(labels) == 6  # serial, one batch, and 2 and 4 threads each
    tune.modes, tune.n_jobs = ("serial",), (1,)
    assert len(tune.configurations()) == 1
    assert tune.predict_time_s() is None
    run.run()
    assert 0 < tune.predict_time_s() <= tune.time_budget_s
    tune.n_jobs = (0,)
    with pytest.raises(PlanError):
        tune.start()
    assert tune.status == "idle"


def test_settings_reach_the_measurement(run):
    seen = {}

    def look(pipeline, source, **settings):
        seen.update(settings, pipeline=pipeline, source=source)
        return make_table()

    tune = TuneModel(run, measure=look, advise=advise)
    tune.repeats, tune.time_budget_s, tune.memory, tune.n_workers = 3, 33.0, False, (1, 2)
    tune.benchmark()
    assert seen["repeats"] == 3 and seen["time_budget_s"] == 33.0 and seen["memory"] is False
    assert seen["n_workers"] == (1, 2) and seen["pipeline"] is run.pipeline
    assert seen["source"] is run.source


def test_cancel_keeps_what_was_measured(tune):
    tune.measure = lambda *a, **k: measure(*a, pause_s=0.05, **k)
    tune.start()
    with pytest.raises(ValidationError, match="in progress"):
        tune.start()
    while tune.table is None or not any(p.n_repeats for p in tune.table.points):
        tune.drain()
        time.sleep(0.01)
    tune.cancel()
    assert tune.status == "cancelling" and tune.wait(5)
    assert tune.status == "cancelled" and 0 < sum(p.n_repeats for p in tune.table.points) < 20
    with pytest.raises(FacetError):
        tune.measure = lambda *a, **k: measure(*a, fail=True, **k)
        tune.benchmark()
    assert tune.status == "failed" and "it broke" in tune.error


def test_a_run_and_a_benchmark_exclude_one_another(simulation):
    gate = Gate()
    studio = StudioModel(simulation, Pipeline([gate]))
    studio.tune.measure = lambda *a, **k: measure(*a, pause_s=0.02, **k)
    studio.run.start()
    with pytest.raises(ValidationError, match="a run is in progress"):
        studio.tune.start()
    gate.open.set()
    studio.run.wait(10)
    studio.tune.start()
    assert "a benchmark is in progress" in studio.run.blocked
    with pytest.raises(ValidationError):
        studio.run.start()
    assert studio.close() is True and studio.tune.wait(5)
    assert studio.tune.status == "cancelled" and studio.run.blocked == ""


# --- points ----------------------------------------------------------------------------------


def test_a_point_goes_to_run_and_code(tune, run):
    tune.load(make_table())
    tune.choose(TWO)
    assert (run.mode, run.n_jobs, run.backend) == ("channel_sequential", 2, "threading")
    assert "n_jobs=2" in run.code() and tune.chosen == TWO
    tune.wait()
    run.n_jobs = 1
    tune.take_advice()
    assert run.n_jobs == 2


def test_more_workers_than_there_are(simulation):
    run = RunModel(Pipeline([Halve()]), simulation, cores=2)
    tune = TuneModel(run, advise=advise)
    tune.load(make_table())
    tune.choose(FOUR)
    assert run.n_jobs == 2


# --- words -----------------------------------------------------------------------------------


def test_verdicts():
    table = make_table()
    said = write_verdict(table)
    assert said.startswith("parallel, 4 threads is 2.5") and "95 % interval" in said
    assert "1 other cannot be distinguished" in said
    wrong = make_table(differs={FOUR: 1e-6})
    assert write_verdict(wrong).startswith("channel_sequential, 2 threads is 1.78")
    assert "Do not use parallel, 4 threads" in write_verdict(wrong)
    assert write_verdict(None) == "Nothing has been measured yet."
    few = make_table(1)
    assert "distinguishable" in write_verdict(few)


def test_guesses_are_scored_against_the_interval(tune):
    table = make_table()
    scores = score_guess({1: 1.0, 2: 1.8, 4: 4.0, 64: 9.0}, table)
    assert [s.workers for s in scores] == [1, 2, 4]
    assert scores[1].hit and not scores[2].hit and scores[2].low <= 2.5 <= scores[2].high
    assert write_score(scores[1:]) == "1 of 2 guesses lie in the measured interval."
    assert write_score(()).startswith("No guessed number")
    tune.load(table)
    tune.guess, tune.hidden = {2: 1.8}, True
    assert tune.scores() == () and tune.verdict == "Guess first, then reveal."
    tune.hidden = False
    assert tune.scores()[0].hit


# --- stored tables ---------------------------------------------------------------------------


def test_frames_of_a_replay():
    table = make_table(4)
    frames = list_frames(table)
    counts = [sum(p.n_repeats for p in frame.points) for frame in frames]
    assert counts == [*range(1, 17), 16] and frames[-1] is table
    assert all(p.memory is None for p in frames[-2].points)
    assert len(list_frames(make_table(100))) <= MOST_FRAMES + 1
    assert list_frames(make_table(0)) == [make_table(0)]


def test_replay_computes_nothing(tune, tmp_path):
    path = tune_file(tmp_path)
    tune.measure = None
    sizes = []
    tune.observe(lambda c: sizes.append(sum(p.n_repeats for p in c["new"].table.points)), "state")
    tune.replay(path, seconds=0.4)
    assert tune.status == "replaying"
    assert tune.wait(5) and tune.status == "done" and tune.table == make_table()
    growing = sizes[1:]
    assert len(set(growing)) >= 4 and growing == sorted(growing)
    tune.replay(seconds=60.0)
    tune.cancel()
    assert tune.status == "done" and tune.table == make_table()


def tune_file(folder):
    path = folder / "table.json"
    make_table().to_json(path)
    return path


def test_files(tune, tmp_path):
    with pytest.raises(ValidationError, match="no table yet"):
        tune.save(tmp_path / "a.json")
    with pytest.raises(ValidationError, match="no table yet"):
        tune.replay()
    with pytest.raises(ValidationError):
        tune.load("nowhere.json")
    tune.load(tune_file(tmp_path))
    for name in ("a.json", "a.csv", "a.png", "a.svg"):
        assert tune.save(tmp_path / name).stat().st_size > 500
    assert BenchmarkTable.from_json(tmp_path / "a.json") == make_table()
    with pytest.raises(ValidationError, match="suffix must be"):
        tune.save(tmp_path / "a.pdf")


def test_places_of_points_are_found_by_a_click():
    from facet_nb.plots import tuning_picture
    from facet_nb.plots.tuning import find_point, place_points

    table = make_table()
    picture = tuning_picture(table, chosen=TWO, guess={1: 1.0, 2: 2.0})
    picture.canvas.draw()
    axes = {ax.get_gid(): ax for ax in picture.axes if ax.get_gid()}
    assert set(axes) == {"scaling", "pareto", "map", "memory"}
    for kind in ("scaling", "pareto", "map"):
        found = [c for _, _, c in place_points(table, kind)]
        assert TWO in found
        for x, y, configuration in place_points(table, kind):
            there = axes[kind].transData.transform((x, y))
            near = find_point(table, axes[kind], there[0] + 3, there[1] - 3)
            same_place = {(configuration.n_jobs, configuration.n_workers)}
            assert near == configuration or (near.n_jobs, near.n_workers) in same_place
    assert find_point(table, axes["memory"], 0, 0) is None
    assert find_point(table, axes["pareto"], -500, -500) is None
    assert "Chosen: channel_sequential, 2 threads" in picture.caption
    assert {SERIAL, INNER} <= {c for _, _, c in place_points(table, "pareto")}


def test_pictures_of_unfinished_tables():
    from facet_nb.plots import tuning_picture

    for table in (None, make_table(0, memory=False), make_table(1, memory=False)):
        picture = tuning_picture(table, guess={1: 1.0, 2: 1.5})
        assert picture.to_png().startswith(b"\x89PNG") and picture.caption
