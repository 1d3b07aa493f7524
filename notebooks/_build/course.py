"""The course: one text for each lesson, and the notebooks made of it.

A source is Markdown with a head (YAML) and fences. This module reads it, looks for gaps, and makes
the cells of an edition; ``build.py`` beside it runs and writes them. The format is described in
``docs/course.md``.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import shlex
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "course"
COURSE = HERE.parent / "course"
QUESTIONS = HERE.parents[1] / "facet_nb" / "lessons" / "questions.json"

EDITIONS = ("student", "solution", "instructor", "slides")
HEAD = (
    *("id", "title", "question", "objectives", "minutes", "compute_s", "memory_gb", "needs"),
    *("misconceptions", "recordings", "keypoints", "recall", "next"),
)
VERBS = (
    "locate read compute subtract predict compare explain calculate order choose distinguish name rank "
    "justify trace verify estimate say diagnose separate interpret set plan decide defend write declare "
    "design schedule triage resume port"
).split()  # fmt: skip
FENCES = (
    "python parameters setup figure exercise check wrong alt quiz parsons predict reveal hint "
    "instructor"
).split()
#: Kinds of wrong answers that are no misconception.
SLIPS = ("typed", "no-op", "unit", "sign", "axis", "visible only")
#: Modules that a check must not use: no answer is graded by time.
CLOCKS = ("time", "timeit", "datetime", "perf_counter", "benchmark")

_FENCE = re.compile(r"^```(\w+)([^\n`]*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
_VALUE = re.compile(r"\{\{(.+?)\}\}")
_MARK = "<!-- slide -->\n"
_HEADING = re.compile(rf"^(?={_MARK}## )|^(?<!{_MARK})(?=## )", flags=re.MULTILINE)
_SOLUTION = re.compile(
    r"^(?P<pad>[ ]*)### BEGIN SOLUTION\n.*?^[ ]*### END SOLUTION\n?", re.MULTILINE | re.DOTALL
)
_HIDDEN = re.compile(
    r"^[ ]*### BEGIN HIDDEN TESTS\n.*?^[ ]*### END HIDDEN TESTS\n?", re.MULTILINE | re.DOTALL
)
_MARKS = re.compile(r"^[ ]*### (?:BEGIN|END) [A-Z ]+\n?", re.MULTILINE)
#: A number with a unit that is measured, typed by hand.
_TYPED = re.compile(r"[−-]?\d+(?:[.,]\d+)?\s?(?:dB|MB|GB|×|times)(?!\w)")


#: Cells whose results belong to whoever answers.
ANSWERS = {"exercise", "check", "question"}


class SourceError(ValueError):
    """A source that cannot be read."""


@dataclass(frozen=True)
class Block:
    """A piece of a source: text, or what is between two fences."""

    kind: str
    body: str
    line: int
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The exercise or question that it belongs to."""
        return self.attributes.get("id", "")

    @property
    def data(self) -> Any:
        """The body as YAML."""
        return yaml.safe_load(self.body)


@dataclass(frozen=True)
class Lesson:
    """A source."""

    path: Path
    head: dict[str, Any]
    blocks: tuple[Block, ...]

    @property
    def id(self) -> str:
        """Such as ``"L01"``."""
        return str(self.head["id"])

    def find(self, kind: str, name: str = "") -> list[Block]:
        """Return the blocks of a kind, of one exercise if it is named."""
        return [b for b in self.blocks if b.kind == kind and name in ("", b.id)]

    @property
    def expressions(self) -> list[str]:
        """All that stands between double braces, in order."""
        texts = [b.body for b in self.blocks if b.kind in PROSE]
        texts += [*self.head["keypoints"]]
        return list(dict.fromkeys(e.strip() for text in texts for e in _VALUE.findall(text)))


#: Blocks whose text readers see.
PROSE = ("text", "quiz", "parsons", "predict", "reveal", "hint", "instructor")


def list_sources() -> list[Path]:
    """Return the sources of all lessons, in order."""
    return sorted(SOURCES.glob("L*.txt"))


def read_lesson(path: Path) -> Lesson:
    """Read a source."""
    text = path.read_text(encoding="utf-8")
    match = re.match(r"---\n(.*?)^---\n", text, flags=re.MULTILINE | re.DOTALL)
    if match is None:
        raise SourceError(f"{path.name} has no head between two lines of ---")
    return Lesson(path, yaml.safe_load(match[1]), tuple(_split(text, match.end())))


