"""What a person sees and does: a panel in JupyterLab, from the first look to the saved file."""

from __future__ import annotations

import re
import time

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser.harness import PATIENCE, Lab, Panel
from tests.browser.steps import HOSTILE

pytestmark = pytest.mark.browser


def open_panel(page, lab_server, notebook: str) -> tuple[Lab, Panel]:
    """Open a notebook, run it, and return its panel."""
    lab = Lab(page, *lab_server).open(notebook)
    lab.run_all()
    assert lab.errors() == []
    panel = Panel(page, lab.notebook)
    expect(panel.part("run")).to_be_visible()
    return lab, panel


def watch(panel: Panel, page, n: int = 4) -> list[float]:
    """Return the bar's positions until there are `n` different ones."""
    seen: list[float] = []
    deadline = time.monotonic() + PATIENCE / 1000
    while len(set(seen)) < n and time.monotonic() < deadline:
        seen.append(panel.percent())
        page.wait_for_timeout(60)
    return seen


def list_nameless(panel: Panel) -> list[str]:
    """Return controls that a screen reader could not name."""
    return panel.root.locator("select, input, textarea, button").evaluate_all(
        """controls => controls.filter(c => !(
            c.getAttribute('aria-label') || c.title || c.textContent.trim() ||
            [...(c.labels || [])].some(l => l.textContent.trim())
        )).map(c => c.outerHTML)"""
    )


def test_run_cancel_and_run_again(page, lab_server, workdir, complaints, shots):
    lab, panel = open_panel(page, lab_server, "slow.ipynb")
    expect(panel.part("status")).to_contain_text("Ready: 3 steps on 8 channels")
    expect(panel.part("cancel")).to_be_disabled()
    assert list_nameless(panel) == []
    page.screenshot(path=shots / "panel-idle.png")

    # Mode and workers, by mouse and keyboard; slider and box follow each other.
    panel.choose("mode", "parallel")
    panel.press_slider("n-jobs", "ArrowRight")
    expect(panel.part("n-jobs").locator("input")).to_have_value("2")
    panel.type_number("n-jobs", 1)
    expect(panel.part("n-jobs").locator(".noUi-handle")).to_have_attribute("aria-valuenow", "1.0")
    panel.choose("backend", "threading")
    expect(panel.part("code").locator("textarea")).to_have_value(re.compile('mode="parallel"'))
    assert 'backend="threading"' in panel.code() and "n_jobs=1" in panel.code()

    # A run that is cancelled on the way, both by keyboard.
    panel.part("run").press("Enter")
    expect(panel.part("status")).to_contain_text("Running step 1 of 3: slow")
    expect(panel.part("run")).to_be_disabled()
    seen = watch(panel, page)
    assert len(set(seen)) >= 4 and seen == sorted(seen), seen
    assert 0 < panel.n_done() < 24
    expect(panel.part("time")).to_contain_text(re.compile(r"\d+ % · \d+\.\d s, about .+ left"))
    page.screenshot(path=shots / "panel-running.png")
    panel.part("cancel").press("Enter")
    expect(panel.part("status")).to_contain_text("Cancelled after")
    stopped = panel.percent()
    page.wait_for_timeout(600)
    assert panel.percent() == stopped < 100
    expect(panel.part("run")).to_be_enabled()
    page.screenshot(path=shots / "panel-cancelled.png")

    # And again, with other settings, to the end.
    panel.choose("mode", "channel_sequential")
    panel.type_number("n-jobs", 2)
    panel.part("run").click()
    expect(panel.part("status")).to_contain_text("Done in")
    panel.wait_for_all(24)
    picture = panel.part("plot").locator("img")
    expect(picture).to_be_visible()
    assert picture.evaluate("i => i.complete && i.naturalWidth") > 300
    expect(picture).to_have_attribute("alt", re.compile(r"µV RMS before, .+ µV RMS after"))
    expect(panel.part("metrics")).to_contain_text("peak to peak (µV)")
    expect(panel.part("log")).to_contain_text("done in")
    page.set_viewport_size({"width": 1280, "height": 2000})
    page.screenshot(path=shots / "panel-done.png")

    check_hostile_channel(panel)
    check_copy(panel)
    check_saved_file(lab, workdir / "slow.ipynb")
    assert complaints == []


