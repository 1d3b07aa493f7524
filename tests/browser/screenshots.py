"""Pictures of the studio for the documentation: ``python -m tests.browser.screenshots FOLDER``.

Every tab, idle, running, done and failed, in both themes of JupyterLab and two widths. ``TABLE=``
names a stored benchmark, whose figures the tab Tune shows as if they were measured now; without it
the figures are made up by the tests.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import expect, sync_playwright

from tests.browser import harness
from tests.browser.conftest import HERE, write_notebook
from tests.browser.looking import list_clipped, list_pale
from tests.conftest import CHROMIUM_ARGS, find_chromium

TABS = ("Recording", "Chain", "Run", "Tune", "Compare", "Code")
WIDTHS = (1280, 800)
#: Colours that a picture keeps: enough for text and curves, a third of the size.
COLORS = 64
CELL = """%matplotlib widget
from functools import partial
from facet_nb.benchmark import BenchmarkTable
from facet_nb.datasets import simulate
from facet_nb.models.studio_model import make_usual_chain
from facet_nb.widgets import Studio
import steps, tables

chain = make_usual_chain().add(steps.Slow(0.5))
studio = Studio(simulate(16, 2000.0, 60.0), chain, mode="channel_sequential")
table = BenchmarkTable.from_json("table.json")
tune = studio.model.tune
tune.measure = partial(tables.measure, pause_s=0.7, table=table)
studio"""


def main() -> None:
    """Take all pictures, or those of one theme."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--table", type=Path, help="a stored benchmark")
    parser.add_argument("--theme", choices=("light", "dark"), help="one of the themes")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for theme in (options.theme,) if options.theme else ("light", "dark"):
        for width in WIDTHS:
            for problem in take_session(options.folder, options.table, theme, width):
                print(f"{theme} {width}: {problem}", file=sys.stderr)


def take_session(folder: Path, table: Path | None, theme: str, width: int) -> Iterator[str]:
    """Take the pictures of one theme and width; yield what cannot be read in them."""
    name = "JupyterLab Dark" if theme == "dark" else "JupyterLab Light"
    settings = harness.SETTINGS["@jupyterlab/apputils-extension/themes.jupyterlab-settings"]
    settings["theme"] = name
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        root, private = Path(scratch) / "root", Path(scratch) / "private"
        root.mkdir()
        private.mkdir()
        prepare(root, table)
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_ARGS)
        page = browser.new_page(viewport={"width": width, "height": 3000})
        with harness.serve_lab(root, private) as server:
            lab = harness.Lab(page, *server).open("studio.ipynb")
            page.evaluate(
                "() => window.jupyterapp.commands.execute('application:toggle-left-area')"
            )
            lab.run_all()
            yield from lab.errors()
            session = Session(page, harness.Panel(page, lab.notebook), folder, f"{theme}-{width}")
            session.take_all()
            yield from session.problems
        browser.close()


def prepare(root: Path, table: Path | None) -> None:
    """Write the notebook and what it reads."""
    shutil.copy(HERE / "steps.py", root)
    shutil.copy(HERE.parent / "models" / "tables.py", root)
    if table is None:
        from tests.models.tables import make_table

        make_table().to_json(root / "table.json")
    else:
        shutil.copy(table, root / "table.json")
    write_notebook(root / "studio.ipynb", [CELL])


