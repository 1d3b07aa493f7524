"""The simulator: its truth, its timing, and that its recordings are what they claim to be."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import welch
from threadpoolctl import threadpool_limits

from facet_nb.core.errors import ValidationError
from facet_nb.datasets import epi, example, heart, simulate

SMALL = {"n_channels": 5, "sfreq": 1000.0, "duration_s": 16.0, "tr_s": 1.1, "n_slices": 11}


@pytest.fixture(scope="module")
def small():
    return simulate(**SMALL, seed=3, pulse=True)


@pytest.fixture(scope="module")
def first_look():
    return example()


def subtract_averages(data, triggers, n_epochs):
    """Plain average artifact subtraction with the nearest other epochs, for comparison."""
    length = int(np.median(np.diff(triggers)))
    epochs = data[:, triggers[:, np.newaxis] + np.arange(length)]
    epochs -= epochs.mean(axis=2, keepdims=True)
    out = data.copy()
    for k, trigger in enumerate(triggers):
        first = min(max(0, k - n_epochs // 2), len(triggers) - n_epochs - 1)
        others = [j for j in range(first, first + n_epochs + 1) if j != k]
        out[:, trigger : trigger + length] -= epochs[:, others].mean(axis=1)
    return out


# ------------------------------------------------------------------- what comes out
def test_recording_has_names_positions_markers_and_volts(small):
    raw = small.raw
    assert raw.get_channel_types() == ["eeg"] * 5 + ["ecg"]
    assert len(raw.get_montage().ch_names) == 5
    assert raw.info["sfreq"] == small.sfreq == 1000.0
    assert raw.n_times == small.clean.shape[1] == 16_000
    assert small.clean.shape == small.artifact.shape == (5, 16_000)
    assert set(raw.annotations.description) == {"Stimulus/S  1"}
    assert np.sqrt(np.mean(small.clean**2)) == pytest.approx(20e-6, rel=1e-9)
    assert 1e-3 < np.abs(raw.get_data()).max() < 20e-3


def test_recording_is_truth_plus_artifact(small):
    data = small.raw.get_data(picks="eeg")
    error = np.abs(data - small.clean - small.artifact).max()
    assert error < 1e-12 * np.abs(data).max()


def test_artifact_is_gradient_plus_pulse(small):
    without = simulate(**SMALL, seed=3)
    np.testing.assert_array_equal(without.artifact, small.gradient_artifact)
    pulse = small.artifact - small.gradient_artifact
    peaks_v = np.abs(pulse).max(axis=1)
    assert np.all((peaks_v > 30e-6) & (peaks_v < 300e-6))


def test_truth_is_read_only_and_the_recording_is_not(small):
    for array in (small.clean, small.onsets_s, small.triggers, small.slice_onsets_s):
        with pytest.raises(ValueError, match="read-only"):
            array[..., 0] = 1
    with pytest.raises(FrozenInstanceError):
        small.sfreq = 1.0
    assert not np.shares_memory(small.clean, small.raw._data)
    assert small.raw._data.flags.writeable


def test_repr_says_what_it_is(small):
    assert repr(small) == (
        "<Simulation | 5 EEG channels × 16 s at 1000 Hz, 66 slice markers, seed 3>"
    )


def test_context_holds_the_recording(small):
    context = small.context()
    assert context.get_raw() is small.raw
    assert not context.has_triggers()


# ------------------------------------------------------------------------- timing
def test_triggers_are_the_nearest_samples_of_the_onsets(small):
    odd = simulate(**SMALL | {"tr_s": 1.1003})
    for simulation in (small, odd):
        error = simulation.triggers - simulation.onsets_s * simulation.sfreq
        assert np.abs(error).max() <= 0.5
    assert np.ptp(error) > 0.9  # the clocks are not commensurate
    assert small.triggers.dtype == np.int64


def test_mne_reads_the_markers_at_the_triggers(small):
    events, _ = mne.events_from_annotations(small.raw, verbose="error")
    np.testing.assert_array_equal(events[:, 0], small.triggers)


def test_clock_offset_stretches_the_scan():
    plain = simulate(**SMALL, clock_offset_ppm=0.0)
    fast = simulate(**SMALL, clock_offset_ppm=500.0)
    np.testing.assert_allclose(np.diff(plain.onsets_s), 0.1, rtol=1e-9)
    np.testing.assert_allclose(np.diff(fast.onsets_s), 0.1 * (1 + 500e-6), rtol=1e-9)


def test_volume_markers_gap_and_multiband():
    simulation = simulate(
        3, 1000.0, 16.0, 1.2, 12, markers="volume", multiband=3, volume_gap_s=0.4, seed=1
    )
    assert set(simulation.raw.annotations.description) == {"Response/R128"}
    steps_s = np.diff(simulation.slice_onsets_s).reshape(-1)
    assert np.allclose(steps_s[:3], 0.2, rtol=1e-4)
    assert steps_s[3] == pytest.approx(0.6, rel=1e-4)
    volumes_s = simulation.slice_onsets_s[::4]
    np.testing.assert_allclose(simulation.onsets_s - volumes_s, 1.3e-3, rtol=1e-9)
    begin = int((volumes_s[1] - 0.35) * 1000.0)
    gap = simulation.artifact[:, begin : begin + 300]
    assert np.abs(gap).max() < 1e-6 * np.abs(simulation.artifact).max()


def test_missing_and_jittered_markers_leave_the_signal_alone():
    plain = simulate(**SMALL)
    spoilt = simulate(**SMALL, missing=(0, 7, 8), marker_jitter_samples=2)
    np.testing.assert_array_equal(plain.raw.get_data(), spoilt.raw.get_data())
    np.testing.assert_array_equal(plain.onsets_s, spoilt.onsets_s)
    offset = spoilt.triggers - np.delete(plain.triggers, [0, 7, 8])
    assert set(np.unique(offset)) == {-2, -1, 0, 1, 2}


def test_scanner_is_silent_before_and_after(small):
    gradient, (begin_s, end_s) = small.gradient_artifact, small.acquisition_s
    reach_s = epi.reach_s(200.0)
    assert begin_s == small.slice_onsets_s[0] > 5.0
    assert end_s < 12.0
    assert not gradient[:, : int((begin_s - reach_s) * 1000.0)].any()
    assert not gradient[:, int((end_s + reach_s) * 1000.0) + 1 :].any()
    before = gradient[:, : int(begin_s * 1000.0)]
    assert np.abs(before).max() < 0.05 * np.abs(gradient).max()


# ----------------------------------------------------------------------- artifact
def test_artifact_is_one_function_of_time_at_any_rate():
    arguments = SMALL | {"lowpass_hz": 400.0, "motions_per_min": 20.0, "pulse": True}
    slow = simulate(**arguments | {"sfreq": 2000.0}, seed=5)
    fast = simulate(**arguments | {"sfreq": 6000.0}, seed=5)
    assert len(slow.movements_s) == 2
    np.testing.assert_array_equal(slow.onsets_s, fast.onsets_s)
    error = np.abs(fast.artifact[:, ::3] - slow.artifact).max()
    assert error < 1e-10 * np.abs(slow.artifact).max()


def test_artifact_equals_its_definition_slice_by_slice():
    simulation = simulate(**SMALL, seed=2, drift=0.0, motion=0.0)
    times_s = np.arange(simulation.clean.shape[1]) / simulation.sfreq
    slopes = epi.list_slopes(0.1)
    waves = np.zeros((3, len(times_s)))
    for onset_s in simulation.slice_onsets_s:
        near = np.abs(times_s - onset_s) < 0.2
        waves[:, near] += epi.evaluate_slice(slopes, times_s[near] - onset_s, 200.0)
    expected = simulation.gradient.weights[0, :5] @ waves
    np.testing.assert_allclose(
        simulation.artifact, expected, atol=1e-10 * np.abs(expected).max(), rtol=0
    )


def test_artifact_peaks_are_in_the_documented_range():
    simulation = simulate(
        16, 5000.0, 12.0, 2.0, 30, lead_in_s=1.0, lead_out_s=1.0, drift=0.0, motion=0.0
    )
    peaks_v = np.abs(simulation.artifact).max(axis=1)
    assert np.all((peaks_v > 0.95 * 2.5e-3) & (peaks_v < 1.05 * 10e-3))
    assert np.median(peaks_v) == pytest.approx(5e-3, rel=0.1)
    freqs_hz, power = welch(simulation.artifact, 5000.0, nperseg=4096)
    in_band = power[:, (freqs_hz > 500.0) & (freqs_hz < 1200.0)].sum(axis=1)
    assert np.all(in_band > 0.02 * power.sum(axis=1))  # the read-out is there
    assert np.all(power[:, freqs_hz > 2450.0].sum(axis=1) < 1e-12 * power.sum(axis=1))


def test_drift_and_motion_change_the_artifact_by_their_size():
    still = simulate(**SMALL, drift=0.0, motion=0.0)
    drifting = simulate(**SMALL, drift=0.02, motion=0.0)
    moving = simulate(**SMALL, drift=0.0, motion=0.05, motions_per_min=10.0)
    peak_v = np.abs(still.artifact).max()
    assert 0.0 < np.abs(drifting.artifact - still.artifact).max() < 0.04 * peak_v
    (moved_s,) = moving.movements_s
    begin = int(moved_s * 1000.0)
    change = np.abs(moving.artifact - still.artifact)
    assert change[:, :begin].max() == 0.0
    assert 0.005 * peak_v < change[:, begin + 300 :].max() < 0.3 * peak_v


def test_slice_variation_repeats_with_the_volume():
    simulation = simulate(**SMALL, drift=0.0, motion=0.0, slice_variation=0.1, clock_offset_ppm=0.0)
    first = int(simulation.slice_onsets_s[0] * 1000.0) + 1100
    volumes = simulation.artifact[:, first : first + 3300].reshape(5, 3, 1100)
    np.testing.assert_allclose(volumes[:, 1], volumes[:, 0], atol=1e-10)
    slices = volumes[:, 0].reshape(5, 11, 100)
    assert np.std(np.abs(slices).max(axis=2), axis=1).min() > 1e-5


def test_no_artifact_gives_clean_eeg_with_markers():
    simulation = simulate(**SMALL, artifact_amplitude_v=0.0)
    np.testing.assert_array_equal(simulation.raw.get_data(), simulation.clean)
    assert len(simulation.triggers) == 66


# -------------------------------------------------------------------- EEG and heart
def test_eeg_falls_with_frequency_has_alpha_and_correlated_neighbours():
    simulation = simulate(32, 500.0, 120.0, 2.0, 20, seed=4)
    freqs_hz, power = welch(simulation.clean, 500.0, nperseg=2000)
    band = ((freqs_hz > 2) & (freqs_hz < 7)) | ((freqs_hz > 14) & (freqs_hz < 45))
    slope = np.polyfit(np.log(freqs_hz[band]), np.log(power.mean(axis=0)[band]), 1)[0]
    assert -1.8 < slope < -1.2
    names = simulation.ch_names
    alpha, side = power[:, (freqs_hz > 9) & (freqs_hz < 11)], power[:, (freqs_hz > 16)]
    excess = alpha.mean(axis=1) / side[:, :8].mean(axis=1)
    assert excess[names.index("Oz")] > 3.0 * excess[names.index("Fz")]
    correlation = np.abs(np.corrcoef(simulation.clean))
    near = correlation[names.index("C3"), names.index("CP5")]
    far = correlation[names.index("F7"), names.index("P8")]
    assert near > 0.3 > far
    rms_v = simulation.clean.std(axis=1)
    assert np.all((rms_v > 10e-6) & (rms_v < 35e-6))


def test_pulse_follows_the_heart_and_leaves_the_eeg_alone(small):
    without = simulate(**SMALL, seed=3)
    np.testing.assert_array_equal(without.clean, small.clean)
    assert len(without.r_peaks_s) == 0
    intervals_s = np.diff(small.r_peaks_s)
    assert np.all((intervals_s > 0.7) & (intervals_s < 1.15))
    ecg = small.raw.get_data(picks="ecg")[0]
    for peak_s in small.r_peaks_s[(small.r_peaks_s > 0.1) & (small.r_peaks_s < 4.5)]:
        near = ecg[int((peak_s - 0.1) * 1000) : int((peak_s + 0.1) * 1000)]
        assert abs(near.argmax() / 1000.0 - 0.1) < 2e-3
        assert near.max() == pytest.approx(1e-3, rel=0.05)


@pytest.mark.parametrize("peak_s", [0.0, 1.99])
def test_beats_at_the_edges_are_cut_off(peak_s):
    padded = heart.render_ecg(np.array([peak_s + 1.0]), 4000, 1000.0)
    edge = heart.render_ecg(np.array([peak_s]), 2000, 1000.0)
    np.testing.assert_allclose(edge, padded[1000:3000], atol=1e-10)
    assert edge.max() > 0.9e-3


# ------------------------------------------------------------------ reproducibility
def test_same_seed_same_bits_whatever_the_threads():
    arguments = {"n_channels": 32, "sfreq": 2000.0, "duration_s": 20.0, "pulse": True}
    with threadpool_limits(1):
        one = simulate(**arguments)
    with threadpool_limits(2):
        two = simulate(**arguments)
    np.testing.assert_array_equal(one.raw.get_data(), two.raw.get_data())
    np.testing.assert_array_equal(one.clean, two.clean)
    np.testing.assert_array_equal(one.triggers, two.triggers)


def test_other_seed_other_recording():
    one, two = simulate(**SMALL, seed=1), simulate(**SMALL, seed=2)
    assert np.abs(np.corrcoef(one.clean[0], two.clean[0])[0, 1]) < 0.3
    assert one.onsets_s[0] != two.onsets_s[0]


def test_spec_survives_json_and_makes_the_same_again():
    arguments = SMALL | {"n_channels": np.int64(5), "sfreq": np.float32(1000), "missing": (3,)}
    simulation = simulate(**arguments, seed=9, pulse=np.bool_(True), markers="volume")
    spec = json.loads(json.dumps(simulation.spec))
    assert spec == simulation.spec
    again = simulate(**spec)
    np.testing.assert_array_equal(again.raw.get_data(), simulation.raw.get_data())
    np.testing.assert_array_equal(again.triggers, simulation.triggers)


@settings(max_examples=15, deadline=None)
@given(
    n_channels=st.integers(1, 6),
    sfreq=st.floats(250.0, 1500.0),
    tr_s=st.floats(0.5, 2.0),
    groups=st.integers(1, 8),
    multiband=st.integers(1, 3),
    lead_in_s=st.floats(0.0, 2.0),
    pulse=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_any_small_simulation_obeys_the_laws(
    n_channels, sfreq, tr_s, groups, multiband, lead_in_s, pulse, seed
):
    simulation = simulate(
        n_channels,
        sfreq,
        8.0,
        tr_s,
        groups * multiband,
        seed=seed,
        multiband=multiband,
        lead_in_s=lead_in_s,
        lead_out_s=0.5,
        pulse=pulse,
    )
    data = simulation.raw.get_data()
    assert data.shape == (n_channels + pulse, round(8.0 * sfreq))
    assert np.isfinite(data).all()
    assert np.abs(data[:n_channels] - simulation.clean - simulation.artifact).max() < 1e-14
    assert np.abs(simulation.triggers - simulation.onsets_s * sfreq).max() <= 0.5 + 1e-9
    assert len(simulation.onsets_s) % groups == 0
    assert simulation.acquisition_s[1] <= 7.5
    again = simulate(**simulation.spec)
    np.testing.assert_array_equal(again.raw.get_data(), data)


# ------------------------------------------------------------------------ the score
def test_snr_of_a_known_error():
    simulation = simulate(**SMALL, seed=3)
    assert np.all(simulation.snr_db(simulation.clean) == np.inf)
    np.testing.assert_allclose(simulation.snr_db(1.1 * simulation.clean), 20.0, atol=1e-6)
    np.testing.assert_allclose(simulation.snr_db(np.zeros_like(simulation.clean)), 0.0, atol=1e-9)
    assert np.all(simulation.snr_db(simulation.raw) < -5.0)


def test_snr_looks_at_its_band_and_at_the_scan_only():
    simulation = simulate(**SMALL, seed=3)
    times_s = np.arange(simulation.clean.shape[1]) / simulation.sfreq
    high = simulation.clean + 1e-3 * np.sin(2 * np.pi * 300.0 * times_s)
    assert np.all(simulation.snr_db(high) > 20.0)
    assert np.all(simulation.snr_db(high, fmin=200.0, fmax=400.0) < -10.0)
    early = simulation.clean + 1e-3 * np.sin(2 * np.pi * 20.0 * times_s) * (times_s < 3.0)
    assert np.all(simulation.snr_db(early) > 30.0)
    assert np.all(simulation.snr_db(early, acquisition=False) < -10.0)


def test_snr_takes_arrays_recordings_and_contexts(small):
    expected = small.snr_db(small.raw.get_data(picks="eeg"))
    np.testing.assert_array_equal(small.snr_db(small.raw), expected)
    np.testing.assert_array_equal(small.snr_db(small.context()), expected)


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"data": np.zeros((5, 7))}, "sampling rate and length"),
        ({"fmax": 500.0}, "fmin < fmax < 500"),
        ({"fmin": 0.0}, "0 < fmin"),
        ({"margin_s": 9.0}, "lower it"),
    ],
)
def test_snr_explains_what_does_not_fit(small, change, remedy):
    with pytest.raises(ValidationError, match=remedy):
        small.snr_db(**{"data": small.clean} | change)


# ----------------------------------------------------------------------- first look
def test_example_is_a_case_for_plain_averaging(first_look):
    data = first_look.raw.get_data()
    assert data.nbytes < 4e6
    assert len(first_look.triggers) == 375
    assert np.ptp(np.diff(first_look.triggers)) == 0
    assert np.median(first_look.snr_db(data)) < -20.0
    corrected = subtract_averages(data, first_look.triggers, 30)
    assert np.median(first_look.snr_db(corrected)) > 18.0


def test_unknown_clock_is_a_harder_case_for_plain_averaging(first_look):
    harder = simulate(**first_look.spec | {"clock_offset_ppm": 23.0, "tr_s": 2.0005})
    corrected = subtract_averages(harder.raw.get_data(), harder.triggers, 30)
    easy = subtract_averages(first_look.raw.get_data(), first_look.triggers, 30)
    lost = np.median(first_look.snr_db(easy)) - np.median(harder.snr_db(corrected))
    assert lost > 10.0


# ---------------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"duration_s": 10.0}, "at least 10.1"),
        ({"sfreq": 100.0}, "at least 250"),
        ({"n_channels": 0}, "at least 1"),
        ({"n_channels": 1000}, "335"),
        ({"n_channels": 2.5}, "a whole number"),
        ({"n_slices": 200}, "raise tr_s or multiband"),
        ({"volume_gap_s": 1.1}, "lower n_slices or volume_gap_s"),
        ({"multiband": 2}, "choose a divisor"),
        ({"markers": "slices"}, "'slice' or 'volume'"),
        ({"missing": (66,)}, "from 0 to 65"),
        ({"missing": 3}, "a sequence of marker numbers"),
        ({"lowpass_hz": 400.0}, "raise sfreq"),
        ({"artifact_amplitude_v": 4000.0}, "volts, not microvolts"),
        ({"eeg_rms_v": float("nan")}, "a finite number"),
        ({"drift": -0.1}, "at least 0"),
        ({"seed": None}, "a whole number"),
        ({"pulse": "yes"}, "True or False"),
        ({"marker_jitter_samples": 30}, "at most 25"),
        ({"heart_rate_hz": 70.0}, "at most 4"),
    ],
)
def test_bad_arguments_name_the_remedy(change, remedy):
    with pytest.raises(ValidationError, match=remedy):
        simulate(**SMALL | change)


def test_largest_montage():
    simulation = simulate(335, 250.0, 4.0, 1.0, 5, lead_in_s=1.0, lead_out_s=1.0)
    assert len(set(simulation.ch_names)) == 335
    assert np.isfinite(simulation.raw.get_data()).all()
