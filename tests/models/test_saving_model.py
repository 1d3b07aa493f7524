"""What is saved: files, and scripts and notebooks that run by themselves."""

from __future__ import annotations

import json
import subprocess
import sys

import mne
import numpy as np
import pytest

from facet_nb import HighPassFilter, Pipeline
from facet_nb.core.errors import FacetError
from facet_nb.datasets import simulate
from facet_nb.models import RunModel
from facet_nb.models.codegen import write_script
from facet_nb.models.saving_model import KINDS, SavingModel


@pytest.fixture(scope="module")
def done():
    model = RunModel(Pipeline([HighPassFilter(1.0)]), simulate(2, 500.0, 15.0))
    assert model.run().success
    return model


@pytest.fixture
def saving(done, tmp_path):
    model = SavingModel(done)
    model.stem = str(tmp_path / "out")
    return model


def test_everything(saving, done, tmp_path):
    saving.kinds = ("recording", "script", "notebook")
    files = saving.save()
    assert [path.name for path in files] == ["out.fif", "out.py", "out.ipynb"]
    assert saving.line.startswith("Saved ") and len(list(tmp_path.iterdir())) == 4  # provenance
    raw = mne.io.read_raw_fif(files[0], verbose="error")
    assert np.allclose(raw.get_data(), done.result.context.get_data(), atol=1e-9)
    with pytest.raises(FacetError, match="exists: choose another name"):
        saving.save()
    assert saving.save(replace=True) == files
    assert json.loads(files[2].read_text())["cells"][0]["cell_type"] == "code"
    assert set(saving.list_targets()) <= set(KINDS)


def test_a_new_result_is_not_saved_yet(saving, done):
    saving.kinds = ("script",)
    saving.save()
    assert done.run().success
    assert saving.line == "Not saved yet" and saving.files == ()


def test_nothing_to_save():
    model = SavingModel(RunModel(Pipeline([HighPassFilter(1.0)]), simulate(1, 500.0, 15.0)))
    with pytest.raises(FacetError, match="run the chain first"):
        model.save()
    assert "run the chain first" in model.error


def run_script(text: str, folder, *arguments: str) -> subprocess.CompletedProcess:
    path = folder / "correct.py"
    path.write_text(text)
    command = [sys.executable, str(path), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_the_script_writes_the_same_samples(saving, done, tmp_path):
    found = run_script(saving.script(), tmp_path)
    assert found.returncode == 0, found.stderr
    assert "done in" in found.stdout and "Saved:" in found.stdout
    raw = mne.io.read_raw_fif(tmp_path / "out.fif", verbose="error")
    assert np.allclose(raw.get_data(), done.result.context.get_data(), atol=1e-9)


@pytest.mark.parametrize("source", ["file", "memory"])
def test_a_script_that_cannot_work_ends_with_an_error(source, tmp_path):
    """An expression that matches nothing, or a recording that the script does not know."""
    from facet_nb import TriggerDetector

    sim = simulate(1, 500.0, 15.0)
    pipeline = Pipeline([TriggerDetector(regex="no such event")])
    if source == "file":
        given = tmp_path / "sim_raw.fif"
        sim.raw.save(given, verbose="error")
    else:
        given = sim.raw
    text = write_script(pipeline, given, {"mode": "serial"}, str(tmp_path / "out.fif"))
    found = run_script(text, tmp_path)
    assert found.returncode != 0 and not (tmp_path / "out.fif").exists()
    wanted = "no such event" if source == "file" else "Name the recording"
    assert wanted in found.stderr
