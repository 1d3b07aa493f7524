"""Every case of ``../shared/cases`` is right, or a finding names its cause; none lacks a row."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.cases.table import CASES, Printed
from tests.reliability import WITHOUT

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT.parent / "shared" / "cases"

#: Further inputs of a kind, at least.
INPUTS = 2


@pytest.fixture(scope="module")
def folder():
    """Folder of the cases, which are no part of the project."""
    if not FOLDER.is_dir():
        pytest.skip("the programs of ../shared/cases are not on this machine")
    return FOLDER


def test_every_case_has_a_row(folder):
    assert {path.stem for path in folder.glob("*.py")} == set(CASES)


def test_every_kind_has_further_inputs():
    """Counted as pytest collects them, so that a test that was renamed is noticed."""
    files = sorted({test.split("::")[0] for case in CASES.values() for test in case.tests})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *WITHOUT]
    command += [str(ROOT / "tests" / file) for file in files]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    names = re.findall(r"^tests/(\S+?::\w+)", done.stdout, re.MULTILINE)
    found = Counter(names)
    for name, case in CASES.items():
        assert all(found[test] for test in case.tests), (name, case.tests)
        assert sum(found[test] for test in case.tests) >= INPUTS, name


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("FACET_NB_NIGHT"), reason="FACET_NB_NIGHT is not set")
@pytest.mark.parametrize("name", CASES)
def test_case(name, folder, tmp_path):
    case = CASES[name]
    needs = case.needs
    if needs and not (shutil.which(needs) or importlib.util.find_spec(needs)):
        pytest.skip(f"{needs} is not on this machine")
    command = [
        sys.executable,
        str(ROOT / "tests" / "cases" / "watch.py"),
        str(folder / f"{name}.py"),
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=240
    )
    assert done.returncode == bool(case.stops) and case.stops in done.stderr, done.stderr
    assert case.is_settled(Printed(done.stdout)), done.stdout
