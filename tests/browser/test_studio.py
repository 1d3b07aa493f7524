"""A session in the studio: 64 channels, a hostile name, a wrong argument, cancel, reload."""

from __future__ import annotations

import re
import time

import psutil
import pytest
from playwright.sync_api import expect

from tests.browser.harness import PATIENCE, TABS, Lab, Panel
from tests.browser.page_checks import (
    check_tabs,
    list_broken,
    list_clipped,
    list_faults,
    list_sideways,
    list_unreachable,
)
from tests.browser.steps import HOSTILE

pytestmark = pytest.mark.browser


def choose_step(panel: Panel, number: int) -> None:
    """Choose a step, and wait for its form: keys for the old one would go to JupyterLab."""
    panel.part("steps").locator("select").select_option(index=number - 1)
    expect(panel.part("step-head").locator("strong")).to_contain_text(f"{number}. ")


def type_into(panel: Panel, name: str, text: str) -> None:
    """Type into a field, key by key."""
    box = panel.part(name).locator("input")
    box.fill("")
    box.press_sequentially(text)


def test_a_session(page, lab_server, workdir, complaints, shots):
    others = list_workers()  # of kernels that earlier tests have left
    lab = Lab(page, *lab_server).open("studio.ipynb")
    lab.run_all()
    assert lab.errors() == []
    panel = Panel(page, lab.notebook)
    expect(panel.part("headline")).to_contain_text("64 channels × 16 s")

    check_tabs(lab, panel)
    panel.turn_to("Recording")
    look_at_the_recording(page, panel)
    change_the_chain(panel)
    run_and_cancel(page, lab, panel)
    run_again_and_reload(page, lab, panel)
    panel = Panel(page, lab.notebook)
    let_it_fail(lab, panel, page, shots)
    run_the_cell_again(page, lab)
    restart_the_kernel(page, lab, others)
    assert complaints == []


def look_at_the_recording(page, panel: Panel) -> None:
    expect(panel.part("facts")).to_contain_text("64 (64 eeg)")
    plot = panel.part("signal-plot")
    expect(plot.locator(".fnb-sv-says")).to_contain_text("recording and preview: 8 channels")
    channels = panel.part("tab-recording").locator(".fnb-signal-channels select")
    channels.select_option(label=HOSTILE)
    expect(plot.locator(".fnb-sv-says")).to_contain_text(f"1 channel ({HOSTILE})")
    assert list_faults(panel.part("signal-view")) == {}


def change_the_chain(panel: Panel) -> None:
    panel.turn_to("Chain")
    type_into(panel, "field-seconds", "soon")
    expect(panel.part("chain-problem")).to_contain_text("Step 1 (slow): seconds: 'soon' is not a")
    assert list_faults(panel.root) == {}
    panel.turn_to("Run")
    expect(panel.part("run")).to_be_disabled()
    expect(panel.part("forecast")).to_contain_text("is not a number")
    panel.turn_to("Chain")
    # Long enough for all that is looked at during the run, on a busy machine too.
    type_into(panel, "field-seconds", "2.4")
    expect(panel.part("chain-problem")).to_contain_text("The chain can run")
    choose_step(panel, 3)
    panel.part("toggle").click()
    expect(panel.part("steps")).to_contain_text("3. (off) slow")
    expect(panel.part("plan-drawing").locator(".fnb-stage")).to_have_count(1)


def run_and_cancel(page, lab: Lab, panel: Panel) -> None:
    panel.turn_to("Run")
    expect(panel.part("run")).to_be_enabled()
    panel.type_number("n-jobs", 2)
    panel.part("run").press("Enter")
    expect(panel.part("status")).to_contain_text("Running steps 1 to 2 of 2")
    page.wait_for_function("() => document.querySelectorAll('.fnb-cell-done').length > 3")
    expect(panel.part("strip-chart")).to_contain_text("Memory now")
    # Another cell can run meanwhile.
    lab.run_cell(2)
    expect(lab.notebook.locator(".jp-OutputArea-output").last).to_contain_text("another cell")
    expect(panel.part("status")).to_contain_text("Running")
    assert min(time_round_trip(panel) for _ in range(5)) < 0.5
    check_tabs(lab, panel, ("Run", "Tune"))  # what a run changes
    panel.turn_to("Run")
    expect(panel.part("status")).to_contain_text("Running")
    panel.part("cancel").click()
    expect(panel.part("status")).to_contain_text("Cancelled after")


