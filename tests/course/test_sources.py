"""Sources of the course: no gaps, and the notebooks are what they say."""

from __future__ import annotations

import re

import course
import nbformat
import pytest
from build import write_lesson

from facet_nb.lessons import answers

EDITIONS = ("student", "solution")


def test_source_has_no_gap(lesson):
    assert course.check(lesson) == []


@pytest.mark.parametrize("edition", EDITIONS)
def test_notebook_is_what_its_source_says(lesson, edition):
    """Edit the source, then run ``python notebooks/_build/build.py course``."""
    kept = nbformat.read(course.find_target(lesson, edition), as_version=4)
    notes = kept.metadata["facet_nb"]
    expected = write_lesson(lesson, edition, notes["values"], notes["facts"])
    view = [[(c.id, c.cell_type, c.source, c.metadata) for c in b.cells] for b in (kept, expected)]
    assert view[0] == view[1]


def test_questions_are_those_of_the_sources():
    lessons = map(course.read_lesson, course.list_sources())
    assert course.QUESTIONS.read_text(encoding="utf-8") == course.write_questions(lessons)
    assert course.make_digest("E1.4", "b") == answers.make_digest("E1.4", "b")


def test_index_lists_the_lessons_that_there_are():
    kept = nbformat.read(course.COURSE / "00_index.ipynb", as_version=4)
    assert [c.source for c in kept.cells] == [
        c.source for c in course.write_index(course.list_sources())
    ]
    links = re.findall(r"\]\(([^)]+)\)", kept.cells[0].source)
    assert [link for link in links if not (course.COURSE / link).is_file()] == []
    assert {link for link in links if link.startswith("L")} == {
        path.name for path in course.COURSE.glob("L*.ipynb")
    }


def test_student_notebook_shows_no_solution(lesson):
    """Neither a solution, nor a hidden test, nor the right choice, nor a result of them."""
    book = nbformat.read(course.find_target(lesson, "student"), as_version=4)
    shown = "\n".join(cell.source for cell in book.cells)
    for block in lesson.find("exercise"):
        for part in course._SOLUTION.finditer(block.body):
            lines = [line.strip() for line in part[0].splitlines() if "### " not in line]
            assert [line for line in lines if len(line) > 12 and line in shown] == []
    for block in lesson.find("check"):
        for part in course._HIDDEN.finditer(block.body):
            lines = [line.strip() for line in part[0].splitlines() if "### " not in line]
            assert [line for line in lines if len(line) > 12 and line in shown] == []
    for cell in book.cells:
        if set(cell.metadata.get("tags", ())) & course.ANSWERS:
            assert cell.outputs == []
    assert re.findall(r'choose\("\S+", "[a-f]"\)', shown) == []


def test_page_can_be_read_without_a_kernel(lesson):
    """Each figure is there, with a text that gives a number; no error; at most 1.5 MB."""
    for edition in EDITIONS:
        path = course.find_target(lesson, edition)
        cells = nbformat.read(path, as_version=4).cells
        outputs = [out for cell in cells for out in cell.get("outputs", [])]
        pictures = [out for out in outputs if "image/png" in out.get("data", {})]
        assert len(pictures) >= len(lesson.find("figure")) > 0
        for out in pictures:
            assert re.search(r"\d", out.metadata["image/png"]["alt"])
        assert [out for out in outputs if out.output_type == "error"] == []
        assert path.stat().st_size < 1_500_000


GOOD = """---
id: L99
title: A
question: B?
objectives: [read a, read b, read c]
minutes: {teach: 1, exercise: 1}
compute_s: 1
memory_gb: 0.1
needs: nothing
misconceptions: [S1]
recordings: []
keypoints: [a, b, c]
recall: [a]
next: [a]
---

```python parameters
SALT = 0
```

```predict id=P9.1 low=1 high=2
How many?
```

```reveal id=P9.1 truth=3
Three.
```

```quiz id=E9.2
question: Which?
options:
  - text: this
    feedback: yes
  - text: that
    misconception: S1
    feedback: no
  - text: none
    misconception: S1
    feedback: no
  - text: all
    misconception: S1
    feedback: no
```

```hint id=E9.2 n=1
a
```

```hint id=E9.2 n=2
b
```

```exercise id=E9.1
### BEGIN SOLUTION
x = 1
### END SOLUTION
```

```check id=E9.1
assert x == 1
```

```hint id=E9.1 n=1
a
```

```hint id=E9.1 n=2
b
```

```wrong id=E9.1 because=S1
x = 2
```

```wrong id=E9.1 because=unit
x = 3
```

```wrong id=E9.1 because=sign
x = -1
```
"""

GAPS = [
    ("keypoints: [a, b, c]", "keypoints: [a]", "key points"),
    ("read a,", "understand a,", "none of the verbs"),
    ("minutes: {teach: 1, exercise: 1}", "minutes: {teach: 40, exercise: 40}", "45 minutes"),
    ("compute_s: 1", "compute_s: 1000", "180 s"),
    ("misconceptions: [S1]", "misconceptions: [S1, S2]", "S2 is met by no wrong answer"),
    ("```hint id=E9.1 n=2\nb\n```\n", "", "E9.1 has 1 hints"),
    ("because=sign", "because=nobody", "names no misconception"),
    ("```wrong id=E9.1 because=unit\nx = 3\n```\n", "", "lists 2 wrong answers"),
    ("assert x == 1", "import time\nassert x == 1", "reads a clock"),
    ("assert x == 1", "from time import perf_counter\nassert x == 1", "reads a clock"),
    ("How many?\n```\n", "How many?\n```\n\nIt is 5 dB better.\n", "typed by hand"),
    ("assert x == 1", "SALT = 2\nassert x == 1", "assigned again"),
    ("    misconception: S1\n", "", "one right answer"),
    ("  - text: all\n    misconception: S1\n    feedback: no\n", "", "three or more wrong"),
    ("x = 1\n### END", "### END", ""),
    ("```reveal id=P9.1 truth=3\nThree.\n```\n", "", "predicted and not revealed"),
]


@pytest.fixture
def write(tmp_path):
    def make(text):
        path = tmp_path / "L99_made.txt"
        path.write_text(text, encoding="utf-8")
        return course.read_lesson(path)

    return make


def test_a_good_source_has_no_gap(write):
    assert course.check(write(GOOD)) == []


@pytest.mark.parametrize(("old", "new", "gap"), [g for g in GAPS if g[2]])
def test_a_gap_is_found(write, old, new, gap):
    assert old in GOOD
    assert any(gap in found for found in course.check(write(GOOD.replace(old, new))))


def test_stub_and_hidden_tests(write):
    text = GOOD.replace(
        "assert x == 1\n",
        "assert x == 1\n### BEGIN HIDDEN TESTS\nassert x < 2\n### END HIDDEN TESTS\n",
    )
    lesson = write(text)
    by_edition = {
        e: "\n".join(c.source for c in course.make_cells(lesson, e, {})) for e in course.EDITIONS
    }
    assert "x = 1" not in by_edition["student"] and "x = 1" in by_edition["solution"]
    assert 'raise NotImplementedError("E9.1' in by_edition["student"]
    hidden = [e for e, shown in by_edition.items() if "assert x < 2" in shown]
    assert hidden == ["instructor"]
    assert "Often wrong" in by_edition["instructor"]