def _split(text: str, start: int) -> Iterator[Block]:
    for match in _FENCE.finditer(text, start):
        yield from _split_text(text, start, match.start())
        words = shlex.split(match[2])
        kind = words.pop(0) if match[1] == "python" and words and "=" not in words[0] else match[1]
        attributes = dict(word.split("=", 1) for word in words)
        yield Block(kind, match[3], _line(text, match.start()), attributes)
        start = match.end()
    yield from _split_text(text, start, len(text))


def _split_text(text: str, start: int, stop: int) -> Iterator[Block]:
    """A heading, with the mark of a slide above it, begins a cell: so slides can be chosen."""
    piece = text[start:stop]
    for part in _HEADING.split(piece):
        if part.strip():
            yield Block("text", part.strip(), _line(text, start))


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


# ------------------------------------------------------------------------------------ editions
def write_stub(block: Block) -> str:
    """Return an exercise without its solution."""
    title = block.attributes.get("task", "your answer")

    def stub(match: re.Match) -> str:
        return f'{match["pad"]}raise NotImplementedError("{block.id}: {title}")\n'

    return _SOLUTION.sub(stub, block.body)


def write_solution(body: str) -> str:
    """Return an exercise or check without the marks."""
    return _MARKS.sub("", body)


def write_visible(body: str) -> str:
    """Return a check without its hidden part."""
    return _MARKS.sub("", _HIDDEN.sub("", body))


def fill(text: str, values: dict[str, str]) -> str:
    """Put computed values into a text."""
    return _VALUE.sub(lambda match: values[match[1].strip()], text)


def write_values_code(expressions: Iterable[str]) -> str:
    """Return code that prints each expression, formatted, as JSON."""
    parts = []
    for text in expressions:
        code, _, form = text.partition("::")
        parts.append(f"{text!r}: format({code.strip()}, {form.strip()!r})")
    return f"import json as _json\nprint(_json.dumps({{{', '.join(parts)}}}))"


def make_cells(lesson: Lesson, edition: str, values: dict[str, str]) -> list[NotebookNode]:
    """Return the cells of an edition, without outputs."""
    cells = [_text(_write_top(lesson))]
    cells[0].metadata["slideshow"] = {"slide_type": "slide"}
    for block in lesson.blocks:
        cells.extend(_write_block(lesson, block, edition))
    cells.append(_text(_write_end(lesson)))
    cells[-1].metadata["slideshow"] = {"slide_type": "slide"}
    for number, cell in enumerate(cells):
        cell.id = f"{lesson.id}-c{number:02d}"
        if cell.cell_type == "markdown":
            cell.source = fill(cell.source, values)
    return cells


def _text(source: str, **metadata: Any) -> NotebookNode:
    return new_markdown_cell(source.strip(), metadata=metadata)


def _code(source: str, tags: Iterable[str] = (), **metadata: Any) -> NotebookNode:
    tags = list(tags)
    return new_code_cell(source.strip(), metadata={**({"tags": tags} if tags else {}), **metadata})


def _write_block(lesson: Lesson, block: Block, edition: str) -> list[NotebookNode]:
    open_book = edition in ("solution", "instructor")
    kind = block.kind
    if kind == "text":
        return [_write_text(block)]
    if kind in ("python", "parameters", "setup", "figure"):
        folded = {"jupyter": {"source_hidden": True}} if kind in ("setup", "figure") else {}
        slide = {"slideshow": {"slide_type": "-"}} if kind == "figure" else {}
        tags = {"parameters": ["parameters"], "figure": ["hide-input"]}.get(kind, [])
        return [_code(block.body, tags, **folded, **slide)]
    if kind == "exercise":
        if open_book:
            return [_code(write_solution(block.body), ["exercise"])]
        return [_code(write_stub(block), ["exercise", "raises-exception"])]
    if kind == "check":
        body = block.body if edition == "instructor" else _HIDDEN.sub("", block.body)
        tags = ["check", *(() if open_book else ("raises-exception",))]
        return [_code(f"# check of {block.id}\n{write_solution(body)}", tags)]
    if kind in ("wrong", "alt"):
        return _write_listed(block) if edition == "instructor" else []
    if kind == "hint":
        number = block.attributes["n"]
        return [_text(_fold(f"{block.id}, hint {number}", block.body))]
    if kind == "instructor":
        quoted = textwrap.indent(block.body.strip(), "> ", lambda _: True)
        return [_text(f"> **For instructors**\n>\n{quoted}")] if edition == "instructor" else []
    return _QUESTIONS[kind](block, open_book)


