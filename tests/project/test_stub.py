"""The types of the front door: its names load when they are used, and a stub tells them to tools.

``python -m tests.project.test_stub`` writes the stub anew; ``ruff check --fix`` sorts it.
"""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

import facet_nb

STUB = Path(__file__).resolve().parents[2] / "facet_nb" / "__init__.pyi"

ROOMS = [
    "facet_nb.core",
    "facet_nb.io",
    "facet_nb.preprocessing",
    "facet_nb.correction",
    "facet_nb.evaluation",
    "facet_nb.benchmark",
    "facet_nb.pipelines",
    "facet_nb.widgets",
]
SUBMODULES = [
    "batch",
    "benchmark",
    "core",
    "correction",
    "datasets",
    "evaluation",
    "io",
    "kernels",
    "lessons",
    "models",
    "pipelines",
    "plots",
    "preprocessing",
    "report",
    "signal",
    "widgets",
]


def make_stub() -> str:
    """Return the stub that says where each name of the front door comes from."""
    names = [name for name in facet_nb.__all__ if name != "__version__"]
    lines = [f"from facet_nb import {name} as {name}" for name in SUBMODULES]
    lines += sorted(f"from {_find_room(name)} import {name} as {name}" for name in names)
    return "\n".join([*lines, "", "__version__: str", "__all__: list[str]", ""])


def _find_room(name: str) -> str:
    value = getattr(facet_nb, name)
    rooms = {path: import_module(path) for path in ROOMS}
    return next(p for p, room in rooms.items() if getattr(room, name, None) is value)


@pytest.fixture(scope="module")
def imports():
    """The imports of the stub: name to module."""
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert all(alias.asname == alias.name for node in found for alias in node.names)
    return {alias.name: node.module for node in found for alias in node.names}


def test_stub_and_front_door_have_the_same_names(imports):
    assert {*imports, "__version__"} - set(SUBMODULES) == set(facet_nb.__all__)
    assert set(imports) & set(SUBMODULES) == set(SUBMODULES)


def test_stub_and_front_door_give_the_same_objects(imports):
    other = [
        name
        for name, module in imports.items()
        if module != "facet_nb"
        and getattr(import_module(module), name) is not getattr(facet_nb, name)
    ]
    assert other == []


def test_every_part_that_the_front_door_opens_is_in_the_stub(imports):
    parts = {p.stem for p in STUB.parent.iterdir() if (p / "__init__.py").is_file()}
    assert parts - set(imports) == {"cli"}


if __name__ == "__main__":
    STUB.write_text(make_stub(), encoding="utf-8")
