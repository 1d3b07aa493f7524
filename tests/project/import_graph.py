"""The imports of a package, read from its syntax trees: which file imports which, and where.

Every import counts, wherever it stands: at the top of a file, inside a function, under
``TYPE_CHECKING``, or as a text given to ``import_module`` or ``__import__``. A package's
``__init__.py`` is one file among the others: ``from package import name`` leads to
``package/name.py`` where that exists, else to ``package/__init__.py``. The front door, the
``__init__.py`` of the whole package, stands for names that load when they are used, and is no
part of the graph.
"""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, order=True)
class Import:
    """One import: file and line, and the file that it leads to (paths inside the tree)."""

    source: str
    line: int
    target: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}"


class Graph:
    """The files of a package (its folder is `package`) and the imports between them."""

    def __init__(self, package: Path) -> None:
        self.root = package.parent
        self.name = package.name
        files = sorted(package.rglob("*.py"))
        self.files = {_module_of(f.relative_to(self.root)): f for f in files}
        self.files.pop(self.name, None)  # the front door
        self.imports = sorted({i for m, f in self.files.items() for i in self._read(m, f)})
        self.targets: dict[str, set[str]] = {self._path(m): set() for m in self.files}
        for found in self.imports:
            self.targets[found.source].add(found.target)

    def _path(self, module: str) -> str:
        return self.files[module].relative_to(self.root).as_posix()

    def module_of(self, path: str) -> str:
        """Return the dotted name of a file of the graph."""
        return _module_of(Path(path))

    def _read(self, module: str, file: Path) -> Iterator[Import]:
        source = self._path(module)
        package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for name in _names(node, package):
                target = self._find(name)
                if target is not None and target != module:
                    yield Import(source, node.lineno, self._path(target))

    def _find(self, name: str) -> str | None:
        """Return the file's module that a dotted name leads to: the longest that there is."""
        while name and name not in self.files:
            name = name.rpartition(".")[0]
        return name or None

    def find_circles(self) -> list[list[str]]:
        """Return the groups of files that reach each other, the largest first."""
        groups = [sorted(g) for g in _strong_components(self.targets) if len(g) > 1]
        return sorted(groups, key=lambda g: (-len(g), g))

    def imports_within(self, circle: Iterable[str]) -> list[Import]:
        """Return all imports between files of a circle."""
        inside = set(circle)
        return [i for i in self.imports if i.source in inside and i.target in inside]

    def shortest_way_round(self, circle: Iterable[str]) -> list[Import]:
        """Return the imports of the shortest way from a file of a circle back to itself."""
        within = self.imports_within(circle)
        ways = [[first, *self._way(first.target, first.source, within)] for first in within]
        return min(ways, key=lambda way: (len(way), way))

    def _way(self, start: str, end: str, within: list[Import]) -> list[Import]:
        came: dict[str, Import | None] = {start: None}
        queue = deque([start])
        while end not in came:
            here = queue.popleft()
            for step in within:
                if step.source == here and step.target not in came:
                    came[step.target] = step
                    queue.append(step.target)
        way: list[Import] = []
        while (step := came[end]) is not None:
            way.insert(0, step)
            end = step.source
        return way

    def find_arrows_up(self, contracts: Iterable[dict[str, Any]]) -> list[Import]:
        """Return imports that go up, or sideways, against contracts of type ``layers``."""
        wrong = set()
        for contract in contracts:
            floors = read_floors(contract["layers"])
            for container in contract["containers"]:
                wrong |= {i for i in self.imports if self._goes_up(i, container, floors)}
        return sorted(wrong)

    def _goes_up(self, found: Import, container: str, floors: dict[str, tuple[int, bool]]) -> bool:
        rooms = [_room(self.module_of(p), container) for p in (found.source, found.target)]
        if rooms[0] == rooms[1] or not all(room in floors for room in rooms):
            return False
        (source, apart), (target, _) = (floors[room] for room in rooms)
        return target < source or (target == source and apart)

    def describe(self, circle: list[str]) -> str:
        """Return a circle as text: the shortest way round, then all its imports."""
        way = [f"    {step}" for step in self.shortest_way_round(circle)]
        rest = [f"    {step}" for step in self.imports_within(circle)]
        heading = f"circle of {len(circle)} files; the shortest way round:"
        return "\n".join([heading, *way, "  all imports in it:", *rest])


def read_floors(layers: Iterable[str]) -> dict[str, tuple[int, bool]]:
    """Return for each room its floor (0 is the top), and whether it must not see its neighbours.

    ``a | b`` are neighbours that do not import each other, ``a : b`` neighbours that may.
    """
    floors = {}
    for number, layer in enumerate(layers):
        for room in layer.replace("|", ":").split(":"):
            floors[room.strip().strip("()").strip()] = (number, "|" in layer)
    return floors


def _room(module: str, container: str) -> str | None:
    head = container + "."
    return module[len(head) :].partition(".")[0] if module.startswith(head) else None


def _module_of(path: Path) -> str:
    parts = list(path.with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _names(node: ast.AST, package: str) -> Iterator[str]:
    """Yield the dotted names that a node imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = _absolute("." * node.level + (node.module or ""), package)
        yield from (f"{base}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and _called(node.func) in ("import_module", "__import__"):
        given = node.args[0] if node.args else None
        if isinstance(given, ast.Constant) and isinstance(given.value, str):
            yield _absolute(given.value, package)


def _called(function: ast.expr) -> str:
    return getattr(function, "attr", None) or getattr(function, "id", "")


def _absolute(name: str, package: str) -> str:
    level = len(name) - len(name.lstrip("."))
    if not level:
        return name
    parts = package.split(".")
    above = parts[: len(parts) - level + 1]
    return ".".join([*above, *filter(None, [name.lstrip(".")])])


def _strong_components(targets: dict[str, set[str]]) -> Iterator[set[str]]:
    """Yield the strongly connected components (Tarjan's way, without recursion)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    for root in targets:
        if root in number:
            continue
        number[root] = low[root] = len(number)
        stack.append(root)
        work = [(root, iter(sorted(targets[root])))]
        while work:
            here, rest = work[-1]
            following = next(rest, None)
            if following is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[here])
                if low[here] == number[here]:
                    at = stack.index(here)
                    yield set(stack[at:])
                    del stack[at:]
            elif following not in number:
                number[following] = low[following] = len(number)
                stack.append(following)
                work.append((following, iter(sorted(targets[following]))))
            elif following in stack:
                low[here] = min(low[here], number[following])
