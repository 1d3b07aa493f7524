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

{aliases}
"""


def write_pages(folder: Path) -> None:
    """Write the pages into `folder`, and an index of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for package, title in PACKAGES.items():
        _write(folder / f"{package}.rst", _page(package, title))


def _page(package: str, title: str) -> str:
    module = import_module(f"facet_nb.{package}")
    real = {n: getattr(getattr(module, n), "__name__", n) for n in sorted(module.__all__)}
    return PAGE.format(
        title=title,
        line="=" * len(title),
        package=package,
        names="\n".join(f"   {name}" for name in real if real[name] == name),
        aliases="\n".join(
            f"- ``{name}`` is another name of :obj:`{real[name]}`."
            for name in real
            if real[name] != name
        ),
    )


def _write(path: Path, text: str) -> None:
    # An unchanged page keeps its date, so that Sphinx does not build it again.
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
