"""Arguments are converted as Typer converts them, and most of them without pydantic."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import typer.main

from facet_nb.cli import app
from facet_nb.cli.conversion import Command, Group

GROUP = typer.main.get_command(app)
COMMANDS = [GROUP, *GROUP.commands.values()]
PARAMETERS = [(c, p) for c in COMMANDS for p in c.get_params(typer.Context(c))]
VALUES = [None, "", "x", "3", "-1", "2.5", "good", "serial", "none", "-", ".", "no/such_raw.fif"]

PROBE = """
import sys
sys.argv = ["facet-nb", "plan", "classic", "--mode", "serial", "--dtype", "float32"]
from facet_nb.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
sys.exit("pydantic" in sys.modules)
"""


def convert(convert_value, command, value):
    """Return what a parameter makes of a value, or the error."""
    try:
        with typer.Context(command, info_name="test") as ctx:
            return convert_value(ctx, value)
    except Exception as error:
        return type(error), str(error)


@pytest.mark.parametrize(
    ("command", "param"), PARAMETERS, ids=[f"{c.name}-{p.name}" for c, p in PARAMETERS]
)
def test_same_as_typer(command, param):
    assert isinstance(command, Command | Group)
    theirs = type(param).process_value.__get__(param)
    for value in [*VALUES, *([["x"], ["3", "4"], []] if param.nargs != 1 else [])]:
        found = convert(param.process_value, command, value)
        assert found == convert(theirs, command, value), value
        assert type(found) is type(convert(theirs, command, value))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="may read all files")
def test_file_without_permission(tmp_path):
    file = tmp_path / "secret_raw.fif"
    file.touch(mode=0)
    command = GROUP.commands["run"]
    found = convert(command.params[0].process_value, command, str(file))
    assert "not readable" in found[1]


def test_paths_are_paths():
    command = GROUP.commands["run"]
    found = convert(command.params[0].process_value, command, "a/b_raw.fif")
    # Versions of Typer before 0.26 make paths of texts later.
    assert isinstance(found, Path if hasattr(command.params[0], "type_descriptor") else str)
    assert Path(found) == Path("a/b_raw.fif")


def test_plain_arguments_need_no_pydantic():
    subprocess.run([sys.executable, "-c", PROBE], check=True, capture_output=True)
