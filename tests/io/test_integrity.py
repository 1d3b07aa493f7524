"""Damaged and incomplete files: one error that names the file, the problem and the remedy."""

from __future__ import annotations

import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from facet_nb.core import FacetError, ValidationError
from facet_nb.io import load


@pytest.fixture
def copies(sources, tmp_path):
    """Copy the files of a recording; return the one that is opened."""

    def copy(suffix: str) -> Path:
        parts = (".vhdr", ".eeg", ".vmrk") if suffix == ".vhdr" else (suffix,)
        for part in parts:
            shutil.copy(sources[suffix].with_suffix(part), tmp_path)
        return tmp_path / sources[suffix].name

    return copy


def refuses(path: Path, *words: str, **options) -> str:
    """Load `path`, and return the message of the one error, which holds all `words`."""
    with pytest.raises(ValidationError) as caught:
        load(path, **options)
    message = str(caught.value)
    assert path.name in message or path.stem in message
    for word in words:
        assert word in message
    assert re.search(r"Copy|Did you|[Gg]ive|Put|write|Check|Read|folder", message)
    return message


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


# --- names -----------------------------------------------------------------------------------


def test_missing_file_names_the_nearest(copies):
    path = copies(".edf")
    refuses(path.with_name("hole.edf"), "no such file", "Did you mean whole.edf")


def test_missing_folder(tmp_path):
    refuses(tmp_path / "nowhere" / "file.edf", "there is no folder", "The current folder is")


def test_folder_instead_of_a_file(tmp_path):
    (tmp_path / "run.edf").mkdir()
    refuses(tmp_path / "run.edf", "this is a folder")


@pytest.mark.parametrize("name", ["notes.txt", "file", "archive.gz"])
def test_unknown_suffix_lists_the_known(name, tmp_path):
    (tmp_path / name).write_text("x")
    refuses(tmp_path / name, ".edf", ".vhdr", ".fif")


@pytest.mark.parametrize("suffix", [".eeg", ".vmrk", ".fdt"])
def test_part_without_its_header(suffix, tmp_path):
    (tmp_path / f"run{suffix}").write_bytes(b"x")
    refuses(tmp_path / f"run{suffix}", "is not beside it")


@pytest.mark.parametrize("suffix", [".edf", ".bdf", ".gdf", ".vhdr", ".set", ".fif"])
@pytest.mark.parametrize("content", [b"", b"\0" * 3000, b"not a recording\n" * 400])
def test_other_content(suffix, content, tmp_path):
    (tmp_path / f"run{suffix}").write_bytes(content)
    refuses(tmp_path / f"run{suffix}")


# --- half recordings -------------------------------------------------------------------------


@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize("kept", [0.999, 0.5, 0.2, 0.01])
@pytest.mark.parametrize("suffix", [".edf", ".bdf", ".gdf", ".set", ".fif"])
def test_truncated(suffix, kept, preload, copies):
    path = copies(suffix)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    refuses(path, preload=preload)


@pytest.mark.parametrize("suffix", [".edf", ".bdf", ".gdf"])
def test_truncated_by_whole_records(suffix, copies):
    path = copies(suffix)
    size = {".edf": 2, ".bdf": 3, ".gdf": 2}[suffix]
    n_header = 256 * (4 if suffix == ".gdf" else 8)
    n_records = 4 if suffix == ".gdf" else 2
    record = (path.stat().st_size - n_header) // n_records
    assert record > 100 * size
    path.write_bytes(path.read_bytes()[: n_header + record])
    refuses(path, "truncated", f"states {n_records} records, and it has 1")


