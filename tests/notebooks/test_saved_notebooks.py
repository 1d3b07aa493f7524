"""Notebooks as they are kept: made from their texts, with results, small, and readable anywhere.

That they run is tested from ``tests/project`` (papermill) and ``tests/browser``, and, those of the
course, by nbval; this is about the files.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SIZE_LIMIT = 1_500_000


@pytest.fixture(scope="module")
def builder():
    """The script that makes the notebooks."""
    path = ROOT / "notebooks/_build/build.py"
    spec = importlib.util.spec_from_file_location("build_notebooks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.name)
def path(request) -> Path:
    """A notebook."""
    return request.param


def test_notebook_is_what_its_text_says(path, builder):
    """Edit the text, then run ``python notebooks/_build/build.py``."""
    source = path.parent / "_build" / f"{path.stem}.txt"
    expected = builder.read_source(source).cells
    kept = nbformat.read(path, as_version=4).cells
    assert [(c.cell_type, c.source) for c in kept] == [(c.cell_type, c.source) for c in expected]


def test_notebook_keeps_no_widget_state(path):
    """With it, a page without a kernel would show an empty panel in the place of the report."""
    notebook = nbformat.read(path, as_version=4)
    assert "widgets" not in notebook.metadata
    assert path.stat().st_size < SIZE_LIMIT


def test_page_shows_the_panel_s_result(path):
    html, _ = HTMLExporter().from_filename(str(path))
    report = html.partition("fnb-report")[2]
    assert "Done in" in report and "data:image/svg+xml;base64," in report
    assert "SNR against the truth" in report
