"""The studio without a browser: what its widgets hold, and what they do."""

from __future__ import annotations

import asyncio
import re
import time

import numpy as np
import pytest

import facet_nb
from facet_nb.core import Pipeline
from facet_nb.core.events import BatchDone, RunStarted, StageStarted, StepTime
from facet_nb.models import RunModel
from facet_nb.models.studio_model import SCREENS
from facet_nb.widgets import ChainEditor, RunPanel, Studio, rerun_guard
from facet_nb.widgets.panel import Panel
from facet_nb.widgets.resource_sparkline import write_sparklines
from tests.models.helpers import Choosy, Gate, Halve, make_simulation
from tests.widgets.finding import all_html, find, list_widgets

HOSTILE = "<img src=x onerror=alert(1)> & 'C4'"


@pytest.fixture(scope="module")
def simulation():
    return make_simulation()


@pytest.fixture
def studio(simulation):
    return Studio(simulation, Pipeline([Halve(), Halve()]), cores=4)


def test_public_names():
    for name in ("Studio", "SignalView", "ChainEditor", "RunPanel"):
        assert getattr(facet_nb, name).__name__ == name


@pytest.mark.parametrize("screen", SCREENS)
def test_one_screen_is_shown(studio, screen):
    studio.rail.press("show", screen)
    seen = [name for name, page in studio.pages.items() if page.layout.display != "none"]
    assert seen == [screen]
    shown = "Run" if screen == "Compare" else screen
    assert studio.rail.html.count('aria-current="step"') == 1
    assert (
        f'data-value="{shown}"'
        in studio.rail.html.partition("aria-current")[0].rpartition("<li")[2]
    )


@pytest.mark.parametrize(
    "name", ["run", "cancel", "progress", "status", "log", "code", "grid", "forecast", "error"]
)
def test_classes_for_people_who_style_it(studio, name):
    assert find(studio, f"fnb-{name}") is not None


def list_labels(studio) -> list[str]:
    """Return which signals the canvas has, without the truth and what was removed."""
    signals = find(studio, "fnb-signal-plot").meta["signals"]
    return [s["label"] for s in signals if s["label"] not in ("truth", "removed")]


def test_a_run_from_the_button(studio, simulation):
    find(studio, "fnb-run").click()
    assert studio.wait(10) and studio.status == "done" and studio.result.success
    assert np.array_equal(studio.result.context.get_data(), 0.25 * simulation.raw.get_data())
    assert "Done in" in studio.rail.html
    assert "from the last run" in find(studio, "fnb-forecast").value
    cost = studio.transport.html.split('class="fnb-cost">')[1]
    time = re.match(r'<b title="time from the last run[^"]*">(.*?)</b>', cost)[1]
    assert re.fullmatch(r"[\d.]+( m?s)? to [\d.]+ m?s|about [\d.]+ m?s", time)
    assert re.search(r">predicted, \d+ MB$", cost.split("</b>")[1].split("</span>")[0])
    assert 'class="fnb-strips"' in find(studio, "fnb-strip-chart").value
    assert list_labels(studio) == ["recording", "corrected"]
    assert "Same" not in studio.picture.html and "worker 1" in studio.picture.html
    html = studio.to_html()
    assert "data:image/svg+xml" in html and "Pipeline(" in html and "Done in" in html


def test_changing_the_chain_changes_run_and_code(studio):
    find(studio, "fnb-new-step").value = "highpass_filter"
    find(studio, "fnb-add").click()
    assert "give a number" in find(studio, "fnb-chain-problem").value
    assert find(studio, "fnb-run").disabled
    assert "give a number" in find(studio, "fnb-forecast").value
    assert "# The chain on screen cannot run" in find(studio, "fnb-code").value
    find(studio, "fnb-field-freq").value = "1"
    assert not find(studio, "fnb-run").disabled
    assert "HighPassFilter(freq=1.0)" in find(studio, "fnb-code").value
    find(studio, "fnb-field-freq").value = "1000"
    assert "Nyquist" in find(studio, "fnb-step-head").value
    assert find(studio, "fnb-run").disabled


def test_the_plan_follows_mode_and_chain(studio):
    assert find(studio, "fnb-plan-drawing").value.count("fnb-stage-wise") == 1
    studio.model.run.mode = "parallel"
    drawing = find(studio, "fnb-plan-drawing").value
    assert drawing.count("fnb-stage-wise") == 2 and "one step at a time" in drawing
    studio.model.chain.remove()
    assert find(studio, "fnb-plan-drawing").value.count("fnb-stage-wise") == 1