def _write_text(block: Block) -> NotebookNode:
    slide = _MARK in block.body
    cell = _text(block.body.replace(_MARK, ""))
    cell.metadata["slideshow"] = {"slide_type": "slide" if slide else "skip"}
    return cell


def _write_listed(block: Block) -> list[NotebookNode]:
    what = "Also right" if block.kind == "alt" else "Often wrong"
    because = block.attributes["because"]
    code = textwrap.indent(block.body.strip(), "    ")
    return [_text(f"*{what}* ({block.id}, {because}):\n\n{code}")]


def _fold(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body.strip()}\n\n</details>"


def _write_quiz(block: Block, open_book: bool) -> list[NotebookNode]:
    data = block.data
    options = dict(zip("abcdef", data["options"], strict=False))
    lines = [f"**{block.id}.** {data['question'].strip()}", ""]
    lines += [f"- **{letter}** {option['text']}" for letter, option in options.items()]
    right = find_right(block)
    cells = [_text("\n".join(lines), slideshow={"slide_type": "slide"})]
    cells.append(_code(f'choose("{block.id}", "{right if open_book else ""}")', ["question"]))
    if open_book:
        reasons = [f"- **{k}** {v['feedback']}" for k, v in options.items()]
        cells.append(_text(_fold(f"{block.id}, answers", "\n".join(reasons))))
    return cells


def find_right(block: Block) -> str:
    """Return the letter of a quiz's right answer."""
    (right,) = (
        k for k, v in zip("abcdef", block.data["options"], strict=False) if "misconception" not in v
    )
    return right


def _write_parsons(block: Block, open_book: bool) -> list[NotebookNode]:
    data = block.data
    lines = [f"**{block.id}.** {data['question'].strip()}", ""]
    lines += [f"{i}. {card}" for i, card in enumerate(data["cards"], 1)]
    answer = data["accept"][0] if open_book else []
    return [
        _text("\n".join(lines), slideshow={"slide_type": "slide"}),
        _code(f'order("{block.id}", {answer})', ["question"]),
    ]


def _write_predict(block: Block, open_book: bool) -> list[NotebookNode]:
    a = block.attributes
    ends = f"low={a['low']}, high={a['high']}" if open_book else "low=None, high=None"
    note = "Write down an interval that holds the answer in four of five cases."
    return [
        _text(f"**{block.id}.** {block.body.strip()} {note}", slideshow={"slide_type": "slide"}),
        _code(f'predict("{block.id}", {ends}, unit="{a.get("unit", "")}")', ["question"]),
    ]


def _write_reveal(block: Block, open_book: bool) -> list[NotebookNode]:
    a = block.attributes
    unit = a.get("unit", "")
    code = f'reveal("{block.id}", {a["truth"]}, unit="{unit}")'
    return [
        _code(code, ["question"]),
        _text(_fold(f"{block.id}: the answer, as measured when this page was built", block.body)),
    ]


_QUESTIONS = {
    "quiz": _write_quiz,
    "parsons": _write_parsons,
    "predict": _write_predict,
    "reveal": _write_reveal,
}


def _write_top(lesson: Lesson) -> str:
    h = lesson.head
    lines = [f"# {h['title']}", "", f"*{h['question']}*", ""]
    minutes = h["minutes"]
    lines += [f"{minutes['teach']} + {minutes['exercise']} minutes. Before it: {h['needs']}.", ""]
    lines += ["After this lesson you can", "", *(f"- {text}" for text in h["objectives"])]
    return "\n".join(lines)


def _leads(text: str) -> bool:
    """Whether the lessons that a text links to are there."""
    there = {path.stem for path in list_sources()}
    return set(re.findall(r"\]\((L\w+)\.ipynb\)", text)) <= there


