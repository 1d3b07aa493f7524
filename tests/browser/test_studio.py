"""A session in the studio: 64 channels, a hostile name, a wrong argument, cancel, reload, failure."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.harness import Lab, Panel
from tests.browser.looking import list_clipped, list_nameless, list_pale
from tests.browser.steps import HOSTILE

pytestmark = pytest.mark.browser
LONG = 30_000


def turn_to(panel: Panel, title: str) -> None:
    """Choose a tab."""
    panel.root.get_by_role("tab", name=title, exact=True).click()
    expect(panel.part(f"tab-{title.lower()}")).to_be_visible()


def check_readable(panel: Panel) -> None:
    """Every control has a name, every text enough contrast and room."""
    assert list_nameless(panel.root) == []
    assert list_pale(panel.root) == {}
    assert list_clipped(panel.root) == []


def type_into(panel: Panel, name: str, text: str) -> None:
    """Type into a field, key by key."""
    box = panel.part(name).locator("input")
    box.fill("")
    box.press_sequentially(text)


def test_a_session(page, lab_server, workdir, complaints, shots):
    lab = Lab(page, *lab_server).open("studio.ipynb")
    lab.run_all()
    assert lab.errors() == []
    panel = Panel(page, lab.notebook)
    expect(panel.part("headline")).to_contain_text("64 channels × 16 s")

    look_at_the_recording(page, panel)
    change_the_chain(panel)
    run_and_cancel(page, lab, panel)
    run_again_and_reload(page, lab, panel)
    panel = Panel(page, lab.notebook)
    let_it_fail(panel, page, shots)
    run_the_cell_again(page, lab)
    assert complaints == []


def look_at_the_recording(page, panel: Panel) -> None:
    expect(panel.part("facts")).to_contain_text("64 (64 eeg)")
    plot = panel.part("signal-plot")
    expect(plot.locator("svg")).to_be_visible()
    channels = panel.part("signal-channels").locator("select")
    channels.select_option(label=HOSTILE)
    expect(plot.locator("polyline")).to_have_count(1)
    expect(plot.locator("title")).to_have_text(HOSTILE)
    begin = panel.part("signal-view").get_by_label("From (s)").input_value()
    panel.part("signal-view").get_by_role("button", name="Forward").press("Enter")
    expect(panel.part("signal-view").get_by_label("From (s)")).not_to_have_value(begin)
    check_readable(panel)


def change_the_chain(panel: Panel) -> None:
    turn_to(panel, "Chain")
    type_into(panel, "field-seconds", "soon")
    expect(panel.part("chain-problem")).to_contain_text("Step 1 (slow): seconds: 'soon' is not a")
    check_readable(panel)
    turn_to(panel, "Run")
    expect(panel.part("run")).to_be_disabled()
    expect(panel.part("forecast")).to_contain_text("is not a number")
    turn_to(panel, "Chain")
    type_into(panel, "field-seconds", "0.03")
    expect(panel.part("chain-problem")).to_contain_text("The chain can run")
    panel.part("steps").locator("select").select_option(index=2)
    panel.part("toggle").click()
    expect(panel.part("steps")).to_contain_text("3. (off) slow")
    expect(panel.part("plan-drawing").locator(".fnb-stage")).to_have_count(1)


def run_and_cancel(page, lab: Lab, panel: Panel) -> None:
    turn_to(panel, "Run")
    expect(panel.part("run")).to_be_enabled()
    panel.part("run").press("Enter")
    expect(panel.part("status")).to_contain_text("Running steps 1 to 2 of 2")
    page.wait_for_function("() => document.querySelectorAll('.fnb-cell-done').length > 3")
    expect(panel.part("strip-chart")).to_contain_text("Memory now")
    # Another cell can run meanwhile.
    page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 2; }")
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-cell')")
    expect(lab.notebook.locator(".jp-OutputArea-output").last).to_contain_text("another cell")
    expect(panel.part("status")).to_contain_text("Running")
    panel.part("cancel").click()
    expect(panel.part("status")).to_contain_text("Cancelled after", timeout=10_000)


def run_again_and_reload(page, lab: Lab, panel: Panel) -> None:
    """A reload of the page in mid-run: the run goes on, and the panel shows it."""
    panel.choose("backend", "threading")
    panel.part("run").click()
    expect(panel.part("status")).to_contain_text("Running")
    lab.save()
    lab.open("studio.ipynb")
    panel = Panel(page, lab.notebook)
    expect(panel.part("headline")).to_contain_text(re.compile("Running|Done in"), timeout=LONG)
    turn_to(panel, "Run")
    expect(panel.part("status")).to_contain_text("Done in", timeout=LONG)
    assert panel.percent() == 100
    expect(panel.part("grid")).to_contain_text("2 channels in a cell")
    expect(panel.part("plot").locator("img")).to_be_visible()
    panel.choose("what", "spectrum")
    expect(panel.part("plot").locator("figcaption")).to_contain_text("Power spectrum")
    expect(panel.part("forecast")).to_contain_text("from the last run with these settings")
    check_readable(panel)
    turn_to(panel, "Recording")
    expect(panel.part("signal-plot").locator(".fnb-trace-corrected polyline")).not_to_have_count(0)
    turn_to(panel, "Code")
    assert 'backend="threading"' in panel.code() and panel.code().count("Slow(") == 2
    check_readable(panel)


def let_it_fail(panel: Panel, page, shots) -> None:
    turn_to(panel, "Chain")
    panel.part("new-step").locator("input").fill("choosy")
    panel.part("add").click()
    expect(panel.part("step-head")).to_contain_text("Choosy")
    panel.part("up").click()
    turn_to(panel, "Run")
    panel.part("run").click()
    expect(panel.part("status")).to_contain_text("Failed after", timeout=LONG)
    expect(panel.part("error").locator("strong")).to_contain_text(HOSTILE)
    expect(panel.part("error").locator("pre")).not_to_be_visible()
    page.screenshot(path=shots / "studio-failed.png")
    check_readable(panel)


def run_the_cell_again(page, lab: Lab) -> None:
    """The old panel's run ends, and the new panel says so."""
    panel = Panel(page, lab.notebook)
    turn_to(panel, "Chain")
    panel.part("remove").click()
    turn_to(panel, "Run")
    panel.part("run").click()
    expect(panel.part("status")).to_contain_text("Running")
    page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 1; }")
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-cell')")
    expect(panel.part("notice")).to_contain_text("was cancelled", timeout=LONG)
    expect(panel.part("headline")).not_to_contain_text("Running")