def time_round_trip(panel: Panel) -> float:
    """Return how long it takes from a control to the kernel and back to the page, in s."""
    size = panel.number("batch-size") + 1
    begin_s = time.monotonic()
    panel.type_number("batch-size", size)
    expect(panel.part("code").locator("textarea")).to_have_value(re.compile(f"batch_size={size}"))
    return time.monotonic() - begin_s


def run_again_and_reload(page, lab: Lab, panel: Panel) -> None:
    """A reload of the page in mid-run: the run goes on, and the panel shows it."""
    panel.turn_to("Chain")
    choose_step(panel, 1)
    type_into(panel, "field-seconds", "0.03")
    panel.turn_to("Run")
    panel.type_number("batch-size", 1)
    panel.choose("backend", "threading")
    panel.part("run").click()
    expect(panel.part("status")).to_contain_text("Running")
    lab.save()
    lab.load("studio.ipynb")
    panel = Panel(page, lab.notebook)
    expect(panel.part("rail")).to_contain_text(re.compile("of 64 channels|Done in"))
    panel.turn_to("Run")
    expect(panel.part("status")).to_contain_text("Done in")
    panel.wait_for_all()
    expect(panel.part("grid")).to_contain_text("2 channels in a cell")
    expect(panel.part("plot").locator("img")).to_be_visible()
    panel.choose("what", "spectrum")
    expect(panel.part("plot").locator("figcaption")).to_contain_text("Power spectrum")
    expect(panel.part("forecast")).to_contain_text("from the last run with these settings")
    panel.turn_to("Compare")
    panel.part("keep").click()
    expect(panel.part("compare-table")).to_contain_text("Kept results: 1")
    check_tabs(lab, panel, ("Run", "Save", "Compare"))  # what a result changes
    says = panel.part("signal-plot").locator(".fnb-sv-says")
    expect(says).to_contain_text("difference")
    panel.turn_to("Save")
    expect(says).to_contain_text("recording and corrected")
    assert 'backend="threading"' in panel.code() and panel.code().count("Slow(") == 2


def let_it_fail(lab: Lab, panel: Panel, page, shots) -> None:
    """A file that does not exist, a table that does not, and a step that fails."""
    panel.turn_to("Recording")
    panel.part("recording").locator("select").select_option(label="a file")
    panel.part("path").locator("input").fill("missing.vhdr")
    panel.part("load").click()
    expect(panel.part("load-status")).to_contain_text("Not loaded")
    panel.turn_to("Tune")
    panel.part("table-file").locator("input").fill("missing.json")
    panel.part("load-table").click()
    expect(panel.part("file-said")).to_contain_text("Not possible")
    panel.turn_to("Chain")
    panel.part("new-step").locator("input").fill("choosy")
    panel.part("add").click()
    expect(panel.part("step-head")).to_contain_text("Choosy")
    panel.part("up").click()
    panel.turn_to("Run")
    panel.part("run").click()
    expect(panel.part("status")).to_contain_text("Failed after")
    expect(panel.part("error").locator("strong")).to_contain_text(HOSTILE)
    expect(panel.part("error").locator("pre")).not_to_be_visible()
    page.screenshot(path=shots / "studio-failed.png")
    panel.turn_to("Compare")
    panel.part("check").click()
    check_tabs(lab, panel, ("Recording", "Run", "Tune", "Compare"))  # what failed