def test_buttons_of_the_list(studio):
    editor = studio.chain
    assert editor.up.disabled and not editor.down.disabled
    editor.down.click()
    assert editor.model.selected == 1 and editor.steps.index == 1
    editor.toggle.click()
    assert "(off) halve" in editor.steps.options[1][0] and editor.toggle.description == "On"
    editor.remove.click()
    editor.remove.click()
    assert editor.steps.options == () and editor.remove.disabled
    assert "The chain is empty" in find(studio, "fnb-step-head").value
    editor.new.value = "no such step"
    editor.add.click()
    assert "cannot be added" in editor.said.value and editor.steps.options == ()


def test_yaml(simulation, tmp_path):
    from facet_nb import HighPassFilter

    editor = ChainEditor(Pipeline([HighPassFilter(1.0)]), simulation)
    find(editor, "fnb-yaml-switch").value = True
    assert "highpass_filter" in find(editor, "fnb-yaml").value
    find(editor, "fnb-yaml-file").value = str(tmp_path / "chain.yaml")
    find(editor, "fnb-yaml-save").click()
    assert "Saved to" in editor.yaml_said.value
    find(editor, "fnb-yaml").value = find(editor, "fnb-yaml").value.replace("1.0", "2.0")
    find(editor, "fnb-yaml-use").click()
    assert editor.pipeline[0].freq == 2.0
    find(editor, "fnb-yaml-load").click()
    assert editor.pipeline[0].freq == 1.0
    find(editor, "fnb-yaml").value = "processors: 3"
    find(editor, "fnb-yaml-use").click()
    assert "Not loaded" in editor.yaml_said.value and len(editor.pipeline) == 1


def test_loading_another_recording(studio):
    find(studio, "fnb-recording").value = "example"
    find(studio, "fnb-load").click()
    studio.model.recording.wait()
    assert "6 channels × 36 s" in studio.head.html
    assert "3.5 MB" in find(studio, "fnb-facts").value
    assert find(studio, "fnb-events").value == "Stimulus/S  1"
    assert len(find(studio, "fnb-signal-channels").options) == 6
    find(studio, "fnb-recording").value = "file"
    find(studio, "fnb-path").value = "missing.vhdr"
    find(studio, "fnb-load").click()
    studio.model.recording.wait()
    said = find(studio, "fnb-load-status").value
    assert "missing.vhdr" in said and "still in use" in said


def test_trigger_button_adds_a_detector(studio):
    find(studio, "fnb-use-trigger").click()
    assert studio.pipeline[0].name == "trigger_detector" and studio.model.chain.problem == ""


def test_failure(simulation):
    studio = Studio(simulation, Pipeline([Halve(), Choosy("C3")]), backend="serial")
    assert not studio.run().success
    assert "Step 2 (choosy), channel C3" in find(studio, "fnb-error").value
    assert "Stopped at C3" in studio.rail.html
    assert list_labels(studio) == ["recording"]
    assert "Step 2 (choosy), channel C3" in studio.to_html()


def test_names_are_text(simulation):
    raw = simulation.raw.copy().rename_channels({"C3": HOSTILE}, verbose="error")
    raw.annotations.description[:] = HOSTILE
    studio = Studio(raw, Pipeline([Choosy(HOSTILE)], name=HOSTILE), backend="serial")
    studio.run()
    for screen in SCREENS:
        studio.show(screen)
    good = Studio(raw, Pipeline([Halve()], name=HOSTILE))
    good.run()
    for shown in (studio, good):
        html = all_html(shown) + shown.to_html()
        assert "<img src=x" not in html and "&lt;img src=x" in html


def test_every_control_has_a_name(studio):
    for widget in list_widgets(studio):
        if hasattr(widget, "children") or type(widget).__name__ in (
            "HTML",
            "SignalCanvas",
            "LiveHtml",
        ):
            continue  # the page names the parts of a canvas: tests/browser
        named = getattr(widget, "description", "") or getattr(widget, "tooltip", "")
        assert named, widget


def test_strip_of_few_samples():
    from facet_nb.models.resource_meter import ResourceSample

    assert write_sparklines((), 2) == ""
    one = write_sparklines((ResourceSample(0.0, 10**8, 0.0, 1),), 2)
    assert "Memory now 100 MB, most 100 MB (1 process" in one and "nan" not in one
    two = write_sparklines(
        (ResourceSample(0.0, 10**8, 0.0, 1), ResourceSample(1.0, 2 * 10**8, 150.0, 3)), 2
    )
    assert "CPU now 150 %, most 150 % of 200 %" in two and "3 processes" in two


