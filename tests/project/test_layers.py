"""Imports point downward only: the contracts of pyproject.toml hold, and would notice."""

from __future__ import annotations

import re
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


FLOORS = "Imports point downward only"
ENGINE = "Imports inside core point downward only"
WORKERS = "Only core.backends imports joblib and Dask"
FRONT_DOOR = "Only the command line uses the lazy names of the front door"

#: For each violation: the file, its text, and the contract that must be broken.
VIOLATIONS = {
    "upward": ("kernels/bad.py", "def f():\n    from facet_nb.core import pipeline\n", FLOORS),
    "sideways": ("io/bad.py", "import facet_nb.correction.other\n", FLOORS),
    "matplotlib": ("widgets/bad.py", "import matplotlib.pyplot\n", "Only plots imports matplotlib"),
    "joblib": ("core/planning/bad.py", "import joblib\n", WORKERS),
    "ipywidgets": (
        "models/bad.py",
        "import ipywidgets\n",
        "Only widgets imports ipywidgets and IPython",
    ),
    "mne in kernels": ("kernels/bad.py", "import mne\n", "Kernels are numerics only"),
    "front door": ("core/planning/bad.py", "from facet_nb import Pipeline\n", FRONT_DOOR),
    "new room without a floor": ("attic.py", "", FLOORS),
    "upward in core": ("core/planning/bad.py", "from facet_nb.core import pipeline\n", ENGINE),
    "upward in core, lazily": (
        "core/planning/bad.py",
        "def f():\n    import facet_nb.core.pipeline\n",
        ENGINE,
    ),
    "sideways in core": ("core/recording.py", "import facet_nb.core.noise\n", ENGINE),
    "new room of core without a floor": ("core/attic.py", "", ENGINE),
}
ROOMS = ["core", "kernels", "io", "correction", "models", "plots", "widgets"]


@pytest.fixture
def small_house(project_root, tmp_path) -> Path:
    """A package of the same shape, with nothing wrong in it."""
    shutil.copy(project_root / "pyproject.toml", tmp_path)
    package = tmp_path / "facet_nb"
    for room in ["", *ROOMS, "core/planning"]:
        (package / room).mkdir()
        (package / room / "__init__.py").write_text("")
    (package / "core/pipeline.py").write_text(
        "import facet_nb.core.planning\nimport facet_nb.kernels\n"
    )
    (package / "core/noise.py").write_text("")
    (package / "correction/other.py").write_text("import facet_nb.core.pipeline\n")
    (package / "plots/line.py").write_text("import matplotlib\n")
    return tmp_path


def test_small_house_stands(small_house):
    run = _lint(small_house)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("what", VIOLATIONS)
def test_contract_notices(small_house, what):
    path, text, contract = VIOLATIONS[what]
    (small_house / "facet_nb" / path).write_text(text)
    run = _lint(small_house)
    assert run.returncode == 1
    assert re.search(rf"^{re.escape(contract)}.* BROKEN", run.stdout, re.MULTILINE), run.stdout
    assert "1 broken" in run.stdout and Path(path).stem in run.stdout
