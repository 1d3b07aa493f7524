"""``batch``, ``init``, ``report`` and ``advise``: studies from the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from facet_nb import HighPassFilter, TriggerDetector
from facet_nb.batch import RunFile
from facet_nb.core import CancelToken, Pipeline
from facet_nb.core.study.table import StudyTable
from tests.models import tables
from tests.study import studies


@pytest.fixture
def chain(tmp_path):
    path = tmp_path / "chain.yaml"
    Pipeline([TriggerDetector(regex="one"), HighPassFilter(1.0)]).to_yaml(path)
    return path


@pytest.fixture
def recordings(tmp_path):
    paths = [studies.write(tmp_path / "in" / f"r{i}.fif", i) for i in range(2)]
    (tmp_path / "in" / "bad.edf").write_text("nothing")
    return paths


def test_from_a_run_file_to_a_report(facet_nb, tmp_path, chain, recordings):
    made = facet_nb("init", "run.yml", "in", "-o", "out", "--chain", chain)
    assert made.exit_code == 0 and "facet-nb batch run.yml" in made.stdout
    plan = facet_nb("batch", "run.yml", "--dry-run", "--json", "--n-jobs", 1)
    assert [entry["at_once"] for entry in json.loads(plan.stdout)["files"]] == [1, 1, 1]
    done = facet_nb("batch", "run.yml", "--json", "--n-jobs", 1, "--report")
    assert done.exit_code == 1  # one of three cannot be read
    rows = json.loads(done.stdout)
    assert [row["state"] for row in rows] == ["failed", "done", "done"]
    assert (tmp_path / "out" / "study.html").read_text().count('href="reports/') == 3
    again = facet_nb("batch", "run.yml", "--n-jobs", 1, "--resume", "--json")
    assert [row["resumed"] for row in json.loads(again.stdout)] == [False, True, True]
    page = facet_nb("report", "out", "-o", "page.html", "--json")
    assert len(json.loads(page.stdout)) == 3 and (tmp_path / "page.html").exists()
    assert facet_nb("report", "in").exit_code == 1


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        # Recordings have one job each: of a parallel mode, its workers remain.
        ((tables.SERIAL, tables.TWO, tables.FOUR), {"n_jobs": 4, "backend": "threading"}),
        (
            (tables.SERIAL, tables.TWO),
            {
                **{"mode": "channel_sequential", "batch_size": 1},
                **{"n_jobs": 2, "backend": "threading"},
            },
        ),
        # They cannot be told apart: the simpler one, which says nothing about workers.
        ((tables.SERIAL, tables.INNER), {}),
        # Threads inside a batch become recordings at once.
        ((tables.INNER,), {"n_jobs": 2, "backend": "threading"}),
    ],
)
def test_settings_of_a_table(facet_nb, tmp_path, chain, measured, expected):
    table = tables.make_table()
    points = tuple(point for point in table.points if point.configuration in measured)
    replace(table, points=points).to_json(tmp_path / "table.json")
    words = ["init", "run.yml", "r.fif", "--tune", "table.json", "--json", "--chain", chain]
    made = facet_nb(*words)
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout).get("options", {}) == expected
    assert RunFile.read("run.yml").options == expected


def test_a_table_without_measurements(facet_nb, tmp_path, chain):
    replace(tables.make_table(), points=()).to_json(tmp_path / "table.json")
    made = facet_nb("init", "run.yml", "r.fif", "--tune", "table.json", "--chain", chain)
    assert made.exit_code == 1 and "measure more" in made.output


def test_advice_about_many(facet_nb, chain, recordings):
    told = facet_nb("advise", "in", "--chain", chain, "--memory-budget", "4GB", "--n-jobs", 2)
    assert told.exit_code == 0 and "2 at once: 3" in told.stdout, told.output


def test_labels_and_skipping(facet_nb, tmp_path, chain):
    root = tmp_path / "data"
    (root).mkdir()
    (root / "dataset_description.json").write_text("{}")
    for sub in ("01", "02"):
        studies.write(root / f"sub-{sub}" / "eeg" / f"sub-{sub}_task-rest_eeg.edf")
    words = ["batch", "data", "-o", "out", "--chain", chain, "--n-jobs", 1]
    assert facet_nb(*words, "--subject", "02").exit_code == 0
    assert [p.name for p in (tmp_path / "out").glob("sub-*")] == ["sub-02"]
    done = facet_nb(*words, "--skip-existing", "--json")
    assert [row["state"] for row in json.loads(done.stdout)] == ["done", "skipped"]


def test_watch(facet_nb, tmp_path, chain, monkeypatch):
    """What comes later is corrected; what grows, or was corrected, is left alone."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    whole = studies.write(tmp_path / "whole.fif", 1).read_bytes()
    seen = []

    def grow():
        (folder / "b.fif").write_bytes(whole[: len(whole) // 2 + 100 * len(seen)])

    turns = [
        lambda: studies.write(folder / "a.fif", 0),
        lambda: None,
        grow,  # a is done, and b has begun
        grow,
        lambda: (studies.write(folder / "c.fif", 2), grow()),
        grow,
        lambda: (folder / "b.fif").write_bytes(whole),  # c is done
        lambda: None,
        lambda: (folder / "a.fif").unlink(),
    ]

    def turn(token, _timeout):
        seen.append(sorted(path.name for path in out.glob("*.fif")))
        if len(seen) > len(turns):
            token.cancel()
        else:
            turns[len(seen) - 1]()
        return token.cancelled

    monkeypatch.setattr(CancelToken, "wait", turn)
    words = ["batch", "in", "-o", "out", "--chain", chain, "--n-jobs", 1, "--watch", "--json"]
    done = facet_nb(*words)
    assert done.exit_code == 0, done.output
    assert seen[2] == ["a_corrected.fif"] == seen[5]
    assert seen[6] == ["a_corrected.fif", "c_corrected.fif"] and len(seen[8]) == 3
    rows = StudyTable(out).read()[1]
    assert {Path(row.input).name: row.state for row in rows} == {f"{x}.fif": "done" for x in "abc"}
    assert out.joinpath("study.jsonl").read_text().count('"row"') == 3  # nothing was done twice


def test_watch_a_folder_in_which_nothing_comes(facet_nb, tmp_path, chain, monkeypatch):
    (tmp_path / "in").mkdir()
    monkeypatch.setattr(CancelToken, "wait", lambda token, _timeout: token.cancel())
    words = ["batch", "in", "-o", "out", "--chain", chain, "--watch", "--report"]
    done = facet_nb(*words)
    assert done.exit_code == 0 and "0 of 0 succeeded" in done.output, done.output
    assert not (tmp_path / "out" / "study.html").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["batch", "run.yml", "--chain", "classic"], "run file has"),
        (["batch", "x.fif", "-o", "out", "--retries", "-1"], "retries"),
        (["init", "run.yml", "x.fif", "--accept", "perhaps"], "NAME=NUMBER"),
    ],
)
def test_wrong_usage(facet_nb, words, told):
    result = facet_nb(*words)
    assert result.exit_code == 2 and told in " ".join(result.output.split())


