"""No import leads in a circle or up a floor, however it is written; and the check would notice."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.project.import_graph import Graph, read_floors


@pytest.fixture(scope="module")
def floors(project_root):
    """The contracts about floors, as import-linter reads them."""
    settings = tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    return [c for c in contracts if c["type"] == "layers"]


def test_no_import_leads_in_a_circle(graph):
    circles = graph.find_circles()
    text = "\n".join(graph.describe(circle) for circle in circles)
    assert not circles, f"{len(circles)} circles of imports:\n{text}"


def test_no_import_leads_up(graph, floors):
    wrong = graph.find_arrows_up(floors)
    text = "\n".join(map(str, wrong))
    assert not wrong, f"{len(wrong)} imports lead up, or to a neighbour:\n{text}"


def test_every_room_has_its_floor(graph, floors):
    house = next(c for c in floors if c["containers"] == ["facet_nb"])
    rooms = {graph.module_of(path).split(".")[1] for path in graph.targets}
    assert rooms - set(read_floors(house["layers"])) == set()


def test_a_class_name_occurs_once(project_root):
    """One word, one thing: a reader who searches for a class finds one."""
    places: dict[str, list[str]] = {}
    for path in sorted((project_root / "facet_nb").rglob("*.py")):
        for name in re.findall(r"^ *class (\w+)\b", path.read_text(encoding="utf-8"), re.MULTILINE):
            places.setdefault(name, []).append(path.relative_to(project_root).as_posix())
    assert len(places) > 300
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


# ------------------------------------------------------------------------- the check itself
LAYERS = [{"containers": ["small"], "layers": ["(top)", "(left) | (right)", "core"]}]

CLEAN = {
    "__init__.py": "from small.top import show\n",
    "top.py": "from small.core import a\nfrom small.left import draw\n",
    "left/__init__.py": "from small.left.lines import draw\n",
    "left/lines.py": "from ..core import VALUE\n\ndraw = VALUE\n",
    "right.py": "import small.core.a\n",
    "core/__init__.py": "from small.core.a import VALUE\nfrom small.core.b import other\n",
    "core/a.py": "VALUE = 1\n",
    "core/b.py": "def other():\n    from small.core import a\n\n    return a\n",
}


@pytest.fixture
def build(tmp_path):
    def make(**changes):
        files = {**CLEAN, **{k.replace("__", "/") + ".py": v for k, v in changes.items()}}
        for name, text in files.items():
            path = tmp_path / "small" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Graph(tmp_path / "small")

    return make


def seen(graph):
    return {
        (i.source.removeprefix("small/"), i.target.removeprefix("small/"), i.line)
        for i in graph.imports
    }


def test_a_clean_package_is_clean(build):
    """A module of a package is meant where there is one, else the package's own file."""
    graph = build()
    assert graph.find_circles() == []
    assert graph.find_arrows_up(LAYERS) == []
    assert seen(graph) == {
        ("top.py", "core/a.py", 1),
        ("top.py", "left/__init__.py", 2),
        ("left/__init__.py", "left/lines.py", 1),
        ("left/lines.py", "core/__init__.py", 1),
        ("right.py", "core/a.py", 1),
        ("core/__init__.py", "core/a.py", 1),
        ("core/__init__.py", "core/b.py", 2),
        ("core/b.py", "core/a.py", 2),
    }


def test_the_front_door_is_no_part_of_a_circle(build):
    graph = build(core__a="from small import __version__\nimport small\n")
    assert graph.find_circles() == []


LAZY = "def f():\n    from small.core.b import other\n\n    return other\n"
TYPING = (
    "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from small.core.b import other\n"
)
TEXT = (
    'from importlib import import_module\n\n\ndef f():\n    return import_module("small.core.b")\n'
)
BUILT_IN = 'def f():\n    return __import__("small.core.b")\n'
RELATIVE = "from . import b\n"


@pytest.mark.parametrize(
    ("text", "line"), [(LAZY, 2), (TYPING, 4), (TEXT, 5), (BUILT_IN, 2), (RELATIVE, 1)]
)
def test_a_circle_of_any_kind_of_import(build, text, line):
    graph = build(core__a=text)
    assert graph.find_circles() == [["small/core/a.py", "small/core/b.py"]]
    told = graph.describe(graph.find_circles()[0])
    assert f"small/core/a.py:{line} imports small/core/b.py" in told
    assert "small/core/b.py:2 imports small/core/a.py" in told


def test_a_circle_through_a_package(build):
    graph = build(core__b="import small.core\n")
    assert graph.find_circles() == [["small/core/__init__.py", "small/core/b.py"]]


def test_a_long_circle_and_another(build):
    graph = build(
        core__a="import small.left.lines\n",
        left__lines="import small.right\n",
        core__c="import small.core.d\n",
        core__d="from .c import x\n",
    )
    long, short = graph.find_circles()
    assert long == ["small/core/a.py", "small/left/lines.py", "small/right.py"]
    assert len(graph.shortest_way_round(long)) == 3
    assert short == ["small/core/c.py", "small/core/d.py"]


@pytest.mark.parametrize("text", [t.replace("small.core.b", "small.top") for t in (LAZY, TYPING)])
def test_an_arrow_up(build, text):
    (arrow,) = build(core__c=text).find_arrows_up(LAYERS)
    assert (arrow.source, arrow.target) == ("small/core/c.py", "small/top.py")


def test_an_arrow_up_by_a_text(build):
    text = 'import importlib\n\n\ndef f():\n    importlib.import_module("small.top")\n'
    (arrow,) = build(core__c=text).find_arrows_up(LAYERS)
    assert str(arrow) == "small/core/c.py:5 imports small/top.py"


def test_an_arrow_to_a_neighbour(build):
    (arrow,) = build(right="from small import left\n").find_arrows_up(LAYERS)
    assert str(arrow) == "small/right.py:1 imports small/left/__init__.py"


def test_neighbours_that_may_see_each_other(build):
    layers = [{"containers": ["small"], "layers": ["top", "left : right", "core"]}]
    assert build(right="from small import left\n").find_arrows_up(layers) == []
