"""What recurs with the volume: found where it is, and nothing where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb.kernels.lowrank.locked import PRESENT, find_locked, find_volume, subtract_locked
from facet_nb.kernels.templates.subsample import Layout

SFREQ, N_VOLUMES, N_SLICES = 500.0, 20, 10
PERIOD = 1000.25


def make_eeg(seed, n_times):
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(n_times))
    spectrum /= np.sqrt(1.0 + np.arange(len(spectrum)) * SFREQ / n_times)
    eeg = np.fft.irfft(spectrum, n_times)
    return 20e-6 * eeg / np.std(eeg)


def make(seed, size_v, width=15.0):
    """EEG with a bump in the fourth slice of each volume, and slow drift."""
    onsets = 700.3 + PERIOD * np.arange(N_VOLUMES)
    n_times = int(onsets[-1] + PERIOD + 500)
    t = np.arange(n_times)
    bump = np.zeros(n_times)
    for onset in onsets:
        bump += size_v * np.exp(-(((t - onset - 330.0) / width) ** 2))
    eeg = make_eeg(seed, n_times) + 1e-3 * np.sin(2 * np.pi * t / n_times)
    return eeg, bump, Layout.of(onsets, 1001, n_times)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("size_v, width", [(2e-4, 15.0), (1e-4, 40.0)])
def test_a_bump_is_subtracted_and_eeg_kept(seed, size_v, width):
    eeg, bump, layout = make(seed, size_v, width)
    x = eeg + bump
    assert find_locked(x, layout, SFREQ).strength > PRESENT
    subtract_locked(x, layout, SFREQ, np.arange(N_VOLUMES))
    inside = slice(800, -800)
    assert np.std((x - eeg)[inside]) < 0.25 * np.std(bump[inside])


@pytest.mark.parametrize("seed", range(6))
def test_eeg_alone_is_kept(seed):
    eeg, _, layout = make(seed, 0.0)
    found = find_locked(eeg, layout, SFREQ)
    assert found.strength < PRESENT
    x = eeg.copy()
    subtract_locked(x, layout, SFREQ, np.arange(N_VOLUMES))
    assert np.std(x - eeg) < 0.1 * 20e-6


def test_few_volumes_tell_nothing():
    eeg, bump, layout = make(0, 3e-4)
    found = find_locked(eeg + bump, layout, SFREQ, np.arange(5))
    assert found.strength == 0.0 and not found.waveform.any()


@pytest.mark.parametrize("n_slices", [5, 10])
def test_the_number_of_slices_is_found(n_slices):
    eeg, bump, layout = make(2, 2e-4)
    distance = PERIOD / n_slices
    onsets = 700.3 + distance * np.arange(n_slices * N_VOLUMES)
    slices = Layout.of(onsets, int(np.ceil(distance)), layout.n_times)
    assert find_volume(eeg + bump, slices, SFREQ) == n_slices
    assert find_volume(eeg, slices, SFREQ) == 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_slices", [6, 10])
def test_means_that_recur_are_found_below_the_eeg(seed, n_slices):
    n_volumes, distance = 60, 100.3
    n_times = int(distance * n_slices * n_volumes) + 400
    eeg = make_eeg(seed, n_times)
    onsets = 100.2 + distance * np.arange(n_slices * n_volumes)
    slices = Layout.of(onsets, 101, n_times)
    sizes = np.random.default_rng(seed).uniform(-15e-6, 15e-6, n_slices)
    steps = np.zeros(n_times)
    for k, onset in enumerate(onsets):
        steps[round(onset) : round(onset) + 100] = sizes[k % n_slices]
    found = find_volume(eeg + steps, slices, SFREQ)
    assert found > 1 and n_slices % found == 0  # weak steps may only tell a divisor
    assert find_volume(eeg, slices, SFREQ) == 1
