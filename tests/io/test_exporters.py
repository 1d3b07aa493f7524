"""What a format cannot hold is an error before any file is touched."""

from __future__ import annotations

import datetime

import mne
import numpy as np
import pytest

from facet_nb.core import FacetError, Pipeline, ProcessingContext, ValidationError
from facet_nb.io import BDFExporter, BrainVisionExporter, EDFExporter, Exporter, FIFExporter, export

EDF_LIKE = [(EDFExporter, ".edf"), (BDFExporter, ".bdf")]


def refuses(exporter, context, *words):
    """Run `exporter`; one error holds all `words` and the path, and nothing was written."""
    with pytest.raises(FacetError) as caught:
        exporter.execute(context)
    message = str(caught.value)
    for word in (str(exporter.path), *words):
        assert word in message
    assert not exporter.path.exists()
    assert not list(exporter.path.parent.glob(".facet_nb*"))


def annotated(raw, description):
    raw.set_annotations(mne.Annotations([raw.first_time], 0.0, description, raw.info["meas_date"]))
    return ProcessingContext(raw)


@pytest.mark.parametrize(("exporter", "suffix"), EDF_LIKE)
@pytest.mark.parametrize("name", ["A channel with 17", "Fpä", " Fp1", "Fp1 ", "Fp\n1", "Fp\x7f"])
def test_edf_channel_names(exporter, suffix, name, recording, tmp_path):
    raw = recording()
    raw.rename_channels({"Cz": name})
    target = exporter(tmp_path / f"out{suffix}")
    words = ("1 to 16 printable ASCII characters", f"not so {name!r}. Rename", "rename_channels")
    refuses(target, ProcessingContext(raw), *words)


@pytest.mark.parametrize("name", ["Z", "A channel with16", "1 2  3"])
def test_edf_takes_other_names(name, recording, tmp_path):
    raw = recording()
    raw.rename_channels({"Cz": name})
    export(ProcessingContext(raw), tmp_path / "out.edf")


def test_edf_name_of_its_own(recording, tmp_path):
    raw = recording()
    raw.rename_channels({"Cz": "EDF Annotations"})
    refuses(EDFExporter(tmp_path / "out.edf"), ProcessingContext(raw), "rename_channels")


@pytest.mark.parametrize(("exporter", "suffix"), EDF_LIKE)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_edf_samples_that_are_no_numbers(exporter, suffix, value, recording, tmp_path):
    raw = recording()
    raw._data[3, 77] = value
    target = exporter(tmp_path / f"out{suffix}")
    refuses(target, ProcessingContext(raw), "channel O1", "NaN", ".fif")


def test_edf_samples_out_of_reach(recording, tmp_path):
    raw = recording()
    raw._data[3] *= 1e14
    refuses(EDFExporter(tmp_path / "out.edf"), ProcessingContext(raw), "channel O1", "unit")


def test_edf_codes_that_would_be_rounded(recording, tmp_path):
    raw = recording()
    raw._data[5, :2] = 0, 2**16
    refuses(EDFExporter(tmp_path / "out.edf"), ProcessingContext(raw), "channel STI", ".fif")
    export(ProcessingContext(raw), tmp_path / "out.bdf")
    raw._data[5, :2] = 2**16 - 1, 0
    export(ProcessingContext(raw), tmp_path / "out.edf")


@pytest.mark.parametrize(("exporter", "suffix"), EDF_LIKE)
@pytest.mark.parametrize("sfreq", [np.pi * 100, 1000.123456])
def test_edf_sampling_rate(exporter, suffix, sfreq, recording, tmp_path):
    context = ProcessingContext(recording(sfreq=sfreq))
    refuses(exporter(tmp_path / f"out{suffix}"), context, "sampling rate", "rite .fif or .vhdr")
    BrainVisionExporter(tmp_path / "out.vhdr").execute(context)


@pytest.mark.parametrize("year", [1984, 2085])
def test_edf_years(year, recording, tmp_path):
    date = datetime.datetime(year, 6, 1, tzinfo=datetime.UTC)
    context = ProcessingContext(recording(date=date))
    refuses(EDFExporter(tmp_path / "out.edf"), context, str(year), "set_meas_date")


@pytest.mark.parametrize("suffix", [".edf", ".bdf", ".vhdr"])
@pytest.mark.parametrize("text", ["two\nlines", "two\rlines", "zero\0byte"])
def test_line_breaks_in_annotations(suffix, text, recording, tmp_path):
    context = annotated(recording(), text)
    refuses(Exporter(tmp_path / f"out{suffix}"), context, repr(text), "annotations.rename")


@pytest.mark.parametrize("text", ["", "\x14", "a\x15b"])
def test_edf_annotations_of_its_own(text, recording, tmp_path):
    refuses(EDFExporter(tmp_path / "out.edf"), annotated(recording(), text), "annotation")


def test_brainvision_code_for_a_comma(recording, tmp_path):
    refuses(BrainVisionExporter(tmp_path / "out.vhdr"), annotated(recording(), r"a\1b"), r"\1")