def run_the_cell_again(page, lab: Lab) -> None:
    """The old panel's run ends, and the new panel says so."""
    panel = Panel(page, lab.notebook)
    panel.turn_to("Chain")
    panel.part("remove").click()
    panel.turn_to("Run")
    panel.part("run").click()
    expect(panel.part("status")).to_contain_text("Running")
    lab.run_cell(1)
    expect(panel.part("notice")).to_contain_text("was cancelled")
    expect(panel.part("rail")).not_to_contain_text("of 64 channels")


def restart_the_kernel(page, lab: Lab, others: list[psutil.Process]) -> None:
    """The workers of a run end with it, the page says so, and the cell gives a new panel."""
    panel = Panel(page, lab.notebook)
    panel.turn_to("Run")
    panel.choose("backend", "multiprocessing")
    panel.type_number("n-jobs", 2)
    expect(panel.part("lost")).not_to_be_visible()
    panel.part("run").click()
    page.wait_for_function("() => document.querySelectorAll('.fnb-cell-done').length > 3")
    workers = [p for p in list_workers() if p not in others]
    assert len(workers) >= 2
    lab.restart()
    expect(panel.part("lost")).to_contain_text("was restarted or has ended")
    expect(panel.part("headline")).not_to_be_visible()
    expect(panel.part("status")).not_to_be_visible()
    assert list_faults(panel.root) == {}
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []
    lab.run_all()
    panel = Panel(page, lab.notebook)
    panel.turn_to("Run")
    expect(panel.part("lost")).not_to_be_visible()
    panel.part("run").click()
    expect(panel.part("status")).to_contain_text("Done in")


