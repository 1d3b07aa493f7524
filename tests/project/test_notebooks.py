"""Each notebook runs from top to bottom without a browser, in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import nbformat
import papermill
import pytest

from tests.conftest import find_chromium

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_runs(path, tmp_path):
    if path.name == "01_quickstart.ipynb" and find_chromium():
        pytest.skip("tests/browser runs all of it, in a real JupyterLab")
    done = tmp_path / path.name
    papermill.execute_notebook(
        path, done, cwd=tmp_path, kernel_name="python3", progress_bar=False, execution_timeout=240
    )
    cells = [cell for cell in nbformat.read(done, as_version=4).cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells if cell.source.strip())
