"""The commands of the documentation: each one exists, and those about studies are executed."""

from __future__ import annotations

import re
import shlex

import pytest
import typer
from typer.testing import CliRunner

from facet_nb import datasets
from facet_nb.cli import app
from facet_nb.core.backends import registry
from facet_nb.io import Exporter

CALL = re.compile(r"facet-nb ((?!COMMAND)[a-z]+[^`\n]*)")


def find_commands(text: str) -> list[str]:
    """Return the commands in a text, as a reader would type them."""
    kept = [line.split(" #")[0] for line in text.splitlines()]
    found = [call.strip() for line in kept for call in CALL.findall(line)]
    # A command that is itself quoted ends with the other quotation mark.
    return [call.rstrip('"') if call.count('"') % 2 else call for call in found]


def list_unknown(command: str) -> list[str]:
    """Return what the command line does not know of a command."""
    commands = typer.main.get_command(app).commands
    name, *words = shlex.split(command.replace("(", "").replace(")", ""))
    if name not in commands:
        return [name]
    known = {opt for p in commands[name].params for opt in (*p.opts, *p.secondary_opts)}
    used = [w.split("=")[0].rstrip(".,:;") for w in words if re.match(r"--?[a-z]", w)]
    return [word for word in used if word not in known]


def list_pages(project_root):
    return [project_root / "README.md", *sorted((project_root / "docs").rglob("*.md"))]


def test_every_command_of_the_documentation_exists(project_root):
    found = {
        (str(page.relative_to(project_root)), command): list_unknown(command)
        for page in list_pages(project_root)
        if "_build" not in page.parts and "generated" not in page.parts
        for command in find_commands(page.read_text())
        if command.split()[0] not in WORDS
    }
    assert len(found) > 25
    assert {key: unknown for key, unknown in found.items() if unknown} == {}


#: What follows the name of the program where a sentence is about it.
WORDS = {"and"}


def test_the_check_notices():
    text = '`facet-nb run a b`, then\nfacet-nb batch x -o y  # all\nshell: "facet-nb plan"'
    assert find_commands(text) == ["run a b", "batch x -o y", "plan"]
    assert list_unknown("batch x -o y --n-jobs 2") == []
    assert list_unknown("batch x --no-such 2") == ["--no-such"]
    assert list_unknown("botch x") == ["botch"]


@pytest.fixture
def days(tmp_path, monkeypatch):
    """Two folders with a recording each."""
    monkeypatch.chdir(tmp_path)
    for i, day in enumerate(("day1", "day2")):
        context = datasets.simulate(4, 500.0, 15.0, seed=i).context()
        (tmp_path / day).mkdir()
        Exporter(tmp_path / day / f"r{i}.vhdr", provenance=False).execute(context)
    return tmp_path


@pytest.fixture(scope="module")
def studies(project_root):
    return (project_root / "docs/studies.md").read_text()


@pytest.mark.slow
def test_a_study_in_four_commands(studies, days, monkeypatch):
    """Word for word, on one core: recordings run in this process."""
    monkeypatch.setattr(registry, "count_cores", lambda *_: 1)
    block = re.search(r"## In four commands\n\n```sh\n(.*?)```", studies, re.DOTALL)[1]
    commands = find_commands(block)
    assert [command.split()[0] for command in commands] == ["advise", "init", "batch", "report"]
    for command in commands:
        done = CliRunner().invoke(app, shlex.split(command))
        assert done.exit_code == 0, (command, done.output)
    assert len(list((days / "corrected").glob("*_corrected.vhdr"))) == 2
    assert "2 recordings: 2 done." in (days / "study.html").read_text()


@pytest.mark.slow
def test_a_study_in_python(studies, days):
    (block,) = re.findall(r"^```python\n(.*?)^```$", studies, flags=re.MULTILINE | re.DOTALL)
    # In this process: the page is about the calls.
    code = block.replace("n_jobs=-1", "n_jobs=1")
    assert code != block
    exec(compile(code, "studies.md", "exec"), {})
    assert (days / "study.html").exists() and (days / "run.yml").exists()
    done = CliRunner().invoke(app, ["batch", "run.yml", "--n-jobs", "1", "--resume", "--json"])
    assert done.exit_code == 0 and done.stdout.count('"resumed": true') == 2
