"""Pauses between volumes: the difference that they make goes, EEG stays."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from facet_nb import (
    AASCorrection,
    Pipeline,
    ProcessingContext,
    RemoveVolumeArtifactCorrection,
    VolumeArtifactCorrection,
)
from facet_nb.core.errors import FacetError
from facet_nb.kernels.templates import volume_gaps

SFREQ, SLICE, N_SLICES, PAUSE, N_VOLUMES = 1000.0, 80, 12, 150, 30


@pytest.fixture(scope="module")
def scan():
    """EEG, slices that are all alike, and what the pauses add, in V; slice triggers."""
    rng = np.random.default_rng(0)
    volume = N_SLICES * SLICE + PAUSE
    starts = 500 + np.add.outer(volume * np.arange(N_VOLUMES), SLICE * np.arange(N_SLICES)).ravel()
    n_times = starts[-1] + 1000
    eeg = np.cumsum(rng.standard_normal((2, n_times)), axis=1)
    eeg = 1e-5 * (eeg - mne.filter.filter_data(eeg, SFREQ, None, 1.0, verbose="error"))
    shape = 1e-3 * rng.standard_normal(SLICE)
    slices, extra = np.zeros(n_times), np.zeros(n_times)
    ring = 2e-4 * np.exp(-np.arange(12) / 4.0) * np.cos(np.arange(12.0))
    after = 2e-4 * np.exp(-np.arange(PAUSE) / 20.0)
    for number, start in enumerate(starts):
        slices[start : start + SLICE] += shape
        if number % N_SLICES == 0:
            extra[start : start + 12] += ring
        if number % N_SLICES == N_SLICES - 1:
            extra[start + SLICE - 12 : start + SLICE] += ring[::-1]
            extra[start + SLICE : start + SLICE + PAUSE] += after
    return eeg, slices, extra, starts


def context_of(data, starts):
    raw = mne.io.RawArray(data, mne.create_info(len(data), SFREQ, "eeg"), verbose="error")
    return ProcessingContext(raw).with_trigger_samples(starts, artifact_length=SLICE)


def run(steps, data, starts):
    return Pipeline(steps).run(context_of(data, starts), raise_on_error=True)


def test_slices_next_to_the_pause_become_like_the_others(scan):
    eeg, slices, extra, starts = scan
    data = eeg + slices + extra
    span = slice(int(starts[0]), int(starts[-1]) + SLICE)
    average = AASCorrection(window_size=30, weighting="sliding", correlation_threshold=0.1)
    plain = run([average], data, starts).get_raw().get_data()
    result = run([VolumeArtifactCorrection(), average], data, starts)
    better = result.get_raw().get_data()
    error = np.std((plain - eeg)[:, span]), np.std((better - eeg)[:, span])
    assert error[1] < 0.6 * error[0]
    notes = result.get_history()[0].parameters
    assert notes["n_pauses"] == N_VOLUMES - 1
    assert notes["pause_ms"] == PAUSE


def test_difference_is_found_where_it_is(scan):
    eeg, slices, extra, starts = scan
    result = run([VolumeArtifactCorrection()], eeg + slices + extra, starts)
    noise = result.context.get_estimated_noise()
    near = np.abs(extra) > 5e-5
    near[: starts[N_SLICES]] = near[starts[-N_SLICES] :] = False
    np.testing.assert_allclose(noise[:, near], np.tile(extra[near], (2, 1)), atol=5e-5)


def test_clean_eeg_hardly_changes(scan):
    eeg, _, _, starts = scan
    out = run([VolumeArtifactCorrection()], eeg, starts).get_raw().get_data()
    assert np.std(out - eeg) < 0.1 * np.std(eeg)


def test_pause_between_ends_is_a_line():
    volumes = volume_gaps.Volumes.of(np.array([False, False, True, False, False]))
    np.testing.assert_array_equal(volumes.firsts, [0, 3])
    np.testing.assert_array_equal(volumes.lasts, [2, 5])
    starts = np.array([0, 10, 20, 34, 44, 54])
    heads, tails = np.full((2, 10), 3.0), np.full((2, 10), 8.0)
    lines = volume_gaps.draw_lines(starts, volumes, heads, tails)
    out = volume_gaps.subtract_transitions(np.zeros(64), starts, volumes, heads, tails, lines)
    np.testing.assert_allclose(out[30:34], [-7, -6, -5, -4])
    np.testing.assert_allclose(out[34:44], -3.0)
    np.testing.assert_allclose(out[20:30], -8.0)
    assert not out[10:20].any()


def test_logistic_weight():
    weight = volume_gaps.weigh_transition(100, 0.8, 20.0)
    assert weight[79] == pytest.approx(0.5)
    assert weight[99] == pytest.approx(1 / (1 + np.exp(-4)))
    assert np.all(np.diff(weight) > 0)


def test_without_pauses_nothing_changes():
    """It leaves the recording alone, and says so."""
    data = np.random.default_rng(0).standard_normal((2, 9000))
    result = run([VolumeArtifactCorrection()], data, np.arange(500, 8000, SLICE))
    np.testing.assert_array_equal(result.get_raw().get_data(), data)
    (told,) = result.findings
    assert (told.code, told.severity) == ("pauses_not_corrected", "note")
    assert told.evidence["n_pauses"] == 0 and "is unchanged" in told.detail
    assert RemoveVolumeArtifactCorrection is VolumeArtifactCorrection


@pytest.mark.parametrize("arguments", [{"template_count": 0}, {"weighting_position": 2.0}])
def test_bad_arguments(scan, arguments):
    eeg, _, _, starts = scan
    with pytest.raises(FacetError, match="must be"):
        run([VolumeArtifactCorrection(**arguments)], eeg, starts)
