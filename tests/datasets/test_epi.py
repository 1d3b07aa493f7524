"""The EPI waveform against brute-force quadrature of its definition in the time domain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facet_nb.datasets import epi

CUTOFF_HZ = 1000.0
SLICE_S = 0.0667


def convolve_slopes(slopes, times_s, cutoff_hz):
    """Oracle: each rectangle convolved with the impulse response, by Gauss-Legendre quadrature."""
    nodes, node_weights = np.polynomial.legendre.leggauss(30)
    width_hz = 0.2 * cutoff_hz
    out = np.zeros((3, len(times_s)))
    for axis, begin, end, level in slopes:
        u = 0.5 * (end - begin) * nodes + 0.5 * (end + begin)
        lag = times_s[:, np.newaxis] - u
        response = 2.0 * cutoff_hz * np.sinc(2.0 * cutoff_hz * lag)
        response *= np.exp(-2.0 * np.pi**2 * width_hz**2 * lag**2)
        out[int(axis)] += level * 0.5 * (end - begin) * (response @ node_weights)
    return out


def mix_sample_by_sample(sources, weights, changes_s, sfreq, ramp_s):
    """Oracle: the weights of each sample, one after another."""
    out = np.empty((weights.shape[1], sources.shape[1]))
    for n in range(sources.shape[1]):
        current = weights[0].copy()
        for k, change_s in enumerate(changes_s):
            u = min(max((n / sfreq - change_s) / ramp_s, 0.0), 1.0)
            current += (weights[k + 1] - weights[k]) * (3 * u**2 - 2 * u**3)
        out[:, n] = current @ sources[:, n]
    return out


@pytest.fixture(scope="module")
def slopes():
    return epi.list_slopes(SLICE_S)


@pytest.mark.parametrize("cutoff_hz", [50.0, 400.0, 1000.0])
def test_evaluate_slice_equals_quadrature(slopes, cutoff_hz):
    times_s = np.sort(np.random.default_rng(1).uniform(-0.03, SLICE_S + 0.03, 150))
    expected = convolve_slopes(slopes, times_s, cutoff_hz)
    found = epi.evaluate_slice(slopes, times_s, cutoff_hz)
    assert np.abs(expected).max() > 0
    assert np.abs(found - expected).max() < 1e-11 * np.abs(expected).max()


@pytest.mark.parametrize("sfreq", [4800.0, 5000.0, 10_000.0])
def test_render_train_is_exact_between_samples(slopes, sfreq):
    onsets_s = np.array([0.0201234567, 0.0868765432, 0.1600000001])
    gains = np.array([[1.0, 1.0, 1.0], [0.5, 2.0, -1.0], [1.1, 0.9, 1.3]])
    n_times = round(0.25 * sfreq)
    found = epi.render_train(slopes, onsets_s, gains, sfreq, n_times, cutoff_hz=CUTOFF_HZ)
    times_s = np.arange(n_times) / sfreq
    expected = sum(
        gain[:, np.newaxis] * convolve_slopes(slopes, times_s - onset_s, CUTOFF_HZ)
        for onset_s, gain in zip(onsets_s, gains, strict=True)
    )
    assert np.abs(found - expected).max() < 1e-11 * np.abs(expected).max()


def test_render_train_cuts_at_the_ends_of_the_recording(slopes):
    sfreq, onsets_s = 5000.0, np.array([-0.5, -0.02, 0.05, 0.13, 0.9])
    gains = np.ones((5, 3))
    short = epi.render_train(slopes, onsets_s, gains, sfreq, 800, cutoff_hz=CUTOFF_HZ)
    padded = epi.render_train(slopes, onsets_s + 1.0, gains, sfreq, 12_000, cutoff_hz=CUTOFF_HZ)
    np.testing.assert_allclose(short, padded[:, 5000:5800], atol=1e-11 * np.abs(padded).max())


def test_render_train_is_zero_out_of_reach(slopes):
    found = epi.render_train(
        slopes, np.array([0.1003]), np.ones((1, 3)), 5000.0, 2000, cutoff_hz=CUTOFF_HZ
    )
    first = int(np.floor((0.1003 + slopes[:, 1].min() - epi.reach_s(CUTOFF_HZ)) * 5000.0))
    assert not found[:, :first].any()
    assert found[:, first : first + 300].any(axis=1).all()


def test_read_out_alternates_at_its_fundamental(slopes):
    freqs_hz = np.arange(300.0, 2000.0, 1.0)
    spectrum = np.abs(epi.transform_slopes(slopes, freqs_hz, 4000.0))
    strongest_hz = freqs_hz[spectrum[0].argmax()]
    assert strongest_hz == pytest.approx(0.5 / epi.ECHO_SPACING_S, abs=15.0)


def test_response_is_a_low_pass_that_vanishes():
    assert epi.respond(np.array(0.0), 1000.0) == pytest.approx(1.0, abs=1e-6)
    assert epi.respond(np.array(1000.0), 1000.0) == pytest.approx(0.5, abs=1e-12)
    assert epi.respond(np.array(2400.0), 1000.0) < 2e-12


@settings(max_examples=40, deadline=None)
@given(slice_s=st.floats(epi.MIN_SLICE_S, 0.5), spacing_s=st.floats(0.3e-3, 1.2e-3))
def test_gradients_stay_within_the_slice_and_end_at_zero(slice_s, spacing_s):
    slopes = epi.list_slopes(slice_s, spacing_s)
    axis, begin, end, level = slopes.T
    assert np.all(end > begin)
    assert min(0.05 * slice_s, 8e-3) <= begin.min() <= 10.2e-3
    assert end.max() <= 0.95 * slice_s
    for k in range(epi.N_AXES):
        rise = level * (end - begin) * (axis == k)
        assert abs(rise.sum()) < 1e-9 * np.abs(rise).sum()


def test_iterate_mixture_equals_sample_by_sample_and_keeps_its_input():
    rng = np.random.default_rng(0)
    sfreq, n_times = 1000.0, 40_000  # more than one block
    sources, weights = rng.standard_normal((3, n_times)), rng.standard_normal((4, 2, 3))
    changes_s = np.array([0.5, 32.7, 36.0])  # the second is under way where blocks meet
    before = sources.copy(), weights.copy()
    found = np.full((2, n_times), np.nan)
    for span, block in epi.iterate_mixture(sources, weights, changes_s, sfreq, ramp_s=0.3):
        found[:, span] = block
    expected = mix_sample_by_sample(sources, weights, changes_s, sfreq, 0.3)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_array_equal(sources, before[0])
    np.testing.assert_array_equal(weights, before[1])
