"""What ``make lite`` puts into the site: the first lessons, which install the package first."""

from __future__ import annotations

import json
import runpy

import nbformat


def test_lessons_install_the_package_and_hold_no_results(project_root, tmp_path):
    lite = runpy.run_path(str(project_root / ".ci/lite.py"))
    written = lite["write_contents"](tmp_path)
    assert [path.stem for path in written] == list(lite["LESSONS"])
    for path in written:
        book = nbformat.read(path, as_version=4)
        nbformat.validate(book)
        code = [cell for cell in book.cells if cell.cell_type == "code"]
        assert "%pip install -q facet-nb" in code[0].source
        assert [cell for cell in code if cell.outputs or cell.execution_count] == []
        assert book.metadata.kernelspec.name == "python"
        kept = json.loads((project_root / f"notebooks/course/{path.name}").read_text())
        assert len(book.cells) == len(kept["cells"]) + 1