class Session:
    """One walk through the studio, with a picture of each tab in each state."""

    def __init__(self, page: Any, panel: harness.Panel, folder: Path, suffix: str) -> None:
        self.page, self.panel, self.folder, self.suffix = page, panel, folder, suffix
        self.problems: list[str] = []

    def take_all(self) -> None:
        """Idle, running, done, failed."""
        for tab in TABS:
            self.take(tab, "idle")
        self.run()
        for tab in ("Recording", "Chain", "Run", "Compare", "Code"):
            self.take(tab, "running")
        self.finish()
        self.benchmark()
        for tab in TABS:
            self.take(tab, "done")
        self.fail()

    def run(self) -> None:
        """Begin a run."""
        self.panel.turn_to("Run")
        self.panel.part("run").click()
        self.page.wait_for_function("() => document.querySelectorAll('.fnb-cell-done').length > 24")

    def finish(self) -> None:
        """Wait for its end, and keep two results."""
        panel = self.panel
        panel.turn_to("Run")
        expect(panel.part("status")).to_contain_text("Done in", timeout=90_000)
        for mode in ("serial", "parallel"):
            panel.turn_to("Compare")
            panel.part("keep").click()
            panel.turn_to("Run")
            panel.choose("mode", mode)
            panel.part("run").click()
            expect(panel.part("status")).to_contain_text("Running", timeout=30_000)
            expect(panel.part("status")).to_contain_text("Done in", timeout=90_000)
        panel.turn_to("Compare")
        panel.part("keep").click()
        expect(panel.part("compare-table")).to_contain_text("3.")

    def benchmark(self) -> None:
        """Measure the chain without its slow step, with a picture on the way."""
        panel = self.panel
        panel.turn_to("Chain")
        panel.part("steps").locator("select").select_option(index=7)
        expect(panel.part("step-head")).to_contain_text("8. ")
        panel.part("toggle").click()
        expect(panel.part("steps")).to_contain_text("(off) slow")
        panel.turn_to("Tune")
        panel.part("benchmark").click()
        panel.part("curves").locator("canvas").first.wait_for(timeout=60_000)
        self.page.wait_for_timeout(6000)
        self.take("Tune", "running")
        expect(panel.part("benchmark-status")).to_contain_text("Done.", timeout=240_000)
        expect(panel.part("advice")).to_be_visible(timeout=60_000)
        options = panel.part("point").locator("option").count()
        panel.part("point").locator("select").select_option(index=options - 1)
        self.page.wait_for_timeout(1500)

    def fail(self) -> None:
        """What each tab says when something is wrong."""
        panel = self.panel
        panel.turn_to("Recording")
        panel.part("recording").locator("select").select_option(label="a file")
        panel.part("path").locator("input").fill("missing.vhdr")
        panel.part("load").click()
        expect(panel.part("load-status")).to_contain_text("Not loaded")
        self.take("Recording", "failed")
        panel.turn_to("Tune")
        panel.part("table-file").locator("input").fill("missing.json")
        panel.part("load-table").click()
        expect(panel.part("file-said")).to_contain_text("Not possible")
        self.take("Tune", "failed")
        panel.turn_to("Compare")
        panel.part("keep").click()
        panel.part("keep").click()
        self.take("Compare", "failed")
        self.fail_in_the_chain()

    def fail_in_the_chain(self) -> None:
        """A step that fails on a channel, then an argument that cannot be read."""
        panel = self.panel
        panel.turn_to("Chain")
        panel.part("steps").locator("select").select_option(index=7)
        expect(panel.part("step-head")).to_contain_text("8. ")
        panel.part("remove").click()
        panel.part("new-step").locator("input").fill("choosy")
        panel.part("add").click()
        expect(panel.part("step-head")).to_contain_text("Choosy")
        panel.part("field-channel").locator("input").fill("Cz")
        panel.turn_to("Run")
        panel.part("run").click()
        expect(panel.part("status")).to_contain_text("Failed after", timeout=60_000)
        self.take("Run", "failed")
        panel.turn_to("Chain")
        panel.part("steps").locator("select").select_option(index=6)
        expect(panel.part("step-head")).to_contain_text("7. ")
        panel.part("field-freq").locator("input").fill("2000")
        expect(panel.part("chain-problem")).to_contain_text("Nyquist")
        self.take("Chain", "failed")
        self.take("Code", "failed")

    def take(self, tab: str, state: str) -> None:
        """Take a picture of a tab, and note what cannot be read on it."""
        self.panel.turn_to(tab)
        self.page.wait_for_timeout(400)
        picture = self.panel.root.screenshot()
        write_small(picture, self.folder / f"{tab.lower()}-{state}-{self.suffix}.png")
        pale, clipped = list_pale(self.panel.root), list_clipped(self.panel.root)
        self.problems += [f"{tab} {state}: {found}" for found in (pale, clipped) if found]


def write_small(picture: bytes, path: Path) -> None:
    """Write a PNG with few colours."""
    from PIL import Image

    image = Image.open(io.BytesIO(picture)).convert("RGB")
    # The colours that fill most of it are kept as they are; shades of letters go to the nearest.
    counts = sorted(image.getcolors(image.width * image.height), reverse=True)[:COLORS]
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, color in counts for part in color])
    few = image.quantize(palette=palette, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


if __name__ == "__main__":
    main()
