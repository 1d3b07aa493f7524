"""The commands ``lab``, ``course`` and ``app``: the studio and the course in a browser."""

from __future__ import annotations

import os
import shutil
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn
from urllib.parse import quote

import typer

from facet_nb.cli import options
from facet_nb.cli.problems import report_errors

STUDIO = Path("notebooks") / "02_studio.ipynb"
COURSE, INDEX = "course", "00_index.ipynb"
_PACKAGE = Path(__file__).resolve().parents[1]
_CLONE = _PACKAGE.parent
_NEEDED = ("jupyterlab", "ipykernel", "ipywidgets", "ipympl", "matplotlib")


def lab(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NOTEBOOK",
            help="A notebook, by default the studio; further arguments are passed to JupyterLab.",
        ),
    ] = None,
    no_browser: options.NoBrowser = False,
    debug: options.Debug = False,
) -> None:
    """Open a notebook in JupyterLab."""
    words = list(arguments or [])
    named = words.pop(0) if words and not words[0].startswith("-") else None
    with report_errors(debug):
        _check_installed()
        _open(find_notebook(named), no_browser, words)


def course(
    folder: Annotated[
        Path, typer.Argument(help="Folder for the notebooks; yours in it stay as they are.")
    ] = Path("course"),
    solutions: Annotated[
        bool, typer.Option("--solutions", help="Copy the notebooks with solutions as well.")
    ] = False,
    no_browser: options.NoBrowser = False,
    debug: options.Debug = False,
) -> None:
    """Copy the course to a folder, and open its index in JupyterLab."""
    with report_errors(debug):
        _check_installed()
        _open(copy_course(folder, solutions), no_browser)


def show_app(
    no_browser: options.NoBrowser = False,
    debug: options.Debug = False,
) -> None:
    """Show the studio as a web page without code (Voila)."""
    with report_errors(debug):
        _check_installed("voila")
        command = [sys.executable, "-m", "voila", str(find_notebook(None))]
        command.append("--Voila.ip=127.0.0.1")
        if no_browser or not has_screen():
            command.append("--no-browser")
        _start(command, "Voila")


def _open(notebook: Path, no_browser: bool, words: Sequence[str] = ()) -> None:
    _start(write_command(notebook, no_browser or not has_screen()), "JupyterLab", words)


def _start(command: list[str], program: str, words: Sequence[str] = ()) -> None:
    if "--no-browser" in command:
        typer.echo(f"Open the address that {program} prints below.")
    sys.stdout.flush()
    become([*command, *words])


def find_notebook(named: str | None) -> Path:
    """Return the notebook to open: by default the studio, here, of the clone, or a copy of it here.

    Raises
    ------
    ValidationError
        If it does not exist, or cannot be copied.
    """
    from facet_nb.core.errors import ValidationError

    if named is not None:
        path = Path(named).expanduser()
        if not path.is_file() or path.suffix != ".ipynb":
            raise ValidationError(f"{named} is not a notebook: use the path of an .ipynb file.")
        return path.resolve()
    for folder in (Path.cwd(), _CLONE):
        if (folder / STUDIO).is_file():
            return (folder / STUDIO).resolve()
    return copy_notebook(STUDIO.name, Path.cwd())


def find_notebook_folder() -> Path:
    """Return the folder with the notebooks, of the clone or of the installed package."""
    clone = _CLONE / STUDIO.parent
    return clone if (clone / STUDIO.name).is_file() else _PACKAGE / STUDIO.parent


def copy_notebook(name: str, folder: Path) -> Path:
    """Copy a notebook that came with the package to `folder`, unless it is there, and return it.

    Raises
    ------
    ValidationError
        If the package holds no such notebook, or the folder cannot be written.
    """
    from facet_nb.core.errors import ValidationError

    target = folder / name
    if not target.exists():
        try:
            shutil.copyfile(find_notebook_folder() / name, target)
        except OSError as error:
            raise ValidationError(
                f"{name} cannot be copied to {folder} ({error.strerror}): change to a folder that "
                "you may write to, or name a notebook."
            ) from error
        typer.echo(f"Copied {name} to {folder}.")
    return target.resolve()


def copy_course(folder: Path, solutions: bool = False) -> Path:
    """Copy the lessons that are not in `folder` yet, and return the index.

    Raises
    ------
    ValidationError
        If the folder cannot be written.
    """
    from facet_nb.core.errors import ValidationError

    lessons = find_notebook_folder() / COURSE
    copied = 0
    try:
        for name in (".", "solutions") if solutions else (".",):
            for path in sorted(lessons.joinpath(name).glob("*.*")):
                target = folder / name / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                if not target.exists():
                    shutil.copyfile(path, target)
                    copied += 1
    except OSError as error:
        raise ValidationError(
            f"the course cannot be copied to {folder} ({error.strerror}): name a folder that you "
            "may write to."
        ) from error
    typer.echo(f"{folder}: {copied} files copied.")
    return (folder / INDEX).resolve()


def write_command(notebook: Path, no_browser: bool) -> list[str]:
    """Return the command that opens `notebook`, in the current folder if it is below it."""
    here = Path.cwd().resolve()
    root = here if notebook.is_relative_to(here) else notebook.parent
    page = quote(notebook.relative_to(root).as_posix())
    # The server logs its address as critical: it is shown at this level as well.
    command = [sys.executable, "-m", "jupyterlab", "--log-level=WARN", "--LabApp.news_url="]
    command += [f"--ServerApp.root_dir={root}", f"--LabApp.default_url=/lab/tree/{page}"]
    if no_browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    return command


def has_screen() -> bool:
    """Whether a graphical browser can be opened from here."""
    if sys.platform.startswith("linux"):
        shown = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
        if not shown:
            return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def become(command: list[str]) -> NoReturn:
    """Replace this process by `command`, so that the server receives keyboard signals."""
    if sys.platform != "win32":
        os.execv(command[0], command)
    import subprocess

    raise typer.Exit(subprocess.call(command))


def _check_installed(*more: str) -> None:
    from importlib.util import find_spec

    from facet_nb.core.errors import FacetError

    missing = [name for name in (*_NEEDED, *more) if find_spec(name) is None]
    if missing:
        raise FacetError(
            f'{", ".join(missing)} missing: pip install "facet-nb[lab]" (in a clone: make lab).'
        )
