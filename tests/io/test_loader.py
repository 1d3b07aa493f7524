"""Loading whole files."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import mne
import numpy as np
import pytest

from facet_nb.core import (
    ProcessingContext,
    ProcessingMetadata,
    ValidationError,
    get_processor,
    list_processors,
)
from facet_nb.io import Loader, load
from facet_nb.io.sources import open_recording

SUFFIXES = [".edf", ".bdf", ".gdf", ".vhdr", ".set", ".fif"]


@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format(suffix, preload, sources):
    context = Loader(sources[suffix], preload=preload).execute(ProcessingContext())
    raw = context.get_raw()
    assert context.get_raw_original() is raw
    assert raw.preload is (preload or (suffix == ".set" and raw.preload))
    assert context.get_data().shape == (len(raw.ch_names), raw.n_times)
    assert np.isfinite(context.get_data()).all()
    assert [step.name for step in context.get_history()] == ["auto_loader"]


def test_gdf_values(sources):
    context = load(sources[".gdf"])
    np.testing.assert_allclose(context.get_data()[0], np.arange(400) * 1e-6, atol=1e-12)


@pytest.mark.parametrize("version", [1.25, 2.2])
def test_gdf_versions(version, tmp_path):
    from tests.io.conftest import make_gdf

    path = tmp_path / "file.gdf"
    path.write_bytes(make_gdf(3, version))
    context = load(path)
    np.testing.assert_allclose(context.get_data()[2], np.arange(300) * 1e-6, atol=1e-12)


@pytest.mark.parametrize("suffix", [".eeg", ".vmrk"])
def test_parts_of_brainvision_lead_to_its_header(suffix, sources):
    given = load(sources[".vhdr"].with_suffix(suffix))
    np.testing.assert_array_equal(given.get_data(), load(sources[".vhdr"]).get_data())


def test_compressed_fif(sources, tmp_path):
    import gzip

    path = tmp_path / "whole_raw.fif.gz"
    path.write_bytes(gzip.compress(sources[".fif"].read_bytes()))
    np.testing.assert_array_equal(load(path).get_data(), load(sources[".fif"]).get_data())


def test_suffix_in_capitals(sources, tmp_path):
    path = tmp_path / "WHOLE.EDF"
    path.write_bytes(sources[".edf"].read_bytes())
    assert load(path).get_n_channels() == 6


def test_path_may_be_text_and_begin_with_a_tilde(sources, tmp_path, monkeypatch):
    (tmp_path / "here.edf").write_bytes(sources[".edf"].read_bytes())
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load("~/here.edf").get_n_channels() == 6


def test_part_of_a_file(sources):
    whole = load(sources[".vhdr"]).get_data()
    for preload in (True, False):
        part = load(sources[".vhdr"], start_sample=100, stop_sample=np.int64(350), preload=preload)
        np.testing.assert_array_equal(part.get_data(), whole[:, 100:350])
        onsets = part.get_raw().annotations.onset - part.get_raw().first_time
        np.testing.assert_allclose(onsets * 500, [151])


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 5), (0, 1001), (1000, None), (7, 3)])
def test_part_outside_the_file(start, stop, sources):
    with pytest.raises(ValidationError, match=r"whole\.vhdr.*start_sample"):
        load(sources[".vhdr"], start_sample=start, stop_sample=stop)


@pytest.mark.parametrize("options", [{"start_sample": 1.5}, {"stop_sample": "9"}])
def test_part_that_is_no_number(options, sources):
    with pytest.raises(ValidationError, match="whole number"):
        load(sources[".vhdr"], **options)


@pytest.mark.parametrize("factor", [0, -2, 1.5])
def test_upsampling_factor_below_one(factor, sources):
    with pytest.raises(ValidationError, match="upsampling_factor"):
        load(sources[".vhdr"], upsampling_factor=factor)


def test_metadata(sources):
    context = load(sources[".edf"], artifact_to_trigger_offset=-0.005, upsampling_factor=10)
    assert context.metadata.artifact_to_trigger_offset == -0.005
    assert context.metadata.upsampling_factor == 10
    assert context.metadata.triggers is None


def test_bad_channels_are_added(sources, recording, tmp_path):
    from facet_nb.io import export

    export(ProcessingContext(recording(bads=("O1",))), tmp_path / "out.fif")
    context = load(tmp_path / "out.fif", bad_channels=["Cz", "O1"])
    assert context.get_raw().info["bads"] == ["O1", "Cz"]
    assert load(sources[".edf"], bad_channels="Fp1").get_raw().info["bads"] == ["Fp1"]


def test_unknown_bad_channel_names_the_nearest(sources):
    with pytest.raises(ValidationError, match=r"no channel fp3.*Did you mean Fp1, Fp2"):
        load(sources[".edf"], bad_channels=["Cz", "fp3"])


def test_what_was_known_before_the_recording_is_kept(sources):
    before = ProcessingContext(
        metadata=ProcessingMetadata(triggers=np.array([5, 9]), custom={"subject": "7"})
    )
    before.add_history_entry("note")
    after = Loader(sources[".edf"]).execute(before)
    assert after.metadata.custom == {"subject": "7"}
    np.testing.assert_array_equal(after.get_triggers(), [5, 9])
    assert [s.name for s in after.get_history()] == ["note", "auto_loader"]
    after.metadata.custom["subject"] = "8"
    assert before.metadata.custom == {"subject": "7"}
    assert not before.has_raw()


def test_another_recording_begins_anew(sources, context):
    old = context.with_triggers([1, 2, 3])
    old.metadata.custom.update(subject="7", metrics={"snr": 1.0})
    new = Loader(sources[".edf"]).execute(old)
    assert new.metadata.custom == {"subject": "7"}
    assert new.get_triggers() is None
    assert [s.name for s in new.get_history()] == ["auto_loader"]
    assert new.get_raw_original() is new.get_raw()


def test_registry_names():
    names = {name: cls.__name__ for name, cls in list_processors().items()}
    wanted = {
        "auto_loader": "Loader",
        "edf_exporter": "EDFExporter",
        "bdf_exporter": "BDFExporter",
        "brainvision_exporter": "BrainVisionExporter",
        "fif_exporter": "FIFExporter",
        "exporter": "Exporter",
    }
    assert wanted.items() <= names.items()
    assert get_processor("Loader") is Loader


def test_loading_says_nothing(sources, capfd):
    for suffix in SUFFIXES:
        load(sources[suffix])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["niazy_twin_2048.vhdr", "niazy_twin_2048_raw.fif"])
def test_recording_from_a_scanner(name, shared_data):
    context = load(shared_data / name)
    assert (context.get_n_channels(), context.get_raw().n_times) == (6, 332416)
    assert context.get_sfreq() == 2048.0
    assert len(context.get_raw().annotations) == 840


def test_recording_from_eeglab(shared_data):
    context = load(shared_data / "real" / "eeglab_data.set", preload=False)
    assert (context.get_n_channels(), context.get_raw().n_times) == (32, 30504)
    part = load(shared_data / "real" / "eeglab_data.fdt", stop_sample=10)
    np.testing.assert_array_equal(part.get_data(), context.get_data(stop=10))


def test_header_without_its_data(shared_data):
    with pytest.raises(ValidationError, match=r"me3mb3_tr1600_sl54\.eeg does not exist"):
        load(shared_data / "real" / "me3mb3_tr1600_sl54.vhdr")


@pytest.mark.parametrize("first_samp", [0, 1234])
@pytest.mark.parametrize("dated", [True, False])
@pytest.mark.parametrize("size", ["1GB", "2MB"])
def test_fif_is_read_as_mne_reads_it(tmp_path, first_samp, dated, size):
    rng = np.random.default_rng(0)
    info = mne.create_info(4, 1000.0, "eeg")
    raw = mne.io.RawArray(
        1e-5 * rng.standard_normal((4, 200_000)), info, first_samp=first_samp, verbose="error"
    )
    if dated:
        raw.set_meas_date(datetime(2026, 1, 2, tzinfo=UTC))
    times = np.sort(rng.uniform(0.0, 199.0, 30))
    texts = [["scan", "BAD_ACQ_SKIP", "QRS"][i % 3] for i in range(30)]
    names = [["1"] if i % 7 == 0 else [] for i in range(30)]
    marks = mne.Annotations(times, 0.25, texts, ch_names=names)
    raw.set_annotations(marks)
    file = tmp_path / "a_raw.fif"
    raw.save(file, split_size=size, verbose="error")
    theirs = mne.io.read_raw_fif(file, verbose="error")
    ours = open_recording(file)
    assert type(ours) is type(theirs)
    assert ours.annotations == theirs.annotations
    assert ours.annotations.extras == theirs.annotations.extras
    assert ours.filenames == theirs.filenames
    assert (ours.first_samp, ours.info["meas_date"]) == (first_samp, theirs.info["meas_date"])
    np.testing.assert_array_equal(ours.get_data(), theirs.get_data())
    assert pickle.loads(pickle.dumps(ours)).annotations == theirs.annotations
