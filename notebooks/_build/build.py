"""Execute the notebooks: ``python notebooks/_build/build.py``.

The source of each notebook is a text beside this file, where it can be read and compared: Markdown,
in which blocks of Python are the code cells. What comes out is the notebook with its results.

The lessons of the course are in ``course/``: ``build.py L01`` builds one, ``build.py course`` all of
them, ``--check`` looks for gaps in their sources, and ``--edition instructor`` (or ``slides``)
writes that edition into ``notebooks/course/instructor`` (or ``slides``).
"""

from __future__ import annotations

import json
import re
import sys
from html import escape
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import SlidesExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import course  # noqa: E402 - beside this file, and not installed

KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
_BLOCK = re.compile(r"^```python\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def read_source(source: Path) -> nbformat.NotebookNode:
    """Return the notebook of a text, without results."""
    cells = []
    # Texts and blocks take turns: re.split gives the blocks at the odd places.
    for number, piece in enumerate(_BLOCK.split(source.read_text(encoding="utf-8"))):
        if piece.strip():
            make = new_code_cell if number % 2 else new_markdown_cell
            cells.append(make(piece.strip(), id=f"cell-{len(cells):02d}"))
    return new_notebook(cells=cells, metadata={"kernelspec": KERNEL})


def build(source: Path, target: Path) -> None:
    """Run a notebook from top to bottom and write it with its results."""
    notebook = read_source(source)
    # Without the widgets' own state a page shows the panel's report, not an empty panel.
    client = NotebookClient(notebook, timeout=240, store_widget_state=False, record_timing=False)
    client.execute(cwd=str(target.parent))
    notebook.metadata["kernelspec"] = KERNEL
    nbformat.validate(notebook)
    nbformat.write(notebook, target)
    print(f"{target.name}: {target.stat().st_size / 1000:.0f} kB")


FOOTER = """
import json as _json, platform as _platform, resource as _resource, time as _time
import numpy as _numpy
from facet_nb import __version__ as _version
print(_json.dumps({
    "facet_nb": _version, "numpy": _numpy.__version__, "python": _platform.python_version(),
    "cpu_s": round(_time.process_time(), 1),
    "peak_gb": round(_resource.getrusage(_resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2),
}))
"""


def build_lesson(path: Path, editions: tuple[str, ...] = ("student", "solution")) -> None:
    """Run the solutions of a lesson once, and write its editions with the results."""
    lesson = course.read_lesson(path)
    gaps = course.check(lesson)
    if gaps:
        raise SystemExit("\n".join(f"{path.name}: {gap}" for gap in gaps))
    done = run_lesson(lesson)
    values, facts = done.metadata.pop("values"), done.metadata.pop("facts")
    for edition in editions:
        target = course.find_target(lesson, edition)
        target.parent.mkdir(parents=True, exist_ok=True)
        book = write_lesson(lesson, edition, values, facts, done)
        nbformat.write(book, target)
        if edition == "slides":
            write_slides(book, target.with_suffix(".html"))
        print(f"{target.relative_to(HERE.parent)}: {target.stat().st_size / 1000:.0f} kB")
    print(f"{lesson.id}: {facts}")


def run_lesson(lesson: course.Lesson) -> nbformat.NotebookNode:
    """Return the executed edition with solutions, and the values of its texts."""
    raw = {text: text for text in lesson.expressions}
    cells = course.make_cells(lesson, "solution", raw)
    for code in (course.write_values_code(lesson.expressions), FOOTER):
        cells.append(new_code_cell(code, id=f"extra-{len(cells)}"))
    book = new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
    client = NotebookClient(book, timeout=240, store_widget_state=False, record_timing=False)
    client.execute(cwd=str(course.COURSE))
    facts, values = (json.loads(book.cells.pop().outputs[0].text) for _ in range(2))
    book.metadata["values"] = {k: v.replace("-", "−") for k, v in values.items()}
    book.metadata["facts"] = facts
    _check_figures(lesson, book)
    return book


def _check_figures(lesson: course.Lesson, book: nbformat.NotebookNode) -> None:
    """A figure has a text that says what is seen, with a number."""
    for cell in book.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                alt = output.metadata.get("image/png", {}).get("alt", "")
                if not re.search(r"\d", alt):
                    raise SystemExit(f"{lesson.id} {cell.id}: the alternative text has no number")


def write_lesson(
    lesson: course.Lesson,
    edition: str,
    values: dict[str, str],
    facts: dict,
    done: nbformat.NotebookNode | None = None,
) -> nbformat.NotebookNode:
    """Return an edition, with the results of plain cells and figures if they are given."""
    cells = course.make_cells(lesson, edition, values)
    if done is not None:
        results = [cell for cell in done.cells if cell.cell_type == "code"]
        code = [cell for cell in cells if cell.cell_type == "code"]
        for cell, result in zip(code, results, strict=True):
            tags = set(cell.metadata.get("tags", ()))
            if edition in ("solution", "instructor") or not tags & course.ANSWERS:
                cell.outputs, cell.execution_count = result.outputs, result.execution_count
    if edition == "slides":
        cells = course.lay_out_slides(cells)
    else:
        cells.append(course.write_footer(lesson, facts))
    metadata = {"kernelspec": KERNEL, "facet_nb": {"values": values, "facts": facts}}
    book = new_notebook(cells=cells, metadata=metadata)
    nbformat.validate(book)
    return book


def write_slides(book: nbformat.NotebookNode, page: Path) -> Path:
    """Write slides as a page; copies of reveal.js and require.js beside it make it need no network."""
    local = {"reveal_url_prefix": "reveal.js", "require_js_url": "require.js"}
    there = all((page.parent / name).exists() for name in local.values())
    exporter = SlidesExporter(
        exclude_input=True, exclude_output_prompt=True, **(local if there else {})
    )
    page.write_text(_describe(exporter.from_notebook_node(book)[0], book), encoding="utf-8")
    return page


def _describe(html: str, book: nbformat.NotebookNode) -> str:
    """Put the alternative texts of pictures into a page: nbconvert has a sentence of its own."""
    nothing = 'alt="No description has been provided for this image"'
    for output in (output for cell in book.cells for output in cell.get("outputs", [])):
        if "image/png" in output.get("data", {}):
            alt = output.metadata["image/png"]["alt"]
            html = html.replace(nothing, f'alt="{escape(alt)}"', 1)
    return html


def refresh_texts(path: Path, edition: str) -> None:
    """Write the texts of a lesson anew around its results: links depend on the other lessons."""
    lesson = course.read_lesson(path)
    target = course.find_target(lesson, edition)
    if not target.is_file():
        return
    kept = nbformat.read(target, as_version=4)
    notes = kept.metadata["facet_nb"]
    if not set(lesson.expressions) <= set(notes["values"]):
        raise SystemExit(f"{path.name} has values that were not computed: build {lesson.id}")
    book = write_lesson(lesson, edition, notes["values"], notes["facts"])
    code, results = ([c for c in b.cells if c.cell_type == "code"] for b in (book, kept))
    if [cell.source for cell in code] != [cell.source for cell in results]:
        raise SystemExit(f"{path.name} has other code than its notebook: build {lesson.id}")
    for cell, result in zip(code, results, strict=True):
        cell.outputs, cell.execution_count = result.outputs, result.execution_count
    nbformat.write(book, target)


def build_course(names: list[str], editions: tuple[str, ...]) -> None:
    """Build lessons, and write the index and the file of questions anew."""
    sources = course.list_sources()
    chosen = [p for p in sources if not names or any(p.stem.startswith(n) for n in names)]
    course.QUESTIONS.write_text(course.write_questions(map(course.read_lesson, sources)))
    course.COURSE.mkdir(exist_ok=True)
    for path in chosen:
        build_lesson(path, editions)
    for path in [p for p in sources if p not in chosen]:
        for edition in editions:
            refresh_texts(path, edition)
    index = new_notebook(cells=course.write_index(sources), metadata={"kernelspec": KERNEL})
    nbformat.write(index, course.COURSE / "00_index.ipynb")


def check_course() -> int:
    """Print the gaps of all sources; return how many there are."""
    gaps = []
    lessons = [course.read_lesson(path) for path in course.list_sources()]
    for lesson in lessons:
        gaps += [f"{lesson.path.name}: {gap}" for gap in course.check(lesson)]
    if course.QUESTIONS.read_text(encoding="utf-8") != course.write_questions(lessons):
        gaps.append("questions.json is not what the sources say: build the course")
    print("\n".join([*gaps, f"{len(lessons)} lessons, {len(gaps)} gaps"]))
    return len(gaps)


def main(words: list[str]) -> int:
    """Build the named notebooks, or all."""
    if "--check" in words:
        return min(1, check_course())
    editions: tuple[str, ...] = ("student", "solution")
    if "--edition" in words:
        at = words.index("--edition")
        editions = tuple(words[at + 1].split(","))
        words = words[:at] + words[at + 2 :]
    lessons = [word for word in words if re.match(r"L\d", word)]
    plain = [word for word in words if word not in ("course", *lessons)]
    if plain or not words:
        for source in [HERE / f"{name}.txt" for name in plain] or sorted(HERE.glob("*.txt")):
            build(source, HERE.parent / f"{source.stem}.ipynb")
    if lessons or "course" in words or not words:
        build_course(lessons, editions)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
