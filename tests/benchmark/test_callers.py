"""Tables by caller, of measurements that were stored or made by hand: nothing is timed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet_nb.benchmark import BenchmarkTable, CallerTables, Configuration, measure_callers
from facet_nb.benchmark import callers as module
from facet_nb.benchmark.callers import list_step_times, predict_inner
from facet_nb.benchmark.measurement import MemoryUse, RunTrace, StageTrace
from facet_nb.core import Pipeline
from facet_nb.core.errors import ValidationError
from facet_nb.preprocessing import CommonReference
from tests.benchmark.samples import ENVIRONMENT, SUBJECT, make_point
from tests.benchmark.synthetic import Costs, run
from tests.contract.recordings import make_context

SERIAL_S = 0.5  # what no worker divides
LEVELS = ((1, 1), (1, 2), (1, 4), (2, 1), (2, 2), (4, 1))


def make_table(scale: float = 1.0, memory: bool = True, slowdown: float = 0.05, levels=LEVELS):
    """24 batches of 1 s after half a second of serial work; threads as Amdahl says.

    Each outer worker takes 100 MB above the 50 MB that a process has before.
    """
    table = BenchmarkTable(ENVIRONMENT, SUBJECT)
    for outer, inner in levels:
        batch_s = scale * (0.2 + 0.8 / inner)
        costs = Costs((batch_s,) * 24, serial_s=SERIAL_S * scale)
        trace = run(replace(costs, contention=1.0 + slowdown * (outer - 1)), outer)
        use = MemoryUse(50.0 + 100.0 * outer, 0.0, 0.0, base_mb=50.0) if memory else None
        c = Configuration(
            "channel_sequential", "threading" if outer > 1 else "serial", outer, inner
        )
        values = {"trace": trace, "memory": use, "wall_s": (trace.wall_s,) * 3}
        table = table.append(make_point(c, **values))
    for inner in sorted({inner for _, inner in levels}):
        walls = (scale * SERIAL_S, 24 * scale * (0.2 + 0.8 / inner))
        stages = tuple(
            StageTrace("channel_wise", (name,), 0.0, s + 0.25 * scale, step_wall_s=(s,))
            for name, s in zip(("detect", "correct"), walls, strict=True)
        )
        wall_s = sum(walls) + 0.5 * scale
        use = MemoryUse(850.0, 0.0, 0.0, base_mb=50.0) if memory else None
        c = Configuration(n_workers=inner)
        values = {"trace": RunTrace(wall_s, stages), "memory": use, "wall_s": (wall_s,) * 3}
        table = table.append(make_point(c, **values))
    return table


def make_tables(**options) -> CallerTables:
    return CallerTables(make_table(**options), make_table(scale=0.1, **options), 10.0)


def read_section(text: str, title: str) -> list[list[str]]:
    """Return the cells of a table, without its heads."""
    part = next(p for p in text.split("\n\n") if p.startswith("| ") and title in before(text, p))
    return [line.strip("| ").split(" | ") for line in part.splitlines()[2:] if "|" in line]


def before(text: str, part: str) -> str:
    return text[: text.index(part)].rstrip().rpartition("\n")[2]


def test_components_are_the_steps_and_stages_all_around_them():
    table = make_table()
    inside = list_step_times(table, end_to_end=False)
    assert inside["correct"] == pytest.approx({1: 24.0, 2: 14.4, 4: 9.6})
    whole = list_step_times(table, end_to_end=True)
    assert whole["correct"] == pytest.approx({n: s + 0.25 for n, s in inside["correct"].items()})
    rows = read_section(str(make_tables()), "Components")
    assert rows[1] == ["correct", "24.000", "14.400", "9.600", "2.50"]
    assert rows[0] == ["detect", "0.500", "0.500", "0.500", "1.00"]


def test_the_grid_has_percent_of_the_best_and_shares_of_memory():
    tables = make_tables()
    rows = read_section(str(tables), "Outer × inner")
    assert [tuple(map(int, r[:2])) for r in rows] == sorted(LEVELS)
    best = min(float(r[2]) for r in rows)
    for row in rows:
        outer = int(row[0])
        assert row[3] == f"{best / float(row[2]):.0%}"
        assert row[4:] == [f"{100 * outer:.1f}", f"{outer / 4:.0%}"]


def test_interaction_tells_what_inner_threads_add():
    rows = read_section(str(make_tables()), "Interaction")
    assert [row[:2] for row in rows] == [["1", "1 → 2"], ["1", "1 → 4"], ["2", "1 → 2"]]
    assert rows[0][2].startswith("1.64") and all(row[3] == "faster" for row in rows)


def test_each_caller_gets_what_counts_for_it():
    viewer, streaming, frugal, default = make_tables().postures()
    assert (viewer.row.configuration.n_jobs, viewer.row.configuration.n_workers) == (1, 4)
    assert viewer.row.wall_s < 2.0, "a window, not the recording"
    assert streaming.row.configuration.n_jobs == 4, "the fastest of all windows"
    # The fastest takes 400 MB, of which half is allowed: two outer workers.
    assert (frugal.row.configuration.n_jobs, frugal.row.configuration.n_workers) == (2, 2)
    assert default.row.configuration == Configuration()
    assert set(default.outlook.wall_s) == {default.row.wall_s}, "one worker stays one"


def test_what_if_is_called_predicted_and_is_right_where_the_law_holds():
    tables = make_tables()
    _, streaming, frugal, _ = tables.postures()
    true = [run(replace(Costs((0.1,) * 24, serial_s=0.05), contention=1 + 0.05 * (n - 1)), n)
            for n in (8, 24)]  # fmt: skip
    assert streaming.outlook.wall_s == pytest.approx([t.wall_s for t in true])
    assert streaming.outlook.error == pytest.approx(0.0, abs=1e-9)
    assert len(frugal.outlook.wall_s) == 2 and frugal.outlook.error is None, "one count only"
    text = str(tables)
    assert "8 cores, predicted (s)" in text and "24 cores, predicted (s)" in text
    cells = {row[0]: row for row in read_section(text, "By caller")}
    assert cells["memory-limited batch"][7] == "not checked"
    assert cells["streaming"][7] == "±0%" and "slows batches by 5.0%" in cells["streaming"][8]


@given(
    share=st.floats(0.0, 1.0),
    counts=st.lists(st.integers(2, 16), min_size=1, max_size=4, unique=True),
)
def test_inner_threads_follow_amdahl_and_errors_are_of_held_out_counts(share, counts):
    points = [
        make_point(Configuration(n_workers=n), (10.0 * (share + (1 - share) / n),) * 3)
        for n in (1, *counts)
    ]
    table = BenchmarkTable(ENVIRONMENT, SUBJECT)
    for point in points:
        table = table.append(point)
    found = predict_inner(table, table.rows[0])
    assert found.wall_s == pytest.approx([10.0 * (share + (1 - share) / n) for n in (8, 24)])
    if len(counts) == 1:
        assert found.error is None
    else:
        assert found.error == pytest.approx(0.0, abs=1e-6)


def test_an_error_of_threads_is_not_graded_on_itself():
    """Two counts that disagree: each is predicted from the other alone."""
    table = BenchmarkTable(ENVIRONMENT, SUBJECT)
    for n, wall_s in ((1, 10.0), (2, 5.0), (4, 10.0)):  # ideal, then nothing gained
        table = table.append(make_point(Configuration(n_workers=n), (wall_s,) * 3))
    found = predict_inner(table, table.rows[0])
    assert found.error == pytest.approx(1.0), "with the share of four threads, two take 10 s"


@pytest.mark.parametrize("levels", [((1, 1),), ((1, 1), (2, 1))])
def test_little_that_was_measured_is_told_as_little(levels):
    tables = make_tables(levels=levels, memory=False)
    assert all(p.outlook.error is None for p in tables.postures())
    viewer, _, frugal, _ = tables.postures()
    assert frugal.row is None and frugal.outlook.wall_s == ()
    text = str(tables)
    assert "not measured" in text and "not checked" in text and "nan" not in text
    assert viewer.row is not None


def test_tables_are_stored_and_shown_again(tmp_path, facet_nb_runner):
    tables = make_tables()
    path = tmp_path / "callers.json"
    tables.to_json(path)
    assert str(CallerTables.from_json(path)) == str(tables)
    shown = facet_nb_runner("callers", path)
    assert shown.exit_code == 0 and shown.stdout.strip() == str(tables).strip()
    path.write_text('{"whole": {}}')
    with pytest.raises(ValidationError, match="to_json"):
        CallerTables.from_json(path)
    assert facet_nb_runner("callers", path).exit_code == 1


@pytest.fixture
def facet_nb_runner():
    from typer.testing import CliRunner

    from facet_nb.cli import app

    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def test_two_benchmarks_are_made_and_no_more(monkeypatch):
    """Of the recording and of a window from its middle, with the same settings."""
    asked = []

    def measure(pipeline, source, **settings):
        asked.append((source, settings))
        return make_table()

    monkeypatch.setattr(module, "benchmark", measure)
    context = make_context().with_triggers([1000, 4000, 4500, 8000])
    found = measure_callers(
        Pipeline([CommonReference()]), context, window_s=4.0, cores=4, time_budget_s=60.0
    )
    (whole, first), (window, second) = asked
    assert whole is context and first == second and first["time_budget_s"] == 30.0
    assert list(first["n_jobs"]) == list(first["n_workers"]) == [1, 2, 4]
    raw, piece = context.get_raw(), window.get_raw()
    assert piece.n_times == pytest.approx(4.0 * raw.info["sfreq"], abs=2)
    assert found.window_s == 4.0
    kept = [
        t
        for t in context.get_triggers()
        if 0 <= t - (raw.n_times - piece.n_times) // 2 < piece.n_times
    ]
    assert len(window.get_triggers()) == len(kept) > 0
    with pytest.raises(ValidationError, match="window_s"):
        measure_callers(Pipeline([CommonReference()]), context, window_s=0.0)
