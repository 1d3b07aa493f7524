"""The pages of the documentation: snippets run, links lead somewhere, captions are current."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(DOCS.glob("*.md")) + sorted(DOCS.glob("howto/*.md"))
HOWTOS = sorted(DOCS.glob("howto/*.md"))


def _blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    """A folder with a recording of the name that the pages use."""
    from facet_nb.datasets import example
    from facet_nb.io import BrainVisionExporter

    folder = tmp_path_factory.mktemp("recording")
    BrainVisionExporter(path=folder / "recording.vhdr").execute(example().context())
    return folder


@pytest.mark.parametrize("file", HOWTOS, ids=lambda file: file.stem)
def test_snippets_and_commands_run(file, recording, monkeypatch):
    from facet_nb.cli import app

    monkeypatch.chdir(recording)
    code = "\n".join(_blocks(file, "python"))
    if "memory_budget" in code:  # what this process keeps of other tests is no part of it
        subprocess.run([sys.executable, "-c", code], check=True)
    else:
        exec(compile(code, file.name, "exec"), {"__name__": "page"})
    for line in "".join(_blocks(file, "sh")).splitlines():
        program, *words = shlex.split(line, comments=True)
        assert program == "facet-nb"
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.stem)
def test_links_lead_somewhere(file):
    text = re.sub(r"^```.*?^```$", "", file.read_text(encoding="utf-8"), flags=re.M | re.S)
    for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)\s]+)\)", text):
        name, _, anchor = link.partition("#")
        target = file.parent / name
        if name.startswith("notebooks/"):  # copied there when the pages are built
            target = DOCS.parent / name
        found = target if target.is_file() else target.with_name(target.name + ".ipynb")
        assert found.is_file(), link
        if anchor:
            heads = re.findall(r"^#+ (.+)$", found.read_text(encoding="utf-8"), flags=re.M)
            slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in slugs, link


def _list_reached() -> set[str]:
    """Return the pages that toctrees of the home page reach."""
    reached, todo = set(), ["index"]
    while todo:
        name = todo.pop()
        reached.add(name)
        file = DOCS / f"{name}.md"
        trees = _blocks(file, r"\{toctree\}") if file.is_file() else []
        for line in "\n".join(trees).splitlines():
            if line and not line.startswith(":") and "*" not in line and line not in reached:
                todo.append(line)
    return reached


def test_every_page_stands_in_one_quadrant():
    names = {page.relative_to(DOCS).with_suffix("").as_posix() for page in PAGES}
    assert names - _list_reached() == set()
    trees = [_blocks(DOCS / f"{part}.md", r"\{toctree\}") for part in QUADRANTS]
    listed = [line for tree in trees for line in "".join(tree).splitlines() if line[:1] != ":"]
    listed = [line for line in listed if line]
    assert len(listed) == len(set(listed))


QUADRANTS = ["learn", "howto", "explanation", "reference"]


def _list_next(page: Path) -> set[Path]:
    """Return the pages that one click leads to, at home also from the bar and the picture."""
    text, home = page.read_text(encoding="utf-8"), page == DOCS / "index.md"
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)\s#]+\.md)", text)
    if home:
        links += [
            f"{name}.md" for name in _blocks(page, r"\{toctree\}")[0].split() if ":" not in name
        ]
        hero = (DOCS / "_templates/hero.html").read_text(encoding="utf-8")
        links += [f"{name}.md" for name in re.findall(r'href="([^":]+)\.html', hero)]
    return {(page.parent / link).resolve() for link in links}


@pytest.mark.parametrize(
    ("page", "answers"),
    [
        ("howto/correct_one_file", "facet-nb run recording.vhdr"),
        ("in_your_mne_script", "mne.io.read_raw"),
        ("choosing_a_mode", "n_jobs"),
        ("howto/read_findings", "result.findings"),
        ("findings", "triggers_missing"),
    ],
)
def test_who_knows_mne_is_there_in_two_clicks(page, answers):
    """How to correct a file, how to choose workers, and what a finding means."""
    first = _list_next(DOCS / "index.md")
    second = set().union(*(_list_next(found) for found in first if found.is_file()))
    target = DOCS / f"{page}.md"
    assert target in first | second
    assert answers in target.read_text(encoding="utf-8")


def _load_pictures():
    spec = importlib.util.spec_from_file_location("pictures", DOCS / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pictures_are_of_this_version(project_root):
    """Captions hold figures: drawn anew, they must say the same."""
    pictures = _load_pictures()
    stored = json.loads((pictures.FOLDER / "captions.json").read_text(encoding="utf-8"))
    assert set(stored) == {*pictures.PICTURES, *pictures.SCRIPTS}
    drawn = {name: pictures.PICTURES[name]() for name in ("readme", "channelwise_execution")}
    assert {name: picture.caption for name, picture in drawn.items()} == {
        name: stored[name]["caption"] for name in drawn
    }
    assert f"![{stored['readme']['caption']}](docs/_static/home/readme.png)" in (
        project_root / "README.md"
    ).read_text(encoding="utf-8")
    assert all((pictures.FOLDER / f"{name}.png").stat().st_size > 5000 for name in stored)


def test_readme_is_short_and_prints_what_it_says(project_root, capsys):
    text = (project_root / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    code = next(
        block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "snr_db" in block
    )
    printed = re.search(r"```text\n(.*?)```", text, re.S)[1]
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out == printed
