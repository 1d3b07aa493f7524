"""The sources of the course, and the script that reads them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "notebooks/_build"))

import course  # noqa: E402 - a script beside the sources, not a package


@pytest.fixture(params=course.list_sources(), ids=lambda path: path.stem)
def lesson(request) -> course.Lesson:
    """Each lesson."""
    return course.read_lesson(request.param)