def check_hostile_channel(panel: Panel) -> None:
    """A name that looks like HTML and mathematics is text in grid, list and plot."""
    expect(panel.part("grid").locator("thead")).to_contain_text(HOSTILE)
    panel.choose("channel", HOSTILE)
    expect(panel.part("plot").locator("figcaption")).to_contain_text(HOSTILE)
    assert panel.root.locator("img[src='x']").count() == 0


def check_copy(panel: Panel) -> None:
    """The button copies what is shown, or selects it where a browser does not allow that."""
    panel.part("copy").click()
    note = panel.part("copy").locator("xpath=following-sibling::span")
    expect(note).to_have_text(re.compile("Copied|Selected"))
    area = panel.part("code").locator("textarea")
    selected = area.evaluate("t => t.value.slice(t.selectionStart, t.selectionEnd)")
    assert selected == panel.code() != ""


def check_saved_file(lab: Lab, path) -> None:
    """The file holds the result as HTML; the page does not show it twice."""
    assert lab.notebook.locator(".fnb-report:visible").count() == 0
    lab.save()
    outputs = nbformat.read(path, as_version=4).cells[-1].outputs
    reports = [o.data["text/html"] for o in outputs if "text/html" in o.get("data", {})]
    assert len(reports) == 1
    assert "Done in" in reports[0] and "data:image/svg+xml" in reports[0]
    assert "channel_sequential" in reports[0]


def test_saved_file_without_a_kernel(page, lab_server, workdir, complaints, shots):
    """Opened again, with no kernel behind it, the notebook still shows what was found."""
    path = workdir / "slow.ipynb"
    if not nbformat.read(path, as_version=4).cells[-1].outputs:
        pytest.skip("needs the notebook that the test before it saved")
    lab = Lab(page, *lab_server).open("slow.ipynb", kernel=False)
    report = lab.notebook.locator(".fnb-report")
    expect(report).to_be_visible()
    expect(report).to_contain_text("Done in")
    expect(report.locator("img")).to_be_visible()
    page.screenshot(path=shots / "panel-saved.png")


def test_failure_names_step_and_channel(page, lab_server, complaints, shots):
    _, panel = open_panel(page, lab_server, "failing.ipynb")
    panel.choose("backend", "threading")
    panel.part("run").click()
    expect(panel.part("status")).to_contain_text("Failed after")
    expect(panel.part("status")).to_contain_text(f"Step 2 (choosy), channel {HOSTILE}")
    error = panel.part("error")
    expect(error.locator("strong")).to_have_text(f"Step 2 (choosy), channel {HOSTILE}")
    expect(error.locator("p")).to_have_text("ValueError: this channel is <b>not</b> to my taste")
    expect(error.locator("pre")).not_to_be_visible()
    page.screenshot(path=shots / "panel-failed.png")
    error.locator("summary").click()
    expect(error.locator("pre")).to_contain_text("ValueError")
    expect(panel.part("grid").locator(".fnb-cell-failed")).to_have_count(1)
    expect(panel.part("run")).to_be_enabled()
    assert complaints == []


def test_one_core_still_works(page, lab_server, complaints, shots):
    _, panel = open_panel(page, lab_server, "one_core.ipynb")
    expect(panel.part("n-jobs")).to_contain_text("this process may use one core")
    assert panel.number("n-jobs") == panel.number("n-workers") == 1
    panel.part("run").click()
    expect(panel.part("status")).to_contain_text("Done in")
    assert complaints == []
