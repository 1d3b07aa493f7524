"""Saturated channels are told when they are loaded."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from facet_nb import Loader, Pipeline


def save(path, data, sfreq=500.0):
    raw = mne.io.RawArray(data, mne.create_info(len(data), sfreq, "eeg"), verbose="error")
    raw.save(path, overwrite=True, verbose="error")
    return path


def make_bursts(n=3, seed=0):
    """Return channels with a burst each second, in V."""
    t = np.arange(20_000) / 500.0
    burst = np.sin(2 * np.pi * 23 * t) * (t % 1 < 0.3)
    return np.random.default_rng(seed).standard_normal((n, len(t))) * 1e-6 + 3e-4 * burst


@pytest.mark.parametrize("limit", [1e-4, 2.8e-4])
@pytest.mark.parametrize("channel", [0, 2])
def test_clipped_channels_are_named(tmp_path, limit, channel):
    data = make_bursts()
    data[channel] = np.clip(data[channel], -limit, limit)
    result = Pipeline([Loader(save(tmp_path / "a_raw.fif", data))]).run()
    (found,) = result.findings
    assert (found.code, found.channels) == ("channels_saturated", (str(channel),))
    flat = np.abs(data[channel]) == limit
    assert 0.5 * flat.sum() <= found.evidence["n_samples"] <= flat.sum()


@pytest.mark.parametrize("rate_hz", [12, 30])
@pytest.mark.parametrize("seconds", [2, 20])
def test_bursts_without_pauses_are_many_times(tmp_path, rate_hz, seconds):
    t = np.arange(500 * seconds) / 500.0
    data = 3e-4 * np.sin(2 * np.pi * rate_hz * t) + make_bursts(1)[:, : len(t)] * 0.01
    cut = np.clip(data, -2e-4, 2e-4)
    for x, told in ((cut, 1), (data, 0)):
        result = Pipeline([Loader(save(tmp_path / "a_raw.fif", x))]).run()
        assert [f.code for f in result.findings] == ["channels_saturated"] * told


@pytest.mark.parametrize("quantum", [None, 1e-6])
def test_others_are_not(tmp_path, quantum):
    """Neither bursts nor a coarse slow wave, whose crest repeats a value."""
    data = make_bursts()
    data[1] = 2e-4 * np.sin(2 * np.pi * 0.05 * np.arange(data.shape[1]) / 500.0)
    if quantum:
        data = np.rint(data / quantum) * quantum
    result = Pipeline([Loader(save(tmp_path / "a_raw.fif", data))]).run()
    assert result.findings == ()
