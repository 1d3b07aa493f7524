"""facet-nb bench: a table, a report and advice in one go."""

from __future__ import annotations

import pytest

from facet_nb.benchmark import BenchmarkTable
from facet_nb.core import Pipeline
from facet_nb.preprocessing import CommonReference


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    path = tmp_path_factory.mktemp("chains") / "chain.yaml"
    Pipeline([CommonReference()], "<b>mine</b>").to_yaml(path)
    return path


@pytest.mark.slow
def test_table_report_and_advice(facet_nb, files, chain, tmp_path):
    result = facet_nb(
        *("bench", files.fif, "--chain", chain, "--out", "t.json", "--html", "r.html"),
        *("--mode", "channel_sequential", "--backend", "threading", "--n-jobs", 2),
        *("--repeats", 1, "--time-budget", 60, "--no-memory"),
    )
    assert result.exit_code == 0, result.stderr
    table = BenchmarkTable.from_json(tmp_path / "t.json")
    assert [r.configuration.n_jobs for r in table.rows] == [1, 2]
    assert all(r.point.max_abs_diff_v == 0.0 and r.point.n_repeats == 1 for r in table.rows)
    html = (tmp_path / "r.html").read_text()
    assert "<b>mine</b>" not in html and "&lt;b&gt;mine&lt;/b&gt;" in html
    assert html.count("<figure") >= 4 and "pipeline.run(context" in html
    assert "http" not in html.replace("http://www.w3.org", "")  # it needs nothing from elsewhere
    assert "result = pipeline.run(context" in result.stdout and "written: r.html" in result.stdout


@pytest.mark.slow
def test_without_a_recording_a_simulated_one_is_measured(facet_nb, chain, tmp_path):
    result = facet_nb(
        *("bench", "--chain", chain, "--out", "t.json", "--mode", "serial"),
        *("--n-jobs", 1, "--repeats", 1, "--no-memory"),
    )
    assert result.exit_code == 0, result.stderr
    table = BenchmarkTable.from_json(tmp_path / "t.json")
    assert (table.subject.n_channels, table.subject.sfreq) == (16, 2000.0)


def test_mistakes_are_told_before_anything_is_measured(facet_nb, files):
    lost = facet_nb("bench", files.fif, "--out", "nowhere/t.json")
    assert lost.exit_code == 1 and "not a folder" in lost.stderr
    gone = facet_nb("bench", "gone.fif")
    assert gone.exit_code == 1 and "gone.fif" in gone.stderr
    goal = facet_nb("bench", files.fif, "--goal", "prettiest")
    assert goal.exit_code == 2 and "smallest" in goal.stderr
    size = facet_nb("bench", files.fif, "--memory-budget", "much")
    assert size.exit_code == 1 and "1.5 GB" in size.stderr
    auto = facet_nb("bench", files.fif, "--mode", "auto")
    assert auto.exit_code == 1 and "auto" in auto.stderr
