"""The table in ``docs/reliability.md`` is what the stored run says, and that run was good."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests import reliability
from tests.reliability import (
    OUTCOMES,
    PAGE,
    STORED,
    WITHOUT,
    fill_page,
    find_group,
    sum_groups,
)


@pytest.fixture(scope="module")
def stored():
    return json.loads(STORED.read_text(encoding="utf-8"))


def test_the_page_is_what_was_stored(stored):
    page = PAGE.read_text(encoding="utf-8")
    assert page == fill_page(page, stored)
    for name, counts in sum_groups(stored).items():
        assert f"| {name} | {sum(counts[o] for o in OUTCOMES)} |" in page


def test_nothing_was_lost_wrong_or_hung(stored):
    total = sum(sum_groups(stored).values(), Counter())
    assert total["held"] >= 500
    assert total["lost"] == total["wrong"] == total["hung"] == 0


def test_every_counted_test_exists(stored):
    """Tests that were renamed or removed since do not count any more."""
    for node, counts in stored["tests"].items():
        path, function = node.split("::")[:2]
        text = (reliability.ROOT / path).read_text(encoding="utf-8")
        assert f"def {function}(" in text, node
        assert f'fault("{counts["group"]}"' in text or find_group(node) == counts["group"], node


PLUGIN_TESTS = """
import pytest

@pytest.mark.fault("first")
@pytest.mark.parametrize("i", range(3))
def test_one_each(i):
    assert i != 1

@pytest.mark.fault("second", fails="lost")
def test_several(count_fault):
    for i in range(5):
        assert i < 4
        count_fault()

@pytest.mark.fault("second")
def test_hangs():
    raise AssertionError("it did not happen")

@pytest.mark.fault("second")
def test_skipped():
    pytest.skip("not here")

def test_no_fault():
    pass
"""


def count(folder: Path, *words: str) -> dict:
    """Run pytest in a folder, with the counter."""
    command = [sys.executable, "-m", "pytest", "-q", *WITHOUT, "--rootdir", "."]
    env = {**os.environ, "PYTHONPATH": str(reliability.ROOT)}
    subprocess.run(
        [*command, "--faults", "counted.json", *words], cwd=folder, env=env, capture_output=True
    )
    return sum_groups(json.loads((folder / "counted.json").read_text(encoding="utf-8")))


def test_faults_are_counted_as_they_happen(tmp_path):
    names = "count_fault, pytest_addoption, pytest_configure"
    (tmp_path / "conftest.py").write_text(f"from tests.reliability import {names}\n")
    (tmp_path / "test_it.py").write_text(PLUGIN_TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = fault\n")
    groups = count(tmp_path)
    found = {name: {o: counts[o] for o in OUTCOMES} for name, counts in groups.items()}
    assert found == {
        "first": {"held": 2, "lost": 0, "wrong": 1, "hung": 0},
        "second": {"held": 4, "lost": 1, "wrong": 0, "hung": 1},
    }
    again = count(tmp_path, "-k", "several")
    assert {name: counts["held"] for name, counts in again.items()} == {"first": 2, "second": 4}
