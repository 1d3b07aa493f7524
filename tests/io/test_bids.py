"""BIDS folders: what is written is read, and what is missing is said."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from facet_nb import BIDSExporter, BIDSLoader, EEGLABExporter, Pipeline, ProcessingContext
from facet_nb.core.errors import FacetError, ValidationError
from tests.contract.recordings import make_context

WHERE = {"subject": "01", "task": "rest", "session": "a", "run": 2, "processing": "facet"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    pytest.importorskip("mne_bids", reason="needs the bids extra")
    root = tmp_path_factory.mktemp("study")
    context = make_context()
    BIDSExporter(root, **WHERE).execute(context)
    return root, context


def test_recording_comes_back(study):
    root, context = study
    step = BIDSLoader(str(root), **WHERE, artifact_to_trigger_offset=-0.01)
    loaded = Pipeline([step]).run(raise_on_error=True).context
    raw, back = context.get_raw(), loaded.get_raw()
    assert back.ch_names == raw.ch_names
    assert back.info["bads"] == ["E5"]
    assert back.get_channel_types() == raw.get_channel_types()
    np.testing.assert_allclose(back.get_data(), raw.get_data(), rtol=1e-6, atol=1e-12)
    assert list(back.annotations.description) == list(raw.annotations.description)
    np.testing.assert_allclose(
        back.annotations.onset - back.first_time, raw.annotations.onset - raw.first_time, atol=1e-6
    )
    assert loaded.metadata.artifact_to_trigger_offset == -0.01


def test_folder_is_bids(study):
    root, _ = study
    name = "sub-01_ses-a_task-rest_run-02_proc-facet"
    folder = root / "sub-01/ses-a/eeg"
    assert (root / "dataset_description.json").is_file()
    for ending in ("_eeg.vhdr", "_channels.tsv", "_events.tsv", "_eeg.json"):
        assert (folder / (name.replace("run-02", "run-2") + ending)).is_file() or (
            folder / (name + ending)
        ).is_file()


def test_what_is_there_stays_unless_told(study):
    root, context = study
    with pytest.raises(FacetError, match="overwrite=True"):
        BIDSExporter(root, **WHERE, overwrite=False).execute(context)
    BIDSExporter(root, **WHERE).execute(context)


def test_what_is_not_there_is_said(study, tmp_path):
    root, _ = study
    with pytest.raises(FacetError, match="sub-77"):
        BIDSLoader(root, "77", "rest").execute(ProcessingContext())
    with pytest.raises(ValidationError, match="letters and numbers"):
        BIDSLoader(root, "0-1", "rest").execute(ProcessingContext())


@pytest.mark.parametrize(
    ("module", "extra", "step"),
    [
        ("mne_bids", "bids", lambda p: BIDSExporter(p, "01", "rest")),
        ("mne_bids", "bids", lambda p: BIDSLoader(p, "01", "rest")),
        ("eeglabio", "eeglab", lambda p: EEGLABExporter(p / "out.set")),
    ],
)
def test_library_that_is_missing_is_named(module, extra, step, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValidationError, match=rf"pip install 'facet-nb\[{extra}\]'"):
        step(tmp_path).execute(make_context())
    assert list(tmp_path.iterdir()) == []
