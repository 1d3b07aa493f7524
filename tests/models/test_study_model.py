"""What a study would take: laws of the estimate, and a script that runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from facet_nb import HighPassFilter, LambdaProcessor, Pipeline
from facet_nb.core.errors import FacetError
from facet_nb.datasets import simulate
from facet_nb.models import StudioModel
from facet_nb.models.cost_points import list_points
from facet_nb.models.study_scripts import TARGETS, StudyShape, write_target


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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two recordings, one compressed, with a blank in its name."""
    here = tmp_path_factory.mktemp("in")
    for name in ("one_raw.fif", "two b_raw.fif.gz"):
        simulate(1, 250.0, 15.0).raw.save(here / name, verbose="error")
    return here


@pytest.mark.parametrize("target", list(TARGETS))
def test_each_script_corrects_a_folder_as_it_is(studio, folder, tmp_path, target):
    study = studio.study
    study.memory_gb, study.cores, study.files, study.target = 16.0, 1, 2, target
    path = tmp_path / TARGETS[target].file
    path.write_text(study.script())
    command = [sys.executable if path.suffix == ".py" else "bash", str(path)]
    done = run_script([*command, str(folder), str(tmp_path / "out")], 1)
    assert done.returncode == 0, done.stderr
    names = sorted(p.name for p in (tmp_path / "out").glob("*_corrected.fif"))
    # A job of an array corrects one of them.
    wanted = ["one_raw_corrected.fif", "two b_raw_corrected.fif"]
    assert names == (wanted[1:] if target == "slurm" else wanted)


def run_script(command: list[str], number: int) -> subprocess.CompletedProcess:
    """Run a script as a shell, or as one job of an array, would."""
    here = Path(sys.executable).parent
    path = f"{here}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "SLURM_ARRAY_TASK_ID": str(number)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_an_array_that_is_too_short_says_so(studio, folder, tmp_path):
    study = studio.study
    study.files, study.target = 1, "slurm"
    path = tmp_path / "study.sbatch"
    path.write_text(study.script())
    done = run_script(["bash", str(path), str(folder), str(tmp_path / "out")], 0)
    assert done.returncode == 1 and "use --array=0-1" in done.stderr
    (tmp_path / "empty").mkdir()
    empty = run_script(["bash", str(path), str(tmp_path / "empty")], 0)
    assert empty.returncode == 1 and "holds no recording" in empty.stderr
    bare = run_script(["bash", str(path)], 0)
    assert bare.returncode == 2 and "Name the folder" in bare.stderr


def test_a_function_of_the_notebook_cannot_be_written_down(studio):
    study = studio.study
    study.target = "batch"
    pipeline = Pipeline([LambdaProcessor(lambda context: context)])
    with pytest.raises(FacetError):
        write_target("batch", pipeline, StudyShape(1, 1, 1.0))
