"""A study in JupyterLab: a folder is named, runs, and its page is written."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.harness import Lab
from tests.browser.page_checks import list_faults

pytestmark = pytest.mark.browser


def test_a_study_from_a_folder_to_its_page(page, lab_server, workdir, complaints, shots):
    lab = Lab(page, *lab_server).open("batch.ipynb")
    lab.run_all()
    panel = lab.notebook.locator(".fnb-batch")
    status = panel.locator(".fnb-batch-status")
    expect(status).to_contain_text("Ready")
    start = panel.locator(".fnb-batch-start")
    start.click()
    expect(panel.locator(".fnb-batch-said")).to_contain_text("name a folder")

    for name, text in (("places", "day1"), ("output", "corrected")):
        field = panel.locator(f".fnb-batch-{name} input")
        field.fill(text)
        field.press("Enter")
    start.click()
    expect(panel.locator(".fnb-running").first).to_be_visible()
    page.screenshot(path=shots / "batch-running.png")
    expect(panel.locator(".fnb-batch-cancel")).to_be_enabled()
    expect(status).to_contain_text("Done: 2 of 3 corrected, 1 not.")
    rows = panel.locator("tbody tr")
    expect(rows.first).to_contain_text("bad.edf")  # the worst first
    expect(panel.locator("[id$=-failures]")).to_contain_text("bad.edf")
    panel.locator(".fnb-batch-report").click()
    expect(panel.locator(".fnb-batch-said")).to_contain_text("study.html")
    assert "3 recordings: 2 done, 1 failed." in (workdir / "corrected/study.html").read_text()

    for theme in ("Dark", "Light"):
        lab.set_theme(theme)
        page.screenshot(path=shots / f"batch-done-{theme.lower()}.png")
        assert list_faults(panel) == {}
    assert complaints == [] and lab.errors() == []
