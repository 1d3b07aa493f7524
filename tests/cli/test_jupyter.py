"""``lab``: which notebook, how JupyterLab is called, and what is missing."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from facet_nb.cli import jupyter


@pytest.fixture
def started(monkeypatch) -> list[list[str]]:
    """The commands that would have been started."""
    commands: list[list[str]] = []
    monkeypatch.setattr(jupyter, "become", commands.append)
    return commands


@pytest.fixture
def notebook(tmp_path) -> Path:
    path = tmp_path / "my notes" / "a#b.ipynb"
    path.parent.mkdir()
    path.write_text("{}")
    return path


def test_opens_a_notebook_below_the_current_folder(facet_nb, started, notebook, tmp_path):
    result = facet_nb("lab", "my notes/a#b.ipynb", "--no-browser")
    assert result.exit_code == 0, result.output
    (command,) = started
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={tmp_path.resolve()}" in command
    assert "--LabApp.default_url=/lab/tree/my%20notes/a%23b.ipynb" in command
    assert "--no-browser" in command and "address" in result.stdout


def test_opens_a_notebook_elsewhere(facet_nb, started, notebook, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    facet_nb("lab", notebook)
    assert f"--ServerApp.root_dir={notebook.parent.resolve()}" in started[0]
    assert "--LabApp.default_url=/lab/tree/a%23b.ipynb" in started[0]


def test_opens_the_studio_by_default(facet_nb, started, tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / jupyter.STUDIO).write_text("{}")
    assert facet_nb("lab").exit_code == 0
    assert "--LabApp.default_url=/lab/tree/notebooks/02_studio.ipynb" in started[0]


def test_an_empty_folder_gets_a_copy_of_the_studio(facet_nb, started, tmp_path, monkeypatch):
    """As the wheel is laid out: no clone, and the notebooks inside the package."""
    package = tmp_path / "site-packages" / "facet_nb"
    (package / "notebooks").mkdir(parents=True)
    (package / jupyter.STUDIO).write_text("{}")
    monkeypatch.setattr(jupyter, "_PACKAGE", package)
    monkeypatch.setattr(jupyter, "_CLONE", package.parent)
    monkeypatch.chdir(tmp_path)
    result = facet_nb("lab")
    assert result.exit_code == 0, result.output
    assert "--LabApp.default_url=/lab/tree/02_studio.ipynb" in started[0]
    copy = tmp_path / "02_studio.ipynb"
    assert "Copied" in result.stdout and copy.read_text() == "{}"
    copy.write_text('{"mine": 1}')
    assert "Copied" not in facet_nb("lab").stdout and copy.read_text() == '{"mine": 1}'


def test_a_copy_that_is_not_possible_is_told(facet_nb, started, tmp_path, monkeypatch):
    monkeypatch.setattr(jupyter, "_PACKAGE", tmp_path)
    monkeypatch.setattr(jupyter, "_CLONE", tmp_path / "absent")
    result = facet_nb("lab")
    assert result.exit_code == 1 and started == []
    assert "02_studio.ipynb cannot be copied" in result.stderr


@pytest.mark.parametrize("words", [["--port=9999"], ["--port", "9999"]])
def test_passes_options_on(facet_nb, started, tmp_path, words):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / jupyter.STUDIO).write_text("{}")
    assert facet_nb("lab", *words).exit_code == 0
    assert started[0][-len(words) :] == words


@pytest.mark.parametrize(("user", "allowed"), [(0, True), (1000, False)])
def test_root_is_allowed(facet_nb, started, notebook, monkeypatch, user, allowed):
    monkeypatch.setattr(os, "geteuid", lambda: user, raising=False)
    facet_nb("lab", notebook)
    assert ("--allow-root" in started[0]) is allowed


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have a screen")
@pytest.mark.parametrize("screen", [False, True])
def test_a_screen_decides_about_the_browser(facet_nb, started, notebook, monkeypatch, screen):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    if screen:
        monkeypatch.setenv("DISPLAY", ":0")
        monkeypatch.setattr(jupyter.webbrowser, "get", lambda: None)
    facet_nb("lab", notebook)
    assert ("--no-browser" in started[0]) is not screen


def test_missing_extra_is_told_with_the_remedy(facet_nb, started, notebook, monkeypatch):
    known = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "jupyterlab" else known(name)
    )
    result = facet_nb("lab", notebook)
    assert result.exit_code == 1 and started == []
    assert "jupyterlab missing" in result.stderr
    assert 'pip install "facet-nb[lab]"' in result.stderr


@pytest.mark.parametrize("name", ["absent.ipynb", "notes.txt"])
def test_no_notebook(facet_nb, started, tmp_path, name):
    (tmp_path / "notes.txt").write_text("")
    result = facet_nb("lab", name)
    assert result.exit_code == 1 and started == []
    assert "is not a notebook" in result.stderr


def test_the_process_becomes_the_server(monkeypatch):
    calls = []
    monkeypatch.setattr(jupyter.sys, "platform", "linux")
    monkeypatch.setattr(os, "execv", lambda *call: calls.append(call) or sys.exit(0))
    with pytest.raises(SystemExit):
        jupyter.become(["/usr/bin/python", "-m", "jupyterlab"])
    assert calls == [("/usr/bin/python", ["/usr/bin/python", "-m", "jupyterlab"])]


@pytest.mark.parametrize("solutions", [False, True])
def test_the_course_is_copied_and_opened(facet_nb, started, tmp_path, monkeypatch, solutions):
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "lessons" / "L01_the_scanner.ipynb"
    mine.parent.mkdir()
    mine.write_text("my answers")
    result = facet_nb("course", "lessons", *(["--solutions"] if solutions else []))
    assert result.exit_code == 0, result.output
    assert "--LabApp.default_url=/lab/tree/lessons/00_index.ipynb" in started[0]
    names = {path.name for path in mine.parent.glob("*.*")}
    assert {"00_index.ipynb", "L01_the_scanner.ipynb", "glossary.md"} <= names
    assert mine.read_text() == "my answers"
    assert (mine.parent / "solutions" / mine.name).is_file() is solutions


def test_a_course_that_cannot_be_copied_is_told(facet_nb, started, tmp_path):
    (tmp_path / "file").write_text("")
    result = facet_nb("course", tmp_path / "file" / "lessons")
    assert result.exit_code == 1 and started == []
    assert "cannot be copied" in result.stderr


def test_the_app_shows_the_studio_without_code(facet_nb, started, tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / jupyter.STUDIO).write_text("{}")
    result = facet_nb("app", "--no-browser")
    assert result.exit_code == 0 and "address" in result.stdout
    ((python, *words),) = started
    assert python == sys.executable and "--no-browser" in words
    assert words[:3] == ["-m", "voila", str((tmp_path / jupyter.STUDIO).resolve())]


def test_the_app_says_what_it_lacks(facet_nb, started, monkeypatch):
    found = importlib.util.find_spec
    lacking = lambda name, *rest: None if name == "voila" else found(name, *rest)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", lacking)
    result = facet_nb("app")
    assert result.exit_code != 0 and "voila missing" in result.output and started == []
