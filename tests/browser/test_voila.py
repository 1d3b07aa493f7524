"""The studio as a web page without code, with the interactive plot."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from tests.browser import harness
from tests.browser.page_checks import check_tabs

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def voila_url(workdir, tmp_path_factory):
    """Address of the notebook with ``%matplotlib widget``."""
    private = tmp_path_factory.mktemp("voila")
    with harness.serve_voila(workdir / "widget.ipynb", private) as url:
        yield url


def test_studio_with_interactive_plot(page, voila_url, shots):
    page.goto(voila_url)
    panel = harness.Panel(page)
    expect(panel.part("headline")).to_contain_text("8 channels")
    check_tabs(None, panel, themes=("Light",))
    panel.turn_to("Run")
    panel.part("run").click()
    expect(panel.part("status")).to_contain_text("Done in")
    canvas = panel.part("plot").locator("canvas").first
    expect(canvas).to_be_visible()
    page.wait_for_function(
        """() => {
            const c = document.querySelector('.fnb-plot canvas');
            const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
            let n = 0;
            for (let i = 0; i < d.length; i += 4) if (d[i + 3] && d[i] < 100) n++;
            return n > 500;
        }"""
    )
    caption, pixels = panel.part("plot").locator("figcaption"), panel.canvas_hash()
    panel.part("channel").locator("select").select_option(label="Cz")
    expect(caption).to_contain_text("Channel Cz")
    deadline = time.monotonic() + harness.PATIENCE / 1000
    while panel.canvas_hash() == pixels and time.monotonic() < deadline:
        page.wait_for_timeout(100)
    assert panel.canvas_hash() != pixels
    assert panel.part("plot").locator(".jupyter-matplotlib-canvas-div").count() == 1
    assert page.locator(".fnb-report:visible").count() == 0
    page.screenshot(path=shots / "panel-voila.png", full_page=True)
    check_tabs(None, panel, ("Run", "Save", "Compare"), ("Light",))  # what a result changes
    panel.turn_to("Chain")
    panel.part("steps").locator("select").select_option(index=1)
    expect(panel.part("step-head")).to_contain_text("2. Slow")
    panel.turn_to("Save")
    assert panel.code().count("Slow(") == 3