PROGRAM = """
import sys
from tests.study import studies
from facet_nb.core.registry import register_processor
from facet_nb.cli import main

register_processor(studies.Logged)
sys.argv = ["facet-nb", *sys.argv[1:]]
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "n_signals"), [("serial", 1), ("multiprocessing", 2)])
def test_ctrl_c(tmp_path, backend, n_signals):
    """What is finished is kept and listed; the second Ctrl-C ends at once."""
    for i in range(6):
        studies.write(tmp_path / "in" / f"r{i}.fif", i)
    from facet_nb.core.registry import register_processor

    register_processor(studies.Logged)
    pipeline = studies.make_pipeline(tmp_path / "log", sleep_s=0.5)
    Pipeline([pipeline[0], pipeline[2]]).to_yaml(tmp_path / "chain.yaml")
    words = [sys.executable, "-c", PROGRAM, "batch", "in", "-o", "out", "--chain", "chain.yaml"]
    words += ["--backend", backend, "--n-jobs", "2"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        words,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    lines = tmp_path / "out" / "study.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if lines.exists() and b'"row"' in lines.read_bytes():
            break
        time.sleep(0.02)
    for _ in range(n_signals):
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers as well
        time.sleep(0.1)
    began = time.monotonic()
    _, errors = process.communicate(timeout=60)
    # The second signal may end the process itself; to a shell that is 130, too.
    ends = (130,) if n_signals == 1 else (130, -signal.SIGINT)
    assert process.returncode in ends and time.monotonic() - began < 20
    assert "what is finished is kept" in errors and "Traceback" not in errors, errors
    rows = StudyTable(tmp_path / "out").read()[1]
    done = [row for row in rows if row.state == "done"]
    assert 1 <= len(done) < 6 and all((tmp_path / row.output).exists() for row in done)
