"""A study in a notebook, without a display: rows as they come, cancel, settings of other panels."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb import HighPassFilter
from facet_nb.batch import RunFile
from facet_nb.core import Pipeline, StudyRow
from facet_nb.core.errors import ValidationError
from facet_nb.models import BatchModel, RunModel, TuneModel
from tests.core import toys
from tests.models.helpers import Gate
from tests.study import studies


@pytest.fixture
def folder(tmp_path):
    return studies.write_folder(tmp_path / "in", 3)


def test_a_study_from_idle_to_done(folder, tmp_path):
    model = BatchModel(Pipeline([toys.Halved()]), folder, tmp_path / "out", n_jobs=1)
    assert (model.status, model.table, model.fraction) == ("idle", [], 0.0)
    seen = []
    model.observe(lambda change: seen.append(len(change["new"])), "rows")
    batch = model.run()
    assert model.status == "done" and model.fraction == 1.0
    states = {row.input.rsplit("/", 1)[1]: row.state for row in batch.rows}
    assert states == {"bad.edf": "failed", "r0.fif": "done", "r1.fif": "done", "r2.fif": "done"}
    assert seen[-1] == 4 and sorted(r.index for r in model.rows) == [0, 1, 2, 3]
    assert {row.state for row in model.table} == {"failed", "done"} and model.header["steps"]
    # The same call goes on where it was.
    again = model.run()
    assert [row.resumed for row in again.rows] == [False, True, True, True]


def test_time_left_counts_from_the_start(folder):
    """Recordings that end together say nothing about the speed between them."""
    gate = Gate()
    paths = sorted(folder.glob("r*.fif"))
    model = BatchModel(Pipeline([gate]), paths, n_jobs=3, backend="threading").start()
    assert gate.reached.wait(20)
    model.drain()
    assert model.remaining_range_s == ()
    model._begin_s -= 60.0
    for i in range(2):
        model._put(StudyRow(i, str(paths[i]), "done"))
    model.drain()
    low_s, high_s = model.remaining_range_s
    assert 25 < low_s < 31 < high_s < 40  # a third is left, after 60 s
    gate.open.set()
    assert model.wait(20) and model.remaining_range_s == ()


def test_running_and_waiting(folder):
    """With one worker, one recording runs, and the others wait, in the order of the plan."""
    gate = Gate()
    paths = sorted(folder.glob("r*.fif"))
    model = BatchModel(Pipeline([gate]), paths, n_jobs=1).start()
    assert gate.reached.wait(20)
    with pytest.raises(ValidationError, match="in progress"):
        model.start()
    model.drain()
    assert [row.state for row in model.table] == ["running", "waiting", "waiting"]
    model.cancel()
    assert model.status == "cancelling"
    gate.open.set()
    assert model.wait(20) and model.status == "cancelled"
    states = [row.state for row in model.result.rows]
    assert states[1:] == ["cancelled", "cancelled"] and len(model.rows) == 3


@pytest.mark.parametrize(
    ("places", "told"), [((), "there are no recordings"), (("nowhere/*.fif",), "no recording")]
)
def test_what_cannot_run(places, told):
    model = BatchModel(Pipeline([toys.Halved()]), places)
    with pytest.raises(ValidationError, match=told):
        model.run()
    assert model.status == ("idle" if not places else "failed")


THREADS = {"n_jobs": 2, "backend": "threading"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"n_jobs": 1}, {"mode": "channel_sequential", "n_jobs": -1}),
        (
            {"n_jobs": 2, "n_workers": 2, "backend": "threading", "batch_size": 4},
            {"mode": "channel_sequential", "n_jobs": 4, "backend": "threading", "batch_size": 4},
        ),
        ({"mode": "auto", "memory_budget": "3 GB"}, {"memory_budget": "3 GB", "n_jobs": -1}),
        ({"mode": "parallel", "n_jobs": 2, "backend": "threading"}, THREADS),
    ],
)
def test_settings_of_another_panel(settings, expected):
    run = RunModel(Pipeline([toys.Halved()]), toys.make_context(), cores=4, **settings)
    for owner in (run, TuneModel(run)):
        model = BatchModel(owner, ["a.fif"])
        assert model.settings == expected and model.pipeline is run.pipeline
    assert BatchModel(run, ["a.fif"], n_jobs=1).settings == {**expected, "n_jobs": 1}
    assert BatchModel(run, ["a.fif"], "out").settings == {**expected, "resume": True}


def test_a_run_file(folder, tmp_path, monkeypatch):
    """Its paths are relative to the file, wherever the notebook is."""
    pipeline = Pipeline([HighPassFilter(1.0)])
    monkeypatch.chdir(tmp_path)
    file = RunFile.of(pipeline, ["in/r0.fif"], "out", retries=1, checkpoint="keep")
    file.write("run.yml")
    monkeypatch.chdir("/")
    model = BatchModel(tmp_path / "run.yml", n_jobs=1)
    assert model.settings["retries"] == 1 and model.settings["checkpoint"] == str(tmp_path / "keep")
    assert model.output == str(tmp_path / "out") and model.run().rows[0].state == "done"
    assert (tmp_path / "out" / "r0_corrected.fif").exists()


@pytest.mark.parametrize("name", ["in", 'it\'s "in"'])
def test_the_code_does_the_same(folder, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    folder.rename(tmp_path / name)
    options = {"n_jobs": 1, "memory_budget": "4 GB"}
    model = BatchModel(Pipeline([HighPassFilter(1.0)]), f"{name}/r*.fif", "out", **options)
    namespace: dict = {}
    exec(compile(model.code(), "code.py", "exec"), namespace)
    assert [row.state for row in namespace["batch"].rows] == ["done"] * 3
    assert (tmp_path / "study.html").exists()
    assert model.run().rows[0].resumed


def test_recordings_in_memory():
    contexts = [toys.make_context(seed=i) for i in range(2)]
    model = BatchModel(Pipeline([toys.Halved()]), contexts, n_jobs=1)
    batch = model.run()
    for context, result in zip(contexts, batch, strict=True):
        expected = Pipeline([toys.Halved()]).run(context).get_raw().get_data()
        assert np.array_equal(result.get_raw().get_data(), expected)
    assert "# recordings: 2" in model.code()