def _write_end(lesson: Lesson) -> str:
    h = lesson.head
    lines = ["## Key points", "", *(f"- {text}" for text in h["keypoints"]), ""]
    lines += ["## Two minutes of recall", "", *(f"{i}. {q}" for i, q in enumerate(h["recall"], 1))]
    lines += ["", "## Where next", "", *(f"- {text}" for text in h["next"] if _leads(text))]
    return "\n".join(lines)


def write_footer(lesson: Lesson, facts: dict[str, Any]) -> NotebookNode:
    """Return the last cell: what the page was built with, and what that took."""
    text = (
        f"---\n\n*{lesson.id}, built with facet_nb {facts['facet_nb']}, NumPy {facts['numpy']} and "
        f"Python {facts['python']}. Computing took {facts['cpu_s']:.0f} s of CPU time, imports "
        f"included, and {facts['peak_gb']:.2f} GB at most.*"
    )
    return new_markdown_cell(text, id=f"{lesson.id}-end", metadata=SKIP)


SKIP = {"slideshow": {"slide_type": "skip"}}

#: Reveal.js scales a slide of 960 × 700 pixels to the screen; nothing scrolls there.
SLIDE_PX = (960, 700)
SLIDE_STYLE = """<style>
.reveal .slides section { font-size: 22px; line-height: 1.35; text-align: left; }
.reveal .slides section * { font-size: inherit; }
.reveal .slides section h1 { font-size: 44px; margin: 0 0 20px; }
.reveal .slides section h2 { font-size: 36px; margin: 0 0 16px; }
.reveal .slides section :is(p, ul, ol) { margin: 0 0 10px; }
.reveal .slides section pre, .reveal .slides section table { font-size: 18px; }
.reveal .slides section img { max-width: 940px; max-height: 620px; width: auto; height: auto; margin: 0; }
</style>

"""


def lay_out_slides(cells: Iterable[NotebookNode]) -> list[NotebookNode]:
    """Return the cells that a slide shows: headings, questions, tables, and each picture alone."""
    slides: list[NotebookNode] = []
    for cell in cells:
        if cell.cell_type == "code":
            slides += _lay_out_results(cell)
        elif not cell.source.startswith("<details>"):
            slides += _lay_out_text(cell)
    slides[0].source = SLIDE_STYLE + slides[0].source
    for number, cell in enumerate(slides):
        # A table stands below the text of its heading, but not below a question: it is the answer.
        if (
            number
            and cell.cell_type == "code"
            and "image/png" not in cell.outputs[0].data
            and slides[number - 1].source.startswith("## ")
        ):
            cell.metadata["slideshow"] = {"slide_type": "-"}
        cell.id = f"slide-{number:02d}"
    return slides


def _lay_out_text(cell: NotebookNode) -> Iterator[NotebookNode]:
    if cell.metadata.get("slideshow", SKIP["slideshow"]) == SKIP["slideshow"]:
        return
    for part in _HEADING.split(cell.source):
        if part.strip() and not part.startswith("## Where next"):
            yield _text(part, slideshow={"slide_type": "slide"})


def _lay_out_results(cell: NotebookNode) -> Iterator[NotebookNode]:
    """Captions are left out: somebody speaks."""
    if set(cell.metadata.get("tags", ())) & ANSWERS:
        return
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "image/png" in data or 'class="dataframe"' in str(data.get("text/html", "")):
            result = _code(cell.source, slideshow={"slide_type": "slide"})
            result.outputs, result.execution_count = [output], cell.execution_count
            yield result


def find_target(lesson: Lesson, edition: str) -> Path:
    """Return the notebook of an edition."""
    folder = {"student": ".", "solution": "solutions"}.get(edition, edition)
    return COURSE / folder / f"{lesson.path.stem}.ipynb"


def write_index(sources: Iterable[Path]) -> list[NotebookNode]:
    """Return the cells of the index: the lessons that there are."""
    lines = [
        "# EEG in the scanner: clean it, measure it, scale it",
        "",
        "A course for Jupyter. Every lesson begins with a question and a guess, uses recordings whose "
        "truth is known, and checks your answers in the notebook. Time is never graded.",
        "",
        "| | lesson | starts from the question | minutes | before it |",
        "|---|---|---|---|---|",
    ]
    for lesson in map(read_lesson, sources):
        h = lesson.head
        minutes = f"{h['minutes']['teach']} + {h['minutes']['exercise']}"
        link = f"[{h['title']}]({lesson.path.stem}.ipynb)"
        lines.append(f"| {lesson.id} | {link} | {h['question']} | {minutes} | {h['needs']} |")
    lines += [
        "",
        "Run the cells of a lesson from top to bottom. An exercise without an answer says so and "
        "stops nothing: *Run All* reaches the end. Two hints fold out below each exercise. Words "
        "are explained in the [glossary](glossary.md).",
        "",
        "A notebook in `solutions/` holds the answers of each lesson (`facet-nb course --solutions`).",
    ]
    return [new_markdown_cell("\n".join(lines), id="index")]


