"""The parts of the studio: what they say in each state, and that what they do is the model's."""

from __future__ import annotations

import re

import pytest

from facet_nb import HighPassFilter, Pipeline, TriggerDetector
from facet_nb.core.errors import FacetError
from facet_nb.core.findings import make_finding
from facet_nb.models.remedies import find_chain_remedy, find_remedy
from facet_nb.widgets import Studio
from facet_nb.widgets.live_html import LiveHtml
from facet_nb.widgets.studio_parts import write_head
from tests.models.helpers import Choosy, Halve, make_simulation


@pytest.fixture(scope="module")
def simulation():
    return make_simulation()


@pytest.fixture
def studio(simulation):
    return Studio(simulation, Pipeline([HighPassFilter(1.0)]), cores=2)


def test_a_corrected_window_without_a_run(studio):
    assert studio.model.wait_for_preview() and studio.result is None
    labels = [s["label"] for s in studio.signal.canvas.meta["signals"]]
    assert labels == ["recording", "preview", "truth", "removed"]
    before = studio.model.preview_context
    studio.model.chain.set_text("freq", "2", 0)
    assert studio.model.wait_for_preview() and studio.model.preview_context is not before


def test_a_step_that_takes_the_whole_recording_has_no_preview(simulation):
    studio = Studio(simulation, Pipeline([Choosy("nobody")]))
    assert not studio.model.wait_for_preview()
    assert "choosy needs a run" in studio.picture.html


def test_what_is_asked_and_what_runs(studio):
    studio.transport.press("step", 1, "n_jobs")
    assert studio.model.run.n_jobs == 2 and "2 batches at once" in studio.transport.html
    studio.transport.press("set", "serial", "mode")
    assert "runs as 1: not used in serial" in studio.transport.html
    studio.transport.press("step", 1, "n_jobs")
    assert studio.model.run.n_jobs == 2  # no more than there are
    studio.transport.press("set", "lots", "batch_size")
    assert "neither a number" in studio.said.value and studio.model.run.batch_size == 0
    studio.transport.press("set", "2 GB", "memory_budget")
    assert studio.model.run.memory_budget == "2 GB" and studio.said.value == ""


def test_a_run_compared_with_serial(studio):
    studio.run()
    assert "Check against serial" in studio.picture.html
    studio.model.wait_for_preview()  # and for the quality, which is measured meanwhile
    assert studio.model.verdict and "being measured" not in studio.picture.html
    studio.picture.press("check")
    studio.model.compare.wait()
    n = studio.result.context.get_data().size
    wanted = f"0 of {n:,} samples differ".replace(",", " ")
    assert wanted in studio.picture.html
    studio.model.run.n_jobs = 2
    assert "Settings changed" in studio.rail.html


def test_the_timelines_of_two_runs_stand_side_by_side(studio):
    studio.run()
    studio.transport.press("set", "parallel", "mode")
    assert "fnb-tl-planned" in studio.picture.html
    studio.run()
    assert "Your 2 runs on one clock" in studio.picture.html
    assert studio.picture.html.count("fnb-tl-done") == 2
    static = studio.to_html()
    assert static.count("fnb-tl-done") == 2 and "fnb-chart" in static and "<button" not in static


def test_a_failure_and_its_remedy(simulation):
    studio = Studio(simulation, Pipeline([Choosy("C3")]), backend="serial")
    studio.run()
    assert "Stopped at C3" in studio.picture.html and "Leave C3 out" in studio.picture.html
    studio.picture.press("remedy", "failure")
    studio.model.recording.wait()
    assert "C3" in studio.model.recording.context.get_raw().info["bads"]
    assert studio.run().success
    studio.findings.press("undo")
    studio.model.recording.wait()
    assert "C3" not in studio.model.recording.context.get_raw().info["bads"]


def test_an_expression_that_matches_nothing(simulation):
    studio = Studio(simulation, Pipeline([TriggerDetector(regex="nothing"), HighPassFilter(1.0)]))
    assert studio.model.run.blocked
    remedy = find_chain_remedy(studio.model)
    assert remedy is not None and remedy.label in studio.picture.html.replace("&#x27;", "'")
    studio.picture.press("remedy", "chain")
    assert studio.model.run.blocked == "" and studio.model.remedied == remedy.label
    studio.findings.press("undo")
    assert studio.model.run.blocked


@pytest.mark.parametrize("code", ["epochs_few", "gradient_left", "alignment_at_edge"])
def test_remedies_of_findings(studio, code):
    evidence = {"search_window": 5} if code == "alignment_at_edge" else {}
    finding = make_finding(code, "why", **evidence)
    remedy = find_remedy(studio.model, finding)
    if code == "alignment_at_edge":
        assert remedy is None  # no step of the chain has raised it
    else:
        remedy.apply()
        assert studio.model.chain.steps[0].name == "trigger_detector"


def test_quick_look_and_use_of_a_point(studio):
    studio.show("Tune")
    assert "fnb-dotted" in studio.cost.html and "fnb-hollow" not in studio.cost.html
    studio.cost.press("quick")
    assert studio.model.quick.wait(20)
    large = studio.cost.html.partition("fnb-thumbs")[0]
    assert large.count("fnb-hollow") == 4 and "First look" in studio.cost.html
    studio.cost.press("use", "parallel/2/1")
    assert (studio.model.run.mode, studio.model.run.n_jobs) == ("parallel", 2)
    assert "fnb-solid" not in re.sub(r"<ul class=.fnb-legend.*?</ul>", "", studio.cost.html)


