"""The quickstart as a newcomer meets it: first as it was saved, then alive."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.harness import Lab, Panel

pytestmark = pytest.mark.browser


def test_quickstart(page, lab_server, complaints, shots):
    lab = Lab(page, *lab_server).open("01_quickstart.ipynb")
    # Not yet run, and not trusted: the saved result of the panel is there all the same.
    saved = lab.notebook.locator(".fnb-report")
    expect(saved).to_contain_text("Done in")
    picture = saved.locator("img")
    expect(picture).to_be_visible()
    assert picture.evaluate("i => i.complete && i.naturalWidth") > 300

    lab.run_all()
    assert lab.errors() == []
    panel = Panel(page, lab.notebook)
    expect(panel.part("status")).to_contain_text("Done in")
    expect(panel.part("metrics")).to_contain_text("SNR against the truth")
    expect(panel.part("plot").locator("canvas").first).to_be_visible()
    panel.wait_for_all(3 * 6)
    expect(lab.notebook.locator(".fnb-report:visible")).to_have_count(0)

    # And once more, from the panel.
    panel.choose("mode", "parallel")
    panel.type_number("n-jobs", 2)
    panel.part("run").click()
    expect(panel.part("log")).to_contain_text("started: parallel, 3 steps, 2 jobs (threading)")
    expect(panel.part("status")).to_contain_text("Done in")
    page.set_viewport_size({"width": 1280, "height": 2200})
    panel.root.scroll_into_view_if_needed()
    page.screenshot(path=shots / "quickstart.png")
    assert complaints == []