# ------------------------------------------------------------------------- the file of questions
def make_digest(name: str, answer: str) -> str:
    """As ``facet_nb.lessons.answers.make_digest``, which a test compares it with."""
    return hashlib.sha256(f"{name}: {answer}".encode()).hexdigest()[:16]


def write_questions(lessons: Iterable[Lesson]) -> str:
    """Return the file that ``choose`` and ``order`` read."""
    found: dict[str, Any] = {}
    for lesson in lessons:
        for block in lesson.find("quiz"):
            options = zip("abcdef", block.data["options"], strict=False)
            found[block.id] = {
                "digest": make_digest(block.id, find_right(block)),
                "feedback": {letter: option["feedback"] for letter, option in options},
            }
        for block in lesson.find("parsons"):
            data = block.data
            texts = [" ".join(map(str, accepted)) for accepted in data["accept"]]
            found[block.id] = {
                "n_cards": len(data["cards"]),
                "digests": [make_digest(block.id, text) for text in texts],
                "feedback": data["feedback"],
            }
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


# ---------------------------------------------------------------------------------------- linter
def read_misconceptions() -> dict[str, str]:
    """Return the beliefs that the course confronts, by their short name."""
    return yaml.safe_load((SOURCES / "misconceptions.yaml").read_text(encoding="utf-8"))


def check(lesson: Lesson) -> list[str]:
    """Return the gaps of a source, each with its line."""
    gaps = [f"the head lacks {key}" for key in HEAD if key not in lesson.head]
    if gaps:
        return gaps
    return [
        *_check_head(lesson),
        *_check_blocks(lesson),
        *_check_parameters(lesson),
        *_check_exercises(lesson),
        *_check_questions(lesson),
        *_check_prose(lesson),
    ]


def _check_head(lesson: Lesson) -> Iterator[str]:
    h = lesson.head
    beliefs = read_misconceptions()
    if len(h["objectives"]) != 3:
        yield f"{len(h['objectives'])} objectives instead of 3"
    for text in h["objectives"]:
        if text.split()[0] not in VERBS:
            yield f"objective {text!r} begins with none of the verbs"
    if not 3 <= len(h["keypoints"]) <= 6:
        yield f"{len(h['keypoints'])} key points instead of 3 to 6"
    if h["minutes"]["teach"] + h["minutes"]["exercise"] > 45:
        yield "more than 45 minutes"
    if h["compute_s"] > 180 or h["memory_gb"] > 1:
        yield "more than 180 s or 1 GB"
    used = {
        b.attributes.get("because", "") for b in lesson.blocks if b.kind in ("wrong",)
    } | {
        option.get("misconception", "") for b in lesson.find("quiz") for option in b.data["options"]
    }  # fmt: skip
    for name in h["misconceptions"]:
        if name not in beliefs:
            yield f"misconception {name} is not described"
        elif name not in used:
            yield f"misconception {name} is met by no wrong answer"


def _check_blocks(lesson: Lesson) -> Iterator[str]:
    for b in lesson.blocks:
        if b.kind not in ("text", *FENCES):
            yield f"line {b.line}: the fence {b.kind} is not known"
        if b.kind in FENCES[3:-1] and not b.id:
            yield f"line {b.line}: {b.kind} has no id"
        if b.kind == "figure" and "caption" not in b.body:
            yield f"line {b.line}: a figure without a caption, which is its alternative text"
        if b.kind in ("python", "figure", "check", "exercise", "setup", "parameters"):
            ast.parse(write_solution(b.body))


