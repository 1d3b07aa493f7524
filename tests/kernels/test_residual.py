"""Figures of what a correction left, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from facet_nb.kernels.measures import residual
from facet_nb.kernels.measures.residual import EEG_HZ, N_SHIFTS, Grid, LockedSums, measure_gaps
from facet_nb.kernels.pulse.support import measure_support
from facet_nb.kernels.triggers.evidence import find_scanned


@pytest.mark.parametrize("sfreq", [250.0, 1000.0, 5000.0])
@pytest.mark.parametrize("freq_hz", [4.0, 32.0, 68.0])
def test_power_of_a_sine_is_half_its_squared_amplitude(sfreq, freq_hz):
    grid = Grid.of(int(2 * sfreq), sfreq)
    t = np.arange(int(2 * sfreq)) / sfreq
    x = 3e-6 * np.sin(2 * np.pi * freq_hz * t + 0.3)[np.newaxis]
    power = np.abs(grid.transform(x)) ** 2 * grid.gain
    near = grid.find((freq_hz - 1.5, freq_hz + 1.6))
    # A difference from nothing at the window's first sample costs a little.
    assert power[0, near].sum() == pytest.approx(4.5e-12, rel=0.05)


def test_drift_does_not_leak():
    grid = Grid.of(4000, 2000.0)
    ramp = np.linspace(0.0, 1e-3, 4000)[np.newaxis]
    power = np.abs(grid.transform(ramp)) ** 2 * grid.gain
    assert power[0, grid.find((5.0, 200.0))].sum() < 1e-13


def collect(epochs, sfreq=500.0):
    grid = Grid.of(epochs.shape[2], sfreq)
    return grid, LockedSums.of(grid, np.stack([grid.transform(epoch) for epoch in epochs]))


def pink_noise(n_epochs, n_channels=3, n_samples=1000, seed=0):
    """Return epochs of noise with a spectrum like that of EEG."""
    x = np.random.default_rng(seed).standard_normal((n_channels, n_epochs * n_samples))
    freqs = np.maximum(np.fft.rfftfreq(x.shape[1], 1 / 500.0), 0.3)
    x = np.fft.irfft(np.fft.rfft(x) / freqs, x.shape[1])
    return x.reshape(n_channels, n_epochs, n_samples).transpose(1, 0, 2)


@pytest.mark.parametrize("n_epochs", [8, 30])
def test_noise_is_not_locked(n_epochs):
    found = [collect(pink_noise(n_epochs, seed=s))[1] for s in range(8)]
    shares = np.concatenate([sums.locked() for sums in found])
    null = np.concatenate([sums.locked_by_chance() for sums in found])
    assert np.abs(shares.mean()) < 0.01
    assert shares.std() == pytest.approx(null.std(), rel=0.4)
    assert np.abs(shares).max() < 1.5 * np.abs(null).max()


@pytest.mark.parametrize("ratio", [0.3, 1.0])
def test_locked_share_is_that_of_the_power(ratio):
    rng = np.random.default_rng(5)
    wave, noise = np.sqrt(ratio) * rng.standard_normal((1, 1000)), pink_noise(60, 1)
    wave *= noise.std()
    grid, sums = collect(noise + wave)
    share, null = sums.locked(), sums.locked_by_chance()
    band = grid.find(EEG_HZ)
    power = np.mean([np.abs(grid.transform(epoch)[0, band]) ** 2 for epoch in noise], axis=0)
    locked = np.abs(grid.transform(wave)[0, band]) ** 2
    assert share[0] == pytest.approx(np.mean(locked / (locked + power)), abs=0.03)
    assert null.max() < share[0]


@pytest.mark.parametrize("n_epochs", [7, 37])
def test_sums_equal_their_definition(n_epochs):
    x = np.random.default_rng(2).standard_normal((n_epochs, 2, 600))
    grid, sums = collect(x)
    spectra = np.stack([grid.transform(epoch) for epoch in x]).astype(complex)
    spectra = spectra[:, :, grid.find(EEG_HZ)]
    # Two epochs, the next two, and so on take turns.
    of_first = np.arange(n_epochs) % 4 < 2
    first, second = spectra[of_first].mean(axis=0), spectra[~of_first].mean(axis=0)
    power = (np.abs(spectra) ** 2).mean(axis=0)
    shares = np.real(first * second.conj()) / power
    for which in (slice(None), slice(3, None, 15)):
        expected = shares[:, which].mean(axis=1)
        np.testing.assert_allclose(sums.locked(which), expected, rtol=1e-4, atol=1e-6)
    assert sums.n_products == of_first.sum() * (~of_first).sum()
    lagged = np.real(spectra[1:] * spectra[:-1].conj()).mean(axis=0)
    np.testing.assert_allclose(sums.lagged, lagged, rtol=1e-5, atol=1e-5 * np.abs(lagged).max())


def test_chance_is_the_share_of_shifted_epochs():
    """Turning the same epochs by hand gives a share that chance has seen the like of."""
    x = pink_noise(16, 4, 500)
    _, sums = collect(x)
    null = sums.locked_by_chance()
    assert null.shape == (N_SHIFTS, 4)
    some = slice(2, None, 10)
    np.testing.assert_allclose(
        sums.take(slice(1, 3)).locked_by_chance(some),
        sums.locked_by_chance(some)[:, 1:3],
        rtol=1e-5,
    )
    rng = np.random.default_rng(3)
    turned = [np.stack([np.roll(e, int(rng.integers(500)), axis=1) for e in x]) for _ in range(40)]
    shares = np.stack([collect(epochs)[1].locked() for epochs in turned])
    assert null.std() == pytest.approx(shares.std(), rel=0.4)


def test_what_two_neighbours_share_is_not_locked():
    """Epochs in pairs, of which both have the same residual, but each pair another one."""
    x = pink_noise(8, 4, seed=4)
    x[1::2] = x[0::2]
    own = [collect(np.roll(x, k, axis=0))[1] for k in range(2)]
    alike, apart = (np.abs(sums.locked()).mean() for sums in own)
    assert alike < 0.05 < apart


def test_late_epochs_are_moved_to_their_onset():
    rng = np.random.default_rng(1)
    wave = np.cumsum(rng.standard_normal(4000)) * 1e-2
    grid = Grid.of(1000, 500.0)
    late = 3 * (np.arange(20) % 7)
    spectra = np.stack([grid.transform(wave[np.newaxis, 50 + k : 1050 + k]) for k in late])
    exact, shifted = (LockedSums.of(grid, spectra, late_s) for late_s in (None, late / 500.0))
    assert shifted.locked()[0] > 0.8 > exact.locked()[0]


def test_only_neighbours_are_compared():
    grid = Grid.of(1000, 500.0)
    spectra = np.stack([grid.transform(epoch) for epoch in pink_noise(9)])
    number = np.array([0, 1, 4, 5, 9, 10, 20, 30, 31])
    own = spectra[:, :, grid.find(EEG_HZ)]
    pairs = [np.real(own[k] * own[k + 1].conj()) for k in (0, 2, 4, 7)]
    sums = LockedSums.of(grid, spectra, number=number)
    np.testing.assert_allclose(sums.lagged, np.mean(pairs, axis=0), rtol=1e-4, atol=1e-16)
    assert np.isnan(LockedSums.of(grid, spectra, number=3 * number).together()).all()


@pytest.mark.parametrize("n_parts", [15, 20])
@pytest.mark.parametrize(("factor", "lacking_db"), [(1.0, 0.0), (0.5, 3.0), (0.05, 4.3)])
def test_power_that_lacks_at_lines(n_parts, factor, lacking_db):
    """Half of the power is 3 dB; more than 4.3 dB are clipped; an alpha peak hides nothing."""
    rng = np.random.default_rng(n_parts)
    freqs = np.arange(1.0, 70.0, 0.5)
    bins = np.arange(2, 140)
    away = np.minimum(bins % n_parts, -bins % n_parts)
    artifact = np.where(away == 0, 1e-6, 1e-10) * np.ones((3, 1))
    power = 1e-12 / freqs + 1e-12 * np.exp(-0.5 * ((freqs - 11) / 1.0) ** 2)
    power = power * rng.gamma(30, 1 / 30, (3, len(freqs))) * np.where(away <= 2, factor, 1.0)
    assert -np.median(measure_gaps(power, artifact, freqs)) == pytest.approx(lacking_db, abs=0.35)
    assert np.isnan(measure_gaps(power, np.ones_like(power), freqs)).all()


@pytest.mark.parametrize(("n", "width"), [(200, 25), (30, 25), (7, 25), (64, 3), (5, 1)])
def test_sliding_windows_are_those_of_scipy(n, width):
    """Also where a window is wider than the row."""
    x = np.random.default_rng(n).standard_normal((3, n))
    middle = np.median(residual._slide(x, width, x[:, :1], x[:, -1:]), axis=-1)
    assert np.array_equal(middle, ndimage.median_filter(x, (1, width), mode="nearest"))
    beside = residual._slide(x > 1.0, width, False, False).any(axis=-1)
    assert np.array_equal(beside, ndimage.binary_dilation(x > 1.0, np.ones((1, width), bool)))


# ------------------------------------------------------------------------------- heartbeats
def beats(rng, n_channels, sfreq, false_share):
    """Return channels with an artifact after each true beat, and the positions given."""
    true = np.cumsum(rng.uniform(0.75, 1.05, 120))
    n_times = int((true[-1] + 2) * sfreq)
    t = np.arange(int(0.6 * sfreq)) / sfreq
    wave = np.sin(2 * np.pi * 5 * t) * np.hanning(len(t))
    x = 10e-6 * rng.standard_normal((n_channels, n_times // 8 + 1)).repeat(8, axis=1)[:, :n_times]
    for at in (true * sfreq).astype(int):
        x[:, at : at + len(wave)] += 40e-6 * rng.normal(1.0, 0.2) * wave
    wrong = rng.random(len(true)) < false_share
    given = true + np.where(wrong, rng.uniform(0.3, 0.6, len(true)), 0.0)
    return x, (np.sort(given) * sfreq).astype(int)


@pytest.mark.parametrize("sfreq", [250.0, 1000.0])
@pytest.mark.parametrize("n_channels", [2, 8])
@pytest.mark.parametrize(("false_share", "low", "high"), [(0, 0.95, 1), (0.5, 0.3, 0.7)])
def test_support_is_the_share_of_true_beats(sfreq, n_channels, false_share, low, high):
    for seed in range(3):
        x, peaks = beats(np.random.default_rng(seed), n_channels, sfreq, false_share)
        assert low <= measure_support(iter(x), peaks, sfreq) <= high


def test_nothing_supports_beats_without_artifact():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 60_000))
    peaks = np.sort(rng.integers(0, 59_000, 60))
    assert measure_support(iter(x), peaks, 500.0) < 0.75
    assert np.isnan(measure_support(iter(x), peaks[:2], 500.0))


# --------------------------------------------------------------------------- unmarked time
@pytest.mark.parametrize("sfreq", [500.0, 2000.0])
@pytest.mark.parametrize("running_s", [(8.0, 40.0), (14.0, 46.0), (10.0, 40.0)])
def test_unmarked_artifact_is_found_where_it_is(sfreq, running_s):
    rng = np.random.default_rng(4)
    t = np.arange(int(55 * sfreq)) / sfreq
    artifact = 1e-3 * np.sin(2 * np.pi * 0.2 * sfreq * t)
    begin, end = (int(s * sfreq) for s in running_s)
    x = 10e-6 * rng.standard_normal(len(t))
    x[begin:end] += artifact[begin:end]
    spans = find_scanned(x, int(14.0 * sfreq), int(40.0 * sfreq), sfreq)
    expected = [s for s in ((running_s[0], 14.0), (40.0, running_s[1])) if s[1] - s[0] > 0.1]
    np.testing.assert_allclose(np.array(spans) / sfreq, expected, atol=0.21)


def test_a_jump_outside_the_scan_is_no_artifact():
    rng = np.random.default_rng(4)
    x = 10e-6 * rng.standard_normal(30_000)
    x[8000:22_000] += 1e-3 * np.sin(np.arange(14_000))
    x[3000:] += 5e-3
    assert find_scanned(x, 8000, 22_000, 1000.0) == []
    assert find_scanned(x[8000:22_000], 0, 14_000, 1000.0) == []
