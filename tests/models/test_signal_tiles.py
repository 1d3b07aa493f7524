"""Tiles show every sample of a recording, at every scale."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facet_nb.kernels.measures.envelope import bound_bins
from facet_nb.models.signal_spectrum import compute_spectrum
from facet_nb.models.signal_tiles import BINS, FACTOR, GROUP, MISSING, TiledSignal, _encode


def make_raw(n_channels: int, n_times: int, *, seed: int = 0) -> mne.io.BaseRaw:
    """Return a recording with steps, offsets and noise, in V."""
    rng = np.random.default_rng(seed)
    x = 1e-6 * (
        rng.normal(size=(n_channels, n_times)) * 10 + 1000 * rng.normal(size=(n_channels, 1))
    )
    info = mne.create_info([f"E{i}" for i in range(n_channels)], 1000.0, "eeg")
    return mne.io.RawArray(x, info, verbose="error")


def bound_plainly(x: np.ndarray, size: int) -> np.ndarray:
    """Return lowest and highest values of each bin, by a loop."""
    pieces = [x[:, i : i + size] for i in range(0, x.shape[1], size)]
    return np.stack([[p.min(axis=1), p.max(axis=1)] for p in pieces]).transpose(2, 0, 1)


@given(st.integers(1, 700), st.integers(0, 5), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_bins_are_bounded_by_their_samples(n_times, level, n_channels):
    x = np.random.default_rng(n_times).normal(size=(n_channels, n_times))
    found = np.stack(bound_bins(x, FACTOR**level), axis=-1)
    np.testing.assert_array_equal(found, bound_plainly(x, FACTOR**level))


@pytest.mark.parametrize("n_times", [1, 1023, 1024, 1025, 70_001, 300_007])
def test_every_tile_of_every_level_holds_the_extremes_of_its_samples(n_times):
    n_channels = GROUP + 1
    raw = make_raw(n_channels, n_times)
    signal = TiledSignal(raw, raw.ch_names)
    x = 1e6 * raw.get_data()
    assert signal.count_bins(signal.n_levels - 1) <= BINS and signal.n_groups == 2
    for level in range(signal.n_levels):
        n_tiles = -(-signal.count_bins(level) // BINS)
        for index in {0, n_tiles // 2, n_tiles - 1}:
            span = BINS * FACTOR**level
            piece = x[:, index * span : (index + 1) * span]
            expected = piece if level == 0 else bound_plainly(piece, FACTOR**level)
            for group in range(2):
                tile = signal.tile(level, index, group)
                wanted = expected[group * GROUP : (group + 1) * GROUP]
                assert tile.codes.shape == wanted.shape
                error = np.abs(tile.values_uv() - wanted)
                # half a step of 16 bits, and float32 between levels
                limit = 0.6 * tile.step_uv + 1e-6 * np.abs(wanted).max()
                assert (error.reshape(len(wanted), -1).max(axis=1) <= limit).all()


def test_large_and_small_channels_keep_their_own_resolution():
    values = np.stack([np.linspace(-2e4, 2e4, 500), np.linspace(-1, 1, 500)])
    tile = _encode(values)
    np.testing.assert_allclose(tile.values_uv()[1], values[1], atol=2e-5)
    np.testing.assert_allclose(tile.values_uv()[0], values[0], atol=0.4)


def test_missing_channels_and_nan_are_missing_values():
    raw = make_raw(2, 500)
    raw._data[1, 100:200] = np.nan
    signal = TiledSignal(raw, ["E0", "gone", "E1"])
    codes = signal.tile(0, 0, 0).codes
    assert (codes[1] == MISSING).all() and not (codes[0] == MISSING).any()
    assert (codes[2] == MISSING).nonzero()[0].tolist() == list(range(100, 200))
    assert np.isnan(TiledSignal(raw, ["gone"]).tile(0, 0, 0).values_uv()).all()


def test_a_recording_on_disk_gives_the_tiles_of_one_in_memory(tmp_path):
    raw = make_raw(3, 5000)
    raw.save(tmp_path / "x_raw.fif", fmt="double", verbose="error")
    again = mne.io.read_raw_fif(tmp_path / "x_raw.fif", verbose="error")
    for level in (0, 2):
        here = TiledSignal(raw, raw.ch_names).tile(level, 0, 0)
        there = TiledSignal(again, raw.ch_names).tile(level, 0, 0)
        np.testing.assert_array_equal(here.codes, there.codes)


def test_the_cache_is_bounded():
    raw = make_raw(8, 2_000_000)
    signal = TiledSignal(raw, raw.ch_names, cache_bytes=100_000)
    top = signal.n_levels - 1
    before = signal.tile(top, 0, 0).codes
    assert list(signal.visit_all(0))[-1] == 1.0
    assert signal._kept_bytes <= 100_000 and len(signal._kept) == 1
    np.testing.assert_array_equal(signal.tile(top, 0, 0).codes, before)


@pytest.mark.parametrize("place", [(-1, 0, 0), (9, 0, 0), (0, 99, 0), (0, -1, 0), (0, 0, 1)])
def test_places_that_do_not_exist(place):
    raw = make_raw(2, 3000)
    with pytest.raises(IndexError):
        TiledSignal(raw, raw.ch_names).tile(*place)


def test_a_difference_is_that_of_the_samples():
    one, two = make_raw(3, 5000), make_raw(2, 4000, seed=1)
    a, b = (TiledSignal(raw, one.ch_names) for raw in (one, two))
    found = a.minus(b).read([1, 2], 10, 9999)
    assert found.shape == (2, 3990) and np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[0], one.get_data()[1, 10:4000] - two.get_data()[1, 10:])
    assert (a.minus(a).tile(1, 0, 0).values_uv() == 0).all()
    late = TiledSignal(two, one.ch_names, offset_s=0.5)
    assert a.minus(late) is None
    # As on disk, samples are shared: the original is left as it is.
    assert a.tile(0, 0, 0).codes.any()


@pytest.mark.parametrize("slice_hz", [8.0, 12.5])
def test_a_spectrum_has_its_peaks_where_the_signal_has_them(slice_hz):
    sfreq, rng = 500.0, np.random.default_rng(0)
    times_s = np.arange(10_000) / sfreq
    tone = 1e-5 * np.sin(2 * np.pi * slice_hz * times_s)
    noise = 1e-7 * rng.normal(size=(2, len(times_s)))
    info = mne.create_info(2, sfreq, "eeg")
    loud, soft = (mne.io.RawArray(x, info, verbose="error") for x in (noise + tone, noise))
    signals = {
        label: TiledSignal(raw, [*raw.ch_names, "missing"])
        for label, raw in (("recording", loud), ("corrected", soft))
    }
    markers_s = np.arange(0, 20, 1 / slice_hz)
    found = compute_spectrum(signals, markers_s, [0, 1, 2], 19.0, 0.5)
    peak = int(np.argmax(found.density_db["recording"]))
    assert found.freqs_hz[peak] == pytest.approx(slice_hz, abs=0.5)
    drop = found.density_db["recording"][peak] - found.density_db["corrected"][peak]
    assert drop > 30 and found.slice_hz == pytest.approx(slice_hz)
    none = compute_spectrum(signals, np.zeros(0), [2], 0.0, 5.0)
    assert none.slice_hz == 0 and np.isnan(none.density_db["recording"]).all()
