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


def test_every_kind_has_further_inputs(request):
    """Counted as pytest collects them, so that a test that was renamed is noticed."""
    files = {f"tests/{test.split('::')[0]}" for case in CASES.values() for test in case.tests}
    # What this run has collected anyway need not be collected again, unless a part was named only.
    ids = [item.nodeid for item in request.session.items]
    whole = {file for file in files if _is_whole(file, request.config)} & {*map(_file_of, ids)}
    if missing := sorted(files - whole):
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *WITHOUT, *missing]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
        ids = [i for i in ids if _file_of(i) in whole] + done.stdout.splitlines()
    names = (re.match(r"tests/(\S+?::\w+)", i) for i in ids)
    found = Counter(name[1] for name in names if name)
    for name, case in CASES.items():
        assert all(found[test] for test in case.tests), (name, case.tests)
        assert sum(found[test] for test in case.tests) >= INPUTS, name


def _file_of(node_id: str) -> str:
    return node_id.partition("::")[0]


def _is_whole(file: str, config: pytest.Config) -> bool:
    """Whether this run was told a folder of `file` or the file itself, and to leave nothing out."""
    chosen = ("keyword", "markexpr", "deselect", "lf")
    if config.rootpath != ROOT or any(getattr(config.option, name, None) for name in chosen):
        return False
    return any((ROOT / file).is_relative_to(Path(word).resolve()) for word in config.args)


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
