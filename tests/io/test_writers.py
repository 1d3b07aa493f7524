"""What is written is what is read: samples, rate, annotations, dates, in every format."""

from __future__ import annotations

import datetime
import logging
import re
from dataclasses import replace

import mne
import numpy as np
import pytest

from facet_nb import Pipeline, Resample
from facet_nb.core import ProcessingContext
from facet_nb.core.errors import FacetError
from facet_nb.io import BrainVisionExporter, EDFExporter, FIFExporter, export, load
from facet_nb.io.markers import Marker
from facet_nb.io.verify import _compare_markers
from tests.io.conftest import DATE, times

SUFFIXES = [".edf", ".bdf", ".vhdr", ".fif", ".set"]
#: Bits of a sample of the fixed-point formats; None for float32.
BITS = {".edf": 16, ".bdf": 24, ".vhdr": None, ".fif": None, ".set": None}


def largest_error(raw, suffix):
    """Half a quantisation step of each channel, shape (n_channels, 1); see the formats."""
    data = raw.get_data()
    if BITS[suffix] is None:
        return 1.01 * 2.0**-23 * np.abs(data) + 1e-30
    step = np.ptp(data, axis=1, keepdims=True) / (2 ** BITS[suffix] - 1)
    # The ends of the range are rounded outward to eight characters, in µV.
    return 0.51 * step + 1e-12


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("date", [None, DATE], ids=["undated", "dated"])
@pytest.mark.parametrize("first_samp", [0, 1000])
def test_samples_rate_and_annotations(suffix, date, first_samp, recording, tmp_path):
    raw = recording(date=date, first_samp=first_samp)
    export(ProcessingContext(raw), tmp_path / f"out{suffix}")
    back = load(tmp_path / f"out{suffix}").get_raw()
    assert back.ch_names == raw.ch_names
    assert back.info["sfreq"] == raw.info["sfreq"]
    assert back.n_times == raw.n_times
    error = np.abs(back.get_data() - raw.get_data())
    assert np.all(error <= largest_error(raw, suffix))
    np.testing.assert_array_equal(back.get_data(["STI"]), raw.get_data(["STI"]))
    assert times(back) == times(raw)
    np.testing.assert_allclose(back.annotations.duration, raw.annotations.duration, atol=1e-4)


@pytest.mark.parametrize("suffix", [s for s in SUFFIXES if s != ".set"])
def test_first_sample_keeps_its_time_of_day(suffix, recording, tmp_path):
    raw = recording(first_samp=1000)
    export(ProcessingContext(raw), tmp_path / f"out{suffix}")
    back = load(tmp_path / f"out{suffix}").get_raw()
    begin = DATE + datetime.timedelta(seconds=2)
    if suffix in (".edf", ".bdf"):
        begin = begin.replace(microsecond=0)  # MNE reads whole seconds
    found = back.info["meas_date"] + datetime.timedelta(seconds=back.first_time)
    assert found == begin


@pytest.mark.parametrize("suffix", [".edf", ".bdf", ".fif"])
def test_annotation_of_one_channel_stays_with_it(suffix, context, tmp_path):
    export(context, tmp_path / f"out{suffix}")
    back = load(tmp_path / f"out{suffix}").get_raw()
    channels = {a["description"]: a["ch_names"] for a in back.annotations}
    assert channels["Response/R 12"] == ("Fp1",)
    assert channels["Stimulus/S  1"] == ()


def test_fif_keeps_all(recording, tmp_path):
    raw = recording(bads=("O1",))
    export(ProcessingContext(raw), tmp_path / "out.fif")
    back = load(tmp_path / "out.fif").get_raw()
    assert back.info["bads"] == ["O1"]
    assert back.get_channel_types() == raw.get_channel_types()
    assert back.first_samp == raw.first_samp
    assert back.info["meas_date"] == raw.info["meas_date"]


def test_fif_double_is_exact(context, tmp_path):
    FIFExporter(tmp_path / "out.fif", fmt="double").execute(context)
    np.testing.assert_array_equal(load(tmp_path / "out.fif").get_data(), context.get_data())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_triggers_late_in_a_long_recording(suffix, tmp_path):
    """MNE's own FIF files hold onsets as float32: here 0.61 samples off."""
    info = mne.create_info(["Cz"], 5000.0, "eeg")
    data = 1e-5 * np.random.default_rng(0).standard_normal((1, 50_000))
    raw = mne.io.RawArray(data, info, first_samp=4000 * 5000 + 3, verbose="error")
    samples = np.arange(0, 50_000, 301)
    raw.set_annotations(mne.Annotations(samples / 5000.0, 0.0, "Stimulus/S  1"))
    export(ProcessingContext(raw), tmp_path / f"late{suffix}")
    back = load(tmp_path / f"late{suffix}").get_raw()
    found = (back.annotations.onset - back.first_time) * 5000.0
    np.testing.assert_allclose(found, samples, atol=1e-3)
    assert set(back.annotations.description) == {"Stimulus/S  1"}


