"""A panel whose cell is run again leaves nothing in the kernel; exported pages show its report."""

from __future__ import annotations

import gc
import threading

import pytest
from ipywidgets.widgets.widget import _instances

from facet_nb.core import Pipeline
from facet_nb.datasets import example
from facet_nb.widgets import ControlPanel, Studio, rerun_guard
from tests.models.helpers import Halve, make_simulation


def count():
    gc.collect()
    return len(_instances)


@pytest.mark.parametrize("use", [False, True])
def test_a_retired_studio_leaves_no_widget(use):
    before = count()
    studio = Studio(example())
    if use:  # rows of fields, plots and tables that come and go
        chain = next(part for part in _list_panels(studio) if hasattr(part, "form"))
        for i in range(len(chain.model.steps)):
            chain.model.selected = i
        studio.run()
    assert count() > before + 100
    studio.retire()
    assert count() == before


def test_six_runs_of_a_cell_leave_one_panel(monkeypatch):
    now = {"execution": 0}
    monkeypatch.setattr(rerun_guard, "find_cell", lambda: ("a", str(now["execution"])))
    monkeypatch.setattr(rerun_guard, "_BY_CELL", {})
    simulation = make_simulation(1)
    counts, threads = [], threading.active_count()
    for number in range(6):
        now["execution"] = number
        studio = Studio(simulation, Pipeline([Halve()]))
        if number % 5 == 0:
            counts.append(count())
    studio.model.wait_for_preview()
    assert counts[0] == counts[1] and threading.active_count() <= threads + 1
    studio.retire()


def _list_panels(studio):
    from facet_nb.widgets.panel import Panel, _list_all

    return [part for part in _list_all(studio) if isinstance(part, Panel)]


def test_a_retired_control_panel_leaves_no_widget():
    from facet_nb import HighPassFilter, Pipeline

    before = count()
    panel = ControlPanel(Pipeline([HighPassFilter(1.0)]), example().context())
    assert count() > before
    panel.retire()
    assert count() == before


def test_the_report_is_hidden_only_while_the_panel_is_connected():
    """A page without a kernel marks its panels as disconnected."""
    studio = Studio(example())
    try:
        rule = studio._hiding_rule
        live = f"fnb-live-{studio.model_id}"
        assert live in studio._dom_classes
        assert f"body:has(.{live}:not(.jupyter-widgets-disconnected))" in rule
        style = next(c.value for c in studio.children if "<style" in str(getattr(c, "value", "")))
        assert rule in style
        assert studio._report_class in studio._report_bundle()["text/html"]
    finally:
        studio.retire()
