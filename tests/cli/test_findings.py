"""Findings on the command line: stderr, exit codes and JSON."""

from __future__ import annotations

import json

import mne
import numpy as np
import pytest

from facet_nb import FINDING_KINDS, HighPassFilter, Pipeline, TriggerDetector
from facet_nb.io import Exporter, load


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