def test_a_run_ends_the_look_that_began_by_itself(simulation):
    studio = Studio(simulation, Pipeline([Halve(0.02)]), cores=2)
    studio.rail.press("show", "Tune")
    assert studio.model.quick.running
    assert studio.transport.press("run") and not studio.model.quick.running
    assert studio.wait(20) and studio.result.success
    studio.rail.press("show", "Tune")
    assert not studio.model.quick.running  # once for each chain and recording


def test_from_the_sliders_to_the_script(studio):
    studio.run()
    studio.show("Tune")
    studio.cost.press("study", "60", "files")
    assert "about " in studio.cost.html and studio.model.study.files == 60
    studio.cost.press("study_script")
    assert studio.model.screen == "Save" and "facet-nb batch" in studio.files.html


def test_the_script_of_a_study_is_of_the_chosen_kind_and_can_be_saved(studio, tmp_path):
    studio.cost.press("study_target", "slurm")
    studio.cost.press("study_script")
    assert "--array=0-19" in studio.files.html and "Save study.sbatch" in studio.files.html
    studio.files.press("save_as", str(tmp_path / "out"), "stem")
    assert studio.files.press("study_save") and not studio.files.press("study_save")
    assert (tmp_path / "study.sbatch").read_text() == studio.model.saving.study
    assert "exists" in studio.said.value


def test_an_upload_becomes_the_recording(studio, simulation, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    simulation.raw.copy().pick([0]).save(tmp_path / "a_raw.fif", verbose="error")
    data = (tmp_path / "a_raw.fif").read_bytes()
    studio.show("Recording")
    studio.browser.press("folder", str(tmp_path))
    assert "a_raw.fif" in studio.browser.html
    assert not studio.browser.press("upload_begin", [["notes.txt", 3]])
    assert "not part of a recording" in studio.said.value
    assert studio.browser.press("upload_begin", [["b_raw.fif", len(data)]])
    sent = []
    monkeypatch.setattr(studio.browser, "send", sent.append)
    for at in range(0, len(data), 100_000):
        message = {"act": "upload_chunk", "name": "b_raw.fif"}
        studio.browser._receive(None, message, [memoryview(data[at : at + 100_000])])
    assert all(answer == {"kind": "answer", "done": True} for answer in sent) and sent
    studio.model.recording.wait()
    assert studio.model.recording.summary.n_channels == 1
    assert "b_raw.fif" in studio.head.html and "b_raw.fif" in studio.browser.html


def test_saving(studio, tmp_path):
    studio.show("Save")
    assert "Run the chain first" in studio.files.html
    studio.run()
    studio.files.press("save_as", str(tmp_path / "out"), "stem")
    studio.files.press("save")
    assert "out.fif" in studio.files.html and "Saved " in studio.rail.html
    studio.files.press("save")
    assert "exists" in studio.said.value and "Replace" in studio.files.html
    studio.files.press("save", "replace")
    assert studio.said.value == ""


def test_words_change_no_value(studio):
    before = studio.model.run.settings
    studio.head.press("words", "expert")
    assert "outer: 1 of 2" in studio.transport.html and studio.model.run.settings == before


def test_a_message_from_the_page_is_an_action():
    heard = []
    live = LiveHtml(lambda: "<b>x</b>", lambda *what: heard.append(what))
    live._receive(live, {"act": "go", "value": 3, "name": "n"}, [])
    live._receive(live, "nonsense", [])
    assert heard == [("go", "n", 3)]


def test_halves_are_drawn_with_their_steps(simulation):
    studio = Studio(simulation, Pipeline([Halve(), Halve()]), cores=2, n_jobs=2)
    studio.run()
    assert studio.picture.html.count("<title>halve: ") >= 2


def test_the_head_names_the_loaded_recording(simulation, tmp_path):
    """A file that cannot be read leaves the recording before it, and its name."""
    model = Studio(simulation, Pipeline([HighPassFilter(1.0)]), cores=2).model
    recording = model.recording
    recording.kind = "example"
    recording.load()
    assert "Example recording" in write_head(model)
    recording.kind, recording.path = "file", str(tmp_path / "missing.vhdr")
    with pytest.raises(FacetError):
        recording.load()
    assert "Example recording" in write_head(model) and "missing.vhdr" not in write_head(model)
    file = tmp_path / "mine_raw.fif"
    simulation.raw.save(file, verbose="error")
    recording.path = str(file)
    recording.load()
    assert "mine_raw.fif" in write_head(model)


def test_the_cards_of_a_chain_are_the_model(simulation):
    studio = Studio(simulation, cores=2)
    studio.model.wait_for_preview()
    studio.show("Chain")
    html = studio.cards.html
    assert f"✓ valid: {len(simulation.triggers)} markers" in html
    assert html.count("<li") == 3 and html.count("<svg") == 3 and "of the time" not in html
    studio.cards.press("chain_set", "30", "2 freq")
    assert studio.pipeline[-1].freq == 30 and "my own" in studio.cards.html
    studio.cards.press("chain_set", "much", "2 freq")
    assert "■ Step 3" in studio.cards.html and studio.pipeline[-1].freq == 30
    studio.cards.press("chain_use", "classic")
    assert len(studio.pipeline) == studio.cards.html.count("<li") == 7
    assert 'data-value="classic" aria-checked="true"' in studio.cards.html
    studio.cards.press("chain_pick", "4")
    assert studio.chain.form.model.selected == 4 and "my own" not in studio.cards.html


def test_cards_say_what_share_of_the_time_was_measured(studio):
    studio.show("Chain")
    studio.run()
    assert "100 % of the time, measured" in studio.cards.html
    studio.model.chain.add("common_reference")
    assert "of the time" not in studio.cards.html
