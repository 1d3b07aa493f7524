"""Samples of BrainVision files that are read without MNE: the same bits, or MNE reads them."""

from __future__ import annotations

import mne
import numpy as np
import pybv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facet_nb.core import FacetError
from facet_nb.core.storage.multiplexed import find_multiplexed
from facet_nb.core.storage.transpose import transpose

SFREQ = 500.0


def write(folder, n_channels, n_times, fmt="binary_int16", resolution=0.1, seed=0):
    """Write a BrainVision file and return it as MNE opens it."""
    x = 1e-4 * np.random.default_rng(seed).standard_normal((n_channels, n_times))
    names = [f"E{i}" for i in range(n_channels)]
    pybv.write_brainvision(
        data=x,
        sfreq=SFREQ,
        ch_names=names,
        fname_base="x",
        folder_out=str(folder),
        fmt=fmt,
        resolution=resolution,
        overwrite=True,
    )
    return mne.io.read_raw_brainvision(folder / "x.vhdr", verbose="error")


@settings(max_examples=10, deadline=None)
@given(
    n_channels=st.sampled_from([1, 2, 63, 65, 130]),
    n_times=st.integers(1, 9999),
    fmt=st.sampled_from(["binary_int16", "binary_float32"]),
    resolution=st.floats(0.02, 0.5),
    dtype=st.sampled_from(["float64", "float32"]),
    seed=st.integers(0, 9),
)
def test_samples_are_those_of_mne(
    n_channels, n_times, fmt, resolution, dtype, seed, tmp_path_factory
):
    raw = write(tmp_path_factory.mktemp("x"), n_channels, n_times, fmt, resolution, seed)
    assert find_multiplexed(raw) is not None
    wanted = raw.get_data().astype(dtype)
    np.testing.assert_array_equal(transpose(raw, dtype=dtype), wanted)
    rows = [n_channels - 1, 0]
    np.testing.assert_array_equal(transpose(raw, rows, dtype=dtype), wanted[rows])
    start, stop = n_times // 3, n_times - n_times // 7
    found = find_multiplexed(raw).read_rows(rows, start, stop)
    np.testing.assert_array_equal(found, raw.get_data()[rows, start:stop])


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.crop(0.1),
        lambda raw: raw.crop(0.0, 1.0),
        lambda raw: raw.pick([2, 0]),
        lambda raw: raw.reorder_channels(raw.ch_names[::-1]),
        lambda raw: raw.set_eeg_reference(projection=True, verbose="error").apply_proj(),
        lambda raw: mne.concatenate_raws([raw, raw.copy()], verbose="error"),
        lambda raw: raw.load_data(),
    ],
)
def test_mne_reads_what_it_has_changed(change, tmp_path):
    raw = change(write(tmp_path, 5, 2000))
    assert find_multiplexed(raw) is None
    np.testing.assert_array_equal(transpose(raw), raw.get_data())


def test_mne_reads_vectorized_files(tmp_path):
    x = write(tmp_path, 3, 700).get_data()
    head, data = tmp_path / "x.vhdr", tmp_path / "x.eeg"
    np.fromfile(data, "<i2").reshape(700, 3).T.copy().tofile(data)
    head.write_text(head.read_text("utf-8").replace("MULTIPLEXED", "VECTORIZED"), "utf-8")
    raw = mne.io.read_raw_brainvision(head, verbose="error")
    assert find_multiplexed(raw) is None
    np.testing.assert_array_equal(transpose(raw), x)


def test_a_file_that_became_shorter_is_an_error(tmp_path):
    raw = write(tmp_path, 3, 30_000)
    found = find_multiplexed(raw)
    with (tmp_path / "x.eeg").open("r+b") as file:
        file.truncate(600)
    with pytest.raises(OSError, match="bytes are missing"):
        found.read(0, 30_000)
    with pytest.raises(FacetError, match="cannot be read"):
        transpose(raw)
