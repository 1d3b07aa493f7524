"""Binder: repo2docker reads binder/, takes the pinned Python and runs our postBuild."""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import shlex
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from facet_nb.cli import app


@pytest.fixture(scope="module")
def dockerfile(project_root) -> str:
    """What repo2docker would build; needs neither Docker nor a network."""
    if importlib.util.find_spec("repo2docker") is None:
        pytest.skip("repo2docker is not installed (it is part of the test extra)")
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "."]
    run = subprocess.run(command, cwd=project_root, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "python=3.11" in run.stderr
    return run.stdout


def test_build_runs_our_post_build(dockerfile):
    assert "RUN ./binder/postBuild" in dockerfile


def test_post_build_installs_what_was_tested(project_root):
    script = project_root / "binder/postBuild"
    assert script.stat().st_mode & 0o111, "postBuild must be executable"
    assert re.search(
        r'pip install .*--editable "\.\[lab\]" --constraint constraints\.txt', script.read_text()
    )


def test_what_it_opens_exists(project_root):
    """The page about notebooks elsewhere names the files to open."""
    page = (project_root / "docs/howto/other_notebooks.md").read_text()
    named = re.findall(r"`(notebooks/[\w/]+\.ipynb)`", page)
    assert len(named) == 2
    assert [name for name in named if not (project_root / name).is_file()] == []


def test_the_first_run_is_in_the_image(project_root, tmp_path):
    lines = (project_root / "binder/postBuild").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("facet-nb ")]
    words = shlex.split(line.replace("/tmp/", f"{tmp_path}/"))
    assert CliRunner().invoke(app, words[1:]).exit_code == 0
    assert list(tmp_path.glob("*.fif"))


@pytest.mark.skipif(sys.platform != "linux", reason="Binder runs on Linux")
def test_the_dry_run_is_in_ci_and_counts_all_processes(project_root):
    """It installs for minutes, so only what it measures with is tried here."""
    assert "python .ci/binder.py" in (project_root / ".github/workflows/ci.yml").read_text()
    binder = runpy.run_path(str(project_root / ".ci/binder.py"))
    assert (project_root / binder["LESSON"]).is_file()
    program = "x = bytearray(40_000_000); print(flush=True); input()"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        assert child.pid in binder["list_tree"](os.getpid())
        assert 40 < binder["pss_mb"](child.pid) < 100
        child.communicate(b"\n")
    assert binder["pss_mb"](child.pid) == 0
