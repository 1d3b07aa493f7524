"""The gallery: each script is short, runs, and draws the picture whose caption is stored."""

from __future__ import annotations

import ast
import json
import re
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
SCRIPTS = sorted((DOCS / "gallery").glob("*.py"))
STORED = json.loads((DOCS / "_static/home/captions.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_script_draws_the_stored_picture(script):
    pytest.importorskip("matplotlib")
    picture = runpy.run_path(str(script))["picture"]
    stored = STORED[script.stem]["caption"]
    if "MB" in stored:  # libraries that the process has loaded count
        picture.caption, stored = (re.sub(r"\d+", "", s) for s in (picture.caption, stored))
    assert picture.caption == stored


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_script_is_a_short_question(script):
    tree = ast.parse(script.read_text(encoding="utf-8"))
    title, *_, tags = (ast.get_docstring(tree) or "").splitlines()
    assert title.endswith("?")
    assert tags.startswith("Tags: ")
    first = tree.body[1].lineno
    assert tree.body[-1].end_lineno - first < 40
    assert STORED[script.stem]["wall_s"] < 10


def test_there_are_24_tiles():
    assert len(SCRIPTS) + len(list((DOCS.parent / "examples").glob("*.py"))) == 24
