"""Pictures of the studio for the documentation: ``python -m tests.browser.screenshots FOLDER``.

Each screen, idle, running, done and failed, in both themes of JupyterLab and two widths of the
window: one session of three minutes, with the example. What cannot be read in them is printed.
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
from tests.browser.page_checks import list_faults, list_sideways
from tests.conftest import CHROMIUM_ARGS, find_chromium

THEMES = ("light", "dark")
WIDTHS = (1280, 846)
#: Twice as many colours a picture keeps: enough for text and curves, half of the size.
COLORS = 128
CELL = """from facet_nb.widgets import Studio
import steps
studio = Studio(cores=2)
studio"""


def main() -> None:
    """Take all pictures, or those of one theme."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--theme", choices=THEMES, help="one of the themes")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    themes = (options.theme,) if options.theme else THEMES
    expect.set_options(timeout=60_000)
    for problem in take_session(options.folder, themes):
        print(problem, file=sys.stderr)


def take_session(folder: Path, themes: Sequence[str]) -> Iterator[str]:
    """Take the pictures; yield what cannot be read in them."""
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        root, private = Path(scratch) / "root", Path(scratch) / "private"
        root.mkdir()
        private.mkdir()
        shutil.copy(HERE / "steps.py", root)
        write_notebook(root / "studio.ipynb", [CELL])
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_ARGS)
        page = browser.new_page(viewport={"width": WIDTHS[0], "height": 920})
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


class Session:
    """One walk through the studio, with a picture of each screen in each state."""

    def __init__(self, lab: harness.Lab, folder: Path, themes: Sequence[str]) -> None:
        self.lab, self.page, self.folder, self.themes = lab, lab.page, folder, themes
        self.panel = harness.Panel(lab.page, lab.notebook)
        self.outcome = self.panel.part("run-picture").locator(".fnb-outcome")
        self.problems: list[str] = []
        self.n_runs = 0

    def take_all(self) -> None:
        """Idle, running, done, failed."""
        panel = self.panel
        expect(panel.part("sv-tag-fix")).to_contain_text("after, preview")
        for screen in ("Recording", "Chain", "Run"):
            self.take(screen, "idle")
        self.run("serial", 1)
        self.run("parallel", 2)
        check = self.outcome.locator("[data-act=check]")
        if check.count():  # a serial result that is kept is compared at once
            check.click()
        expect(self.outcome).to_contain_text("Same as serial")
        self.take("Run", "done")
        self.go("Tune")
        expect(panel.part("cost-curves")).to_contain_text("First look")
        expect(panel.part("cost-curves").locator("[data-act=quick]")).to_be_visible()
        for screen in ("Recording", "Chain", "Tune", "Save"):
            self.take(screen, "done")
        self.go("Run")
        panel.part("run-picture").locator("[data-value=Compare]").click()
        expect(panel.part("side-by-side")).to_contain_text("samples differ")
        self.take("", "compare-done")
        self.run_slowly()
        self.fail()

    def run(self, mode: str, n_jobs: int) -> None:
        """Run to the end."""
        self.lab.execute(f"studio.model.run.mode, studio.model.run.n_jobs = '{mode}', {n_jobs}")
        self.go("Run")
        self.panel.part("go").click()
        self.n_runs += 1
        expect(self.panel.part("rail").locator(".fnb-ring")).to_have_count(self.n_runs)
        expect(self.outcome).to_contain_text("Cost")
        expect(self.outcome).not_to_contain_text("being measured")

    def run_slowly(self) -> None:
        """Take pictures during a run, and end it."""
        self.lab.execute("studio.model.chain.set_pipeline(steps.make_slow(6.0))")
        self.go("Run")
        self.panel.part("go").click()
        expect(self.panel.part("rail")).to_contain_text("of 6 channels")
        self.take("Run", "running")
        self.panel.part("go").click()
        expect(self.outcome).to_contain_text("Cancelled")

    def fail(self) -> None:
        """A step that fails on a channel, and a file that does not exist."""
        choosy = "steps.Pipeline([steps.Slow(0.01), steps.Choosy('Cz')])"
        self.lab.execute(f"studio.model.chain.set_pipeline({choosy})")
        self.panel.part("go").click()
        expect(self.outcome).to_contain_text("Stopped")
        self.take("Run", "failed")
        self.lab.execute("studio.model.open('missing.vhdr')")
        self.go("Recording")
        expect(self.panel.part("browser")).to_contain_text("Cannot read")
        self.take("Recording", "failed")

    def go(self, screen: str) -> None:
        """Show a screen."""
        self.panel.part("state").locator(f"[data-value='{screen}']:not(.fnb-next)").click()

    def take(self, screen: str, state: str) -> None:
        """Take a screen in all widths and themes, and note what cannot be read on it."""
        if screen:
            self.go(screen)
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": 920})
            self.page.wait_for_timeout(
                500
            )  # the page tells its width, and canvases are drawn again
            for theme in self.themes:
                self.lab.set_theme(theme.capitalize())
                name = "-".join(filter(None, [screen.lower(), state, theme, str(width)]))
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