def test_two_panels_do_not_disturb_each_other(simulation):
    gate = Gate()
    first = RunPanel(Pipeline([Halve(), gate]), simulation)
    second = RunPanel(Pipeline([Halve()]), simulation)
    first.start()
    assert gate.reached.wait(10)
    assert second.run().success and first.status == "running"
    first.model.drain()
    assert second.status == "done" and "Done in" in find(second, "fnb-status").value
    assert "Running" in find(first, "fnb-status").value
    gate.open.set()
    assert first.wait(10) and first.status == "done"


def test_one_model_in_two_panels(simulation):
    model = RunModel(Pipeline([Halve()]), simulation)
    first, second = RunPanel(model), RunPanel(model)
    second.settings.n_jobs.box.value = 1
    model.run()
    assert "Done in" in find(first, "fnb-status").value and first.result is second.result


# --- running a cell again --------------------------------------------------------------------


@pytest.fixture
def cell(monkeypatch):
    """Which cell runs, as a test says."""
    now = {"cell": "a", "execution": "1"}
    monkeypatch.setattr(rerun_guard, "find_cell", lambda: (now["cell"], now["execution"]))
    monkeypatch.setattr(rerun_guard, "_BY_CELL", {})
    return now


def test_running_a_cell_again_cancels_what_its_old_panel_does(simulation, cell):
    old = RunPanel(Pipeline([Halve(0.2)] * 3), simulation)
    beside = RunPanel(Pipeline([Halve()]), simulation)  # the same execution: it may stay
    old.start()
    cell["cell"] = "b"
    other = RunPanel(Pipeline([Halve()]), simulation)
    assert old.status == "running" and find(other, "fnb-notice").value == ""
    cell.update(cell="a", execution="2")
    new = RunPanel(Pipeline([Halve()]), simulation)
    assert "was cancelled" in find(new, "fnb-notice").value
    assert old.wait(5) and old.status == "cancelled"
    assert old.comm is None and beside.comm is None  # their views are gone
    assert new.run().success and other.run().success


def test_an_idle_panel_is_replaced_in_silence(simulation, cell):
    old = Studio(simulation, Pipeline([Halve()]))
    cell["execution"] = "2"
    assert find(Studio(simulation, Pipeline([Halve()])), "fnb-notice").value == ""
    assert old.run().success  # the object still works, without a view


def test_outside_of_a_notebook_there_is_no_cell():
    assert rerun_guard.find_cell() == ("", "")
    assert Panel([]).stop() is False


# --- pace ------------------------------------------------------------------------------------


def test_at_most_ten_updates_a_second(simulation):
    """Whatever a run emits, its panel changes at most ten times a second."""

    async def watch() -> tuple[int, float]:
        panel = RunPanel(Pipeline([Halve(0.005)] * 40), simulation)
        changes = []
        panel.model.observe(lambda _: changes.append(time.monotonic()), "state")
        begin_s = time.monotonic()
        panel.start()
        while panel.model.running:
            await asyncio.sleep(0.02)
        took_s = time.monotonic() - begin_s
        assert len(panel.result.state.cells) == 160
        return len(changes), took_s

    n, took_s = asyncio.run(watch())
    assert 2 <= n <= 10 * took_s + 2


def test_following_a_run_costs_little(simulation):
    """Ten updates a second take less than 3 % of one core, with 32 channels and 8 steps."""
    panel = RunPanel(Pipeline([Halve()] * 8), simulation)
    model, channels, now = panel.model, [f"E{i}" for i in range(32)], time.time()
    model._begin_s, model.status = now, "running"
    batches = tuple((name,) for name in channels)
    model._put(RunStarted(now, "serial", "serial", 1, 1, tuple("abcdefgh"), 1))
    model._put(StageStarted(now, 0, tuple(range(8)), batches, "why"))
    costs_s = []
    for i, name in enumerate(channels):
        times = tuple(StepTime(s, 0.1, 0.1) for s in range(8))
        model._put(BatchDone(now, 0, i, (name,), times, 1, 10**8))
        begin_s = time.thread_time()
        model.drain()
        costs_s.append(time.thread_time() - begin_s)
    assert find(panel, "fnb-grid").value.count("fnb-cell-done") == 8 * 32
    assert 10 * sorted(costs_s)[16] < 0.03


def test_saved_while_it_runs_it_says_what_that_means(simulation):
    gate = Gate()
    studio = Studio(simulation, Pipeline([gate]))
    studio.model.run.start()
    assert gate.reached.wait(10)
    studio.model.run.drain()
    assert re.search("kernel was restarted or stopped before the run ended", studio.to_html())
    gate.open.set()
    assert studio.wait(10) and "restarted" not in studio.to_html()
