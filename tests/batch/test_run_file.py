"""Run files, inputs of studies, and derivatives of BIDS data sets."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facet_nb import HighPassFilter, TriggerDetector, load
from facet_nb.batch import RunFile, find_recordings
from facet_nb.core import Pipeline, ValidationError
from facet_nb.core.study.table import StudyTable
from tests.study import studies


@pytest.fixture
def chain():
    return Pipeline([TriggerDetector(regex="one"), HighPassFilter(1.0)], "A chain")


def test_what_is_written_is_read(tmp_path, chain):
    studies.write(tmp_path / "in" / "a.fif")
    file = RunFile.of(chain, [tmp_path / "in"], tmp_path / "out", {}, {"bursts": 0.1}, n_jobs=1)
    file.write(tmp_path / "run.yml")
    back = RunFile.read(tmp_path / "run.yml")
    assert back.to_dict() == file.to_dict()
    assert [repr(p) for p in back.make_pipeline()] == [repr(p) for p in chain]
    with pytest.raises(ValidationError, match="exists"):
        file.write(tmp_path / "run.yml")
    done = back.with_options(resume=True).run(show_progress=False, accept=None)
    assert [row.state for row in done.rows] == ["done"]
    assert RunFile.read(tmp_path / "run.yml").run(resume=True, accept=None).rows[0].resumed


def test_paths_are_relative_to_the_file(tmp_path, chain, monkeypatch):
    studies.write(tmp_path / "study" / "in" / "a.fif")
    (tmp_path / "files").mkdir()
    monkeypatch.chdir(tmp_path / "study")
    RunFile.of(chain, ["in"], "out").write(tmp_path / "files" / "run.yml")
    monkeypatch.chdir(tmp_path)
    back = RunFile.read("files/run.yml")
    assert back.inputs == ("../study/in",) and back.output == "../study/out"
    assert [path.name for path in back.list_inputs()] == ["a.fif"]


GOOD = {"facet_nb_run": 1, "chain": {"processors": []}, "inputs": ["x"], "output": "y"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"facet_nb_run": 2}, "another version"),
        ({"facet_nb_run": None}, "another version"),
        ({"colour": "red"}, "unknown: colour"),
        ({"options": {"on_finish": "os.system"}}, "unknown: on_finish"),
        ({"options": ["n_jobs"]}, "keys with values"),
        ({"chain": "gradient"}, "no steps"),
        ({"chain": {"processors": [{"processor": "auto_loader"}]}}, "failed|auto_loader|path"),
        ({"chain": {"processors": [{"processor": "none_such"}]}}, "none_such"),
    ],
)
def test_what_no_run_file_is(tmp_path, change, told):
    path = tmp_path / "run.yml"
    path.write_text(json.dumps(GOOD | change))  # JSON is YAML
    with pytest.raises(ValidationError, match=told):
        RunFile.read(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=200) | st.binary(max_size=200))
def test_anything_else_is_an_error_with_a_remedy(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "run.yml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(errors="replace"))
    with pytest.raises(ValidationError):
        RunFile.read(path)


def test_a_yaml_bomb_is_refused(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    (tmp_path / "run.yml").write_text("\n".join(lines))
    with pytest.raises(ValidationError, match="not a run file"):
        RunFile.read(tmp_path / "run.yml")


# ---------------------------------------------------------------------------------------- inputs
def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(paths, folder):
    return [path.relative_to(folder).as_posix() for path in paths]


def test_places_of_recordings(tmp_path):
    touch(tmp_path, "b/x.vhdr", "b/x.eeg", "b/x.vmrk", "a.edf", "a_corrected.edf", "note.txt")
    touch(tmp_path, ".facet_nb-1.part/y.fif", "c/z.FIF", "c/z.fif.gz")
    assert names(find_recordings([tmp_path]), tmp_path) == [
        *("a.edf", "b/x.vhdr", "c/z.FIF", "c/z.fif.gz")
    ]
    assert names(find_recordings([f"{tmp_path}/*/*.vhdr", tmp_path / "a.edf"]), tmp_path) == [
        *("b/x.vhdr", "a.edf")
    ]
    found = find_recordings([tmp_path / "a.edf", tmp_path])
    assert len(found) == len(set(found)) == 4
    assert find_recordings([tmp_path / "none.edf"]) == [tmp_path / "none.edf"]
    for place in (tmp_path / "*.gdf", tmp_path / "b" / ".."):
        if "gdf" in str(place):
            with pytest.raises(ValidationError, match="no recording"):
                find_recordings([place])


def test_labels_choose_recordings_of_a_data_set(tmp_path):
    touch(tmp_path, "dataset_description.json", "derivatives/p/sub-01/eeg/sub-01_eeg.edf")
    for sub in ("01", "02"):
        for task in ("rest", "go"):
            touch(tmp_path, f"sub-{sub}/ses-1/eeg/sub-{sub}_ses-1_task-{task}_run-2_eeg.edf")
    touch(tmp_path, "sub-01/ses-1/eeg/sub-01_ses-1_task-rest_run-2_channels.tsv")
    assert len(find_recordings([tmp_path])) == 4
    one = find_recordings([tmp_path], {"subject": ["sub-01"], "task": ["go"], "run": "2"})
    assert [p.name for p in one] == ["sub-01_ses-1_task-go_run-2_eeg.edf"]
    with pytest.raises(ValidationError, match="sub-03 among 4"):
        find_recordings([tmp_path], {"subject": ["03"]})
    with pytest.raises(ValidationError, match="no entity colour"):
        find_recordings([tmp_path], {"colour": ["red"]})


def test_derivatives(tmp_path, chain):
    root = tmp_path / "data"
    folder = root / "sub-01" / "eeg"
    source = studies.write(folder / "sub-01_task-rest_eeg.vhdr")
    touch(root, "dataset_description.json")
    description = {"Name": "Ours", "BIDSVersion": "1.9.0", "License": "CC0", "DatasetDOI": "doi:1"}
    (root / "dataset_description.json").write_text(json.dumps(description))
    sidecar = {"TaskName": "rest", "SamplingFrequency": 500, "PowerLineFrequency": 50}
    source.with_suffix(".json").write_text(json.dumps(sidecar))
    events = "onset\tduration\ttrial_type\n1.0\t0\tone\n"
    (folder / "sub-01_task-rest_events.tsv").write_text(events)
    (folder / "sub-01_electrodes.tsv").write_text("name\tx\ty\tz\nE1\t0\t0\t1\n")
    (folder / "sub-02_electrodes.tsv").write_text("another person's")
    out = root / "derivatives" / "facet_nb"
    done = RunFile.of(chain, [root], out).run(show_progress=False)
    assert [row.state for row in done.rows] == ["done"], done.summary()
    target = out / "sub-01" / "eeg" / "sub-01_task-rest_desc-facet_eeg.vhdr"
    expected = chain.run(source, raise_on_error=True).get_raw().get_data()
    assert abs(load(target).get_raw().get_data() - expected).max() < 1e-10
    written = json.loads(target.with_suffix(".json").read_text())
    assert {k: written[k] for k in sidecar} == sidecar
    assert written["Sources"] == ["bids:source:sub-01/eeg/sub-01_task-rest_eeg.vhdr"]
    assert written["GeneratedBy"][0]["Name"] == "facet_nb"
    beside = target.parent / "sub-01_task-rest_desc-facet_events.tsv"
    assert beside.read_text() == events
    electrodes = target.parent / "sub-01_task-rest_desc-facet_electrodes.tsv"
    assert "E1" in electrodes.read_text()
    told = json.loads((out / "dataset_description.json").read_text())
    assert told["DatasetType"] == "derivative" and told["License"] == "CC0"
    assert told["DatasetLinks"] == {"source": "../.."}
    ignored = (out / ".bidsignore").read_text().split()
    assert {"facet_nb", "reports", "*_provenance.json"} <= {*ignored}
    assert StudyTable(out / "facet_nb").read()[1][0].output == str(target)
    # The derivatives are no inputs, and events of another time are left out.
    assert find_recordings([root]) == [source]


def test_names_that_programs_for_raw_data_sets_find(tmp_path):
    """As mne-bids-pipeline reads a recording: by its entities, with mne_bids."""
    mne_bids = pytest.importorskip("mne_bids")
    chain = Pipeline([TriggerDetector(regex="S  1"), HighPassFilter(1.0)])
    root, out = tmp_path / "data", tmp_path / "out"
    raw = load(studies.write(tmp_path / "a.vhdr")).get_raw()
    asked = {"subject": "01", "task": "rest", "datatype": "eeg"}
    place = mne_bids.BIDSPath(**asked, root=root)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mne_bids.write_raw_bids(
            raw, place, format="BrainVision", allow_preload=True, verbose="error"
        )
        done = RunFile.of(chain, [root], out, desc="").run(show_progress=False)
        assert [row.state for row in done.rows] == ["done"], done.summary()
        assert mne_bids.get_entity_vals(out, "subject") == ["01"]
        told = json.loads((out / "dataset_description.json").read_text())
        assert told["SourceDatasets"] == [{"URL": "../data"}]
        assert told["DatasetLinks"] == {"source": "../data"}
        found = mne_bids.read_raw_bids(mne_bids.BIDSPath(**asked, root=out), verbose="error")
    source = next(root.rglob("*.vhdr"))
    expected = chain.run(source, raise_on_error=True).get_raw()
    assert abs(found.get_data() - expected.get_data()).max() < 1e-10
    assert list(found.annotations.onset) == [1.0, 2.0, 3.0, 4.0]
    assert (out / "participants.tsv").read_bytes() == (root / "participants.tsv").read_bytes()
    for desc, places in (("a b", [root]), ("x", [source])):
        with pytest.raises(ValidationError, match="desc"):
            RunFile.of(chain, places, out, desc=desc).make_study()


def test_events_of_a_shorter_recording_are_left_out(tmp_path):
    from facet_nb import Crop

    root = tmp_path / "data"
    source = studies.write(root / "sub-01" / "eeg" / "sub-01_task-rest_eeg.vhdr")
    (root / "dataset_description.json").write_text("{}")
    (source.parent / "sub-01_task-rest_events.tsv").write_text("onset\n1.0\n")
    done = RunFile.of(Pipeline([Crop(tmin=1.0, tmax=4.0)]), [root], tmp_path / "out").run()
    assert done.rows[0].state == "done", done.summary()
    written = Path(done.rows[0].output)
    assert not list(written.parent.glob("*events.tsv"))
    told = json.loads(written.with_suffix(".json").read_text())
    assert told["facet_nb"]["left_out"] == ["events.tsv"]