def test_fif_truncated_between_two_tags(copies):
    """MNE reads such a file as a short recording."""
    path = copies(".fif")
    whole, position, ends = path.read_bytes(), 0, []
    while position < len(whole):
        _, _, size, following = struct.unpack_from(">iIii", whole, position)
        position += 16 + size
        ends.append(position)
        if following == -1:
            break
    for end in ends[len(ends) // 2 : -2]:  # the last one is an empty mark of the end
        path.write_bytes(whole[:end])
        refuses(path, "truncated")


def test_compressed_fif_truncated(copies, tmp_path):
    import gzip

    packed = gzip.compress(copies(".fif").read_bytes())
    path = tmp_path / "whole_raw.fif.gz"
    path.write_bytes(packed[: len(packed) // 2])
    refuses(path, "truncated")


def test_brainvision_data_that_is_no_multiple_of_a_frame(copies):
    path = copies(".vhdr")
    data = path.with_suffix(".eeg")
    data.write_bytes(data.read_bytes()[:-3])
    refuses(path, "whole.eeg", "truncated", "not a multiple of the 24 bytes")


def test_brainvision_data_shorter_than_the_header_says(copies):
    path = copies(".vhdr")
    edit(path, "NumberOfChannels=6\n", "NumberOfChannels=6\nDataPoints=1000\n")
    assert load(path).get_raw().n_times == 1000
    data = path.with_suffix(".eeg")
    data.write_bytes(data.read_bytes()[: 24 * 999])
    refuses(path, "whole.eeg", "truncated", "states 1000 samples, and it has 999")


def test_brainvision_data_shorter_than_the_markers_say(copies):
    path = copies(".vhdr")
    data = path.with_suffix(".eeg")
    whole = data.read_bytes()
    data.write_bytes(whole[: 24 * 252])
    assert load(path).get_raw().n_times == 252
    data.write_bytes(whole[: 24 * 251])
    refuses(path, "whole.eeg", "truncated", "whole.vmrk has a marker at sample 252")


def test_brainvision_data_empty(copies):
    path = copies(".vhdr")
    path.with_suffix(".eeg").write_bytes(b"")
    refuses(path, "whole.eeg", "empty")


def test_eeglab_data_file_truncated(shared_data, tmp_path):
    for suffix in (".set", ".fdt"):
        shutil.copy(shared_data / "real" / f"eeglab_data{suffix}", tmp_path)
    data = tmp_path / "eeglab_data.fdt"
    data.chmod(0o644)
    data.write_bytes(data.read_bytes()[: 4 * 32 * 1000])
    refuses(data.with_suffix(".set"), "truncated", preload=False)
    data.unlink()
    refuses(data.with_suffix(".set"), "eeglab_data.fdt")


# --- BrainVision: three files ----------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "key"), [(".eeg", "DataFile"), (".vmrk", "MarkerFile")])
def test_brainvision_part_is_missing(suffix, key, copies):
    path = copies(".vhdr")
    path.with_suffix(suffix).unlink()
    refuses(path, f"{key}=whole{suffix} does not exist")


@pytest.mark.parametrize(("suffix", "key"), [(".eeg", "DataFile"), (".vmrk", "MarkerFile")])
def test_brainvision_part_was_renamed(suffix, key, copies):
    path = copies(".vhdr")
    edit(path, f"{key}=whole{suffix}", f"{key}=before{suffix}")
    refuses(path, f"{key}=before{suffix} does not exist", f"write {key}=whole{suffix}")


@pytest.mark.parametrize("key", ["DataFile=whole.eeg", "MarkerFile=whole.vmrk"])
@pytest.mark.parametrize("where", ["../{}", "/tmp/{}", "..\\{}", "C:\\data\\{}", "sub/../../{}"])
def test_brainvision_part_outside_the_folder(key, where, copies):
    path = copies(".vhdr")
    name, value = key.split("=")
    shutil.copy(path.parent / value, path.parent.parent / value)
    edit(path, key, f"{name}={where.format(value)}")
    refuses(path, "points outside its folder")


def test_brainvision_part_may_be_a_link(copies, tmp_path):
    """Data sets under version control keep links to files that lie elsewhere."""
    path = copies(".vhdr")
    data = path.with_suffix(".eeg")
    elsewhere = tmp_path / "objects"
    elsewhere.mkdir()
    data.rename(elsewhere / "abc")
    data.symlink_to(elsewhere / "abc")
    assert load(path).get_raw().n_times == 1000


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("NumberOfChannels=6", "NumberOfChannels=7"),
        ("NumberOfChannels=6", "NumberOfChannels=six"),
        ("NumberOfChannels=6", "NumberOfChannels=0"),
        ("NumberOfChannels=6\n", ""),
        ("BinaryFormat=IEEE_FLOAT_32", "BinaryFormat=IEEE_FLOAT_64"),
        ("DataFile=whole.eeg\n", ""),
        ("[Channel Infos]", "[Channels]"),
        ("[Common Infos]", "Common Infos"),
        ("SamplingInterval=2000.0", "SamplingInterval=0"),
        ("SamplingInterval=2000.0", "SamplingInterval=nan"),
        ("SamplingInterval=2000.0", "SamplingInterval=fast"),
        ("Ch1=Fp1,,1,µV", "Ch1"),
        ("Ch1=Fp1,,1,µV", "Ch1=Fp1,,one,µV"),
        ("DataOrientation=MULTIPLEXED", "DataOrientation=SIDEWAYS"),
    ],
)
def test_brainvision_header_is_damaged(old, new, copies):
    path = copies(".vhdr")
    edit(path, old, new)
    refuses(path)


def test_brainvision_markers_are_damaged(copies):
    path = copies(".vhdr")
    edit(path.with_suffix(".vmrk"), "S  1,1,0,0", "S  1,first,0,0")
    refuses(path, "cannot be read as BrainVision")


# --- headers of other formats ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "field"), [(184, b"99999999"), (236, b"many    "), (252, b"-1  "), (252, b"9999")]
)
def test_edf_header_is_damaged(start, field, copies):
    path = copies(".edf")
    content = bytearray(path.read_bytes())
    content[start : start + len(field)] = field
    path.write_bytes(content)
    refuses(path, "header is damaged")


