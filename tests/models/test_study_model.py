"""What a study would take: laws of the estimate, and a script that runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from facet_nb import HighPassFilter, Pipeline
from facet_nb.datasets import simulate
from facet_nb.models import StudioModel
from facet_nb.models.cost_points import list_points


@pytest.fixture(scope="module")
def studio():
    model = StudioModel(simulate(2, 500.0, 15.0), Pipeline([HighPassFilter(1.0)]), cores=2)
    assert model.study.estimate() is None  # nothing has run yet
    assert {p.kind for p in list_points(model)} == {"expected"}
    assert model.run.run().success
    return model


def test_more_work_takes_longer_and_more_cores_do_not(studio):
    study = studio.study
    study.files, study.channels, study.minutes, study.cores, study.memory_gb = 8, 32, 10, 2, 64
    base = study.estimate()
    assert base.low_s < base.time_s < base.high_s and base.in_flight == 2
    for name in ("files", "channels", "minutes"):
        before = getattr(study, name)
        setattr(study, name, 2 * before)
        assert study.estimate().time_s == pytest.approx(2 * base.time_s)
        setattr(study, name, before)
    study.cores = 8
    wide = study.estimate()
    assert wide.time_s < base.time_s and wide.peak_bytes > base.peak_bytes
    assert "beyond" in wide.basis and (wide.high_s / wide.time_s) > 1.4


def test_little_memory_lowers_what_runs_at_once(studio):
    study = studio.study
    study.files, study.channels, study.minutes, study.cores = 8, 128, 60, 8
    study.memory_gb = 256.0
    free = study.estimate()
    study.memory_gb = 1.0
    tight = study.estimate()
    assert tight.in_flight < free.in_flight and not tight.fits
    assert free.peak_bytes < 256e9


def test_a_quick_look_replaces_what_is_expected(studio):
    studio.quick.start()
    assert studio.quick.wait(20)
    kinds = [p.kind for p in list_points(studio)]
    assert kinds.count("quick") == 4 and "expected" not in kinds and kinds.count("run") == 1
    assert "quick look" in studio.study.estimate().basis
    studio.chain.set_text("freq", "2", 0)
    assert "quick" not in [p.kind for p in list_points(studio)]
    studio.chain.set_text("freq", "1", 0)


def test_the_script_corrects_a_folder(studio, tmp_path):
    path, folder = tmp_path / "correct_study.py", tmp_path / "in"
    folder.mkdir()
    studio.study.memory_gb, studio.study.cores = 16.0, 1
    path.write_text(studio.study.script())
    command = [sys.executable, str(path), str(folder)]
    empty = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert empty.returncode != 0 and "holds no recording" in empty.stderr
    simulate(1, 250.0, 15.0).raw.save(folder / "one_raw.fif", verbose="error")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len(list((folder / "corrected").glob("*_corrected.fif"))) == 1
