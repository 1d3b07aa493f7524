"""What one correction in a process of its own leaves out at its start."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from facet_nb.cli import _make_app
from facet_nb.cli.deferred import defer_import

RUN = """
import os, sys
from facet_nb.cli import main
from facet_nb.cli.conversion import Command

made, init = [], Command.__init__
def note(self, name, **options):
    made.append(name)
    init(self, name, **options)

Command.__init__ = note
sys.argv[0] = "facet-nb"
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
import numpy, scipy.linalg
huge = numpy._core.multiarray._get_madvise_hugepage()
loaded = "numpy.f2py.crackfortran" in sys.modules
assert callable(numpy.f2py.get_include), "it is imported when it is used"
print(made, bool(huge), loaded, "numpy.f2py.f2py2e" in sys.modules, file=sys.stderr)
"""


def start(*words, **environment):
    return subprocess.run(
        [sys.executable, "-c", RUN, *map(str, words)],
        capture_output=True, text=True, check=True, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.mark.parametrize("value", ["", "0", "1"])
def test_one_correction(files, tmp_path, value):
    given = {"NUMPY_MADVISE_HUGEPAGE": value} if value else {}
    done = start("run", files.fif, tmp_path / "out_raw.fif", "--trigger", r"S  1", **given)
    assert done.stderr.splitlines()[-1] == f"['run'] {value == '1'} False True"
    assert (tmp_path / "out_raw.fif").exists()


def test_unused_names():
    """What is loaded stays, and what is nowhere is no error."""
    before = dict(sys.modules)
    for name in ("numpy.linalg", "numpy.there_is_no_such_module"):
        defer_import(name)
    assert dict(sys.modules) == before


@pytest.mark.parametrize("name", ["run", "plan", "lab"])
def test_a_command_alone_is_the_command_among_all(facet_nb, name):
    from typer.testing import CliRunner

    alone = CliRunner().invoke(_make_app([name]), [name, "--help"])
    assert alone.exit_code == 0 and alone.stdout == facet_nb(name, "--help").stdout
