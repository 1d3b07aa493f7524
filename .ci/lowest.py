"""Print the oldest versions that pyproject.toml allows, as constraints for pip.

``python .ci/lowest.py test > floors.txt`` includes the requirements of the extra ``test``.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

FLOOR = re.compile(r"([\w.-]+)(?:\[.*\])?>=([\w.]+)$")


def list_floors(project: dict, extras: list[str]) -> list[str]:
    """Return ``name==version`` for the dependencies and those of the extras."""
    lines = list(project["dependencies"])
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return sorted({f"{m[1]}=={m[2]}" for m in map(FLOOR.match, lines) if m})


if __name__ == "__main__":
    file = Path(__file__).resolve().parents[1] / "pyproject.toml"
    print(*list_floors(tomllib.loads(file.read_text())["project"], sys.argv[1:]), sep="\n")
