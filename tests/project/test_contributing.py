"""The table of CONTRIBUTING says what to write, and that is all there is to write."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from facet_nb.core import Pipeline
from facet_nb.core.backends.base import Backend
from facet_nb.core.backends.registry import BACKENDS, register_backend
from facet_nb.core.planning.modes.base import Mode
from facet_nb.core.planning.modes.registry import MODES, register_mode
from facet_nb.core.registry import list_processors, register_processor
from tests.conftest import LONG
from tests.core import toys
from tests.project.test_architecture import read_table

THINGS = ["processor", "mode", "backend", "plot", "panel"]


@pytest.fixture(scope="module")
def page(project_root) -> str:
    return (project_root / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def recipes(page) -> dict[str, list[list[str]]]:
    """Words in code of each cell: what to write, the line, the tests."""
    rows = read_table(page, "recipes")
    return {row[0]: [re.findall(r"`([^`]+)`", cell) for cell in row[1:]] for row in rows}


def test_all_things_are_in_the_table(recipes):
    assert list(recipes) == THINGS


@pytest.mark.parametrize("thing", THINGS)
def test_paths_of_the_table_exist(project_root, recipes, thing):
    for cell in recipes[thing]:
        for path in (word for word in cell if "/" in word):
            assert (project_root / path).is_dir() == path.endswith("/"), path
            assert (project_root / path).exists(), path


def _find_registry(cell: list[str]) -> tuple[str, str]:
    """Return the function of a line such as ``register_mode(…)``, and its file."""
    line, file = cell
    return line.partition("(")[0], file


CASES = [("mode", Mode, MODES, register_mode), ("backend", Backend, BACKENDS, register_backend)]


@pytest.mark.parametrize(("thing", "base", "registry", "register"), CASES)
def test_a_mode_or_backend_is_one_file_and_one_line(
    project_root, graph, recipes, thing, base, registry, register
):
    (_, folder), line, _ = recipes[thing]
    function, file = _find_registry(line)
    assert (function, file) == (register.__name__, _path_of(project_root, register))
    folder, calls = project_root / folder, _list_calls(project_root / file, function)
    assert sorted(calls) == sorted(cls.__name__ for cls in registry.values())
    # What all of them use; and what users give, which has no line.
    shared = {"__init__.py", "base.py", "registry.py", "caller.py", "executors.py", "cores.py"}
    files = {p.name for p in folder.glob("*.py")} - shared
    assert files == {Path(inspect.getfile(cls)).name for cls in registry.values()}
    for cls in registry.values():
        own = _path_of(project_root, cls)
        assert Path(own).parent == folder.relative_to(project_root) and issubclass(cls, base)
        assert {i.source for i in graph.imports if i.target == own} == {file}, own


def test_a_processor_is_one_class_and_its_export(project_root, recipes):
    rooms = recipes["processor"][0][:4]
    for cls in list_processors().values():
        if (
            not cls.__module__.startswith("facet_nb.")
            or cls.__module__ == "facet_nb.core.processor"
        ):
            continue
        path = Path(_path_of(project_root, cls))
        assert f"{path.parent}/" in rooms, path
        source = ast.parse((project_root / path).read_text(encoding="utf-8"))
        nodes = {node.name: node for node in source.body if isinstance(node, ast.ClassDef)}
        decorators = [ast.unparse(node) for node in nodes[cls.__name__].decorator_list]
        assert any(d.startswith(register_processor.__name__) for d in decorators), cls
        door = project_root / path.parent / "__init__.py"
        assert cls.__name__ in door.read_text(encoding="utf-8"), f"{door}: {cls.__name__}"


def _path_of(project_root: Path, thing: object) -> str:
    return Path(inspect.getfile(thing)).resolve().relative_to(project_root).as_posix()


def _list_calls(file: Path, function: str) -> list[str]:
    """Return the arguments of a file's top-level calls of a function."""
    calls = [node.value for node in ast.parse(file.read_text()).body if isinstance(node, ast.Expr)]
    found = [c for c in calls if isinstance(c, ast.Call) and ast.unparse(c.func) == function]
    return [ast.unparse(call.args[0]) for call in found]


# --------------------------------------------------------------- a new one, with nothing else
class Reversed(Backend):
    """Calls in this thread, the last one first."""

    name = "reversed"
    label = "one after another, in this process, the last one first"

    def run(self, function, calls, n_jobs, cancel):
        for call in reversed(calls):
            cancel.check()
            yield function(*call)


class InPairs(Mode):
    """Two neighbouring channel-wise steps run together."""

    name = "in_pairs"

    def joins(self, group, processor, n_jobs):
        return len(group) < 2


@pytest.fixture
def registered():
    """The new mode and backend, for one test."""
    yield register_mode(InPairs), register_backend(Reversed)
    del MODES[InPairs.name], BACKENDS[Reversed.name]


def test_a_new_mode_and_backend_run(registered):
    context = toys.make_context()
    pipeline = Pipeline([toys.Demeaned(), toys.Halved(), toys.ZScore()])
    options = {"mode": "in_pairs", "backend": "reversed", "n_jobs": 2}
    assert [stage.steps for stage in pipeline.plan(**options).stages] == [(0, 1), (2,)]
    result = pipeline.run(context, raise_on_error=True, **options)
    serial = pipeline.run(context, raise_on_error=True)
    assert np.array_equal(result.context.get_data(), serial.context.get_data())


# ------------------------------------------------------------------------------------- the rest
def test_folders_of_the_test_targets_exist(project_root):
    text = (project_root / "Makefile").read_text(encoding="utf-8")
    for variable in ("QUICK", "OWN", "ALONE"):
        (words,) = re.findall(rf"^{variable} := ((?:.*\\\n)*.*)$", text, flags=re.M)
        folders = words.replace("\\", "").split()
        assert len(folders) > 1
        assert [folder for folder in folders if not (project_root / folder).exists()] == []


def test_long_files_exist(project_root):
    assert [name for name in LONG if not (project_root / name).is_file()] == []


def test_the_rule_about_subjects_is_there(page):
    assert "`area: what changed`, in at most 72 characters" in page


def test_marks_are_those_of_the_settings(project_root, page):
    settings = tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))
    marks = {re.split("[:(]", m)[0] for m in settings["tool"]["pytest"]["ini_options"]["markers"]}
    assert {mark for mark in marks if f"`{mark}`" not in page} == set()