def list_workers() -> list[psutil.Process]:
    """Return the processes of joblib that kernels of this test run have started."""
    children = psutil.Process().children(recursive=True)
    living = [p for p in children if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    return [p for p in living if "LokyProcess" in " ".join(p.cmdline())]


def test_one_screen(page, lab_server, complaints, shots):
    """A corrected window without a run, the keyboard, a first look, and a narrow window."""
    lab = Lab(page, *lab_server).open("one_screen.ipynb")
    page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    lab.run_all()
    panel = Panel(page, lab.notebook)
    tag = panel.part("sv-tag-fix")
    expect(tag).to_contain_text("after, preview")
    panel.part("state").locator("button").first.focus()
    page.keyboard.press("2")
    expect(panel.part("here")).to_contain_text("Chain")
    page.keyboard.press("3")
    page.keyboard.press("r")
    expect(panel.part("outcome")).to_contain_text("Cost")
    expect(tag).not_to_contain_text("preview")
    panel.part("outcome").locator("[data-act=check]").click()
    expect(panel.part("outcome")).to_contain_text("0 of 432 000 samples differ")
    page.keyboard.press("4")
    # A first look begins by itself.
    expect(panel.part("chart").first.locator(".fnb-hollow")).to_have_count(4)
    page.set_viewport_size({"width": 846, "height": 900})
    for screen in ("Recording", "Run", "Tune", "Save"):
        panel.part("state").locator(f"[data-value='{screen}']:not(.fnb-next)").click()
        assert list_sideways(panel.root) == [] and list_faults(panel.root) == {}
        assert list_unreachable(panel.root, 150) == [], screen
        page.screenshot(path=shots / f"studio-{screen.lower()}-760.png")
    page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    page.set_viewport_size({"width": 760, "height": 900})
    for screen in ("Recording", "Chain", "Run", "Tune", "Save"):  # beside the file browser
        panel.part("state").locator(f"[data-value='{screen}']:not(.fnb-next)").click()
        assert list_sideways(panel.root) == list_broken(panel.root) == [], screen
        page.screenshot(path=shots / f"studio-{screen.lower()}-files-760.png")
    assert lab.errors() == [] and complaints == []


def test_curves_that_grow(page, lab_server, workdir, complaints, shots):
    lab = Lab(page, *lab_server).open("tune.ipynb")
    lab.run_all()
    assert lab.errors() == []
    panel = Panel(page, lab.notebook)
    panel.turn_to("Tune")
    expect(panel.part("tune-forecast")).to_contain_text("configurations")

    panel.part("benchmark").click()
    expect(panel.part("benchmark-status")).to_contain_text("Measuring")
    (workdir / "gate" / "0").touch()
    panel.part("curves").locator("canvas").first.wait_for()
    assert list_faults(panel.root) == {}
    for number in range(1, 4):  # measured only when the picture before has been seen
        seen = panel.canvas_hash("curves")
        (workdir / "gate" / str(number)).touch()
        wait_for_another_picture(page, panel, seen)
    (workdir / "gate" / "all").touch()
    expect(panel.part("benchmark-status")).to_contain_text("Done")
    expect(panel.part("verdict").first).to_contain_text("parallel, 4 threads is 2.5")
    expect(panel.part("advice")).to_contain_text("it is the balanced one")
    page.set_viewport_size({"width": 1280, "height": 1700})
    page.screenshot(path=shots / "studio-tune.png")
    check_tabs(lab, panel, ["Tune"])

    click_in_the_map(page, panel)
    page.keyboard.press("Tab")  # which the plot would keep for itself
    inside = "() => !!document.activeElement.closest('.jupyter-matplotlib-canvas-div')"
    assert not page.evaluate(inside)
    expect(panel.part("curves").locator("figcaption")).to_contain_text("Chosen:")
    assert list_unreachable(panel.root) == []
    panel.turn_to("Run")
    assert panel.number("n-jobs") == 2 and panel.number("n-workers") == 1
    expect(panel.part("mode").locator("select")).to_have_value("channel_sequential")
    panel.turn_to("Save")
    assert "n_jobs=2" in panel.code() and 'backend="threading"' in panel.code()

    panel.turn_to("Tune")
    panel.part("replay").click()
    expect(panel.part("benchmark-status")).to_contain_text("without measuring")
    for _ in range(2):  # three pictures in all
        wait_for_another_picture(page, panel, panel.canvas_hash("curves"))
    expect(panel.part("benchmark-status")).to_contain_text("Done")
    check_saved(lab)
    look_through_a_narrow_window(page, panel)
    assert complaints == []


def look_through_a_narrow_window(page, panel: Panel) -> None:
    """In a window of 800 pixels nothing is cut off, and nothing has to be scrolled sideways."""
    page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    page.set_viewport_size({"width": 800, "height": 1700})
    page.wait_for_function(
        "() => { const c = document.querySelector('.fnb-curves canvas');"
        "return c && c.clientWidth > 400 && c.clientWidth < 600; }"
    )
    found = {}
    for tab in TABS:
        panel.turn_to(tab)
        found[tab] = list_sideways(panel.root) + list_clipped(panel.root)
    assert found == {tab: [] for tab in TABS}
    click_point_in_a_column(panel)


def wait_for_another_picture(page, panel: Panel, before: str) -> None:
    """Wait until the curves are drawn otherwise than before."""
    deadline = time.monotonic() + PATIENCE / 1000
    while panel.canvas_hash("curves") == before:
        assert time.monotonic() < deadline, "the picture does not change"
        page.wait_for_timeout(50)


def click_in_the_map(page, panel: Panel) -> None:
    """Click into the cell of two outer workers, one inner thread: middle column, lower row."""
    canvas = panel.part("curves").locator("canvas").last
    box = canvas.bounding_box()
    canvas.click(position={"x": 0.24 * box["width"], "y": 0.82 * box["height"]})


def click_point_in_a_column(panel: Panel) -> None:
    """Where the plot has been made narrower, a click still finds the point that is there."""
    panel.turn_to("Tune")
    canvas = panel.part("curves").locator("canvas").last
    box = canvas.bounding_box()
    canvas.click(position={"x": 0.22 * box["width"], "y": 0.64 * box["height"]})
    expect(panel.part("curves").locator("figcaption")).to_contain_text("Chosen: serial.")


def check_saved(lab: Lab) -> None:
    """What a saved notebook shows without a kernel: curves, verdict and table."""
    report = lab.notebook.locator(".fnb-report")
    expect(report).to_contain_text("parallel, 4 threads is 2.5")
    expect(report.locator("img[src^='data:image/svg+xml']")).not_to_have_count(0)