def _check_parameters(lesson: Lesson) -> Iterator[str]:
    code = [b for b in lesson.blocks if b.kind not in PROSE]
    blocks = lesson.find("parameters")
    if len(blocks) != 1 or not code or code[0] is not blocks[0]:
        yield "the first code must be the only block of parameters"
        return
    names = set(_assigned(blocks[0].body))
    for b in code[1:]:
        for name in names & set(_assigned(write_solution(b.body))):
            yield f"line {b.line}: {name} is a parameter, and is assigned again"


def _assigned(code: str) -> list[str]:
    nodes = (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name))
    return [node.id for node in nodes if isinstance(node.ctx, ast.Store)]


def _check_exercises(lesson: Lesson) -> Iterator[str]:
    beliefs = {*read_misconceptions(), *SLIPS}
    for b in lesson.find("exercise"):
        if write_stub(b) == b.body:
            yield f"{b.id} has no solution between its marks"
        checks, wrong = lesson.find("check", b.id), lesson.find("wrong", b.id)
        if len(checks) != 1:
            yield f"{b.id} has {len(checks)} checks"
        if len(wrong) < 3:
            yield f"{b.id} lists {len(wrong)} wrong answers instead of 3 or more"
        for w in wrong:
            if w.attributes.get("because") not in beliefs:
                yield f"line {w.line}: the wrong answer names no misconception"
        for c in checks:
            used = {n.id for n in ast.walk(ast.parse(c.body)) if isinstance(n, ast.Name)}
            used |= {n.attr for n in ast.walk(ast.parse(c.body)) if isinstance(n, ast.Attribute)}
            used |= {a.name for n in ast.walk(ast.parse(c.body)) if hasattr(n, "names")
                     for a in n.names if hasattr(a, "name")}  # fmt: skip
            if used & set(CLOCKS):
                yield f"the check of {b.id} reads a clock"
    for b in lesson.blocks:
        if b.kind in ("exercise", "quiz", "parsons"):
            hints = sorted(h.attributes["n"] for h in lesson.find("hint", b.id))
            if hints != ["1", "2"]:
                yield f"{b.id} has {len(hints)} hints instead of 2"


def _check_questions(lesson: Lesson) -> Iterator[str]:
    beliefs = read_misconceptions()
    for b in lesson.find("quiz"):
        options = b.data["options"]
        if sum("misconception" not in option for option in options) != 1 or len(options) < 4:
            yield f"{b.id} needs one right answer and three or more wrong ones"
        for option in options:
            if option.get("misconception", "S1") not in beliefs:
                yield f"{b.id}: {option['text']!r} names no misconception"
    predicted, revealed = ({b.id for b in lesson.find(k)} for k in ("predict", "reveal"))
    for name in predicted ^ revealed:
        yield f"{name} is predicted and not revealed, or the other way round"
    kinds = {b.kind for b in lesson.blocks} & {"exercise", "quiz", "parsons", "predict"}
    if len(kinds) < 3:
        yield f"only {len(kinds)} kinds of exercises: {', '.join(sorted(kinds))}"


def _check_prose(lesson: Lesson) -> Iterator[str]:
    for b in lesson.blocks:
        if b.kind in ("text", "reveal"):
            for typed in _TYPED.findall(_VALUE.sub("", b.body)):
                yield f"line {b.line}: {typed!r} is typed by hand: write {{{{ expression }}}}"
    for text in lesson.head["keypoints"]:
        for typed in _TYPED.findall(_VALUE.sub("", text)):
            yield f"key points: {typed!r} is typed by hand"


# --------------------------------------------------------------------------------------- answers
def run_until(
    lesson: Lesson, name: str, namespace: dict[str, Any], parameters: dict[str, Any]
) -> None:
    """Run the code before an exercise into `namespace`, with the solutions of earlier ones."""
    for b in lesson.blocks[namespace.get("_done", 0) :]:
        if b.kind == "exercise" and b.id == name:
            return
        namespace["_done"] = namespace.get("_done", 0) + 1
        if b.kind in ("python", "parameters", "setup"):
            run_code(b.body, lesson, b.line, namespace)
        if b.kind == "parameters":
            namespace.update(parameters)
        if b.kind == "exercise":
            run_code(write_solution(b.body), lesson, b.line, namespace)


def run_code(code: str, lesson: Lesson, line: int, namespace: dict[str, Any]) -> None:
    """Run a block; errors show the line of the source."""
    exec(compile("\n" * line + code, str(lesson.path.name), "exec"), namespace)
