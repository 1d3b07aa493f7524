"""Write a page of the reference for each package: its public names, as they are now."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

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


#: The page of a name. The same as autosummary writes, which looks at each member for it.
NAME_PAGE = """{title}
{line}

.. currentmodule:: facet_nb.{package}

.. auto{kind}:: {name}
{options}"""
OPTIONS = {"class": "   :members:\n   :show-inheritance:\n"}


def write_pages(folder: Path) -> None:
    """Write the pages into `folder`, and remove those of names that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = set()
    for package, title in PACKAGES.items():
        names = _names(package)
        _write(folder / f"{package}.rst", _page(package, title, names))
        for name, real in names.items():
            if name == real:
                _write(folder / f"facet_nb.{package}.{name}.rst", _name_page(package, name))
        kept |= {package, *(f"facet_nb.{package}.{n}" for n, real in names.items() if n == real)}
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


def _name_page(package: str, name: str) -> str:
    value = getattr(import_module(f"facet_nb.{package}"), name)
    kind = "function" if inspect.isroutine(value) else "data"
    if inspect.isclass(value):
        kind = "exception" if issubclass(value, BaseException) else "class"
    title = name.replace("_", "\\_")
    return NAME_PAGE.format(
        title=title,
        line="=" * len(title),
        package=package,
        kind=kind,
        name=name,
        options=OPTIONS.get(kind, ""),
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


def write_gallery(file: Path, folders: Sequence[Path], home: Path) -> None:
    """Write a tile for each script, with picture and title, and the scripts below them."""
    known = json.loads((home / "captions.json").read_text(encoding="utf-8"))
    tiles, texts, every = [], [], set()
    for script in (path for folder in folders for path in sorted(folder.glob("*.py"))):
        code = script.read_text(encoding="utf-8")
        said = (ast.get_docstring(ast.parse(code)) or "").splitlines()
        title, tags = said[0].rstrip("."), said[-1].removeprefix("Tags: ").split(", ")
        every.update(tags)
        entry = known[script.stem]
        alt = escape(entry["caption"], quote=True)
        tiles.append(
            f'<figure data-tags="{" ".join(tags)}"><a href="#{script.stem}">'
            f'<img src="_static/home/{script.stem}.png" alt="{alt}" loading="lazy"></a>'
            f"<figcaption>{escape(title)} <small>{', '.join(tags)}</small></figcaption></figure>"
        )
        image = f"![{entry['caption']}](_static/home/{script.stem}.png)"
        texts.append(
            f"({script.stem})=\n## {title}\n\n{image}\n\n{entry['caption']}\n\n"
            f"```python\n{code}```\n\n{_describe_costs(script, entry)}\n"
        )
    radios = "".join(
        f'<label><input type="radio" name="fn-tag" id="fn-{tag}"'
        f"{' checked' * (tag == 'all')}> {tag}</label>"
        for tag in ["all", *sorted(every)]
    )
    rules = "".join(
        f'.fn-gallery:has(#fn-{tag}:checked) figure:not([data-tags~="{tag}"]) {{ display: none; }}'
        for tag in sorted(every)
    )
    grid = [
        f"<style>{rules}</style>",
        '<div class="fn-gallery">',
        f"<fieldset><legend>Show</legend>{radios}</fieldset>",
        '<div class="fn-tiles">',
        *tiles,
        "</div></div>",
    ]
    head = "\n".join(grid)
    file.write_text("\n".join([f"```{{raw}} html\n{head}\n```\n", *texts]), encoding="utf-8")


def _describe_costs(script: Path, entry: Mapping[str, Any]) -> str:
    """Return where a script is, and what it took where the pictures were drawn."""
    place = f"`{script.parent.name}/{script.name}`"
    if "wall_s" not in entry:
        return f"{place} in the repository."
    return (
        f"{place} in the repository: {entry['wall_s']} s from start to exit, and "
        f"{entry['peak_mb']} MB at most, libraries included, measured on two cores."
    )


def describe_pictures(folder: Path) -> None:
    """Put the texts of pictures where MyST-NB looks for them; it would show names of files."""
    for path in folder.rglob("*.ipynb"):
        book = json.loads(path.read_bytes())
        for cell in book["cells"]:
            pictures = [o for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
            texts = [o["metadata"].get("image/png", {}).get("alt", "") for o in pictures]
            if any(texts):
                cell["metadata"]["mystnb"] = {"image": {"alt": " ".join(filter(None, texts))}}
        path.write_text(json.dumps(book), encoding="utf-8")


def write_hero(file: Path, template: Path, home: Path) -> None:
    """Write the head of the home page: its pictures with their captions."""
    captions = json.loads((home / "captions.json").read_text(encoding="utf-8"))
    text = template.read_text(encoding="utf-8")
    for name, entry in captions.items():
        text = text.replace(f"{{{name}}}", escape(entry["caption"], quote=True))
    file.write_text(text, encoding="utf-8")
