"""The make targets: listed, quick the second time, and clear about what is missing."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

TARGETS = [
    "lab",
    "demo",
    "test",
    "quick",
    "docs",
    "lite",
    "lint",
    "format",
    "bench",
    "app",
    "clean",
    "help",
]


#: Sources of the compiled kernels.
NATIVE = "facet_nb/kernels/compiled/native"

# Interpreters that cannot be used, as far as .ci/venv asks them.
TOO_OLD = '#!/bin/sh\ncase "$*" in *platform*) echo Python 3.9.1;; *) exit 1;; esac\n'
WITHOUT_VENV = '#!/bin/sh\ncase "$*" in *ensurepip*) exit 1;; esac\n'


@pytest.fixture
def clone(project_root, tmp_path) -> Path:
    """What make reads, in a folder of its own."""
    for name in ["Makefile", "pyproject.toml", "setup.py", "constraints.txt"]:
        shutil.copy2(project_root / name, tmp_path)
    shutil.copytree(project_root / NATIVE, tmp_path / NATIVE)
    shutil.copytree(project_root / ".ci", tmp_path / ".ci")
    return tmp_path


def _make(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *words], cwd=folder, env=clean | environment, capture_output=True, text=True
    )


def _script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_help_lists_the_targets(clone):
    run = _make(clone)
    assert run.returncode == 0
    assert [name for name in TARGETS if not re.search(rf"make {name}\b", run.stdout)] == []


def _install(folder: Path) -> None:
    """An environment as make leaves it behind: an interpreter, and its stamps after the pins."""
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/python").touch()
    for stamp in ["core", "lab", "test", "docs"]:
        (folder / f".venv/.stamp-{stamp}").touch()


@pytest.mark.parametrize("target", ["test", "quick", "lab", "demo", "docs"])
def test_second_time_asks_nothing_of_pip(clone, target):
    assert "-m pip" in _make(clone, "-n", target).stdout
    _install(clone)
    second = _make(clone, "-n", target)
    assert second.returncode == 0
    assert "-m pip" not in second.stdout


@pytest.mark.parametrize(
    "file", ["pyproject.toml", "setup.py", "constraints.txt", f"{NATIVE}/module.c"]
)
def test_changed_pins_install_again(clone, file):
    _install(clone)
    later = (clone / ".venv/.stamp-test").stat().st_mtime + 10
    os.utime(clone / file, (later, later))
    assert "-m pip" in _make(clone, "-n", "test").stdout


def test_demo_passes_its_arguments_on(clone):
    run = _make(clone, "-n", "demo", "INPUT=my file.vhdr", "TRUTH=t.npz", "MODE=serial")
    assert '--input "my file.vhdr"' in run.stdout
    assert '--truth "t.npz"' in run.stdout and '--mode "serial"' in run.stdout
    assert "--output" not in run.stdout


def test_old_python_is_refused_with_a_remedy(clone):
    old = _script(
        clone / "python-old",
        '#!/bin/sh\ncase "$*" in *platform*) echo Python 3.9.1;; *) exit 1;; esac\n',
    )
    run = _make(clone, "lab", f"PYTHON={old}")
    assert run.returncode != 0
    assert "Python 3.11 or later" in run.stderr and "Python 3.9.1" in run.stderr
    assert "PYTHON=" in run.stderr
    assert not (clone / ".venv").exists()


def test_python_without_venv_is_refused_with_a_remedy(clone):
    bare = _script(clone / "python-bare", WITHOUT_VENV)
    run = _make(clone, "lab", f"PYTHON={bare}")
    assert run.returncode != 0
    assert "python3-venv" in run.stderr


def _empty_path(folder: Path) -> str:
    """A PATH with a shell and ``id``, and nothing else."""
    folder.mkdir()
    for tool in ["sh", "id"]:
        (folder / tool).symlink_to(shutil.which(tool))
    return str(folder)


@pytest.mark.parametrize(("required", "code"), [("", 0), ("1", 1)])
def test_missing_chromium_is_said(clone, required, code):
    environment = {"PATH": _empty_path(clone / "bin"), "FACET_NB_REQUIRE_BROWSER": required}
    run = subprocess.run(
        ["sh", ".ci/chromium"], cwd=clone, env=environment, capture_output=True, text=True
    )
    assert run.returncode == code
    assert "FACET_NB_CHROMIUM" in run.stderr


# ----------------------------------------------------------------- the three parts of make test
SHARED = "def test_one(): pass\ndef test_two(): assert 0\n"
OWN = "import sys\ndef test_five(): assert not sys.dont_write_bytecode\n"
ALONE = "import pytest\ndef test_three(): pass\n@pytest.mark.skip\ndef test_four(): pass\n"


@pytest.fixture
def run_parts(project_root, tmp_path):
    """The script over three folders of tests, with words for all parts."""
    for name, text in {"shared": SHARED, "own": OWN, "alone": ALONE}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / f"test_{name}.py").write_text(text)
    script = str(project_root / ".ci/tests.py")
    # Each of these processes would import what Hypothesis, zarr, Playwright and nbval import.
    bare = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "xdist.plugin"}
    bare["PYTHONDONTWRITEBYTECODE"] = "1"  # which they are not to heed

    def run(*words: str) -> subprocess.CompletedProcess:
        command = [sys.executable, script, "shared", "--", "own", "--", "alone", "--", "-q", *words]
        return subprocess.run(command, cwd=tmp_path, env=bare, capture_output=True, text=True)

    pytest.importorskip("xdist")
    return run


def test_all_parts_end_in_one_line(run_parts):
    run = run_parts()
    last = run.stdout.splitlines()[-1]
    assert run.returncode == 1
    assert re.fullmatch(r"=+ 1 failed, 3 passed, 1 skipped in \d+\.\d\ds \(0:\d\d:\d\d\) =+", last)
    assert "FAILED shared.test_shared::test_two" in run.stdout


def test_words_may_select_tests_of_one_part(run_parts):
    run = run_parts("-k", "three")
    assert run.returncode == 0 and " 1 passed in " in run.stdout.splitlines()[-1]
    assert run_parts("-k", "none_of_them").returncode == 5


def test_arguments_go_to_all_parts(clone):
    _install(clone)
    run = _make(clone, "-n", "test", "ARGS=-k edf")
    folded = run.stdout.replace("\\\n", " ")
    words = (
        r"tests\.py .* tests notebooks/course .* -- .*tests/browser .*-- .*traffic\.py -- -k edf;"
    )
    assert re.search(words, folded)
