"""What users may rely on keeps its name: nothing of the stored list goes or is renamed.

Names may be added. ``python -m tests.project.test_public_names`` writes the list anew.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer

import facet_nb
from facet_nb import Pipeline, list_processors
from facet_nb.benchmark import BenchmarkTable
from facet_nb.cli import app
from facet_nb.core import events

DATA = Path(__file__).resolve().parent.parent / "data"
STORED = DATA / "public_names.json"

PATHS = [
    "facet_nb",
    "facet_nb.batch",
    "facet_nb.benchmark",
    "facet_nb.core",
    "facet_nb.core.parallel",
    "facet_nb.correction",
    "facet_nb.datasets",
    "facet_nb.evaluation",
    "facet_nb.io",
    "facet_nb.pipelines",
    "facet_nb.plots",
    "facet_nb.preprocessing",
    "facet_nb.widgets",
]
#: Classes that users hold in their hands: what they can ask of them.
HELD = [
    "Advice",
    "ArrayProcessor",
    "BatchResult",
    "BenchmarkTable",
    "CancelToken",
    "Pipeline",
    "PipelineResult",
    "Plan",
    "Prepared",
    "ProcessingContext",
    "ProcessingMetadata",
    "ProcessingStep",
    "Processor",
    "Stage",
    "View",
]

Names = dict[str, list[str]]


def find_paths() -> Names:
    """Names of each public path."""
    return {path: sorted(_public(import_module(path))) for path in PATHS}


def _public(module: Any) -> list[str]:
    listed = getattr(module, "__all__", None)
    return listed or [name for name in vars(module) if not name.startswith("_")]


def find_members() -> Names:
    """Public attributes of classes, those of instances of dataclasses too."""
    return {name: sorted(_members(getattr(facet_nb, name))) for name in HELD}


def _members(cls: type) -> set[str]:
    own = [*dir(cls), *(getattr(cls, "__dataclass_fields__", ()))]
    return {name for name in own if not name.startswith("_")}


def find_processors() -> Names:
    """Parameters of each registered processor, in their order."""
    ours = {n: c for n, c in list_processors().items() if c.__module__.startswith("facet_nb.")}
    return {name: _parameters(ours[name]) for name in sorted(ours)}


def find_parameters() -> Names:
    """Parameters of the other functions and classes of the front door, in their order."""
    given = {name: getattr(facet_nb, name) for name in sorted(facet_nb.__all__)}
    given = {n: v for n, v in given.items() if callable(v) and not _is_error(v)}
    methods = ("__init__", "run", "plan", "map")
    found = {f"Pipeline.{name}": _parameters(getattr(Pipeline, name)) for name in methods}
    return {**{name: _parameters(value) for name, value in given.items()}, **found}


def _is_error(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)


#: Parameters with a better name; the old one is accepted (tests/core/test_old_names.py).
RENAMED = {"untouched": "spares", "all_data": "everything"}


def _parameters(function: Callable[..., Any]) -> list[str]:
    names = [name for name in inspect.signature(function).parameters if name != "self"]
    return [RENAMED.get(name, name) for name in names]


def find_events() -> Names:
    """Fields of each event of a run, and of the state that follows, in their order."""
    ours = [c for c in vars(events).values() if dataclasses.is_dataclass(c)]
    return {cls.__name__: [f.name for f in dataclasses.fields(cls)] for cls in ours}


def find_table() -> Names:
    """Kind, version and nested keys of the file of a benchmark."""
    content = _written_table()
    head = [f"{key}={content[key]}" for key in ("kind", "schema")]
    return {"head": head, "keys": sorted(_keys(BenchmarkTable))}


def _written_table() -> dict[str, Any]:
    return json.loads(BenchmarkTable.from_json(DATA / "benchmark_schema_1.json").to_json())


def _keys(cls: type, above: str = "") -> Iterator[str]:
    for name, kind in get_type_hints(cls).items():
        yield above + name
        for inner in _inside(kind):
            yield from _keys(inner, f"{above}{name}.")


def _inside(kind: Any) -> Iterator[type]:
    if dataclasses.is_dataclass(kind):
        yield kind
    for argument in get_args(kind):
        yield from _inside(argument)


def find_commands() -> Names:
    """Options and arguments of each command of the command line."""
    group = typer.main.get_command(app)
    commands = {"facet-nb": group, **group.commands}
    return {
        name: sorted(word for p in command.params for word in [*p.opts, *p.secondary_opts])
        for name, command in sorted(commands.items())
    }


SECTIONS = {
    "paths": find_paths,
    "members": find_members,
    "processors": find_processors,
    "parameters": find_parameters,
    "events": find_events,
    "benchmark table": find_table,
    "command line": find_commands,
}
#: What may be given without a name: the order counts.
ORDERED = {"processors", "parameters", "events"}


@pytest.fixture(scope="module")
def stored():
    return json.loads(STORED.read_text(encoding="utf-8"))


@pytest.mark.parametrize("section", SECTIONS)
def test_no_name_has_gone(stored, section):
    found = SECTIONS[section]()
    assert find_gone(stored[section], found) == []


@pytest.mark.parametrize("section", sorted(ORDERED))
def test_what_may_be_given_by_place_keeps_its_place(stored, section):
    assert find_moved(stored[section], SECTIONS[section]()) == []


def test_a_table_is_written_with_the_stored_keys(stored):
    """What stands in a file, not only in the classes."""
    content = _written_table()
    keys = {key for key in stored["benchmark table"]["keys"] if not key.startswith("machines.")}
    keys -= {key for key in keys if key.startswith("noise.") and content["noise"] is None}
    assert keys - set(_flatten(content)) == set()


def _flatten(value: Any, above: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield above + key
            yield from _flatten(inner, f"{above}{key}.")
    elif isinstance(value, list):
        for inner in value:
            yield from _flatten(inner, above)


def find_gone(before: Names, now: Names) -> list[str]:
    """Return the names that were there and are not any more."""
    gone = [key for key in before if key not in now]
    both = [key for key in before if key in now]
    return gone + [f"{key}: {name}" for key in both for name in before[key] if name not in now[key]]


def find_moved(before: Names, now: Names) -> list[str]:
    """Return the lists whose old names do not come in the old order any more."""
    kept = {k: [n for n in now[k] if n in before[k]] for k in before if k in now}
    return [key for key, names in kept.items() if names != before[key]]


def test_the_check_notices():
    before = {"f": ["a", "b"], "g": []}
    assert find_gone(before, {"f": ["b", "new", "a"], "g": [], "h": []}) == []
    assert find_gone(before, {"f": ["a", "beta"]}) == ["g", "f: b"]
    assert find_moved(before, {"f": ["a", "new", "b"], "g": []}) == []
    assert find_moved(before, {"f": ["b", "a"], "g": []}) == ["f"]


def write() -> None:
    """Store the names as they are now."""
    content = {name: find() for name, find in SECTIONS.items()}
    text = json.dumps(content, indent=1, ensure_ascii=False)
    STORED.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