def test_edf_and_bdf_under_the_other_suffix(copies):
    path = copies(".bdf")
    refuses(path.rename(path.with_suffix(".edf")), "this is a BDF file", ".bdf")
    path = copies(".edf")
    refuses(path.rename(path.with_suffix(".bdf")), "not a BDF file", ".edf")


def test_edf_that_was_never_closed_is_read_with_a_warning(copies):
    path = copies(".edf")
    content = bytearray(path.read_bytes())
    content[236:244] = b"-1      "
    path.write_bytes(content)
    with pytest.warns(RuntimeWarning, match="Number of records"):
        assert load(path).get_raw().n_times == 1000


def test_samples_that_do_not_fit_in_memory(copies, monkeypatch):
    import mne

    def fail(self, verbose=None):
        raise MemoryError

    monkeypatch.setattr(mne.io.BaseRaw, "load_data", fail)
    refuses(copies(".edf"), "MB", "preload=False")


@pytest.mark.parametrize("position", [126, 128, 132, 136, 144])
def test_matlab_file_that_would_end_the_process(position, copies):
    """scipy's reader trusts the sizes in the file: some of these are segmentation faults."""
    path = copies(".set")
    content = bytearray(path.read_bytes())
    for at in range(position, len(content) - 4, 997):
        damaged = bytearray(content)
        damaged[at : at + 4] = np.uint32(0x7FFFFFF1).tobytes()
        path.write_bytes(damaged)
        try:
            load(path)
        except FacetError as error:
            assert path.name in str(error)


@pytest.mark.parametrize("value", [0, 16, 0x100000])
def test_matlab_file_with_damaged_dimensions(value, copies):
    """A matrix without dimensions, for one, ends the process in scipy."""
    path = copies(".set")
    content = path.read_bytes()
    tag = struct.pack("<II", 5, 8)  # type and size of two dimensions
    places = [m.start() for m in re.finditer(re.escape(tag), content)]
    assert len(places) > 20
    for place in places:
        damaged = bytearray(content)
        damaged[place + 4 : place + 8] = struct.pack("<I", value)
        path.write_bytes(damaged)
        refuses(path)


def test_matlab_file_with_unknown_types_of_numbers(copies):
    path = copies(".set")
    content = path.read_bytes()
    places = [m.start() for m in re.finditer(re.escape(struct.pack("<II", 9, 8)), content)]
    assert len(places) > 5
    for place in places:
        for kind in (0, 8, 14, 19, 0x7F, 0xFFFF):
            damaged = bytearray(content)
            damaged[place : place + 4] = struct.pack("<I", kind)
            path.write_bytes(damaged)
            refuses(path)
