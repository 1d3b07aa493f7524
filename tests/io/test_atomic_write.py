"""A file appears when it is complete, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facet_nb.core import FacetError, Pipeline, ProcessingContext, ValidationError
from facet_nb.io import Exporter, atomic_write, export, load, writers
from facet_nb.io.formats import brainvision

SUFFIXES = [".edf", ".bdf", ".vhdr", ".fif", ".set"]


def content(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_context_passes_through_and_folders_are_made(suffix, context, tmp_path):
    exporter = Exporter(tmp_path / "a" / "b" / f"out{suffix}")
    assert exporter.process(context) is context
    names = {p.name for p in exporter.path.parent.iterdir()}
    parts = {"out.eeg", "out.vmrk"} if suffix == ".vhdr" else set()
    assert names == {f"out{suffix}", "out_provenance.json"} | parts


@pytest.mark.parametrize("name", ["out.eeg", "out.vmrk", "out.vhdr"])
def test_any_part_names_a_brainvision_recording(name, context, tmp_path):
    export(context, tmp_path / name)
    parts = {"out.eeg", "out.vmrk", "out.vhdr"}
    assert set(content(tmp_path)) == {*parts, "out_provenance.json"}
    assert load(tmp_path / "out.vhdr").get_n_channels() == 6


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_existing_file(suffix, recording, tmp_path):
    first, second = (ProcessingContext(recording(seed=s)) for s in (1, 2))
    path = tmp_path / f"out{suffix}"
    export(first, path, overwrite=False)
    before = content(tmp_path)
    with pytest.raises(ValidationError, match=rf"out\{suffix}: it exists.*overwrite=True"):
        export(second, path, overwrite=False)
    assert content(tmp_path) == before
    export(second, path)
    np.testing.assert_allclose(load(path).get_data(), second.get_data(), atol=1e-6)


def test_existing_part_of_brainvision(context, tmp_path):
    (tmp_path / "out.eeg").write_bytes(b"another recording")
    with pytest.raises(ValidationError, match=r"out\.eeg: it exists"):
        export(context, tmp_path / "out.vhdr", overwrite=False)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_path_below_a_file(suffix, context, tmp_path):
    (tmp_path / "file").write_text("x")
    path = tmp_path / "file" / "deeper" / f"out{suffix}"
    with pytest.raises(FacetError) as caught:
        export(context, path)
    assert str(path) in str(caught.value)
    assert "is a file, not a folder. Give a path in another folder" in str(caught.value)


def test_folder_of_that_name(context, tmp_path):
    (tmp_path / "out.edf").mkdir()
    with pytest.raises(ValidationError, match=r"out\.edf: this is a folder"):
        export(context, tmp_path / "out.edf")


def test_folder_that_may_not_be_written_to(context, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *args: False)  # root may write everywhere
    with pytest.raises(FacetError, match=r"no permission to write to .*permissions"):
        export(context, tmp_path / "out.edf")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="Linux only")
def test_folder_that_takes_no_files(context):
    """The administrator may write to it; that he cannot is found before any step is called."""
    called = []

    def own(given):
        called.append(1)
        return given

    steps = [own, Exporter("/proc/out.edf")]
    with pytest.raises(FacetError, match=r"/proc/out\.edf"):
        Pipeline(steps).plan(context)
    result = Pipeline(steps).run(context, show_progress=False)
    assert "/proc/out.edf" in str(result.error) and result.failed_processor_index == 1
    assert not called


def test_full_disk_before_writing(context, tmp_path, monkeypatch):
    usage = shutil._ntuple_diskusage(10**9, 10**9, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(FacetError, match=r"MB are free. Free space"):
        export(context, tmp_path / "out.edf")
    assert content(tmp_path) == {}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_full_disk_while_writing(suffix, recording, tmp_path, monkeypatch):
    path = tmp_path / f"out{suffix}"
    export(ProcessingContext(recording(seed=1)), path)
    before = content(tmp_path)

    def fill(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic_write, "_sync", fill)
    with pytest.raises(FacetError, match="No space left on device"):
        export(ProcessingContext(recording(seed=2)), path)
    assert content(tmp_path) == before


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("step", [0, 1, 2])
def test_interrupted_between_two_moves(suffix, step, recording, tmp_path, monkeypatch):
    """Either a whole recording is there, old or new, or none that opens."""
    path = tmp_path / f"out{suffix}"
    old, new = (ProcessingContext(recording(seed=s)) for s in (1, 2))
    export(old, path)
    replace, moves = os.replace, iter(range(9))

    def stop(source, destination):
        if next(moves) == step:
            raise KeyboardInterrupt
        replace(source, destination)

    monkeypatch.setattr(os, "replace", stop)
    try:
        export(new, path)
    except KeyboardInterrupt:
        assert not list(tmp_path.glob(".facet_nb*"))
    if path.exists():
        found = load(path).get_data()
        near = [np.allclose(found, c.get_data(), atol=1e-6) for c in (old, new)]
        assert near.count(True) == 1
    else:
        assert suffix == ".vhdr"


def flip(written, file: Path):
    """Change one byte of the samples in `file`."""
    data = file.with_suffix(".eeg") if file.suffix == ".vhdr" else file
    bytes_ = bytearray(data.read_bytes())
    bytes_[len(bytes_) // 2] ^= 0x55
    data.write_bytes(bytes_)
    return written


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_samples_that_are_read_back_otherwise(suffix, context, tmp_path, monkeypatch):
    whole = {w.suffix: w for w in writers.WRITERS}[suffix]
    broken = writers.Writer(
        whole.label,
        whole.suffix,
        whole.check,
        lambda raw, file, *rest: flip(whole.write(raw, file, *rest), file),
        whole.sample_bytes,
        whole.parts,
    )
    monkeypatch.setattr(writers, "find_writer", lambda path: broken)
    with pytest.raises(FacetError, match=r"is read back as .* instead of"):
        export(context, tmp_path / f"out{suffix}")
    assert content(tmp_path) == {}


def test_annotations_that_are_read_back_otherwise(context, tmp_path, monkeypatch):
    append = brainvision._append_markers

    def append_others(file, *rest):
        seen = append(file, *rest)
        file.write_text(file.read_text("utf-8").replace("S  1", "S  2"), "utf-8")
        return seen

    monkeypatch.setattr(brainvision, "_append_markers", append_others)
    with pytest.raises(FacetError, match=r"annotation 'Stimulus/S  1' .* 'Stimulus/S  2'"):
        export(context, tmp_path / "out.vhdr")
    assert content(tmp_path) == {}


@pytest.mark.parametrize("suffix", [".edf", ".vhdr", ".fif"])
def test_a_file_that_is_still_being_read(suffix, context, tmp_path):
    path = tmp_path / f"own{suffix}"
    export(context, path)
    lazy = load(path, preload=False)
    with pytest.raises(ValidationError, match="still being read from this file"):
        export(lazy, path)
    with pytest.raises(ValidationError, match="replace_input=True"):
        export(load(path), path)
    with pytest.raises(ValidationError, match="still being read from this file"):
        export(lazy, path, replace_input=True)
    export(load(path), path, replace_input=True)
    np.testing.assert_allclose(load(path).get_data(), context.get_data(), atol=1e-6)


def test_writers_own_errors_are_ours(context, tmp_path, monkeypatch):
    import edfio

    def fail(self, target):
        raise ValueError("something about a header")

    monkeypatch.setattr(edfio.Edf, "write", fail)
    with pytest.raises(FacetError, match=r"out\.edf was not written.*something about a header"):
        export(context, tmp_path / "out.edf")
    assert content(tmp_path) == {}


def test_fif_of_several_files(recording, tmp_path, monkeypatch):
    import mne

    save = mne.io.BaseRaw.save
    monkeypatch.setattr(
        mne.io.BaseRaw, "save", lambda self, *a, **k: save(self, *a, split_size="2MB", **k)
    )
    raw = recording(n_times=150_000)
    export(ProcessingContext(raw), tmp_path / "long.fif")
    files = {"long.fif", "long-1.fif", "long-2.fif", "long-3.fif"}
    assert set(content(tmp_path)) == {*files, "long_provenance.json"}
    back = load(tmp_path / "long.fif").get_raw()
    assert back.n_times == raw.n_times
    assert len(back.annotations) == len(raw.annotations)
    (tmp_path / "long-1.fif").unlink()
    with pytest.raises(ValidationError, match=r"long-1\.fif"):
        load(tmp_path / "long.fif")


def test_what_a_killed_export_left_is_swept_away(context, tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    machine = atomic_write._machine()
    dead, young, alive, other = (
        tmp_path / f".facet_nb-{where}-{pid}-x.part"
        for where, pid in [
            (machine, gone.pid),
            (machine, 99_999_999),
            (machine, os.getpid()),
            ("elsewhere", gone.pid),
        ]
    )
    for folder in (dead, young, alive, other):
        folder.mkdir()
        (folder / "half.edf").write_bytes(b"half")
        if folder is not young:
            os.utime(folder, (0, 0))
    export(context, tmp_path / "out.edf")
    made = {tmp_path / "out.edf", tmp_path / "out_provenance.json"}
    assert set(tmp_path.iterdir()) == {*made, young, alive, other}
