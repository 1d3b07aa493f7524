"""The built wheel, as users install it: complete, and with types that a checker sees."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("setuptools", minversion="77")
pytest.importorskip("pip")
pytest.importorskip("mypy")

pytestmark = pytest.mark.slow

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
USE = """\
from facet_nb import AASCorrection, HighPassFilter, Pipeline
reveal_type(Pipeline([HighPassFilter(freq=1.0), AASCorrection()]))
reveal_type(Pipeline([]).run())
reveal_type(HighPassFilter(freq=1.0))
HighPassFilter(frequency=1.0)
"""


def _call(*command: object, cwd: Path, **environment: str) -> None:
    run = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture(scope="module")
def sources(project_root, tmp_path_factory) -> Path:
    """A copy of what the wheel is made of: building writes beside it."""
    folder = tmp_path_factory.mktemp("sources")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(project_root / name, folder)
    # What is in the wheel counts here, not how fast it is: the compiler takes 10 s less.
    setup = (folder / "setup.py").read_text()
    assert setup.count('"-O3"') == 1
    (folder / "setup.py").write_text(setup.replace('"-O3"', '"-O0"'))
    leave = shutil.ignore_patterns("__pycache__", "_native.*")
    for name in ("facet_nb", "notebooks"):
        shutil.copytree(project_root / name, folder / name, ignore=leave)
    return folder


@pytest.fixture(scope="module")
def wheel(sources, tmp_path_factory) -> Path:
    return build_wheel(sources, tmp_path_factory.mktemp("wheel"))


def build_wheel(sources: Path, folder: Path, **environment: str) -> Path:
    """Build as pip does, in a process of its own, without pip around it."""
    build = f"from setuptools import build_meta as b; b.build_wheel({str(folder)!r})"
    _call(sys.executable, "-c", build, cwd=sources, **environment)
    (built,) = folder.glob("facet_nb-*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """A virtual environment that holds the wheel, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    target = _packages(folder)
    _call(*PIP, "install", "--no-index", "--no-deps", "--target", target, wheel, cwd=folder)
    return folder


def _packages(environment: Path) -> Path:
    (folder,) = [p for p in environment.rglob("site-packages") if p.is_dir()]
    return folder


def _check(environment: Path, folder: Path) -> str:
    """Return what mypy says of a user's script, far from the checkout."""
    (folder / "use.py").write_text(USE)
    (python,) = [p for p in environment.glob("*/python*") if p.stem == "python"]
    options = ["--python-executable", python, "--config-file", "", "--cache-dir", folder / "cache"]
    command = [sys.executable, "-m", "mypy", *map(str, options), "use.py"]
    plain = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MYPYPATH")}
    return subprocess.run(command, cwd=folder, env=plain, capture_output=True, text=True).stdout


def test_it_holds_every_file_of_the_package(sources, wheel):
    held = list_files(wheel)
    built = {name for name in held if "_native." in name}
    assert held - built == list_sources(sources)
    assert {"facet_nb/py.typed", "facet_nb/__init__.pyi"} <= held
    if shutil.which("cc"):
        assert len(built) == 1
        assert wheel.name.split("-")[2:4] == ["cp311", "abi3"]


def list_files(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if name.startswith("facet_nb/")}


def list_sources(sources: Path) -> set[str]:
    """Return what a wheel holds: the package without the sources in C, and the notebooks."""
    files = [p for p in (sources / "facet_nb").rglob("*") if p.is_file()]
    held = {p.relative_to(sources).as_posix() for p in files if p.suffix not in (".c", ".h")}
    notebooks = [
        *(sources / "notebooks").rglob("*.ipynb"),
        sources / "notebooks/course/glossary.md",
    ]
    return held | {f"facet_nb/{path.relative_to(sources).as_posix()}" for path in notebooks}


def test_a_compiler_that_fails_leaves_the_kernels_out(sources, tmp_path):
    copy = tmp_path / "sources"  # without what an earlier build has left
    shutil.copytree(sources, copy, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    assert list_files(build_wheel(copy, tmp_path, CC="false")) == list_sources(sources)


def test_the_source_distribution_holds_the_tracked_files(project_root, tmp_path):
    """All but what only the host of the repository reads."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=project_root, capture_output=True, text=True
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout: which files are tracked cannot be asked")
    copy = tmp_path / "sources"
    tracked = {name for name in listed.stdout.split("\0") if (project_root / name).is_file()}
    for name in tracked:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(project_root / name, copy / name)
    build = f"from setuptools import build_meta as b; b.build_sdist({str(tmp_path)!r})"
    _call(sys.executable, "-c", build, cwd=copy)
    (path,) = tmp_path.glob("facet_nb-*.tar.gz")
    with tarfile.open(path) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    hosts = {name for name in tracked if name.startswith(".") and not name.startswith(".ci/")}
    assert tracked - held - hosts == set()
    assert {"constraints.txt", "tests/conftest.py", "notebooks/02_studio.ipynb"} <= held


STAR = """\
import sys
sys.modules[{blocked!r}] = None
from facet_nb import *
print("Pipeline" in globals(), "Studio" in globals())
try:
    import facet_nb.{room}
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("room", "blocked"),
    [("widgets", "ipywidgets"), ("models", "traitlets"), ("plots", "matplotlib")],
)
def test_a_missing_extra_is_named(room, blocked, tmp_path):
    """And all names that do not need it come with ``from facet_nb import *``."""
    script = STAR.format(blocked=blocked, room=room)
    if blocked != "ipywidgets":  # the panels need all three, and are looked for by one
        script = script.replace("from facet_nb import *", "from facet_nb import Pipeline")
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    names, told = run.stdout.splitlines()
    assert names == "True False"
    assert told == f"{blocked} is not installed: pip install 'facet-nb[lab]'."


def test_users_see_its_types(environment, tmp_path):
    said = _check(environment, tmp_path)
    assert re.search(r'use.py:2: .* type is "facet_nb\.[\w.]*\bPipeline"', said), said
    assert re.search(r'use.py:3: .* type is "facet_nb\.[\w.]*\bPipelineResult"', said), said
    assert re.search(r'use.py:4: .* type is "facet_nb\.[\w.]*\bHighPassFilter"', said), said
    assert re.search(r"use.py:5: error: .*frequency", said), said
    assert said.count("error:") == 1, said


def test_without_the_marker_they_would_not(environment, tmp_path):
    """That the types above are those of the installed package, and that the check notices."""
    copy = tmp_path / "copy"
    shutil.copytree(environment, copy, symlinks=True)
    (_packages(copy) / "facet_nb" / "py.typed").unlink()
    said = _check(copy, tmp_path)
    assert "py.typed" in said
    assert 'type is "Any"' in said


def test_a_wheel_without_kernels_is_for_any_python(sources, tmp_path):
    """The site of JupyterLite installs it in the browser."""
    wheel = build_wheel(sources, tmp_path, FACET_NB_PURE="1")
    assert wheel.name.endswith("-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "facet_nb/lessons/__init__.py" in names
    assert [name for name in names if "_native." in name] == []
