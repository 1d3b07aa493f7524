"""Pictures of the studio for the documentation: ``python -m tests.browser.screenshots FOLDER``.

Each screen, idle, running, done and failed, in both themes of JupyterLab and two widths: one
session of two minutes. ``--table`` names a stored benchmark, whose figures are shown as if they
were measured now; without it the figures are made up by the tests.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from tests.browser import harness
from tests.browser.conftest import HERE, write_notebook
from tests.browser.harness import TABS
from tests.browser.page_checks import list_faults, list_sideways
from tests.conftest import CHROMIUM_ARGS, find_chromium

THEMES = ("light", "dark")
WIDTHS = (1280, 800)
#: Twice as many colours a picture keeps: enough for text and curves, half of the size.
COLORS = 128
CELL = """%matplotlib widget
from functools import partial
from facet_nb.benchmark import BenchmarkTable
from facet_nb.datasets import simulate
from facet_nb.pipelines import classic_correction
from facet_nb.widgets import Studio
import steps, tables

chain = classic_correction().add(steps.Slow(6.0))
studio = Studio(simulate(16, 2000.0, 60.0), chain, mode="channel_sequential")
table = BenchmarkTable.from_json("table.json")
tune = studio.model.tune
tune.measure = partial(tables.measure, pause_s=0.5, table=table)
studio"""
#: Lets a benchmark fail: no setting on screen does.
FAIL = "tune.measure = partial(tables.measure, fail=True)"


def main() -> None:
    """Take all pictures, or those of one theme."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--table", type=Path, help="a stored benchmark")
    parser.add_argument("--theme", choices=THEMES, help="one of the themes")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    themes = (options.theme,) if options.theme else THEMES
    for problem in take_session(options.folder, options.table, themes):
        print(problem, file=sys.stderr)


def take_session(folder: Path, table: Path | None, themes: Sequence[str]) -> Iterator[str]:
    """Take the pictures; yield what cannot be read in them."""
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        root, private = Path(scratch) / "root", Path(scratch) / "private"
        root.mkdir()
        private.mkdir()
        prepare(root, table)
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_ARGS)
        page = browser.new_page(viewport={"width": WIDTHS[0], "height": 3000})
        with harness.serve_lab(root, private) as server:
            lab = harness.Lab(page, *server).open("studio.ipynb")
            page.evaluate(
                "() => window.jupyterapp.commands.execute('application:toggle-left-area')"
            )
            lab.run_all()
            yield from lab.errors()
            session = Session(lab, folder, themes)
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

    def __init__(self, lab: harness.Lab, folder: Path, themes: Sequence[str]) -> None:
        self.lab, self.page, self.folder, self.themes = lab, lab.page, folder, themes
        self.panel = harness.Panel(lab.page, lab.notebook)
        self.problems: list[str] = []

    def take_all(self) -> None:
        """Idle, running, done, failed."""
        for tab in TABS:
            self.take(tab, "idle")
        self.run()
        for tab in ("Recording", "Chain", "Run", "Save"):
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
        done = "() => document.querySelectorAll('.fnb-cell-done').length > 24"
        self.page.wait_for_function(done, timeout=90_000)

    def finish(self) -> None:
        """End it, make the slow step quick, and keep three results."""
        panel = self.panel
        panel.turn_to("Run")
        panel.part("cancel").click()
        expect(panel.part("status")).to_contain_text("Cancelled", timeout=60_000)
        self.choose_step(8)
        panel.part("field-seconds").locator("input").fill("0.02")
        expect(panel.part("chain-problem")).to_contain_text("The chain can run")
        panel.turn_to("Run")
        panel.part("run").click()
        expect(panel.part("status")).to_contain_text("Done in", timeout=90_000)
        for mode in ("serial", "parallel"):
            panel.turn_to("Compare")
            panel.part("keep").click()
            panel.turn_to("Run")
            panel.choose("mode", mode)
            panel.part("run").click()
            expect(panel.part("log")).to_contain_text(f"started: {mode}", timeout=30_000)
            expect(panel.part("status")).to_contain_text("Done in", timeout=90_000)
        panel.turn_to("Compare")
        panel.part("keep").click()
        expect(panel.part("compare-table")).to_contain_text("3.")

    def benchmark(self) -> None:
        """Measure the chain without its slow step, with a picture on the way."""
        panel = self.panel
        self.choose_step(8)
        panel.part("toggle").click()
        expect(panel.part("steps")).to_contain_text("(off) slow")
        panel.turn_to("Tune")
        panel.part("benchmark").click()
        panel.part("curves").locator("canvas").first.wait_for(timeout=60_000)
        self.page.wait_for_timeout(5000)
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
        self.lab.execute(FAIL)
        panel.part("benchmark").click()
        expect(panel.part("benchmark-status")).to_contain_text("it broke")
        self.take("Tune", "failed")
        panel.turn_to("Compare")
        panel.part("keep").click()
        panel.part("keep").click()
        self.take("Compare", "failed")
        self.fail_in_the_chain()

    def fail_in_the_chain(self) -> None:
        """A step that fails on a channel, then an argument that cannot be read."""
        panel = self.panel
        self.choose_step(8)
        panel.part("remove").click()
        panel.part("new-step").locator("input").fill("choosy")
        panel.part("add").click()
        expect(panel.part("step-head")).to_contain_text("Choosy")
        panel.part("field-channel").locator("input").fill("Cz")
        panel.turn_to("Run")
        panel.part("run").click()
        expect(panel.part("status")).to_contain_text("Failed after", timeout=60_000)
        self.take("Run", "failed")
        self.choose_step(7)
        panel.part("field-freq").locator("input").fill("2000")
        expect(panel.part("chain-problem")).to_contain_text("Nyquist")
        self.take("Chain", "failed")
        self.take("Save", "failed")

    def choose_step(self, number: int) -> None:
        """Turn to a step of the chain."""
        self.panel.turn_to("Chain")
        self.panel.part("steps").locator("select").select_option(index=number - 1)
        expect(self.panel.part("step-head")).to_contain_text(f"{number}. ")

    def take(self, tab: str, state: str) -> None:
        """Take a tab in all widths and themes, and note what cannot be read on it."""
        self.panel.turn_to(tab)
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": 3000})
            self.page.wait_for_timeout(900)  # the panel tells its width, and plots are drawn again
            for theme in self.themes:
                self.lab.set_theme(theme.capitalize())
                name = f"{tab.lower()}-{state}-{theme}-{width}"
                write_small(self.panel.root.screenshot(), self.folder / f"{name}.png")
                faults = list_faults(self.panel.root)
                if sideways := list_sideways(self.panel.root):
                    faults["sideways"] = sideways
                self.problems += [f"{name}: {faults}"] if faults else []


def write_small(picture: bytes, path: Path) -> None:
    """Write a PNG with few colours."""
    from PIL import Image

    image = Image.open(io.BytesIO(picture)).convert("RGB")
    # The colours that fill most of it are kept as they are; of the others, some of each hue.
    counts = sorted(image.getcolors(image.width * image.height), reverse=True)[:COLORS]
    rest = image.quantize(COLORS, Image.Quantize.MAXCOVERAGE).getpalette()
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, color in counts for part in color] + rest[: 3 * COLORS])
    few = image.quantize(palette=palette, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


if __name__ == "__main__":
    main()