def test_outlier_in_one_channel_costs_the_others_nothing(context, tmp_path):
    export(context, tmp_path / "out.edf")
    error = np.abs(load(tmp_path / "out.edf").get_data() - context.get_data()).max(axis=1)
    assert error[2] > 100e-9  # Cz, with 50 mV once
    assert error[[0, 1, 3, 4]].max() < 2e-9


@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
@pytest.mark.parametrize("n_times", [1, 499, 2501])
def test_last_record_is_filled_up_and_says_so(suffix, n_times, tmp_path):
    data = 1e-5 * np.random.default_rng(0).standard_normal((2, n_times))
    raw = mne.io.RawArray(data, mne.create_info(2, 500.0, "eeg"), verbose="error")
    export(ProcessingContext(raw), tmp_path / f"out{suffix}")
    back = load(tmp_path / f"out{suffix}").get_raw()
    assert back.n_times == -(-n_times // 500) * 500
    filled = back.get_data()[:, n_times:]
    np.testing.assert_array_equal(filled, back.get_data()[:, [n_times - 1]] * np.ones_like(filled))
    (mark,) = back.annotations
    assert mark["description"] == "BAD_ACQ_SKIP"
    assert mark["onset"] == pytest.approx(n_times / 500.0)


@pytest.mark.parametrize("sfreq", [500 / 3, 250.5, 4999.9, 1024 / 7, 0.5])
def test_edf_with_a_rate_that_is_not_whole(sfreq, tmp_path):
    raw = mne.io.RawArray(np.eye(2, 5000), mne.create_info(2, sfreq, "misc"), verbose="error")
    raw.set_annotations(mne.Annotations([raw.times[333]], 0.0, "here"))
    export(ProcessingContext(raw), tmp_path / "out.edf")
    back = load(tmp_path / "out.edf").get_raw()
    assert back.info["sfreq"] == pytest.approx(sfreq, rel=1e-12)
    here = back.annotations[list(back.annotations.description).index("here")]
    assert here["onset"] * sfreq == pytest.approx(333, abs=5e-3)  # MNE: whole µs


@pytest.mark.parametrize("sfreq", [1e6 / 200.012, 1e5 / 97.3, 500 / 11, 1000 / 13])
def test_edf_names_a_remedy_that_works(sfreq, tmp_path):
    raw = mne.io.RawArray(np.eye(2, 5000), mne.create_info(2, sfreq, "eeg"), verbose="error")
    refused = Pipeline([EDFExporter(tmp_path / "out.edf")]).run(ProcessingContext(raw))
    (steps,) = re.findall(
        r"(?:Put (Resample\([\d.]+\)) before the export, or w|W)rite .fif", str(refused.error)
    )
    if steps:
        chain = [Resample(float(steps[9:-1])), EDFExporter(tmp_path / "out.edf")]
    else:
        chain = [BrainVisionExporter(tmp_path / "out.vhdr")]
    result = Pipeline(chain).run(ProcessingContext(raw))
    assert result.success, result.error
    assert bool(steps) == (sfreq < 500)


def test_a_rate_that_a_step_changes_is_not_refused_early(tmp_path):
    raw = mne.io.RawArray(np.eye(2, 50_000), mne.create_info(2, 500 / 11, "eeg"), verbose="error")
    for rate in (1000.0, 50.0):
        steps = [Resample(rate), EDFExporter(tmp_path / "out.edf")]
        result = Pipeline(steps).run(ProcessingContext(raw))
        assert result.success, result.error
        (tmp_path / "out.edf").unlink()


def make_named(name="Cz", texts=(), year=None):
    raw = mne.io.RawArray(np.eye(1, 5000), mne.create_info([name], 500.0, "misc"), verbose="error")
    raw.set_annotations(mne.Annotations(1.0 + np.arange(len(texts)), 0.0, list(texts)))
    if year is not None:
        raw.set_meas_date(datetime.datetime(year, 1, 1, tzinfo=datetime.UTC))
    return raw


@pytest.mark.parametrize(
    ("options", "names", "mend"),
    [
        (
            {"texts": ("刺激开始", "R128")},
            "'刺激开始'. Rename",
            lambda r: r.annotations.rename({"刺激开始": "start"}),
        ),
        ({"name": "Ω1"}, "'Ω1'. Rename", lambda r: r.rename_channels({"Ω1": "W1"})),
        ({"name": "Übung"}, "'Übung'. Rename", lambda r: r.rename_channels({"Übung": "Ue"})),
        ({"year": 1900}, "1900-01-01", lambda r: r.set_meas_date(None)),
        ({"year": 1850}, "1850-01-01", lambda r: r.set_meas_date(None)),
    ],
)
def test_fif_names_what_it_cannot_hold(options, names, mend, tmp_path):
    raw, target = make_named(**options), tmp_path / "out.fif"
    steps = [FIFExporter(target)]
    result = Pipeline(steps).run(ProcessingContext(raw))
    assert names in str(result.error) and not list(tmp_path.iterdir())
    assert "Write .fif" not in str(result.error)
    mend(raw)
    result = Pipeline(steps).run(ProcessingContext(raw))
    assert result.success, result.error
    assert times(load(target).get_raw()) == times(raw)


@pytest.mark.parametrize("lost", [0, 2])
def test_the_annotation_that_is_lost_is_named(lost, tmp_path):
    texts = ["z", "R128", "a"]
    wanted = [Marker(1.0 + k, 0.0, text) for k, text in enumerate(texts)]
    found = [
        replace(m, description="?" + m.description) if k == lost else m
        for k, m in enumerate(wanted)
    ]
    with pytest.raises(
        FacetError, match=rf"'{texts[lost]}' at {1 + lost}.0+ s is read back as '\?"
    ):
        _compare_markers(found, wanted, 500.0, tmp_path / "a.fif")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_samples_on_disk_are_exported_as_those_in_memory(suffix, sources, tmp_path):
    for name, preload in (("memory", True), ("disk", False)):
        context = load(sources[".vhdr"], preload=preload)
        export(context, tmp_path / f"{name}{suffix}")
        assert context.get_raw().preload is preload
    lazy, loaded = (load(tmp_path / f"{name}{suffix}") for name in ("disk", "memory"))
    np.testing.assert_array_equal(lazy.get_data(), loaded.get_data())


@pytest.mark.parametrize(("suffix", "warned"), [(".edf", True), (".vhdr", True), (".fif", False)])
def test_losses_are_told_once(suffix, warned, recording, tmp_path, caplog):
    context = ProcessingContext(recording(bads=("O1", "Cz")).drop_channels(["Fp2"]))
    with caplog.at_level(logging.WARNING, "facet_nb"):
        export(context, tmp_path / f"out{suffix}")
    told = [r.getMessage() for r in caplog.records if "does not keep" in r.getMessage()]
    assert len(told) == warned
    if warned:
        assert "O1, Cz" in told[0]
        assert "EOG1 (eog, read as eeg)" in told[0]


def test_coarse_steps_are_told(context, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "facet_nb"):
        export(context, tmp_path / "out.edf")
        export(context, tmp_path / "out.bdf")
    coarse = [r.getMessage() for r in caplog.records if "in steps above" in r.getMessage()]
    assert len(coarse) == 1
    assert "out.edf" in coarse[0]
    assert "Cz" in coarse[0]


def test_subject_is_kept_or_left_out(recording, tmp_path, caplog):
    raw = recording()
    raw.info["subject_info"] = {"his_id": "S 7", "sex": 2, "last_name": "Doe"}
    export(ProcessingContext(raw), tmp_path / "a.edf")
    kept = load(tmp_path / "a.edf").get_raw().info["subject_info"]
    assert (kept["his_id"], kept["sex"], kept["last_name"]) == ("S_7", 2, "Doe")
    raw.info["subject_info"] = {"his_id": "S7", "last_name": "Müller"}
    export(ProcessingContext(raw), tmp_path / "b.edf")
    assert "subject left out" in caplog.text
    assert load(tmp_path / "b.edf").get_raw().info["subject_info"]["his_id"] == "X"


def test_filters_of_the_header(recording, tmp_path):
    raw = recording()
    with raw.info._unlock():
        raw.info["highpass"], raw.info["lowpass"] = 0.5, 70.0
    export(ProcessingContext(raw), tmp_path / "out.edf")
    info = load(tmp_path / "out.edf").get_raw().info
    assert (info["highpass"], info["lowpass"]) == (0.5, 70.0)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_trigger_channel_that_was_read_as_eeg(suffix, context, tmp_path, caplog):
    """EDF has no channel types: after loading, codes pass for volts."""
    export(context, tmp_path / "first.edf")
    again = load(tmp_path / "first.edf")
    assert again.get_raw().get_channel_types(["STI"]) == ["eeg"]
    caplog.clear()
    export(again, tmp_path / f"second{suffix}")
    codes = load(tmp_path / f"second{suffix}").get_data(["STI"])
    np.testing.assert_allclose(codes, context.get_data(["STI"]), rtol=1e-7)
    assert "STI: " not in caplog.text
