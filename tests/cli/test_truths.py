"""Truth files: read for what they are, refused with what they should be."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from facet_nb.cli.truths import read_truth
from facet_nb.core.errors import ValidationError


def _archive(path, files, **changes):
    known = dict(np.load(files.truth))
    known.update(changes)
    np.savez(path, **{name: value for name, value in known.items() if value is not None})
    return path


def test_it_agrees_with_the_simulation_itself(files):
    truth, simulation = read_truth(files.truth), files.simulation
    theirs = simulation.snr_db(simulation.raw)
    np.testing.assert_allclose(truth.snr_db(simulation.raw), theirs, atol=0.01)
    exact = mne.io.RawArray(simulation.clean, simulation.raw.info, verbose="error")
    assert np.all(truth.snr_db(exact) > 100.0)  # the file holds float32


def test_what_is_looked_at(files):
    truth = read_truth(files.truth)
    first_s, last_s = 4.0, 34.0  # of the scan
    assert truth.start / truth.sfreq == pytest.approx(first_s + 1.0, abs=0.01)
    assert truth.stop / truth.sfreq == pytest.approx(last_s - 1.0, abs=0.01)


def test_channels_that_are_no_electrodes_are_left_out(files):
    raw = files.simulation.raw.copy()
    info = mne.create_info(["STI 014"], raw.info["sfreq"], "stim")
    extra = mne.io.RawArray(np.zeros((1, raw.n_times)), info, verbose="error")
    with_stim = mne.io.RawArray(
        np.vstack([extra.get_data(), raw.get_data()]),
        mne.create_info(["STI 014", *raw.ch_names], raw.info["sfreq"], ["stim"] + 6 * ["eeg"]),
        verbose="error",
    )
    truth = read_truth(files.truth)
    np.testing.assert_array_equal(truth.snr_db(with_stim), truth.snr_db(raw))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"trig": None}, "'trig' missing; it holds 'clean', 'fs'"),
        ({"clean": None, "fs": None}, "'clean', 'fs' missing"),
        ({"clean": np.zeros(5)}, "shape (5,)"),
        ({"clean": np.full((6, 72000), np.nan)}, "NaN"),
        ({"clean": np.array([["a"]])}, "real numbers"),
        ({"fs": np.array([1.0, 2.0])}, "one sampling rate"),
        ({"fs": 0}, "one sampling rate"),
        ({"trig": np.array([3])}, "two or more"),
        ({"trig": np.array([3, 10**9])}, "two or more"),
        ({"trig": np.array([100, 200])}, "more than 2 s"),
    ],
)
def test_unusable_archives(tmp_path, files, changes, told):
    with pytest.raises(ValidationError) as caught:
        read_truth(_archive(tmp_path / "t.npz", files, **changes))
    assert told in str(caught.value)
    assert all(part in str(caught.value) for part in ("'clean': ", "µV", "'fs': ", "'trig': "))


def test_files_that_are_none(tmp_path, files):
    text, pickled, plain = (tmp_path / name for name in ("t.txt", "p.npz", "a.npy"))
    text.write_text("clean")
    np.savez(pickled, clean=np.array([{}], dtype=object), fs=1, trig=[1, 2])
    np.save(plain, np.zeros(3))
    for path in (text, pickled, plain, tmp_path / "absent.npz", tmp_path, files.vhdr):
        with pytest.raises(ValidationError, match=r"A truth file is an \.npz"):
            read_truth(path)


@pytest.mark.parametrize(
    "changes", [{"clean": np.ones((5, 72000))}, {"clean": np.ones((6, 71999))}, {"fs": 1999}]
)
def test_truth_of_another_recording(facet_nb, files, tmp_path, changes):
    truth = _archive(tmp_path / "t.npz", files, **changes)
    result = facet_nb("demo", "--input", files.vhdr, "--truth", truth)
    assert result.exit_code == 1
    assert "6 channels × 36.0 s at 2000 Hz (72000 samples)" in result.stderr
