"""Write a page of the reference for each package: its public names, as they are now."""

from __future__ import annotations

import ast
import json
from html import escape
from importlib import import_module
from pathlib import Path

PACKAGES = {
    "core": "Engine",
    "io": "Reading and writing",
    "preprocessing": "Preprocessing",
    "correction": "Correction",
    "evaluation": "Evaluation",
    "pipelines": "Chains",
    "signal": "Functions over arrays",
    "datasets": "Recordings to try",
    "benchmark": "Measuring",
    "lessons": "The course",
    "plots": "Plots",
    "models": "State behind the panels",
    "report": "Reports",
    "widgets": "Panels",
}
PAGE = """{title}
{line}

.. automodule:: facet_nb.{package}
   :no-members:

.. currentmodule:: facet_nb.{package}

.. autosummary::
   :toctree: .
   :nosignatures:

{names}

{aliases}
"""


def write_pages(folder: Path) -> None:
    """Write the pages into `folder`, and remove those of names that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = set()
    for package, title in PACKAGES.items():
        names = _names(package)
        _write(folder / f"{package}.rst", _page(package, title, names))
        kept |= {package, *(f"facet_nb.{package}.{name}" for name in names)}
    for page in folder.glob("*.rst"):
        if page.stem not in kept:
            page.unlink()


def _names(package: str) -> dict[str, str]:
    """Public names of a package; the value differs from the key where it is an alias."""
    module = import_module(f"facet_nb.{package}")
    return {n: getattr(getattr(module, n), "__name__", n) for n in sorted(module.__all__)}


def _page(package: str, title: str, names: dict[str, str]) -> str:
    aliases = {name: real for name, real in names.items() if name != real}
    return PAGE.format(
        title=title,
        line="=" * len(title),
        package=package,
        names="\n".join(f"   {name}" for name in names if name not in aliases),
        aliases="\n".join(
            f"- ``{name}`` is another name of :obj:`{real}`." for name, real in aliases.items()
        ),
    )


def _write(path: Path, text: str) -> None:
    # An unchanged page keeps its date, so that Sphinx does not build it again.
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def write_command_line(file: Path) -> None:
    """Write the help of each command, as it is printed."""
    from typer.testing import CliRunner

    from facet_nb.cli import app

    def ask(*words: str) -> str:
        done = CliRunner().invoke(app, [*words, "--help"], terminal_width=100, prog_name="facet-nb")
        return f"```text\n{done.stdout.strip()}\n```\n"

    names = [info.name or info.callback.__name__ for info in app.registered_commands]
    parts = [ask(), *(f"## {name}\n\n{ask(name)}" for name in names)]
    file.write_text("\n".join(parts), encoding="utf-8")


def write_gallery(file: Path, examples: Path, home: Path) -> None:
    """Write a tile for each script, with picture and title, and the scripts below them."""
    captions = json.loads((home / "captions.json").read_text(encoding="utf-8"))
    tiles, texts = [], []
    for script in sorted(examples.glob("*.py")):
        code = script.read_text(encoding="utf-8")
        title = (ast.get_docstring(ast.parse(code)) or "").splitlines()[0].rstrip(".")
        target = f"#{script.stem.replace('_', '-')}-py"
        picture = f"_static/home/{script.stem}.png"
        alt = escape(captions[script.stem], quote=True)
        tiles.append(
            f'<figure><a href="{target}"><img src="{picture}" alt="{alt}" loading="lazy"></a>'
            f"<figcaption>{escape(title)}</figcaption></figure>"
        )
        texts.append(f"## {script.name}\n\n{title}.\n\n```python\n{code}```\n")
    grid = "\n".join(['<div class="fn-tiles">', *tiles, "</div>"])
    file.write_text("\n".join([f"```{{raw}} html\n{grid}\n```\n", *texts]), encoding="utf-8")


def write_hero(file: Path, template: Path, home: Path) -> None:
    """Write the head of the home page: its pictures with their captions."""
    captions = json.loads((home / "captions.json").read_text(encoding="utf-8"))
    text = template.read_text(encoding="utf-8")
    for name, caption in captions.items():
        text = text.replace(f"{{{name}}}", escape(caption, quote=True))
    file.write_text(text, encoding="utf-8")
