"""The panel of a study without a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from facet_nb.core import Pipeline, StudyPlan, StudyRow, make_finding
from facet_nb.core.study.schedule import FilePlan
from facet_nb.models import BatchModel
from facet_nb.widgets import BatchPanel
from tests.core import toys
from tests.study import studies
from tests.widgets.finding import all_html, find

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def folder(tmp_path):
    return studies.write_folder(tmp_path / "in", 2)


@pytest.mark.parametrize(
    "name", ["places", "output", "start", "cancel", "report", "progress", "time", "status", "plan"]
)
def test_classes_for_people_who_style_it(name):
    panel = BatchPanel(Pipeline([toys.Halved()]))
    assert find(panel, f"fnb-batch-{name}") is not None


def test_a_study_by_hand(folder, tmp_path):
    """Name a folder and an output, start, and write the page."""
    panel = BatchPanel(Pipeline([toys.Halved()]), n_jobs=1)
    panel.start_button.click()
    assert "name a folder" in panel.said.value and panel.model.status == "idle"
    panel.places.value = f"{folder}/r0.fif;  {folder}/bad.edf"
    panel.output.value = str(tmp_path / "out")
    assert panel.model.places == (f"{folder}/r0.fif", f"{folder}/bad.edf")
    panel.places.value = str(folder)
    assert panel.report_button.disabled and panel.cancel_button.disabled
    panel.start_button.click()
    assert panel.start_button.disabled and panel.said.value == ""
    assert panel.model.wait(30)
    assert "Done: 2 of 3 corrected, 1 not." in panel.status.value
    assert "1 at once: 3" in panel.plan.value and panel.bar.value == 1.0
    shown = panel.page.html
    assert shown.index("bad.edf") < shown.index("r0.fif") and "Failures" in shown
    panel.report_button.click()
    assert "study.html" in panel.said.value
    page = (tmp_path / "out" / "study.html").read_text()
    assert "3 recordings: 2 done, 1 failed." in page and page.startswith("<!doctype html>")
    assert "make_study" in panel.to_html() and "bad.edf" in panel.to_html()
    assert not panel.start_button.disabled
    ids = re.findall(r'id="([^"]+)"', panel.page.html + panel.to_html())
    assert len(ids) > 8 and len(set(ids)) == len(ids)


def make_panel(n_files=4, ended=(), at_once=2):
    """A panel in the midst of a study, whose rows are made up."""
    model = BatchModel(Pipeline([toys.Halved()]), ["a"])
    panel = BatchPanel(model)
    files = tuple(FilePlan(i, f"/d/a{i}{HOSTILE}", 10**6, at_once=at_once) for i in range(n_files))
    model._study = type("Study", (), {"again": [], "header": {}})()
    with model.hold_trait_notifications():
        model.plan = StudyPlan(files, "threading", at_once, 10**9)
        model.status = "running"
        model.rows = tuple(ended)
    return panel


def test_what_is_shown_while_it_runs():
    found = (make_finding("workers_lowered", HOSTILE),)
    ended = [StudyRow(1, "/d/a1", "failed", error=HOSTILE, error_type="OSError", findings=found)]
    panel = make_panel(6, ended)
    assert "Running: 1 of 6 finished, 1 of them not corrected." in panel.status.value
    html = panel.page.html
    assert html.count(">running<") == 2 and html.count(">waiting<") == 3
    assert html.index(">failed<") < html.index(">running<") < html.index(">waiting<")
    assert "6 recordings: 1 failed, 2 running, 3 waiting." in html
    assert "<details><summary>1 " in html
    assert "<script" not in all_html(panel) + panel.to_html()
    assert panel.stop() and panel.model.status == "cancelling"
    assert "Cancelling: 1 of 6 finished" in panel.status.value


def test_a_recording_that_is_tried_again_waits():
    panel = make_panel(3, at_once=1)
    panel.model._study.again = [0]
    states = {row.index: row.state for row in panel.model.table}
    assert states == {0: "waiting", 1: "running", 2: "waiting"}
    panel.model.rows = (StudyRow(1, "/d/a1", "done"), StudyRow(2, "/d/a2", "done"))
    assert [row.state for row in panel.model.table] == ["done", "done", "running"]


def test_thousands_of_recordings_stay_readable():
    rows = [StudyRow(i, f"/d/a{i}", "done", time_s=1.0) for i in range(900)]
    panel = make_panel(1000, rows)
    assert panel.page.html.count("<tr>") == 1 + 200  # the head
    assert "800 more recordings are not shown" in panel.page.html
    assert len(panel.page.html) < 400_000


def test_recordings_in_memory_and_failures():
    panel = BatchPanel(Pipeline([toys.Halved()]), [toys.make_context()])
    assert panel.places.disabled and panel.places.value == "1 recording"
    wrong = BatchPanel(Pipeline([toys.Halved()]), "nowhere/*.fif")
    wrong.start_button.click()
    wrong.model.wait(20)
    assert "could not run" in wrong.status.value and "there is no recording" in wrong.status.value
    assert wrong.page.html == "" and Path("nowhere").exists() is False
    assert "could not run" in wrong.summary() and "make_study" in wrong.to_html()
