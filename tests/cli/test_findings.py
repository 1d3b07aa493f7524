"""Findings on the command line: stderr, exit codes and JSON."""

from __future__ import annotations

import json
from html import unescape

import mne
import numpy as np
import pytest

from facet_nb import FINDING_KINDS, HighPassFilter, Pipeline, TriggerDetector, read_provenance
from facet_nb.core.events import FindingRaised
from facet_nb.io import Exporter, FIFExporter, Loader, load


@pytest.fixture
def broken(files, tmp_path):
    """A recording with stray markers, and a short chain."""
    context = load(files.fif)
    raw = context.get_raw()
    stray = mne.Annotations(
        [20.0123, 31.777], 0.0, "Stimulus/S  1", orig_time=raw.info["meas_date"]
    )
    raw.set_annotations(raw.annotations + stray)
    Exporter(tmp_path / "broken.fif").execute(context)
    chain = Pipeline([TriggerDetector(r"\b1\b"), HighPassFilter(1.0)])
    chain.to_yaml(tmp_path / "chain.yaml")
    return tmp_path / "broken.fif"


def test_run(facet_nb, broken, files):
    words = ["out.fif", "--chain", "chain.yaml"]
    result = facet_nb("run", broken, *words)
    assert result.exit_code == 0
    assert FINDING_KINDS["triggers_stray"].title in result.stderr
    assert FINDING_KINDS["triggers_stray"].title not in result.stdout
    strict = facet_nb("run", broken, *words, "--strict")
    assert strict.exit_code == 2
    assert strict.stderr.startswith("facet-nb: warning [trigger_detector]")
    good = facet_nb("run", files.fif, *words, "--strict")
    assert good.exit_code == 0, good.output
    assert "warning" not in good.stderr


def test_json(facet_nb, broken, files):
    words = ["--chain", "chain.yaml", "--json"]
    values = json.loads(facet_nb("run", broken, "out.fif", *words).stdout)
    assert values["success"] and values["output"] == "out.fif"
    codes = [f["code"] for f in values["findings"]]
    assert "triggers_stray" in codes
    assert [step["name"] for step in values["steps"]][:2] == ["trigger_detector", "highpass_filter"]
    done = facet_nb("batch", broken, files.fif, "--output", "all", *words, "--strict")
    assert done.exit_code == 2
    first, second = json.loads(done.stdout)
    assert "triggers_stray" in [f["code"] for f in first["findings"]]
    assert all(f["severity"] == "note" for f in second["findings"])
    assert str(broken) in done.stderr


def test_a_refusal_is_one_line(facet_nb, files, tmp_path):
    context = load(files.fif)
    raw = context.get_raw()
    onsets = 5 + np.cumsum(np.random.default_rng(0).uniform(0.4, 1.4, 17))
    task = mne.Annotations(onsets, 0.0, "go", orig_time=raw.info["meas_date"])
    raw.set_annotations(raw.annotations + task)
    Exporter(tmp_path / "task.fif").execute(context)
    result = facet_nb("run", tmp_path / "task.fif", "out.fif", "--trigger", "^go$")
    assert result.exit_code == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert "There is a regular train of" in result.stderr
    assert not (tmp_path / "out.fif").exists()


def test_every_place(facet_nb, broken, tmp_path, capsys):
    """One finding of a loader or step is in each place in which a person may look."""
    result_view = pytest.importorskip("facet_nb.widgets.result_view")
    from facet_nb.models import RunModel

    title, events = FINDING_KINDS["triggers_stray"].title, []
    steps = [Loader(broken), TriggerDetector(r"\b1\b"), FIFExporter(tmp_path / "a_raw.fif")]
    result = Pipeline(steps).run(on_event=events.append, show_progress=False)
    (own,) = (f for f in result.findings if f.code == "triggers_stray")
    assert own in [f for step in result.context.get_history() for f in step.findings]
    assert own in [event.finding for event in events if isinstance(event, FindingRaised)]
    assert own.code in [f.code for f in read_provenance(tmp_path / "a_raw.fif").findings]
    result.print_summary()
    assert title in capsys.readouterr().out
    assert title in unescape(result._repr_html_())
    result.report(tmp_path / "page.html")
    assert title in unescape((tmp_path / "page.html").read_text(encoding="utf-8"))
    view = result_view.ResultView(model := RunModel(Pipeline(steps[1:2])))
    model.result = result
    assert title in unescape(view.findings.value)
    batch = Pipeline(steps[1:2]).map([broken], show_progress=False)
    assert batch.summary_df["worst"].tolist() == ["warning"] and title in batch.summary()
    words = ["--chain", "chain.yaml", "--report", "cli.html"]
    told = facet_nb("run", broken, "b_raw.fif", *words, "--json", "--strict")
    assert told.exit_code == 2 and title in told.stderr
    assert "triggers_stray" in [f["code"] for f in json.loads(told.stdout)["findings"]]
    assert title in unescape((tmp_path / "cli.html").read_text(encoding="utf-8"))
