"""Every command that has a result prints it as JSON, and completion knows the commands."""

from __future__ import annotations

import json

import pytest
import typer

from facet_nb.cli import app
from tests.models.tables import make_table
from tests.study import studies

#: Commands that show something to a person only: a notebook, or a walk through a correction.
SHOWS = {"lab", "course", "app", "demo"}


def test_every_command_with_a_result_has_the_option():
    commands = typer.main.get_command(app).commands
    have = {name for name, c in commands.items() if any("--json" in p.opts for p in c.params)}
    assert have == set(commands) - SHOWS


@pytest.mark.parametrize(
    ("words", "key"),
    [(["info"], "numpy"), (["info", "r.fif"], "n_times"), (["plan", "classic"], "stages")],
)
def test_json_is_all_that_is_printed(facet_nb, tmp_path, words, key):
    studies.write(tmp_path / "r.fif")
    found = json.loads(facet_nb(*words, "--json").stdout)
    assert found[key]
    assert "channels" not in found or len(found["channels"]) > 2


def test_a_benchmark(facet_nb, tmp_path, monkeypatch):
    """Advice and names of files go to stderr."""
    import facet_nb.benchmark as package

    table = make_table()
    monkeypatch.setattr(package, "benchmark", lambda *a, **k: table)

    class Told:
        code = "the code"

        def __str__(self):
            return "the advice"

    monkeypatch.setattr(package, "advise", lambda *a, **k: Told())
    done = facet_nb("bench", "r.fif", "--out", "t.json", "--json")
    assert done.exit_code == 0 and json.loads(done.stdout) == json.loads(table.to_json())
    assert "the advice" in done.stderr and "t.json" in done.stderr


@pytest.mark.parametrize(
    ("typed", "expected"), [("ba", "batch"), ("batch --memory-b", "--memory-budget")]
)
def test_completion(facet_nb, monkeypatch, typed, expected):
    """As the script that ``--install-completion`` writes asks for it."""
    from typer.testing import CliRunner

    words = f"facet-nb {typed}"
    env = {"_FACET_NB_COMPLETE": "complete_bash", "COMP_WORDS": words}
    env["COMP_CWORD"] = str(len(words.split()) - 1)
    done = CliRunner().invoke(app, [], env=env, prog_name="facet-nb")
    assert expected in done.stdout.split()
