"""Play the class of the instructor guide in a JupyterLab: ``python -m tests.browser.play_class``.

Opens the lessons' student notebooks in the order of the guide, runs the cells of each row, answers
each exercise wrongly first and rightly then, and prints a table in Markdown: the machine's time is
measured, the minutes of people are computed. A wrong answer that passes, or a right one that does
not, ends it. ``--shots FOLDER`` keeps a picture of each row. Takes about five minutes.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.browser import harness
from tests.conftest import CHROMIUM_ARGS, find_chromium

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "notebooks/_build"))
import course  # noqa: E402 - a script beside the sources, not a package

#: Words that somebody reads in a minute whose first language is another one.
WORDS_PER_MINUTE = 180
#: For writing down a guess, by hand or into the cell. In minutes.
GUESS_MIN = 1.0

_RUN = """async ([index, command]) => {
    const app = window.jupyterapp, book = app.shell.currentWidget.content;
    book.activeCellIndex = index;
    book.deselectAll();
    const until = command === 'notebook:run-cell' ? index + 1 : index;
    const last = book.widgets.slice(0, until).filter(c => c.model.type === 'code').at(-1).model;
    last.executionCount = null;  // the saved one
    const start = performance.now();
    await app.commands.execute(command);
    // "Run All Above" answers before its last cells have run.
    for (let i = 0; i < 30000 && last.executionCount === null; i++)
        await new Promise(r => setTimeout(r, 20));
    return (performance.now() - start) / 1000;
}"""
_WRITE = """([index, text]) => window.jupyterapp.shell.currentWidget.content
    .widgets[index].model.sharedModel.setSource(text)"""
_OUTPUTS = """index => window.jupyterapp.shell.currentWidget.content
    .widgets[index].model.outputs?.toJSON() ?? []"""
_SCROLL = """async index => { const book = window.jupyterapp.shell.currentWidget.content;
    await book.scrollToItem(index, 'start'); }"""


@dataclass(frozen=True)
class Part:
    """Cells of a lesson from one to another; what is above and did not run yet, runs first.

    Cells are named by what they are of: ``"check E1.2"``, ``"order E4.4"``, ``"reveal P1.1"``, or
    ``"# Words"`` for the text cell of that heading. A part `alone` needs the first two cells only:
    to run all above it would measure again, or show an answer that nobody has guessed yet.
    """

    lesson: str
    first: str
    last: str
    alone: bool = False


#: The rows of the guide, ``docs/course.md``: minutes, and what is run in them.
ROWS: tuple[tuple[str, str, tuple[Part, ...]], ...] = (
    ("0–5", "how many times larger", (Part("L01", "", "reveal P1.1"),)),
    ("5–13", "one line", (Part("L01", "# One slice", "check E1.2"),)),
    ("13–20", "how much EEG goes", (Part("L01", "# What the template", "after E1.1"),)),
    ("20–25", "five chains", (Part("L03", "", "after P3.1"),)),
    ("25–36", "two errors", (Part("L03", "# A witness for artifact", "check E3.3"),)),
    ("36–41", "three modes", (Part("L04", "# Equal", "reveal P4.1"),)),
    ("41–49", "the order of the events", (Part("L04", "# The question", "order E4.4"),)),
    ("49–53", "the measurement", (Part("L05", "measure", "measure", alone=True),)),
    ("53–56", "an interval", (Part("L05", "# The question", "after P5.1"),)),
    ("56–68", "rounds of batches", (Part("L05", "# Rounds", "check E5.3"),)),
    ("56–68", "*or* six timelines", (Part("L05", "# Where did", "check E5.4"),)),
    (
        "68–78",
        "the tables of the class",
        (
            Part("L05", "after measure", "end", alone=True),
            Part("L07", "# What an interval", "check E7.2"),
        ),
    ),
    ("78–87", "the game", (Part("L06", "# Game", "check E6.3"),)),
)


@dataclass
class Minutes:
    """What a row costs, in minutes; all but `machine` is computed."""

    machine: float = 0.0
    reading: float = 0.0
    answers: float = 0.0
    answered: list[str] = field(default_factory=list)


class Cells:
    """The cells of a lesson as students have them, by what they are of."""

    def __init__(self, lesson: course.Lesson) -> None:
        self.lesson = lesson
        self.cells = course.make_cells(lesson, "student", _Named())

    def find(self, name: str) -> int:
        """Return the place of a cell."""
        if name == "":
            return 0
        if name == "end":
            return len(self.cells) - 2
        if name.startswith("after "):
            return self._find_after(name.removeprefix("after "))
        return next(i for i, cell in enumerate(self.cells) if self._is(cell, name))

    def _is(self, cell: Any, name: str) -> bool:
        if name.startswith("# "):
            return cell.cell_type == "markdown" and f"#{name}" in cell.source
        if cell.cell_type != "code":
            return False
        if name == "measure":
            return "if MEASURE" in cell.source
        kind, _, label = name.partition(" ")
        start = f"# check of {label}\n" if kind == "check" else f'{kind}("{label}"'
        return cell.source.startswith(start)

    def _find_after(self, label: str) -> int:
        """Return the next code cell behind all of an exercise."""
        if label == "measure":
            return self.find("measure") + 1
        last = max(
            i
            for i, cell in enumerate(self.cells)
            if cell.cell_type == "code" and re.search(rf'"{label}[":]|of {label}\n', cell.source)
        )
        return next(i for i in range(last + 1, len(self.cells)) if self._plain(i))

    def _plain(self, index: int) -> bool:
        cell = self.cells[index]
        return cell.cell_type == "code" and not set(cell.metadata.get("tags", ())) & course.ANSWERS


class Player(Cells):
    """A lesson that is open, and what ran of it."""

    def __init__(self, lab: harness.Lab, name: str) -> None:
        (path,) = course.SOURCES.glob(f"{name}_*.txt")
        super().__init__(course.read_lesson(path))
        self.ran: set[int] = set()
        self.lab = lab.open(f"{path.stem}.ipynb")

    def play(self, part: Part) -> Minutes:
        """Run a part as a class does."""
        first, last = self.find(part.first), self.find(part.last)
        spent = Minutes()
        above = [i for i in range(first) if self.cells[i].cell_type == "code"]
        if part.alone:
            if not self.ran.issuperset(above[:2]):
                parameters = self.cells[above[0]].source
                self._write(above[0], parameters.replace("MEASURE = False", "MEASURE = True"))
                spent.machine += sum(self._run_well(i) for i in above[:2]) / 60
                self.ran |= set(above[:2])
        elif not self.ran.issuperset(above):
            spent.machine += self._run(first, "notebook:run-all-above") / 60
            self.ran |= set(range(first))
        for index in range(first, last + 1):
            spent.reading += self._count_words(index) / WORDS_PER_MINUTE
            if self.cells[index].cell_type == "code":
                spent.machine += self._answer(index, spent) / 60
                self.ran.add(index)
                spent.reading += self._count_printed(index) / WORDS_PER_MINUTE
        return spent

    def _answer(self, index: int, spent: Minutes) -> float:
        """Run a cell; an exercise with a typical wrong answer first."""
        source = self.cells[index].source
        if match := re.search(r'NotImplementedError\("(\S+):', source):
            return self._answer_exercise(index, match[1], spent)
        if match := re.match(r'(choose|order|predict)\("(\S+)"', source):
            return self._answer_question(index, match[1], match[2], spent)
        return self._run_well(index)

    def _answer_exercise(self, index: int, name: str, spent: Minutes) -> float:
        (block,) = self.lesson.find("exercise", name)
        check = self.find(f"check {name}")
        wrong = self.lesson.find("wrong", name)[0].body.strip()
        self._write(index, wrong)
        seconds = self._run(index)
        seconds += self._run(check)
        if not self._errors(index) + self._errors(check):
            raise SystemExit(f"{name}: a wrong answer passes in the student's notebook:\n{wrong}")
        self._write(index, course.write_solution(block.body).strip())
        seconds += self._run_well(index)
        spent.answers += self._share()
        spent.answered.append(name)
        return seconds

    def _answer_question(self, index: int, kind: str, name: str, spent: Minutes) -> float:
        (block,) = self.lesson.find({"choose": "quiz", "order": "parsons"}.get(kind, kind), name)
        spent.answered.append(name)
        if kind == "predict":
            spent.answers += GUESS_MIN
            low, high, unit = (block.attributes.get(k, "") for k in ("low", "high", "unit"))
            self._write(index, f'predict("{name}", low={low}, high={high}, unit="{unit}")')
            return self._run_well(index)
        spent.answers += self._share()
        if kind == "choose":
            right = course.find_right(block)
            tries = [f'"{"a" if right != "a" else "b"}"', f'"{right}"']
        else:
            right = block.data["accept"][0]
            tries = [str(right[::-1]), str(right)]
        seconds = 0.0
        for answer, verdict in zip(tries, ("not yet", "right"), strict=True):
            self._write(index, f'{kind}("{name}", {answer})')
            seconds += self._run_well(index)
            if f": {verdict}" not in self._printed(index):
                raise SystemExit(f"{name}, {answer}: {self._printed(index)}")
        return seconds

    def _share(self) -> float:
        """Return the minutes that the lesson plans for each of its exercises."""
        n = sum(len(self.lesson.find(kind)) for kind in ("exercise", "quiz", "parsons"))
        return self.lesson.head["minutes"]["exercise"] / n

    def _run_well(self, index: int) -> float:
        seconds = self._run(index)
        if self._errors(index):
            text = self.cells[index].source
            raise SystemExit(f"{self.lesson.id}: {self._errors(index)}\n{text}")
        return seconds

    def _run(self, index: int, command: str = "notebook:run-cell") -> float:
        return float(self.lab.page.evaluate(_RUN, [index, command]))

    def _write(self, index: int, text: str) -> None:
        self.lab.page.evaluate(_WRITE, [index, text])

    def _outputs(self, index: int) -> list[dict[str, Any]]:
        return list(self.lab.page.evaluate(_OUTPUTS, index))

    def _errors(self, index: int) -> list[str]:
        return [o["evalue"] for o in self._outputs(index) if o["output_type"] == "error"]

    def _printed(self, index: int) -> str:
        pieces = []
        for output in self._outputs(index):
            text = output.get("text", output.get("data", {}).get("text/plain", ""))
            pieces.append("".join(text))
        return "\n".join(pieces)

    def _count_printed(self, index: int) -> int:
        return len(self._printed(index).split())

    def _count_words(self, index: int) -> int:
        """Count what a reader sees: no hints, no code that is folded, no checks."""
        cell = self.cells[index]
        hidden = cell.metadata.get("jupyter", {}).get("source_hidden")
        if hidden or cell.source.startswith(("<details>", "# check")):
            return 0
        return len(re.findall(r"\w+", cell.source))


class _Named(dict):
    """Values of texts: their words count alike, whatever they are."""

    def __missing__(self, key: str) -> str:
        return "1.0"


def play(shots: Path | None) -> list[tuple[str, str, str, Minutes]]:
    """Play all rows in one JupyterLab, each lesson in a tab of its own."""
    rows, players = [], {}
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch,
        sync_playwright() as playwright,
    ):
        folder, private = Path(scratch) / "course", Path(scratch) / "private"
        shutil.copytree(ROOT / "notebooks/course", folder)
        private.mkdir()
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_ARGS)
        with harness.serve_lab(folder, private) as (base, token):
            for slot, what, parts in ROWS:
                spent = Minutes()
                for part in parts:
                    if part.lesson not in players:
                        page = browser.new_page(viewport={"width": 1280, "height": 800})
                        page.set_default_timeout(600_000)
                        start = time.monotonic()
                        lab = harness.Lab(page, base, token)
                        players[part.lesson] = Player(lab, part.lesson)
                        spent.machine += (time.monotonic() - start) / 60
                    found = players[part.lesson].play(part)
                    for name in ("machine", "reading", "answers", "answered"):
                        setattr(spent, name, getattr(spent, name) + getattr(found, name))
                lessons = ", ".join(dict.fromkeys(part.lesson for part in parts))
                rows.append((slot, what, lessons, spent))
                print(write_row(*rows[-1]), flush=True)
                if shots:
                    player = players[parts[-1].lesson]
                    player.lab.page.evaluate(_SCROLL, max(0, player.find(parts[-1].last) - 2))
                    player.lab.page.screenshot(path=shots / f"class_{len(rows):02d}.png")
        browser.close()
    return rows


def write_row(slot: str, what: str, lessons: str, spent: Minutes) -> str:
    """Return a row of the table."""
    begin, end = map(int, slot.split("–"))
    left = end - begin - spent.machine - spent.reading - spent.answers
    answered = ", ".join(spent.answered) or "–"
    numbers = (spent.machine, spent.reading, spent.answers, left)
    cells = (slot, what, lessons, answered, *(f"{x:.1f}".replace("-", "−") for x in numbers))
    return f"| {' | '.join(cells)} |"


def main(words: list[str]) -> None:
    """Print the table."""
    shots = Path(words[1]) if words[:1] == ["--shots"] else None
    if shots:
        shots.mkdir(parents=True, exist_ok=True)
    print("| minute | what | lesson | answered | machine | reading | answers | left |")
    print("|---|---|---|---|---|---|---|---|")
    play(shots)


if __name__ == "__main__":
    main(sys.argv[1:])
