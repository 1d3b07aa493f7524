"""The notebook of the studio in Notebook 7: the panel shows, runs, cancels, and can be read."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.harness import Notebook, Panel
from tests.browser.page_checks import check_tabs

pytestmark = pytest.mark.browser


def test_studio(page, lab_server, complaints, shots):
    book = Notebook(page, *lab_server).open("02_studio.ipynb")
    # Not yet run: the saved result of the panel is there all the same.
    expect(book.notebook.locator(".fnb-report")).to_contain_text("Done in")
    own = list(complaints)  # what Notebook itself stumbles over, before there is a panel
    book.run_cell(1)
    panel = Panel(page, book.notebook)
    expect(panel.part("headline")).to_contain_text("6 channels")
    expect(book.notebook.locator(".fnb-report:visible")).to_have_count(0)

    keep_the_keys(page, book, panel)
    panel.turn_to("Run")
    panel.part("run").press("Enter")
    expect(panel.part("status")).to_contain_text("Done in")
    panel.wait_for_all(3 * 6)
    expect(panel.part("plot").locator("canvas").first).to_be_visible()
    check_tabs(book, panel, themes=("Light",))
    cancel_a_benchmark(panel)
    page.set_viewport_size({"width": 1280, "height": 2000})
    page.screenshot(path=shots / "studio-notebook7.png")
    assert book.errors() == []
    assert complaints == own


def keep_the_keys(page, book: Notebook, panel: Panel) -> None:
    """Keys that mean something in the notebook, too, are those of the panel while it has them."""
    n_cells = book.notebook.locator(".jp-Cell").count()
    panel.part("sv-plot").first.focus()
    for key in ("1", "r", "y", "x", "d", "d", "a", "b", "ArrowDown", "j"):
        page.keyboard.press(key)
    expect(panel.root).to_have_count(1)
    assert book.notebook.locator(".jp-Cell").count() == n_cells
    assert book.notebook.locator(".jp-CodeCell.jp-mod-active .fnb-panel").count() == 1
    page.keyboard.press("Control+s")  # a key with Ctrl is the notebook's
    expect(panel.root).to_have_count(1)


def cancel_a_benchmark(panel: Panel) -> None:
    """The chain takes too little time for a run to be cancelled by hand; measuring it does not."""
    panel.turn_to("Tune")
    panel.part("benchmark").click()
    expect(panel.part("benchmark-status")).to_contain_text("Measuring")
    panel.part("benchmark-cancel").click()
    expect(panel.part("benchmark-status")).to_contain_text("Cancelled")
