"""BrainVision: what its markers keep of annotations, and what becomes of the rest."""

from __future__ import annotations

import pickle

import mne
import numpy as np
import pytest

from facet_nb.core import ProcessingContext
from facet_nb.datasets import example
from facet_nb.io import BrainVisionExporter, export, load
from facet_nb.io.sources import open_recording
from tests.io.conftest import DATE, times


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Stimulus/S  1", "Stimulus/S  1"),
        ("Stimulus/S255", "Stimulus/S255"),
        ("Stimulus/S2000", "Stimulus/S2000"),
        ("Response/R128", "Response/R128"),
        # pybv has no other types, and no numbers with other spaces or zeros before them
        ("Stimulus/S 1", "Comment/Stimulus/S 1"),
        ("Stimulus/S001", "Comment/Stimulus/S001"),
        ("Stimulus/S: 1", "Comment/Stimulus/S: 1"),
        ("Stimulus/face", "Comment/Stimulus/face"),
        ("SyncStatus/Sync On", "Comment/SyncStatus/Sync On"),
        ("New Segment/", "Comment/New Segment/"),
        ("BAD boundary / x", "Comment/BAD boundary / x"),
        ("Comment/12", "Comment/12"),
        ("Comment/Comment/x", "Comment/Comment/x"),
        ("QRS", "Comment/QRS"),
        ("", "Comment/"),
        ("one, two", "Comment/one, two"),
        ("ärger µ", "Comment/ärger µ"),
        ("/slash first", "Comment//slash first"),
    ],
)
@pytest.mark.parametrize("date", [None, DATE], ids=["undated", "dated"])
def test_descriptions(written, read, date, tmp_path):
    raw = mne.io.RawArray(np.zeros((1, 100)), mne.create_info(1, 100.0, "eeg"), verbose="error")
    raw.set_meas_date(date)
    raw.set_annotations(mne.Annotations([0.0, 0.29], 0.0, [written] * 2, orig_time=date))
    export(ProcessingContext(raw), tmp_path / "out.vhdr")
    back = load(tmp_path / "out.vhdr")
    assert times(back.get_raw()) == [(0.0, read), (29.0, read)]
    export(back, tmp_path / "again.vhdr")
    assert times(load(tmp_path / "again.vhdr").get_raw()) == [(0.0, read), (29.0, read)]


@pytest.mark.parametrize(
    ("written", "comments"),
    [
        (["Stimulus/S  1", "Response/R 12", "Stimulus/S1000"], []),
        (["Stimulus/S   1", "Response/R  12", "Stimulus/S2000"], []),
        (["Stimulus/S  1", "Response/R 12", "Stimulus/S2000"], ["Stimulus/S2000"]),
        (
            ["Stimulus/S  1", "Stimulus/S   2", "Response/R2000"],
            ["Stimulus/S   2", "Response/R2000"],
        ),
    ],
)
def test_numbers_of_several_widths(written, comments, tmp_path):
    """All numbers in pybv's files have one width; what that would alter becomes a comment."""
    raw = mne.io.RawArray(np.zeros((1, 100)), mne.create_info(1, 100.0, "eeg"), verbose="error")
    raw.set_annotations(mne.Annotations(np.arange(len(written)) / 10, 0.0, written))
    export(ProcessingContext(raw), tmp_path / "out.vhdr")
    back = load(tmp_path / "out.vhdr").get_raw().annotations.description
    assert list(back) == [f"Comment/{text}" if text in comments else text for text in written]


def test_marker_belongs_to_one_channel_or_to_all(context, tmp_path):
    """MNE writes and reads channels of annotations in other formats; this one it does not read."""
    raw = context.get_raw()
    raw.annotations.append(raw.first_time + 2.4, 0.0, "two", ch_names=[("Fp1", "Fp2")])
    export(ProcessingContext(raw), tmp_path / "out.vhdr")
    lines = (tmp_path / "out.vmrk").read_text("utf-8").splitlines()
    entries = [line.partition("=")[2] for line in lines if line.startswith("Mk")]
    assert entries[1:] == [
        "Stimulus,S  1,1,0,0",
        "Stimulus,S  1,252,0,0",
        r"Comment,one\1 two,501,2,0",
        "Response,R 12,1001,250,1",
        "Comment,two,1201,0,0",
        "Stimulus,S  1,1502,500,0",
    ]


def test_annotations_end_with_the_recording(tmp_path):
    raw = mne.io.RawArray(np.zeros((1, 100)), mne.create_info(1, 100.0, "eeg"), verbose="error")
    raw.set_annotations(mne.Annotations([0.9], 0.05, "late"))
    raw.annotations.duration[:] = 3.0
    export(ProcessingContext(raw), tmp_path / "out.vhdr")
    (late,) = load(tmp_path / "out.vhdr").get_raw().annotations
    assert (late["onset"], late["duration"]) == pytest.approx((0.9, 0.1))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["sub-01_run.1.vhdr", "two words.vhdr", "äöü.vhdr"])
def test_files_of_any_name_and_no_warning(name, context, tmp_path):
    export(context, tmp_path / name)
    suffixes = (".eeg", ".vhdr", ".vmrk")
    names = {name[:-5] + suffix for suffix in (*suffixes, "_provenance.json")}
    assert {p.name for p in tmp_path.iterdir()} == names
    assert load(tmp_path / name).get_raw().n_times == context.get_raw().n_times


def test_descriptions_that_become_comments_are_told_once(context, tmp_path, caplog):
    raw = context.get_raw()
    for onset_s in (3.1, 3.2):
        raw.annotations.append(raw.first_time + onset_s, 0.0, "SyncStatus/Sync On")
    export(context, tmp_path / "out.vhdr")
    (told,) = [r.getMessage() for r in caplog.records if "does not keep" in r.getMessage()]
    wanted = "annotations: 'SyncStatus/Sync On' (read as 'Comment/SyncStatus/Sync On'). .fif does."
    assert told.endswith(wanted)


def test_markers_are_read_as_mne_reads_them(tmp_path):
    """Without MNE's copy of each marker, which takes seconds for those of an hour."""
    raw = example().raw
    BrainVisionExporter(tmp_path / "a.vhdr").process(ProcessingContext(raw))
    ours, theirs = open_recording(tmp_path / "a.vhdr"), mne.io.read_raw(tmp_path / "a.vhdr")
    assert type(ours) is type(theirs)
    a, b = ours.annotations, theirs.annotations
    assert a == b and list(a.extras) == list(b.extras) and len(a) > 10
    for each in (ours, ours.copy(), pickle.loads(pickle.dumps(ours))):
        copied = each.annotations.copy()
        assert copied is not each.annotations and copied == b
    ours.set_annotations(a)  # MNE's own again
    assert ours.annotations is not a
