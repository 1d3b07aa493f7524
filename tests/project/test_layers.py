"""Imports point downward only: the contracts of pyproject.toml hold, and would notice."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LINT = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]


def _lint(folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*LINT, "--no-logo", "--no-cache"], cwd=folder, capture_output=True, text=True
    )


def test_contracts_are_kept(project_root):
    run = _lint(project_root)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 broken" in run.stdout


VIOLATIONS = {
    "upward": ("kernels/bad.py", "def f():\n    from facet_nb.core import pipeline\n"),
    "sideways": ("io/bad.py", "import facet_nb.correction.other\n"),
    "matplotlib": ("widgets/bad.py", "import matplotlib.pyplot\n"),
    "joblib": ("core/bad.py", "import joblib\n"),
    "ipywidgets": ("models/bad.py", "import ipywidgets\n"),
    "mne in kernels": ("kernels/bad.py", "import mne\n"),
    "front door": ("core/bad.py", "from facet_nb import Pipeline\n"),
    "new room without a floor": ("attic.py", ""),
}
ROOMS = ["core", "kernels", "io", "correction", "models", "plots", "widgets"]


@pytest.fixture
def small_house(project_root, tmp_path) -> Path:
    """A package of the same shape, with nothing wrong in it."""
    shutil.copy(project_root / "pyproject.toml", tmp_path)
    package = tmp_path / "facet_nb"
    for room in ["", *ROOMS]:
        (package / room).mkdir()
        (package / room / "__init__.py").write_text("")
    (package / "core/pipeline.py").write_text("import facet_nb.kernels\n")
    (package / "correction/other.py").write_text("import facet_nb.core.pipeline\n")
    (package / "plots/line.py").write_text("import matplotlib\n")
    return tmp_path


def test_small_house_stands(small_house):
    run = _lint(small_house)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("what", VIOLATIONS)
def test_contract_notices(small_house, what):
    path, text = VIOLATIONS[what]
    (small_house / "facet_nb" / path).write_text(text)
    run = _lint(small_house)
    assert run.returncode == 1
    assert "BROKEN" in run.stdout and Path(path).stem in run.stdout
