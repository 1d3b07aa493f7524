"""A JupyterLab for the whole session, notebooks with panels, and screenshots on the way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from tests.browser import harness

expect.set_options(timeout=harness.PATIENCE)
#: A session in the studio takes 80 s on two quiet cores. In s.
LIMIT_S = 1200

HERE = Path(__file__).parent
SETUP = "from facet_nb.widgets import ControlPanel\nimport steps"
NOTEBOOKS = {
    "slow": [SETUP, "panel = ControlPanel(steps.make_slow(), steps.make_source())\npanel"],
    "failing": [SETUP, "panel = ControlPanel(steps.make_failing(), steps.make_source())\npanel"],
    "widget": [
        "%matplotlib widget\nfrom facet_nb.widgets import Studio\nimport steps",
        "studio = Studio(steps.make_source(), steps.make_slow(0.02))\nstudio",
    ],
    "tune": [
        "%matplotlib widget\nfrom functools import partial\nfrom pathlib import Path\n"
        "from facet_nb.widgets import Studio\nimport steps, tables",
        "studio = Studio(steps.make_source(), steps.make_slow(0.02), cores=4)\n"
        "tune, gate = studio.model.tune, Path('gate')\ngate.mkdir(exist_ok=True)\n"
        "tune.measure = partial(tables.measure, pause_s=0.05, gate=gate)\n"
        "tune.replay = partial(tune.replay, seconds=10)\n"
        "tune.advise = tables.advise\nstudio",
    ],
    "one_screen": ["from facet_nb.widgets import Studio\nstudio = Studio(cores=2)\nstudio"],
    "studio": [
        "from facet_nb.widgets import Studio\nimport steps",
        "studio = Studio(steps.make_source(64), steps.make_slow(0.03))\nstudio",
        "import time\nprint('another cell,', time.strftime('%Y'))",
    ],
    "batch": [
        "from pathlib import Path\nfrom facet_nb.datasets import simulate\n"
        "from facet_nb.io import Exporter\nfrom facet_nb.widgets import BatchPanel\nimport steps\n"
        "Path('day1').mkdir(exist_ok=True)\n"
        "Path('day1/bad.edf').write_text('nothing')\n"
        "for i in range(2):\n"
        "    context = simulate(4, 500.0, 16.0, lead_in_s=2.0, lead_out_s=2.0).context()\n"
        "    Exporter(f'day1/r{i}.vhdr', overwrite=True).execute(context)",
        "panel = BatchPanel(steps.make_slow(0.2), n_jobs=1)\npanel",
    ],
    "signals": [
        "from facet_nb.widgets import SignalView\nimport steps",
        "raw, lazy = steps.make_pair()\nview = SignalView(raw, lazy)\nview",
        "import time\nfrom pathlib import Path\nend = time.monotonic() + 120\n"
        "while not Path('enough').exists() and time.monotonic() < end: pass",
    ],
    "one_core": [
        SETUP,
        "panel = ControlPanel(steps.make_slow(0.02), steps.make_source(), cores=1)\npanel",
    ],
}


def write_notebook(path: Path, cells: list[str]) -> None:
    """Write a notebook of code cells."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = new_notebook(cells=[new_code_cell(c) for c in cells], metadata={"kernelspec": kernel})
    nbformat.write(book, path)


def pytest_collection_modifyitems(items) -> None:
    """Let browser tests take longer than others."""
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.timeout(LIMIT_S))


@pytest.fixture(autouse=True)
def patience(request) -> None:
    """Let the page wait longer than Playwright's thirty seconds."""
    if "page" in request.fixturenames:
        request.getfixturevalue("page").set_default_timeout(harness.PATIENCE)


@pytest.fixture(scope="session")
def workdir(tmp_path_factory) -> Path:
    """A folder with the notebooks and what they import."""
    folder = tmp_path_factory.mktemp("notebooks")
    shutil.copy(HERE / "steps.py", folder)
    shutil.copy(HERE.parent / "models" / "tables.py", folder)
    for name, cells in NOTEBOOKS.items():
        write_notebook(folder / f"{name}.ipynb", cells)
    for name in ("01_quickstart", "02_studio"):
        shutil.copy(HERE.parents[1] / f"notebooks/{name}.ipynb", folder)
    return folder


@pytest.fixture(scope="session")
def lab_server(workdir, tmp_path_factory):
    """Address and token of a JupyterLab."""
    with harness.serve_lab(workdir, tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture(scope="session")
def living(browser) -> Iterator[list]:
    """The page that has loaded JupyterLab, if there is one."""
    pages: list = []
    yield pages
    for page in pages:
        page.context.close()


@pytest.fixture
def page(request):
    """The page of a test.

    To load JupyterLab takes Chromium six seconds of CPU time: its tests hand a page on, unless one
    has failed in it.
    """
    if "lab_server" not in request.fixturenames:
        yield request.getfixturevalue("context").new_page()
        return
    browser, living = request.getfixturevalue("browser"), request.getfixturevalue("living")
    how = request.getfixturevalue("browser_context_args")
    page = living.pop() if living else browser.new_context(**how).new_page()
    failures = request.session.testsfailed
    yield page
    if request.session.testsfailed == failures and harness.clear(page, how["viewport"]):
        living.append(page)
    else:
        page.context.close()


@pytest.fixture(scope="session")
def shots(tmp_path_factory) -> Path:
    """Where screenshots go; ``FACET_NB_SCREENS`` names another folder."""
    named = os.environ.get("FACET_NB_SCREENS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screens")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def complaints(page) -> Iterator[list[str]]:
    """What the page complains of: errors of scripts, and requests to other machines."""
    found: list[str] = []

    def accept(dialog) -> None:
        found.append(f"dialog: {dialog.message}")
        dialog.accept()

    def look_at(request) -> None:
        if not request.url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")):
            found.append(f"request: {request.url[:200]}")

    listeners = {
        "pageerror": lambda error: found.append(f"script: {error}"),
        "dialog": accept,
        "request": look_at,
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    yield found
    for event, listener in listeners.items():
        page.remove_listener(event, listener)
