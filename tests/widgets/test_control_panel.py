"""The panel without a browser: what its widgets hold."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest

import facet_nb
from facet_nb.core import Pipeline
from facet_nb.core.backends.registry import count_cores
from facet_nb.widgets import ControlPanel
from tests.models.helpers import Choosy, Gate, Halve, make_simulation

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def simulation():
    return make_simulation()


@pytest.fixture
def panel(simulation):
    return ControlPanel(Pipeline([Halve(), Halve()]), simulation, cores=4)


def list_widgets(widget) -> list:
    """Return a widget and all below it."""
    found = [widget]
    for child in getattr(widget, "children", ()):
        found += list_widgets(child)
    return found


def find(panel, css):
    """Return the one widget with a class."""
    (found,) = [w for w in list_widgets(panel) if css in getattr(w, "_dom_classes", ())]
    return found


def test_it_is_a_public_name():
    assert facet_nb.ControlPanel is ControlPanel


@pytest.mark.parametrize(
    "name",
    [
        "mode",
        "n-jobs",
        "n-workers",
        "backend",
        "batch-size",
        "run",
        "cancel",
        "progress",
        "status",
        "log",
        "code",
    ],
)
def test_classes_for_people_who_style_it(panel, name):
    assert find(panel, f"fnb-{name}") is not None


def test_idle(panel):
    assert find(panel, "fnb-mode").options == ("serial", "channel_sequential", "parallel", "auto")
    assert not find(panel, "fnb-run").disabled and find(panel, "fnb-cancel").disabled
    assert find(panel, "fnb-progress").value == 0.0
    assert "Ready: 2 steps on 4 channels × 15 s at 500 Hz" in find(panel, "fnb-status").value
    assert panel.result is None and panel.status == "idle"
    assert panel.results.widget.layout.display == "none"


def test_controls_and_model_follow_each_other(panel):
    find(panel, "fnb-mode").value = "parallel"
    panel.settings.n_jobs.slider.value = 3
    panel.settings.n_workers.box.value = 2
    find(panel, "fnb-batch-size").value = 5
    find(panel, "fnb-backend").value = "serial"
    assert panel.model.settings == {
        "mode": "parallel",
        "n_jobs": 3,
        "n_workers": 2,
        "backend": "serial",
        "batch_size": 5,
    }
    assert panel.settings.n_jobs.box.value == 3 and panel.settings.n_workers.slider.value == 2
    panel.model.n_jobs = 1
    assert panel.settings.n_jobs.box.value == panel.settings.n_jobs.slider.value == 1
    assert "n_workers=2" in find(panel, "fnb-code").value


def test_numbers_stay_within_the_cores(panel, simulation):
    panel.settings.n_jobs.box.value = 99
    assert panel.model.n_jobs == 4
    ours = ControlPanel(Pipeline([Halve()]), simulation)
    assert ours.settings.n_jobs.box.max == count_cores()


def test_one_core(simulation):
    panel = ControlPanel(Pipeline([Halve()]), simulation, cores=1)
    workers = panel.settings.n_jobs
    assert workers.slider.disabled and workers.slider.max > workers.slider.min
    workers.box.value = 7
    assert panel.model.n_jobs == 1 and panel.run().success


def test_sliders_speak_when_they_are_let_go(panel):
    assert panel.settings.n_jobs.slider.continuous_update is False


def test_plan_follows_the_settings(panel):
    find(panel, "fnb-mode").value = "auto"
    assert "threads on" in find(panel, "fnb-plan").value or "one core" in panel.settings.plan.value
    find(panel, "fnb-mode").value = "serial"
    assert "serial, 2 stages" in find(panel, "fnb-plan").value


def test_run_without_a_screen(panel, simulation):
    result = panel.run()
    assert result is panel.result and result.success and panel.status == "done"
    assert np.array_equal(result.context.get_data(), 0.25 * simulation.raw.get_data())
    assert find(panel, "fnb-progress").value == 1.0
    assert "Done in" in find(panel, "fnb-status").value
    assert find(panel, "fnb-grid").value.count("fnb-cell-done") == 8
    assert "data:image/svg+xml" in panel.results.image.value
    assert panel.results.widget.layout.display == ""
    assert "SNR against the truth" in find(panel, "fnb-metrics").value
    assert "done in" in find(panel, "fnb-log").value


def test_progress_moves_while_it_runs(simulation):
    gate = Gate()
    panel = ControlPanel(Pipeline([Halve(), gate, Halve()]), simulation)
    panel.settings.run.click()
    assert gate.reached.wait(10)
    panel.model.drain()
    assert 0 < find(panel, "fnb-progress").value < 1
    assert find(panel, "fnb-run").disabled and not find(panel, "fnb-cancel").disabled
    assert "Running step 2 of 3: gate" in find(panel, "fnb-status").value
    assert re.search(r"\d+ % · [\d.]+ m?s", find(panel, "fnb-time").value)
    gate.open.set()
    assert panel.wait(10) and panel.status == "done"


def test_cancel_button(simulation):
    panel = ControlPanel(Pipeline([Halve(0.1)] * 3), simulation)
    panel.settings.run.click()
    time.sleep(0.1)
    panel.settings.cancel.click()
    assert panel.wait(5) and panel.status == "cancelled"
    assert "Cancelled after" in find(panel, "fnb-status").value
    assert find(panel, "fnb-error").value == ""
    assert not find(panel, "fnb-run").disabled and find(panel, "fnb-cancel").disabled
    panel.settings.run.click()
    assert panel.wait(10) and panel.status == "done"


def test_failure_is_shown_with_step_and_channel(simulation):
    panel = ControlPanel(Pipeline([Halve(), Choosy("C3")]), simulation, backend="serial")
    assert not panel.run().success
    html = find(panel, "fnb-error").value
    assert "Step 2 (choosy), channel C3" in html
    assert "ValueError: this channel is &lt;b&gt;not&lt;/b&gt; to my taste" in html
    assert "<details>" in html and "Traceback" in html and "helpers.py" in html
    assert "fnb-cell-failed" in find(panel, "fnb-grid").value
    assert "Step 2 (choosy), channel C3" in find(panel, "fnb-status").value
    assert panel.results.widget.layout.display == "none"


def test_error_before_the_first_step():
    panel = ControlPanel(Pipeline([Halve()]), "missing.vhdr")
    assert not panel.run().success
    assert "missing.vhdr" in find(panel, "fnb-error").value
    assert find(panel, "fnb-grid").value == ""


def test_next_run_clears_the_last_error(simulation):
    step = Choosy("C3")
    panel = ControlPanel(Pipeline([step]), simulation, backend="serial")
    panel.run()
    step.channel = "nobody"
    assert panel.run().success
    assert find(panel, "fnb-error").value == "" and panel.model.failed_index is None


def test_another_channel_and_window(panel):
    panel.run()
    panel.results.channel.value = "C3"
    assert "Channel C3 from 0.0 to 5.0 s" in panel.results.image.value
    panel.results.begin_s.value, panel.results.span_s.value = 3.0, 1.0
    assert "Channel C3 from 3.0 to 4.0 s" in panel.results.image.value
    panel.results.begin_s.value = 999.0
    assert "no samples between" in panel.results.image.value
    panel.results.begin_s.value = 2.0
    panel.run()
    assert "Channel C3 from 2.0 to 3.0 s" in panel.results.image.value


def test_names_are_text(simulation):
    raw = simulation.raw.copy().rename_channels({"C3": HOSTILE}, verbose="error")
    panel = ControlPanel(Pipeline([Halve()], name=HOSTILE), raw)
    panel.run()
    panel.results.channel.value = HOSTILE
    failing = ControlPanel(Pipeline([Choosy(HOSTILE)], name=HOSTILE), raw, backend="serial")
    failing.run()
    for shown in (panel, failing):
        html = "".join(w.value for w in list_widgets(shown) if type(w).__name__ == "HTML")
        assert HOSTILE not in html + shown.to_html()
        assert "&lt;img src=x" in html


def test_report_keeps_what_was_found(panel):
    empty = panel._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in empty
    assert "Ready" in empty["text/html"] and "Ready" in empty["text/plain"]
    panel.run()
    html = panel._repr_mimebundle_()["text/html"]
    for piece in ("Done in", "data:image/svg+xml", "RMS (µV)", "channel_sequential", "Pipeline("):
        assert piece in html
    assert "application/" not in html and "<script" not in html


def test_report_of_a_failure(simulation):
    panel = ControlPanel(Pipeline([Choosy("C3")]), simulation, backend="serial")
    panel.run()
    assert "Step 1 (choosy), channel C3" in panel.to_html()


def test_panel_inside_another_box(panel):
    import ipywidgets

    assert ipywidgets.VBox([panel]).children == (panel,)
    assert repr(panel) == "<ControlPanel: 2 steps, channel_sequential, idle>"


def test_processes(simulation):
    """Workers of their own, as a learner would choose them."""
    panel = ControlPanel(
        Pipeline([Halve()]), simulation, cores=2, n_jobs=2, backend="multiprocessing"
    )
    assert panel.run().success
    assert len(panel.result.state.cells) == 4
