"""Whether markers keep the time of the artifact: recordings whose markers another clock made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facet_nb.kernels.triggers.pace import keep_pace, measure_pace

#: Waveforms of one slice: as they are sampled does not matter, so they are sums of sines.
FREQS = np.array([13.0, 57.0, 110.0, 181.0, 232.0])


def record(sfreq, slice_s, duration_s, seed, n_kinds=1, noise=0.05):
    """Return a signal, and the onsets of its slices in s."""
    rng = np.random.default_rng(seed)
    onsets = np.arange(1.0, duration_s - 1.0, slice_s)
    t = np.arange(int(duration_s * sfreq)) / sfreq
    number = np.clip(np.searchsorted(onsets, t, "right") - 1, 0, None)
    within = np.clip(t - onsets[number], 0.0, slice_s)
    # Slices resemble each other, but are not the same.
    phases = rng.uniform(0, 6, len(FREQS)) + rng.uniform(-0.4, 0.4, (n_kinds, len(FREQS)))
    angle = 2 * np.pi * within[:, np.newaxis] * FREQS + phases[number % n_kinds]
    x = np.sin(angle).sum(axis=1) * ((t >= 1.0) & (t < onsets[-1] + slice_s))
    return x + noise * rng.standard_normal(len(t)), onsets


def mark(onsets, sfreq, drift):
    """Return positions of markers whose clock is too fast by `drift`."""
    return np.rint((onsets[0] + (onsets - onsets[0]) * (1 + drift)) * sfreq).astype(int)


@settings(max_examples=25)
@given(
    sfreq=st.sampled_from([500.0, 1000.0, 2500.0]),
    slice_s=st.sampled_from([0.07, 0.1, 0.083, 2.0]),
    n_kinds=st.sampled_from([1, 2, 7]),
    drift=st.sampled_from([-1e-3, -3e-4, 2e-4, 1e-3]),
    seed=st.integers(0, 1000),
)
def test_another_clock_is_measured(sfreq, slice_s, n_kinds, drift, seed):
    x, onsets = record(sfreq, slice_s, 80.0, seed, n_kinds)
    found = measure_pace(x, mark(onsets[:-1], sfreq, drift), sfreq)
    assert found == pytest.approx(-drift, abs=5e-5)


@settings(max_examples=60)
@given(
    sfreq=st.sampled_from([500.0, 1000.0, 2500.0]),
    slice_s=st.sampled_from([0.07, 0.1, 0.0834567, 2.0, 2.000301]),
    jitter=st.sampled_from([0, 1, 3, 10]),
    seed=st.integers(0, 1000),
)
def test_the_scanners_clock_is_not_told(sfreq, slice_s, jitter, seed):
    """Neither rounding nor jitter of markers is a drift."""
    x, onsets = record(sfreq, slice_s, 60.0, seed)
    late = np.random.default_rng(seed).integers(-jitter, jitter + 1, len(onsets))
    markers = np.sort(mark(onsets, sfreq, 0.0) + late)
    kept = keep_pace(x, markers, sfreq)
    assert kept.starts is markers and not kept.pace


@settings(max_examples=25)
@given(
    sfreq=st.sampled_from([500.0, 1000.0, 2500.0]),
    slice_s=st.sampled_from([0.07, 0.1, 0.083, 2.0]),
    n_kinds=st.sampled_from([1, 7]),
    drift=st.sampled_from([-1.5e-3, -1e-3, -3e-4, 2e-4, 5e-4, 1e-3]),
    seed=st.integers(0, 1000),
)
def test_starts_are_taken_to_the_artifacts(sfreq, slice_s, n_kinds, drift, seed):
    x, onsets = record(sfreq, slice_s, 80.0, seed, n_kinds)
    markers = mark(onsets[:-1], sfreq, drift)
    markers = markers[markers < len(x) - int(sfreq)]
    kept = keep_pace(x, markers, sfreq)
    true = onsets[: len(markers)] * sfreq
    assert kept.is_mended and np.abs(kept.starts - true).max() <= 1.5
    assert kept.pace == pytest.approx(1 / (1 + drift) - 1, abs=2e-5)
    assert keep_pace(x, kept.starts, sfreq).starts is kept.starts
    whole = int(np.median(np.diff(markers)))
    assert abs(kept.stretch(whole) - slice_s * sfreq) <= 1.5


@settings(max_examples=40)
@given(
    sfreq=st.sampled_from([500.0, 1000.0, 2500.0]),
    slice_s=st.sampled_from([0.07, 0.0834567, 2.0]),
    jitter=st.sampled_from([0, 1, 3]),
    bend=st.sampled_from([0.0, 2e-6, 2e-5]),
    seed=st.integers(0, 1000),
)
def test_no_false_repair(sfreq, slice_s, jitter, bend, seed):
    """What one factor does not explain leaves the starts where they were, or nearer."""
    x, onsets = record(sfreq, slice_s, 60.0, seed)
    late = np.random.default_rng(seed).integers(-jitter, jitter + 1, len(onsets))
    # Ahead in the middle, and in time again at the end: the usual factor is 1.
    curve = bend * (onsets - onsets[0]) * (onsets[-1] - onsets) * sfreq
    markers = np.sort(mark(onsets, sfreq, 0.0) + late + np.rint(curve).astype(int))
    kept = keep_pace(x, markers, sfreq)
    true = onsets * sfreq
    assert np.std(kept.starts - true) <= np.std(markers - true) + 1e-9
    if not bend:
        assert kept.starts is markers and not kept.pace


@pytest.mark.parametrize("n", [0, 1, 3, 40])
def test_nothing_to_compare(n):
    noise = np.random.default_rng(0).standard_normal(60_000)
    assert measure_pace(noise, 1000 + 1003 * np.arange(n), 1000.0) == 0.0
    assert keep_pace(noise, 1000 + 1003 * np.arange(n), 1000.0).pace == 0.0
    assert measure_pace(np.zeros(60_000), 1000 + 1003 * np.arange(n), 1000.0) == 0.0
