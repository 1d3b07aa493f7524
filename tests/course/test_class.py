"""The plan of ninety minutes in the instructor guide, and the script that plays it."""

from __future__ import annotations

import re
from itertools import pairwise

import course

from tests.browser import play_class
from tests.conftest import ROOT

GUIDE = (ROOT / "docs/course.md").read_text(encoding="utf-8")


def _read_plan() -> list[list[str]]:
    """Return the rows of the plan, without the one before the class."""
    table = GUIDE.partition("### Ninety minutes")[2].partition("| minute |")[2]
    lines = table.split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if "–" in row[0]]


def test_rows_follow_one_another_for_ninety_minutes():
    spans = list(dict.fromkeys(tuple(map(int, row[0].split("–"))) for row in _read_plan()))
    assert spans[0][0] == 0 and spans[-1][1] == 90
    assert all(end == begin for (_, end), (begin, _) in pairwise(spans))


def test_each_row_but_the_last_was_played():
    assert [row[0] for row in _read_plan()][:-1] == [slot for slot, _, _ in play_class.ROWS]


def test_each_row_has_its_minutes():
    """What a row needs, and what is left of it for talk, make its span."""
    for row in _read_plan()[:-1]:
        begin, end = map(int, row[0].split("–"))
        *needs, left = (float(cell.replace("−", "-")) for cell in row[-4:])
        assert left >= 1, row
        assert abs(sum(needs) + left - (end - begin)) < 0.25, row  # figures of one decimal


def test_what_is_played_is_in_the_lessons():
    for _, _, parts in play_class.ROWS:
        for part in parts:
            (path,) = course.SOURCES.glob(f"{part.lesson}_*.txt")
            student = play_class.Cells(course.read_lesson(path))
            assert student.find(part.first) <= student.find(part.last)


def test_what_the_guide_names_is_in_the_lessons():
    named = {name for row in _read_plan() for name in re.findall(r"\b[EP]\d\.\d\b", row[3])}
    known = {b.id for path in course.list_sources() for b in course.read_lesson(path).blocks}
    assert named and named <= known
