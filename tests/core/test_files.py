"""Recordings that stay in files: their precision, what MNE reads of them, and what is kept."""

from __future__ import annotations

import os
import pickle

import mne
import numpy as np
import pytest

from facet_nb import (
    AASCorrection,
    BrainVisionExporter,
    CommonReference,
    DownSample,
    FIFExporter,
    HighPassFilter,
    Loader,
    LowPassFilter,
    PulseCorrection,
    QRSTriggerDetector,
    TriggerDetector,
    UpSample,
)
from facet_nb.core import FacetError, Pipeline, ProcessingContext
from facet_nb.core.execution import stage_input
from facet_nb.core.storage import page_cache, row_io, scratch
from facet_nb.core.storage import transpose as transpose_module
from facet_nb.core.storage.arrays import FileArray, RamArray
from facet_nb.core.storage.raw_file import RawFile
from facet_nb.core.storage.row_io import FileRow, MappedRow, open_rows
from facet_nb.core.storage.transpose import transpose
from facet_nb.datasets import simulate


def make_raw(stamps=False):
    """Return a short recording with a bad channel, a stim channel, and one of times."""
    sim = simulate(4, 1000.0, 40.0, 1.0, 10, seed=0, lead_in_s=2.0, lead_out_s=2.0)
    raw = sim.raw
    raw.info["bads"] = [raw.ch_names[1]]
    info = mne.create_info(["STI", "T"], raw.info["sfreq"], ["stim", "misc"])
    codes = (np.arange(raw.n_times) % 5000 == 0) * 64000.0
    times = np.arange(raw.n_times) + (1e-9 * np.arange(raw.n_times) if stamps else 0.0)
    more = mne.io.RawArray(np.stack([codes, times]), info, verbose="error")
    return raw.add_channels([more], force_update_info=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    found = {}
    for name, stamps in (("plain", False), ("stamps", True)):
        found[name] = folder / f"{name}_raw.fif"
        make_raw(stamps).save(found[name], fmt="double", verbose="error")
    return found


def chain(file, preload=False):
    return [
        Loader(file, preload=preload),
        TriggerDetector(regex=r"\b1\b"),
        HighPassFilter(1.0),
        AASCorrection(subsample=True, window_size=10),
        LowPassFilter(70.0),
    ]


def run(steps, **options):
    options = {"mode": "channel_sequential", "dtype": "float32", **options}
    return Pipeline(steps).run(raise_on_error=True, show_progress=False, **options)


@pytest.mark.parametrize("name", ["plain", "stamps"])
@pytest.mark.parametrize(
    "way",
    [
        {},
        {"chunk_duration_s": 7.0},
        {"chunk_duration_s": 7.0, "backend": "threading", "n_jobs": 2},
        {"chunk_duration_s": 7.0, "n_jobs": 2},
        {"mode": "serial"},
    ],
    ids=["whole", "chunks", "threads", "processes", "serial"],
)
def test_float32_from_a_file_is_float32_from_memory(files, name, way):
    expected = run(chain(files[name], preload=True))
    found = run(chain(files[name]), **way)
    raw = found.get_raw()
    assert not raw.preload or name == "stamps" or "mode" in way
    np.testing.assert_array_equal(raw.get_data(), expected.get_raw().get_data())
    noise = [r.get_context().get_estimated_noise() for r in (found, expected)]
    np.testing.assert_array_equal(*noise)
    assert np.abs(noise[0]).max() > 0
    original = found.get_context().get_raw_original()
    np.testing.assert_array_equal(
        original.get_data(), expected.get_context().get_raw_original().get_data()
    )


def test_the_file_is_float32_where_it_can_be(files, monkeypatch):
    made = []
    create = scratch.create

    def note(shape, dtype="float64"):
        made.append((tuple(shape), dtype))
        return create(shape, dtype)

    monkeypatch.setattr(scratch, "create", note)
    run(chain(files["plain"]), chunk_duration_s=7.0)
    whole = [dtype for shape, dtype in made if shape[0] == 6]
    assert whole == ["float32"]  # one file: the result lies where the samples lay
    made.clear()
    run(chain(files["stamps"]), chunk_duration_s=7.0)
    assert [d for s, d in made if s[0] == 6] == ["float32", "float64"]  # times are not rounded
    made.clear()
    run(chain(files["plain"]), chunk_duration_s=7.0, dtype="float64")
    assert [d for s, d in made if s[0] == 6] == ["float64"]


def test_bad_channels_are_rounded_and_others_are_not(files):
    raw = run(chain(files["stamps"], preload=True)).get_raw()
    before = mne.io.read_raw_fif(files["stamps"], preload=True, verbose="error")
    for name in before.ch_names:
        (x,), (y,) = before.get_data(picks=[name]), raw.get_data(picks=[name])
        if name == before.info["bads"][0]:
            np.testing.assert_array_equal(y, x.astype("float32"))
        elif name in ("STI", "T"):
            np.testing.assert_array_equal(y, x)


def test_a_chain_over_several_stages_stays_in_files(files, tmp_path):
    steps = [
        *chain(files["plain"]),
        CommonReference(),
        UpSample(2),
        DownSample(2),
        FIFExporter(tmp_path / "out_raw.fif", fmt="double"),
    ]
    whole = run([Loader(files["plain"]), *steps[1:-1]])
    run(steps, chunk_duration_s=7.0)
    back = mne.io.read_raw_fif(tmp_path / "out_raw.fif", verbose="error")
    np.testing.assert_array_equal(back.get_data(), whole.get_raw().get_data())


def test_a_step_that_sees_all_channels_gets_them_unrounded(tmp_path):
    raw = simulate(4, 500.0, 60.0, seed=1, pulse=True).raw
    raw.save(tmp_path / "a_raw.fif", fmt="double", verbose="error")
    steps = [
        QRSTriggerDetector(),
        PulseCorrection("mean", check_gradient=False),
        LowPassFilter(70.0),
    ]
    expected = run([Loader(tmp_path / "a_raw.fif"), *steps])
    found = run([Loader(tmp_path / "a_raw.fif", preload=False), *steps])
    np.testing.assert_array_equal(found.get_raw().get_data(), expected.get_raw().get_data())


def test_a_run_goes_on_from_a_result_in_a_file(files):
    first = run(chain(files["plain"]), chunk_duration_s=7.0).get_context()
    again = [HighPassFilter(2.0)]
    for dtype in ("float32", "float64"):
        found = Pipeline(again).run(first, dtype=dtype, raise_on_error=True, show_progress=False)
        loaded = ProcessingContext(first.get_raw().copy().load_data(verbose="error"))
        expected = Pipeline(again).run(loaded, dtype=dtype, raise_on_error=True)
        np.testing.assert_array_equal(found.get_raw().get_data(), expected.get_raw().get_data())


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.crop(5.0, 30.0),
        lambda raw: raw.pick(raw.ch_names[::-1]),
        lambda raw: raw.load_data(verbose="error"),
    ],
    ids=["crop", "order", "load"],
)
def test_a_result_in_a_file_that_was_changed_since(files, change, tmp_path):
    raw = change(run(chain(files["plain"]), chunk_duration_s=7.0).get_raw().copy())
    loaded = ProcessingContext(raw.copy().load_data(verbose="error"))
    steps = [HighPassFilter(2.0), FIFExporter(tmp_path / "out_raw.fif", fmt="double")]
    found = Pipeline(steps).run(ProcessingContext(raw), dtype="float32", raise_on_error=True)
    expected = Pipeline(steps[:1]).run(loaded, dtype="float32", raise_on_error=True)
    np.testing.assert_array_equal(found.get_raw().get_data(), expected.get_raw().get_data())
    again = FIFExporter(tmp_path / "again_raw.fif", fmt="double")
    again.execute(ProcessingContext(raw))
    back = mne.io.read_raw_fif(tmp_path / "again_raw.fif", verbose="error")
    np.testing.assert_array_equal(back.get_data(), raw.get_data())


