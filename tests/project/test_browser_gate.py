"""Without a Chromium a browser test is skipped; where one is required it fails instead."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.reliability import WITHOUT

TESTS = """
import pytest

@pytest.mark.browser
def test_needs_a_browser(): pass

@pytest.mark.slow
def test_slow(): pass

def test_fast(): pass
"""


@pytest.fixture
def run_tests(project_root, tmp_path):
    """Run the tests above with our conftest and no Chromium on the PATH."""
    (tmp_path / "tests").mkdir()
    for name in ("__init__.py", "conftest.py", "reliability.py"):
        if (project_root / "tests" / name).exists():
            shutil.copy(project_root / "tests" / name, tmp_path / "tests")
    shutil.copy(project_root / "pyproject.toml", tmp_path)
    (tmp_path / "tests/test_order.py").write_text(TESTS)

    def run(**environment: str) -> subprocess.CompletedProcess:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("FACET_NB_")}
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-v", *WITHOUT],
            cwd=tmp_path,
            env=inherited | {"PATH": str(tmp_path), "PYTHONPATH": str(tmp_path)} | environment,
            capture_output=True,
            text=True,
        )

    return run


def test_skipped_with_a_reason(run_tests):
    run = run_tests()
    assert run.returncode == 0
    assert "2 passed, 1 skipped" in run.stdout
    assert "FACET_NB_CHROMIUM" in run.stdout


def test_failed_where_required(run_tests):
    run = run_tests(FACET_NB_REQUIRE_BROWSER="1")
    assert run.returncode == 1
    assert "a browser is required here" in run.stdout


def test_named_browser_is_used(run_tests):
    assert "3 passed" in run_tests(FACET_NB_CHROMIUM=sys.executable).stdout


def test_fast_first_browser_last(run_tests):
    lines = run_tests().stdout.splitlines()
    order = [line.split("::")[1].split()[0] for line in lines if line.startswith("tests/")]
    assert order == ["test_fast", "test_slow", "test_needs_a_browser"]
