"""The command line, ``facet-nb``: a file for a command, or for a few that belong together.

Importing it and showing help load neither MNE nor the engine: commands import what they need.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterable
from typing import Annotated

import typer

from facet_nb import __version__
from facet_nb.cli.bench import bench, callers
from facet_nb.cli.conversion import Command, Group
from facet_nb.cli.correct import plan, run
from facet_nb.cli.jupyter import course, lab, show_app
from facet_nb.cli.machine import info
from facet_nb.cli.quickstart import demo
from facet_nb.cli.study import advise, batch, init, report

__all__ = ["app", "main"]

_COMMANDS = {
    command.__name__: command
    for command in (demo, run, batch, init, report, plan, advise, bench, callers, info, course, lab)
} | {"app": show_app}


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def _common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def _make_app(names: Iterable[str] = _COMMANDS) -> typer.Typer:
    """Return the command line with the commands of these names."""
    made = typer.Typer(
        name="facet-nb",
        cls=Group,
        help="Correct EEG that was recorded inside an MRI scanner.",
        no_args_is_help=True,
        rich_markup_mode=None,  # names of channels and files may look like markup
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback()(_common)
    for name in names:
        settings = {"ignore_unknown_options": True} if name == "lab" else None
        made.command(name, cls=Command, context_settings=settings)(_COMMANDS[name])
    return made


app = _make_app()


def main() -> None:
    """Run the command line; characters that a terminal cannot show are escaped."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    # Where numba is installed, MNE loads it to write a file: 1 s, or 5 s to compile, and no gain.
    os.environ.setdefault("MNE_USE_NUMBA", "false")
    # While modules are imported, Python would search all objects for cycles 260 times, 0.1 s.
    # One recording makes 110000 objects, most of them modules; `batch` lowers the threshold again.
    gc.set_threshold(150_000, *gc.get_threshold()[1:])
    # Typer makes each command from its signature, whichever is called: 0.03 s for all of them.
    called = [name for name in sys.argv[1:2] if name in _COMMANDS]
    if called == ["run"]:
        # numpy asks for huge pages. A virtual machine that returned free memory to its host has to
        # fetch these again: up to 2 s for a GB that is written once. It asks when it is imported.
        os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")
    try:
        (_make_app(called) if called else app)(prog_name="facet-nb")
    finally:
        gc.freeze()  # on exit, Python would search all objects for cycles: 0.3 s of CPU time
