"""Heartbeats by their artifact in the EEG, and whether a recording holds the gradient artifact."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb.datasets import simulate
from facet_nb.kernels.means import average_blocks
from facet_nb.kernels.pulse import eeg_beats
from facet_nb.kernels.pulse.gradient_rest import has_gradient

SFREQ = 125.0


def reduce(rows):
    """Return EEG of 250 Hz at 125 Hz."""
    return np.stack([average_blocks(row, 2) for row in rows])


@pytest.fixture(scope="module", params=[(6, 1.1, 4), (12, 0.8, 5), (4, 1.5, 6)])
def heart(request):
    n, rate_hz, seed = request.param
    options = {"pulse": True, "artifact_amplitude_v": 0.0, "heart_rate_hz": rate_hz}
    sim = simulate(n, 2 * SFREQ, 60.0, 2.0, 5, seed=seed, lead_in_s=1.0, lead_out_s=1.0, **options)
    x = eeg_beats.whiten(reduce(sim.raw.get_data()[:n]), SFREQ)
    return sim, x, SFREQ * sim.r_peaks_s


@pytest.fixture(scope="module")
def found(heart):
    return eeg_beats.find_eeg_beats(heart[1], SFREQ)


def compare(peaks, true, tolerance=7.0):
    """Return the shares of true beats that were found, and of found beats that are true."""
    gaps = np.abs(np.asarray(peaks)[:, np.newaxis] - true)
    return np.mean(gaps.min(axis=0) <= tolerance), np.mean(gaps.min(axis=1) <= tolerance)


def test_components_are_white(heart):
    _, x, _ = heart
    np.testing.assert_allclose(x @ x.T / x.shape[1], np.eye(len(x)), atol=1e-9)


def test_beats_are_found_without_an_ecg(heart, found):
    _, _, true = heart
    delay = np.median(
        found.places - true[np.argmin(np.abs(found.places[:, None] - true - 0.3 * SFREQ), 1)]
    )
    sensitivity, precision = compare(found.places - delay, true)
    assert sensitivity >= 0.97 and precision >= 0.97
    assert found.evidence > eeg_beats.LEAST_EVIDENCE


def test_eeg_without_artifact_has_no_evidence(heart):
    found = eeg_beats.find_eeg_beats(eeg_beats.whiten(reduce(heart[0].clean), SFREQ), SFREQ)
    assert found is None or found.evidence < 0.9 * eeg_beats.LEAST_EVIDENCE


def test_r_peaks_come_before_the_artifact(heart, found):
    _, x, true = heart
    peaks = eeg_beats.place_r_peaks(x, SFREQ, found)
    late = peaks - true[np.argmin(np.abs(peaks[:, np.newaxis] - true), axis=1)]
    assert abs(np.median(late)) < 19  # within the 0.1 s that waves begin before an R peak, and half


def test_right_peaks_stay_as_they_are(heart, found):
    _, x, true = heart
    told = eeg_beats.support_beats(true, found, x, SFREQ)
    assert told.kept.all() and not len(told.added) and not told.is_noisy


def test_false_and_missed_peaks_are_mended(heart, found):
    _, x, true = heart
    inner = np.arange(5, len(true) - 5, 20)
    wrong = np.sort(np.append(np.delete(true, inner[0]), true[inner[-1]] + 0.35 * SFREQ / 1.1))
    told = eeg_beats.support_beats(wrong, found, x, SFREQ)
    assert not told.is_noisy
    mended = np.union1d(wrong[told.kept], told.added)
    assert len(mended) == len(true) and compare(mended, true) == (1.0, 1.0)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_noisy_ecg_gives_way(heart, found, share):
    _, x, true = heart
    rng = np.random.default_rng(1)
    wrong = true.copy()
    chosen = rng.permutation(len(true))[: round(share * len(true))]
    wrong[chosen] = rng.uniform(0, x.shape[1], len(chosen))
    told = eeg_beats.support_beats(np.sort(wrong), found, x, SFREQ)
    assert told.is_noisy and not told.kept.any()
    sensitivity, precision = compare(told.added, true, 19.0)
    assert sensitivity >= 0.95 and precision >= 0.95


def test_short_recordings_and_machines_have_no_heart():
    x = eeg_beats.whiten(np.random.default_rng(0).standard_normal((3, 3700)), SFREQ)
    assert eeg_beats.find_eeg_beats(x, SFREQ) is None
    pulse = np.zeros(6000)
    pulse[50::120] = 1.0
    shapes = np.random.default_rng(1).standard_normal((4, 30))
    rows = np.stack([np.convolve(pulse, shape, "same") for shape in shapes])
    rows += 0.05 * np.random.default_rng(2).standard_normal(rows.shape)
    assert eeg_beats.find_eeg_beats(eeg_beats.whiten(rows, SFREQ), SFREQ) is None


@pytest.mark.parametrize("options", [{"sfreq": 500.0}, {"sfreq": 1000.0, "markers": "volume"}])
def test_gradient_artifact_is_recognised(options):
    sim = simulate(2, duration_s=30.0, n_slices=15, seed=7, **options)
    times_s = np.arange(sim.raw.n_times) / sim.sfreq
    lines = 80e-6 * np.sin(2 * np.pi * 50.0 * times_s) + 30e-6 * np.sin(2 * np.pi * 41.3 * times_s)
    for raw, clean in zip(sim.raw.get_data(), sim.clean, strict=False):
        assert has_gradient(raw, sim.sfreq)
        assert not has_gradient(clean, sim.sfreq)
        assert not has_gradient(clean + lines, sim.sfreq)
    assert not has_gradient(np.zeros(10_000), 500.0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_gradient_artifact_with_few_lines_in_the_band_is_recognised(seed):
    """15 slices a second have three lines from 20 to 70 Hz."""
    sim = simulate(4, 500.0, 50.0, 2.0, 30, seed=seed, pulse=True, motion=0.005)
    times_s = np.arange(sim.raw.n_times) / sim.sfreq
    mains = 2e-3 * np.sin(2 * np.pi * 50.0 * times_s)
    two = 80e-6 * (np.sin(2 * np.pi * 50.0 * times_s) + np.sin(2 * np.pi * 41.3 * times_s))
    for raw, clean in zip(sim.raw.get_data(), sim.clean, strict=False):
        assert has_gradient(raw, sim.sfreq)
        assert not has_gradient(clean + mains, sim.sfreq)
        assert not has_gradient(clean + two, sim.sfreq)


def test_average_of_blocks():
    x = np.arange(11.0)
    np.testing.assert_array_equal(average_blocks(x, 4), [1.5, 5.5, 9.0])
    assert average_blocks(x, 1) is x


@pytest.mark.parametrize("n", [1, 7, 8, 14, 15, 16, 40])
def test_the_usual_interval_is_the_median_around_each(n):
    gaps = np.random.default_rng(n).integers(200, 400, n).astype(float)
    half = eeg_beats._N_USUAL // 2
    expected = [np.median(gaps[max(0, i - half) : i + half + 1]) for i in range(n)]
    assert np.array_equal(eeg_beats._find_usual(gaps), expected)
