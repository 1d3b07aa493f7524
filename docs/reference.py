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
    "datasets": "Recordings to try",
    "benchmark": "Measuring",
    "plots": "Plots",
    "models": "State behind the panels",
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
"""


def write_pages(folder: Path) -> None:
    """Write the pages into `folder`, and an index of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for package, title in PACKAGES.items():
        names = sorted(import_module(f"facet_nb.{package}").__all__)
        text = PAGE.format(
            title=title,
            line="=" * len(title),
            package=package,
            names="\n".join(f"   {name}" for name in names),
        )
        _write(folder / f"{package}.rst", text)


def _write(path: Path, text: str) -> None:
    # An unchanged page keeps its date, so that Sphinx does not build it again.
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
