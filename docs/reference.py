"""Write a page of the reference for each package: its public names, as they are now."""

from __future__ import annotations

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
