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


def cancel_a_benchmark(panel: Panel) -> None:
    """The chain takes too little time for a run to be cancelled by hand; measuring it does not."""
    panel.turn_to("Tune")
    panel.part("benchmark").click()
    expect(panel.part("benchmark-status")).to_contain_text("Measuring")
    panel.part("benchmark-cancel").click()
    expect(panel.part("benchmark-status")).to_contain_text("Cancelled")
