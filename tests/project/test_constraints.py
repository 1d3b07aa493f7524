"""constraints.txt pins what pyproject.toml asks for, and only that: names and versions."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYTHONS = ["3.11.2", "3.11.9", "3.12.1", "3.13.0"]


@pytest.fixture(scope="module")
def pins(project_root) -> list[Requirement]:
    """The lines of constraints.txt."""
    lines = (project_root / "constraints.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def project(project_root) -> dict:
    """The ``[project]`` table."""
    return tomllib.loads((project_root / "pyproject.toml").read_text())["project"]


def _wanted(project: dict) -> list[Requirement]:
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = [Requirement(line) for group in groups for line in group]
    return [one for one in wanted if canonicalize_name(one.name) != project["name"]]


def _pin_for(name: str, pins: list[Requirement], python: str) -> list[Requirement]:
    environment = {"python_full_version": python, "python_version": python.rpartition(".")[0]}
    return [
        pin
        for pin in pins
        if canonicalize_name(pin.name) == canonicalize_name(name)
        and (pin.marker is None or pin.marker.evaluate(environment))
    ]


def test_each_line_is_a_name_and_a_version(project_root):
    lines = (project_root / "constraints.txt").read_text().splitlines()
    pin = re.compile(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.!+]*(; .+)?")
    assert [line for line in lines if not line.startswith("#") and not pin.fullmatch(line)] == []


@pytest.mark.parametrize("python", PYTHONS)
def test_one_pin_for_each_name(pins, python):
    assert [pin.name for pin in pins if len(_pin_for(pin.name, pins, python)) > 1] == []


@pytest.mark.parametrize("python", PYTHONS)
def test_what_the_project_asks_for_is_pinned_and_allowed(project, pins, python):
    for wanted in _wanted(project):
        (pin,) = _pin_for(wanted.name, pins, python)
        (version,) = (spec.version for spec in pin.specifier)
        assert wanted.specifier.contains(version), f"{wanted} is not met by {pin}"


def test_kernel_has_no_subshell_callbacks(pins):
    """Before 7.4 the kernel ran widget callbacks on a thread of their own."""
    (pin,) = _pin_for("ipykernel", pins, "3.11.9")
    (version,) = (spec.version for spec in pin.specifier)
    assert Requirement("ipykernel>=7.4").specifier.contains(version)


def test_tested_pythons_are_the_promised_ones(project):
    promised = Requirement(f"python{project['requires-python']}").specifier
    assert all(promised.contains(python) for python in PYTHONS)
    assert not promised.contains("3.10.14") and promised.contains("3.14.0")
    named = [c.rpartition(" ")[2] for c in project["classifiers"] if "Python :: 3." in c]
    assert named == sorted({python.rpartition(".")[0] for python in PYTHONS})


def test_the_lowest_versions_are_those_of_the_project(project, project_root):
    """A job of CI installs them."""
    script = project_root / ".ci" / "lowest.py"
    run = subprocess.run(
        [sys.executable, script, "lab"], capture_output=True, text=True, check=True
    )
    floors = [Requirement(line) for line in run.stdout.splitlines()]
    extra = project["optional-dependencies"]
    wanted = [Requirement(line) for line in [*project["dependencies"], *extra["lab"]]]
    assert {one.name for one in floors} == {one.name for one in wanted} - {project["name"]}
    for floor in floors:
        (version,) = (spec.version for spec in floor.specifier)
        assert all(one.specifier.contains(version) for one in wanted if one.name == floor.name)
