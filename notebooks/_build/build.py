"""Execute the notebooks: ``python notebooks/_build/build.py``.

The source of each notebook is a text beside this file, where it can be read and compared: Markdown,
in which blocks of Python are the code cells. What comes out is the notebook with its results.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

HERE = Path(__file__).resolve().parent
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


def main(names: list[str]) -> None:
    """Build the named notebooks, or all."""
    sources = [HERE / f"{name}.txt" for name in names] or sorted(HERE.glob("*.txt"))
    for source in sources:
        build(source, HERE.parent / f"{source.stem}.ipynb")


if __name__ == "__main__":
    main(sys.argv[1:])
