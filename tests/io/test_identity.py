"""What a header says about a person is told, and left out on demand."""

from __future__ import annotations

import datetime

import mne
import numpy as np
import pytest

from facet_nb import Anonymizer, HighPassFilter, read_provenance
from facet_nb.core import Pipeline, ProcessingContext, ValidationError
from facet_nb.io import BIDSExporter, BIDSLoader, Exporter, Loader, export, load
from facet_nb.io.identity import list_identity
from tests.io.conftest import make_recording, times

SUFFIXES = [".edf", ".bdf", ".vhdr", ".fif", ".set"]
SUBJECT = {
    "his_id": "P-4711",
    "first_name": "Ada",
    "last_name": "Byron",
    "birthday": datetime.date(1985, 12, 10),
    "sex": 2,
    "hand": 1,
}
#: Words that must not be in any file of an anonymous recording. Years alone are in checksums, too.
SECRETS = [
    *(b"P-4711", b"Ada", b"Byron", b"Lovelace"),
    *(b"1985-12", b"198512", b"10-DEC", b"2021-03", b"202103", b"MAR-"),
]


@pytest.fixture
def named():
    """A context of a recording with a subject and an experimenter."""
    raw = make_recording()
    raw.info["subject_info"] = dict(SUBJECT)
    raw.info["experimenter"] = "Lovelace"
    return ProcessingContext(raw)


def codes(findings):
    return [finding.code for finding in findings]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_kept_as_mne_keeps_it_and_told(suffix, named, tmp_path):
    done = export(named, tmp_path / f"out{suffix}")
    keeps = suffix in (".edf", ".bdf", ".fif")
    assert codes(done.get_findings()) == ["identity_kept"] * keeps
    again = load(tmp_path / f"out{suffix}")
    assert codes(again.get_findings()) == ["identity_kept"] * keeps
    if keeps:
        subject = again.get_raw().info["subject_info"]
        assert subject["last_name"] == "Byron" and subject["birthday"].year == 1985
        (finding,) = again.get_findings()
        assert finding.severity == "note" and "name, " in finding.detail.replace(
            "code, name", "name"
        )
        assert "Byron" not in str(finding) and "4711" not in str(finding)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("where", ["exporter", "loader", "step", "map"])
def test_anonymous_files_have_no_trace(suffix, where, named, tmp_path):
    source, out = tmp_path / "in.fif", tmp_path / "out"
    export(named, source)
    target = out / f"rec{suffix}"
    if where == "exporter":
        export(load(source), target, anonymize=True)
    elif where == "loader":
        Exporter(target).execute(load(source, anonymize=True))
    elif where == "step":
        Pipeline([Loader(source), Anonymizer(), Exporter(target)]).run(raise_on_error=True)
    else:
        done = Pipeline([HighPassFilter(0.1)]).map(
            [source, named],
            output=f"{out}/{{stem}}{suffix}",
            anonymize=True,
            keep_raw=True,
            show_progress=False,
        )
        assert [result.error for result in done] == [None, None]
        assert all(list_identity(result.raw.info) == [] for result in done)
        target = out / f"in{suffix}"
    for file in out.iterdir():
        data = file.read_bytes()
        if file.suffix == ".json":  # it holds the date of the export, and versions
            data = data.partition(b'"versions"')[0]
            assert where == "map" or b'"in.fif"' not in data
        assert [word for word in SECRETS if word in data] == []
    back = load(target).get_raw()
    assert list_identity(back.info) in ([], ["birthday"])
    if suffix != ".set":
        assert back.info["meas_date"].year == 2000
    before = load(source).get_raw()
    assert [t for t, _ in times(back)][:3] == pytest.approx(
        [t for t, _ in times(before)][:3], abs=1
    )
    assert read_provenance(target) is not None


def test_as_mne_does_it(named):
    ours = Anonymizer().execute(named).get_raw()
    theirs = named.get_raw().copy().anonymize(verbose="error")
    for entry in ("subject_info", "experimenter", "meas_date", "description"):
        assert ours.info[entry] == theirs.info[entry]
    np.testing.assert_array_equal(ours.annotations.onset, theirs.annotations.onset)
    assert ours.annotations.orig_time == theirs.annotations.orig_time


def test_the_callers_recording_does_not_change(named, tmp_path):
    raw = named.get_raw()
    before = raw.copy()
    export(named, tmp_path / "out.fif", anonymize=True)
    new = Anonymizer().execute(named)
    assert raw.info["subject_info"]["last_name"] == "Byron"
    assert mne.utils.object_diff(raw.info, before.info) == ""
    assert raw.annotations == before.annotations
    assert np.shares_memory(new.get_raw()._data, raw._data)
    assert list_identity(new.get_raw_original().info) == []


def test_a_recording_that_is_not_loaded(named, tmp_path):
    export(named, tmp_path / "in.fif")
    loader = Loader(tmp_path / "in.fif", preload=False, anonymize=True)
    result = Pipeline([loader, HighPassFilter(0.5), Exporter(tmp_path / "o.edf")]).run(
        mode="channel_sequential", chunk_duration_s=1.0, raise_on_error=True, show_progress=False
    )
    assert list_identity(result.raw.info) == []
    plain = Pipeline([Loader(tmp_path / "in.fif"), HighPassFilter(0.5)]).run(raise_on_error=True)
    np.testing.assert_array_equal(result.raw.get_data(), plain.raw.get_data())


def test_a_loader_of_ones_own_in_map(tmp_path):
    with pytest.raises(ValidationError, match="give it to the loaders"):
        Pipeline([]).map([tmp_path / "x.fif"], anonymize=True, loader_factory=Loader)


@pytest.mark.parametrize("preload", [True, False])
def test_bids(preload, named, tmp_path):
    pytest.importorskip("mne_bids")
    export(named, tmp_path / "in.vhdr", provenance=False)
    place = {"bids_root": tmp_path / "bids", "subject": "01", "task": "rest"}
    raw = mne.io.read_raw(tmp_path / "in.vhdr", preload=preload, verbose="error")
    raw.info["subject_info"] = dict(SUBJECT)
    steps = [BIDSExporter(**place, anonymize=True)]
    Pipeline(steps).run(ProcessingContext(raw), raise_on_error=True, show_progress=False)
    for file in (tmp_path / "bids").rglob("*"):
        data = file.read_bytes() if file.is_file() else b""
        assert [word for word in SECRETS[:6] if word in data] == [], file
    context = BIDSLoader(**place, anonymize=True).execute(ProcessingContext())
    assert list_identity(context.get_raw().info) == [] and context.get_findings() == ()


@pytest.mark.parametrize(
    ("subject", "found"),
    [
        (None, []),
        ({}, []),
        ({"his_id": "X", "sex": 0}, []),
        ({"his_id": "0", "first_name": "mne_anonymize"}, []),
        ({"weight": 61.5, "height": 1.7}, ["weight", "height"]),
        ({"first_name": "A", "last_name": "B"}, ["name"]),
    ],
)
def test_what_counts(subject, found):
    info = mne.create_info(1, 100.0)
    info["subject_info"] = subject
    assert list_identity(info) == found
