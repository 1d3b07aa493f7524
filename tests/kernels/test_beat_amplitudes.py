"""Sizes and delays of beats against simulated ones and against a dense matrix."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb.kernels.pulse import beat_amplitudes
from facet_nb.kernels.pulse.beat_average import average_neighbours, find_borders, subtract_beats
from facet_nb.kernels.pulse.beats import Beats

N_TIMES, SIZE = 12_000, 180


@pytest.fixture(scope="module")
def heart():
    """Six channels with an artifact of known sizes and delays in noise, and the beats."""
    rng = np.random.default_rng(0)
    starts = 50 + np.cumsum(rng.integers(130, 200, 65))
    starts = starts[starts < N_TIMES - SIZE]
    sizes = 0.2 * rng.standard_normal(len(starts))
    delays = 2.0 * rng.standard_normal(len(starts))
    lags = np.arange(SIZE)
    channels = []
    for _ in range(6):
        x = 0.3 * rng.standard_normal(N_TIMES)
        gains, places = rng.standard_normal(3), rng.uniform(50, 120, 3)
        for start, size, delay in zip(starts, sizes, delays, strict=True):
            bumps = np.exp(-0.5 * ((lags[:, np.newaxis] - places - delay) / 10.0) ** 2) @ gains
            x[start : start + SIZE] += (1.0 + size) * bumps
        channels.append(x)
    scores = np.linalg.qr(beat_amplitudes.list_slow(len(starts), 2))[0]
    return np.array(channels), Beats(starts, SIZE, scores), sizes, delays


def test_sizes_and_delays_are_found(heart):
    channels, beats, sizes, delays = heart
    found = beat_amplitudes.measure_beats(channels, beats, 200.0)
    assert np.corrcoef(found.sizes, sizes)[0, 1] > 0.96
    assert np.corrcoef(found.delays, delays)[0, 1] > 0.96
    assert np.polyfit(delays, found.delays, 1)[0] == pytest.approx(1.0, abs=0.15)
    assert found.size_evidence > 3 and found.delay_evidence > 3


def test_noise_gives_no_evidence(heart):
    _, beats, _, _ = heart
    noise = np.random.default_rng(5).standard_normal((6, N_TIMES))
    found = beat_amplitudes.measure_beats(noise, beats, 200.0)
    assert found.size_evidence < 2 and found.delay_evidence < 2
    slow = beat_amplitudes.list_slow(len(beats.starts), 2)
    assert beat_amplitudes.choose_scores(slow, found, 2.0).shape[1] == 2


def test_band_of_overlaps_holds_inner_products_of_rendered_beats():
    rng = np.random.default_rng(1)
    starts = np.array([0, 7, 9, 30, 36])
    beats = Beats(starts, 12, rng.standard_normal((5, 2)))
    parts = rng.standard_normal((4, 12))
    spectra = np.fft.rfft(parts, 32, axis=1)
    alike = np.fft.irfft(np.conj(spectra)[:, np.newaxis] * spectra[np.newaxis], 32, axis=-1)
    band = beat_amplitudes._band_of_overlaps(beats, alike)
    columns = np.zeros((60, 10))
    for k, start in enumerate(starts):
        for part in range(2):
            columns[start : start + 12, 2 * k + part] = (
                beats.scores[k] @ parts[2 * part : 2 * part + 2]
            )
    full = columns.T @ columns
    for below, row in enumerate(band):
        expected = np.append(np.diagonal(full, -below), np.zeros(min(below, 10)))
        np.testing.assert_allclose(row, expected, atol=1e-12)
    assert not np.tril(full, -len(band)).any()


def test_shrinking_takes_noise_and_leaves_the_artifact():
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((300, SIZE))
    alone = beat_amplitudes.shrink_waves(rng.standard_normal((2, SIZE)), noise)
    assert np.std(alone) < 0.5
    strong = 100.0 * np.exp(-0.5 * ((np.arange(SIZE) - 90.0) / 3.0) ** 2)[np.newaxis]
    kept = beat_amplitudes.shrink_waves(strong, noise)
    np.testing.assert_allclose(kept, strong, atol=2.0)
    assert not beat_amplitudes.shrink_waves(np.zeros((2, SIZE)), np.zeros((4, SIZE))).any()


@pytest.mark.parametrize("method", ["mean", "median", "gmean"])
@pytest.mark.parametrize("n_beats", [5, 40])
def test_neighbours_one_by_one(method, n_beats):
    epochs = np.random.default_rng(3).standard_normal((n_beats, 7))
    templates = average_neighbours(epochs, method, 4)
    for k in range(n_beats):
        near = np.arange(max(0, k - 4), min(n_beats, k + 5))
        weights = np.exp(-0.5 * ((near - k) / 1.6) ** 2) if method == "gmean" else None
        expected = np.average(epochs[near], axis=0, weights=weights)
        if method == "median":
            expected = np.median(epochs[near], axis=0)
        np.testing.assert_allclose(templates[k], expected, atol=1e-12)


def test_no_sample_is_corrected_twice():
    low, high = find_borders(np.array([3, 20, 26, 60, 98]), 8, 100)
    np.testing.assert_array_equal(low, [0, 12, 23, 52, 90])
    np.testing.assert_array_equal(high, [12, 23, 35, 69, 100])


@pytest.mark.parametrize("method", ["mean", "median", "gmean"])
def test_artifact_that_repeats_goes_and_the_rest_stays(method):
    peaks = np.arange(300, 11_800, 160)
    wave = np.sin(np.linspace(0, 2 * np.pi, 121))
    x = np.full(N_TIMES, 3.0)
    for number, peak in enumerate(peaks):
        x[peak - 60 : peak + 61] += (1.0 + 0.3 * np.sin(number)) * wave
    out = subtract_beats(x, peaks, 60, 60, method, 10)
    np.testing.assert_allclose(out, 3.0, atol=1e-9)
