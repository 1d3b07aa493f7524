"""Files of one's own: what a folder lists, what an upload may be, and what is remembered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facet_nb.core.errors import ValidationError
from facet_nb.datasets import simulate
from facet_nb.models import StudioModel
from facet_nb.models.files_model import BINDER_BYTES, FilesModel, name_apart


@pytest.fixture(autouse=True)
def own_state(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def folder(tmp_path):
    here = tmp_path / "data"
    (here / "day 2").mkdir(parents=True)
    for name in ("b.vhdr", "b.eeg", "A.edf", ".hidden.edf", "notes.txt", "c_raw.fif.gz"):
        (here / name).write_bytes(b"x" * 10)
    return here


def test_a_folder_lists_folders_and_recordings(folder):
    files = FilesModel(folder)
    found = [(e.name, e.kind) for e in files.list_entries()]
    recordings = [(name, "recording") for name in ("A.edf", "b.vhdr", "c_raw.fif.gz")]
    assert found == [("day 2", "folder"), *recordings]
    files.go(folder / "day 2")
    assert files.list_entries() == ()
    with pytest.raises(ValidationError, match="is not a folder"):
        files.go(folder / "nowhere")
    assert files.folder == str(folder / "day 2")


def test_a_bids_data_set_lists_the_recordings_of_its_subjects(folder):
    (folder / "dataset_description.json").write_text("{}")
    eeg = folder / "sub-01" / "eeg"
    eeg.mkdir(parents=True)
    (eeg / "sub-01_task-rest_eeg.vhdr").write_text("x")
    names = [e.name for e in FilesModel(folder).list_entries()]
    assert names == ["sub-01/eeg/sub-01_task-rest_eeg.vhdr"]
    assert [e.kind for e in FilesModel(folder.parent).list_entries()] == ["bids"]


def send(files: FilesModel, contents: dict[str, bytes], size: int = 7) -> bool:
    """Send files in pieces, as a page does; return whether all have arrived."""
    files.begin_upload([(name, len(data)) for name, data in contents.items()])
    done = False
    for name, data in contents.items():
        for at in range(0, max(1, len(data)), size):
            done = files.receive(name, data[at : at + size])
    return done


def test_an_upload_arrives_complete_and_names_its_header(folder):
    files, contents = (
        FilesModel(folder),
        {"new.eeg": bytes(range(20)), "new.vhdr": b"header", "e.vmrk": b""},
    )
    assert send(files, contents) and files.uploading == ""
    arrived = {p.name: p.read_bytes() for p in (folder / "uploads").iterdir()}
    assert arrived == contents
    assert files.find_uploaded() == str(folder / "uploads" / "new.vhdr")
    with pytest.raises(ValidationError, match="exists already"):
        send(files, contents)
    assert send(files, {"alone.eeg": b"1"})
    with pytest.raises(ValidationError, match="cannot be read alone"):
        files.find_uploaded()


@pytest.mark.parametrize("name", ["../out.edf", "a/b.edf", ".x.edf", "run.py", ""])
def test_an_upload_stays_in_its_folder_and_is_a_recording(folder, name):
    with pytest.raises(ValidationError, match="not part of a recording"):
        FilesModel(folder).begin_upload([(name, 5)])
    assert not (folder / "uploads").exists()


def test_what_is_too_large_is_refused_before_it_is_sent(folder, monkeypatch):
    files = FilesModel(folder)
    with pytest.raises(ValidationError, match="are too much"):
        files.begin_upload([("a.edf", files.limit_bytes), ("b.edf", 1)])
    monkeypatch.setenv("BINDER_SERVICE_HOST", "here")
    assert files.limit_bytes <= BINDER_BYTES


def test_more_bytes_than_announced_end_the_upload(folder):
    files = FilesModel(folder)
    files.begin_upload([("a.edf", 10), ("z.edf", 3)])
    assert not files.receive("a.edf", b"12345")
    with pytest.raises(ValidationError, match="not have the size that was announced"):
        files.receive("a.edf", b"678901")
    assert list((folder / "uploads").iterdir()) == [] and files.uploading == ""
    with pytest.raises(ValidationError, match="not have the size that was announced"):
        files.receive("unknown.edf", b"")


def test_recent_files_outlast_the_studio_and_forget_what_is_gone(folder, tmp_path):
    files = FilesModel(folder)
    for name in ("A.edf", "b.vhdr", "A.edf"):
        files.remember(folder / name)
    assert [p.rpartition("/")[2] for p in files.recent] == ["A.edf", "b.vhdr"]
    (folder / "A.edf").unlink()
    assert FilesModel(folder).recent == (str(folder / "b.vhdr"),)
    (tmp_path / "state" / "facet_nb" / "recent.json").write_text(json.dumps({"a": 1}))
    assert FilesModel(folder).recent == ()


def test_a_new_recording_leaves_nothing_of_the_one_before(folder):
    studio = StudioModel(simulate(2, 500.0, 15.0))
    assert studio.run.run().success and studio.signal.has_truth
    path = folder / "own_raw.fif"
    simulate(3, 250.0, 15.0).raw.save(path, verbose="error")
    studio.open(str(path))
    studio.recording.wait()
    run = studio.run
    assert studio.recording.summary.n_channels == 3 and studio.files.recent == (str(path),)
    assert (run.result, run.status, run.timelines, studio.verdict) == (None, "idle", (), "")
    assert not studio.signal.has_truth and studio.saving.line == "Nothing to save yet"
    studio.open(str(folder / "missing.vhdr"))
    studio.recording.wait()
    assert studio.recording.status == "failed" and studio.recording.summary.n_channels == 3
    assert studio.files.recent == (str(path),)


def test_files_of_equal_name_are_told_apart():
    paths = ["/a/day1/eeg/rec.vhdr", "/a/day2/eeg/rec.vhdr", "/b/other.edf", "/rec.vhdr"]
    ends = ["day1/eeg/rec.vhdr", "day2/eeg/rec.vhdr", "other.edf", "/rec.vhdr"]
    assert name_apart(paths) == [str(Path(end)) for end in ends]
    assert name_apart(paths[:1]) == ["rec.vhdr"] and name_apart([]) == []