@pytest.mark.parametrize("name", ["Cz ", "C\nz", r"C\1z"])
def test_brainvision_channel_names(name, recording, tmp_path):
    raw = recording()
    raw.rename_channels({"Cz": name})
    context = ProcessingContext(raw)
    refuses(BrainVisionExporter(tmp_path / "out.vhdr"), context, "rename_channels")


@pytest.mark.parametrize("name", ["Cz, left", "Cé", "[Cz]", "a=b", "; Cz", "Very long name of Cz"])
def test_brainvision_takes_other_names(name, recording, tmp_path):
    from facet_nb.io import load

    raw = recording()
    raw.rename_channels({"Cz": name})
    export(ProcessingContext(raw), tmp_path / "out.vhdr")
    assert name in load(tmp_path / "out.vhdr").get_channel_names()


def test_brainvision_header_in_capitals(context, tmp_path):
    """MNE reads no such file."""
    target = BrainVisionExporter(tmp_path / "OUT.VHDR")
    refuses(target, context, "end in .VHDR", "Name it OUT.vhdr")


def test_a_name_that_breaks_the_header_is_found_on_reading_back(recording, tmp_path):
    raw = recording()
    raw.rename_channels({"Cz": "[Comment]"})
    context = ProcessingContext(raw)
    refuses(BrainVisionExporter(tmp_path / "out.vhdr"), context, "cannot be read back", ".fif")


@pytest.mark.parametrize("suffix", [".vhdr", ".fif"])
def test_nan_where_the_format_has_it(suffix, recording, tmp_path):
    from facet_nb.io import load

    raw = recording()
    raw._data[3, 70:80] = np.nan
    export(ProcessingContext(raw), tmp_path / f"out{suffix}")
    back = load(tmp_path / f"out{suffix}").get_data()
    np.testing.assert_array_equal(np.isnan(back), np.isnan(raw.get_data()))


@pytest.mark.parametrize("value", [np.inf, -np.inf, 4e32])
@pytest.mark.parametrize("other", [0.0, np.nan])
def test_samples_beyond_float32(value, other, recording, tmp_path):
    """BrainVision holds µV: 4e32 V are beyond float32. FIF holds volts, and infinity."""
    from facet_nb.io import load

    raw = recording()
    raw._data[4, 5], raw._data[4, 6] = value, other
    target = BrainVisionExporter(tmp_path / "out.vhdr")
    refuses(target, ProcessingContext(raw), "channel EOG1", ".fif")
    export(ProcessingContext(raw), tmp_path / "out.fif")
    assert load(tmp_path / "out.fif").get_data()[4, 5] == np.float32(value)


@pytest.mark.parametrize("suffix", [".edf", ".bdf", ".vhdr", ".fif"])
def test_memory_that_does_not_suffice(suffix, recording, tmp_path, monkeypatch):
    import mne

    def fail(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(mne.io.BaseRaw, "save", fail)
    monkeypatch.setattr(mne.io.BaseRaw, "get_data", fail)
    monkeypatch.setattr(mne.io.BaseRaw, "__getitem__", fail)
    context = ProcessingContext(recording())
    refuses(Exporter(tmp_path / f"out{suffix}"), context, "not enough memory", "MB")


@pytest.mark.parametrize("name", ["out.gdf", "out.txt", "out", "out.fif.gz"])
def test_suffixes_without_writer(name, context, tmp_path):
    refuses(
        Exporter(tmp_path / name), context, ".edf, .bdf, .vhdr, .fif", "Use .edf or .fif instead"
    )


@pytest.mark.parametrize("exporter", [EDFExporter, BDFExporter, BrainVisionExporter, FIFExporter])
def test_suffix_of_another_format(exporter, context, tmp_path):
    refuses(exporter(tmp_path / "out.mat"), context, "must end in", "Exporter(path)")


def test_unknown_sample_type(context, tmp_path):
    with pytest.raises(ValidationError, match="fmt='half'"):
        FIFExporter(tmp_path / "out.fif", fmt="half").execute(context)


def test_nothing_loaded(tmp_path):
    with pytest.raises(ValidationError, match="holds no recording"):
        Exporter(tmp_path / "out.edf").execute(ProcessingContext())


def test_export_of_something_else(tmp_path, recording):
    with pytest.raises(ValidationError, match=r"ProcessingContext\(raw\)"):
        export(recording(), tmp_path / "out.edf")


def test_complaints_can_be_had_before_a_long_run(recording, tmp_path):
    raw = recording()
    raw.rename_channels({"Cz": "A channel with 17"})
    pipeline = Pipeline([EDFExporter(tmp_path / "out.edf"), Exporter(tmp_path / "out.xyz")])
    complaints = pipeline.validate_all(ProcessingContext(raw))
    assert len(complaints) == 2
    assert "not so 'A channel with 17'" in complaints[0]
    assert ".xyz" in complaints[1]