def test_noise_whose_file_is_gone_is_an_error_with_a_reason(files, tmp_path):
    path = tmp_path / "moved_raw.fif"
    path.write_bytes(files["plain"].read_bytes())
    context = run(chain(path), chunk_duration_s=7.0).get_context()
    path.unlink()
    with pytest.raises(FacetError, match=r"moved_raw\.fif cannot be read"):
        context.get_estimated_noise()


# --------------------------------------------------------------------------- what MNE reads
@pytest.fixture(scope="module")
def pair():
    """Return a recording in a file, and the same in memory."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 3000)).astype("float32") * np.float32(1e-5)
    mapped = scratch.create(x.shape, "float32")[1]
    mapped[...] = x
    info = mne.create_info(5, 500.0, "eeg")
    for ch in info["chs"]:
        ch["cal"] = 0.1  # as of a reader: the samples are in V all the same
    memory = mne.io.RawArray(x.astype(float), info.copy(), first_samp=700, verbose="error")
    return RawFile.of(mapped, info, 700), memory


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw,
        lambda raw: raw.copy(),
        lambda raw: raw.copy().crop(1.0, 4.0),
        lambda raw: raw.copy().pick(["3", "1"]),
        lambda raw: raw.copy().crop(2.0).pick([4]),
        lambda raw: raw.copy().load_data(verbose="error").filter(1.0, 40.0, verbose="error"),
        lambda raw: pickle.loads(pickle.dumps(raw)),
        lambda raw: raw.copy().set_eeg_reference(projection=True, verbose="error").apply_proj(),
    ],
    ids=["itself", "copy", "crop", "pick", "crop and pick", "filter", "pickle", "projection"],
)
def test_mne_reads_from_the_file_what_it_reads_from_memory(pair, change):
    mapped, memory = (change(raw) for raw in pair)
    assert mapped.ch_names == memory.ch_names
    assert mapped.first_samp == memory.first_samp
    np.testing.assert_allclose(mapped.get_data(), memory.get_data(), atol=1e-18, rtol=1e-12)
    np.testing.assert_allclose(mapped[:1, 5:9][0], memory[:1, 5:9][0], atol=1e-18, rtol=1e-12)


def test_a_copy_shares_the_file(pair):
    mapped = pair[0]
    assert mapped.copy().samples is mapped.samples
    assert mapped.get_data().dtype == np.float64


def test_the_file_goes_with_the_last_recording(tmp_path, monkeypatch):
    monkeypatch.setenv("FACET_NB_TMPDIR", str(tmp_path))
    samples = scratch.create((1, 10), "float32")[1]
    raw = RawFile.of(samples, mne.create_info(1, 100.0, "eeg"), 0)
    other = raw.copy()
    del samples, raw
    assert list(tmp_path.iterdir())
    del other
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------- rows
def test_rows_of_files_and_of_memory_are_alike():
    ref, mapped = scratch.create((3, 50), "float32")
    memory = np.zeros((3, 50), "float32")
    for place, kind in ((ref, FileRow), (RamArray(memory), MappedRow)):
        with open_rows(place) as find_row:
            row = find_row(1)
            assert isinstance(row, kind)
            row.write(5, np.arange(4.0))
            row.write(50, np.empty(0))
            np.testing.assert_array_equal(row.read(4, 10), [0, 0, 1, 2, 3, 0])
            assert row.read(48, 60).shape == (2,)
            assert row.read(50, 60).shape == (0,)
    np.testing.assert_array_equal(mapped, memory)


def test_a_file_that_is_too_short_is_an_error(tmp_path):
    (tmp_path / "x").write_bytes(b"1234")
    ref = FileArray(str(tmp_path / "x"), (2, 10))
    match = "truncated while in use: 4 of 160 bytes"
    with pytest.raises(FacetError, match=match), open_rows(ref) as find_row:
        find_row(0).read(0, 10)


def test_rows_without_the_systems_calls_are_mapped(monkeypatch):
    monkeypatch.delattr("os.preadv")
    ref, mapped = scratch.create((2, 20))
    with open_rows(ref) as find_row:
        find_row(1).write(3, np.ones(2))
        assert isinstance(find_row(1), MappedRow)
    assert mapped[1].sum() == 2


def test_a_file_becomes_wider():
    samples = scratch.create((2, 5), "float32")[1]
    samples[...] = 0.1
    wide = stage_input.widen(samples)
    assert wide.dtype == np.float64
    assert (wide == np.float32(0.1)).all()


def test_rows_that_must_stay_exact_decide_the_precision():
    info = mne.create_info(2, 100.0, ["eeg", "stim"])
    x = np.array([[0.1, 0.2], [1.0, 2.0]])
    raw = mne.io.RawArray(x, info, verbose="error")
    assert transpose(raw, dtype="float32", exact=[1]).dtype == np.float32
    found = transpose(raw, dtype="float32", exact=[0])
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, x)


# ------------------------------------------------------------------- files larger than memory
def test_large_files_do_not_stay_in_the_cache(files, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(row_io, "bypasses_cache", lambda descriptor: True)
    monkeypatch.setattr(page_cache, "bypasses_cache", lambda descriptor: True)
    monkeypatch.setattr(transpose_module, "_BEHIND", 4096)
    advise = getattr(os, "posix_fadvise", None)
    if advise is None:
        pytest.skip("this system takes no advice on files")

    def note(descriptor, start, n_bytes, advice):
        told.append((os.readlink(f"/proc/self/fd/{descriptor}"), start, n_bytes))
        advise(descriptor, start, n_bytes, advice)

    monkeypatch.setattr(os, "posix_fadvise", note)
    original = page_cache.StreamedFiles.__init__

    def often(self, descriptors, every_bytes=0):
        original(self, descriptors, every_bytes)

    monkeypatch.setattr(page_cache.StreamedFiles, "__init__", often)
    steps = [*chain(files["plain"]), BrainVisionExporter(tmp_path / "out.vhdr")]
    found = run(steps, chunk_duration_s=7.0)
    expected = run(chain(files["plain"], preload=True))
    np.testing.assert_array_equal(found.get_raw().get_data(), expected.get_raw().get_data())
    names = {name.rsplit("/", 1)[-1] for name, _, _ in told}
    assert {"plain_raw.fif", "samples", "out.eeg"} <= names
    back = mne.io.read_raw_brainvision(tmp_path / "out.vhdr", verbose="error")
    np.testing.assert_allclose(back.get_data()[0], found.get_raw().get_data()[0], rtol=1e-6)


def test_what_fits_into_memory_stays_in_the_cache(tmp_path, monkeypatch):
    path = tmp_path / "x"
    with path.open("wb") as file:
        file.truncate(3 << 30)  # a hole: it takes no room
    descriptor = os.open(path, os.O_RDONLY)
    for available, large in ((8 << 30, True), (64 << 30, False)):
        monkeypatch.setattr(page_cache, "find_available", lambda n=available: (n, "the machine's"))
        assert page_cache.bypasses_cache(descriptor) is large
    os.close(descriptor)
