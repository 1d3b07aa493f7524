"""Imperfections of simulated recordings: what each one changes, and what it leaves alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from facet_nb.core.errors import ValidationError
from facet_nb.datasets import Imperfections, simulate

KEYS = {"n_channels": 3, "sfreq": 500, "duration_s": 24, "tr_s": 1.0, "n_slices": 10}


def make(seed=3, **imperfections):
    return simulate(**KEYS, seed=seed, imperfections=imperfections or None)


@pytest.mark.parametrize("seed", [3, 4])
def test_defaults_change_nothing(seed):
    plain = simulate(**KEYS, seed=seed)
    same = simulate(**KEYS, seed=seed, imperfections=Imperfections())
    assert np.array_equal(plain.raw.get_data(), same.raw.get_data())
    assert same.spec == plain.spec and "imperfections" not in same.spec


@pytest.mark.parametrize("seed", [3, 4])
@pytest.mark.parametrize(
    "options",
    [
        {"preparation_v": 3e-4},
        {"rectification_v": 1e-4},
        {"vibration_v": 6e-5},
        {"emg_bursts": 3},
        {"extra_markers": 3, "dummy_volumes": 2},
        {"second_tr_s": 0.8},
        {"dead_channels": [0], "loose_channels": [2]},
        {"clip_v": 1e-3},
    ],
)
def test_the_eeg_stays(seed, options):
    plain, wrong = make(seed), make(seed, **options)
    assert np.array_equal(plain.clean, wrong.clean)


@pytest.mark.parametrize("options", [{"emg_bursts": 2, "second_n_slices": 7}, {"clip_v": 2e-3}])
def test_spec_repeats_the_simulation(options):
    first = make(5, **options)
    again = simulate(**json.loads(json.dumps(first.spec)))
    assert np.array_equal(first.raw.get_data(), again.raw.get_data())
    assert np.array_equal(first.triggers, again.triggers)


@pytest.mark.parametrize("corner_hz", [100.0, 60.0])
def test_a_causal_low_pass_filters_the_truth_too(corner_hz):
    plain, wrong = make(), make(causal_lowpass_hz=corner_hz)
    sos = butter(4, corner_hz, fs=500, output="sos")
    assert np.allclose(wrong.clean, sosfilt(sos, plain.clean), rtol=0, atol=1e-12)
    assert np.std(wrong.gradient_artifact) < np.std(plain.gradient_artifact)


@pytest.mark.parametrize("field", ["preparation_v", "rectification_v"])
def test_net_means_recur_with_the_volume(field):
    added = make(**{field: 2e-4}).gradient_artifact - make().gradient_artifact
    inside = added[:, 5 * 500 : 19 * 500]
    assert np.all(inside.mean(axis=1) > 1e-6)
    periods = inside[0].reshape(14, 500)
    assert np.std(periods - periods.mean(axis=0)) < 0.2 * np.std(periods)


@pytest.mark.parametrize("bursts", [2, 4])
def test_muscles_are_neither_truth_nor_error(bursts):
    wrong = make(emg_bursts=bursts)
    assert np.std(wrong.other) > 0
    perfect = wrong.clean + wrong.other
    assert np.all(wrong.snr_db(perfect) > 200)
    assert np.min(wrong.snr_db(wrong.clean)) < 60


def test_markers():
    plain = make()
    for share in (1.0, 0.25):
        doubled = make(doubled_share=share, doubled_after_s=0.004)
        more = np.setdiff1d(doubled.triggers, plain.triggers)
        assert len(more) == round(share * len(plain.triggers))
        assert np.isin(more - 2, plain.triggers).all()
    assert len(make(dummy_volumes=2).triggers) == len(plain.triggers) - 20
    extra = make(extra_markers=3)
    assert np.isin(plain.triggers, extra.triggers).all()
    assert 0 < len(extra.triggers) - len(plain.triggers) <= 3


@pytest.mark.parametrize("tr_s, n_slices", [(0.8, 8), (1.5, 12)])
def test_second_sequence(tr_s, n_slices):
    s = make(second_tr_s=tr_s, second_n_slices=n_slices, second_break_s=2.0)
    apart = np.diff(s.slice_onsets_s)
    at = int(np.argmax(apart))
    assert apart[0] == pytest.approx(0.1, abs=1e-5)
    assert apart[-1] == pytest.approx(tr_s / n_slices, abs=1e-5)
    assert apart[at] == pytest.approx(2.1, abs=1e-3)
    assert s.acquisition_s[1] == pytest.approx(s.slice_onsets_s[-n_slices] + tr_s, abs=1e-3)


def test_a_recording_that_begins_within_a_volume():
    for part in (0.25, 0.7):
        s = make(start_in_volume=part)
        assert s.slice_onsets_s[0] == pytest.approx(-part, abs=2e-3)
        assert s.triggers[0] >= 0
        assert np.abs(s.raw.get_data()[:, :50]).max() > 1e-4


def test_channels_without_contact():
    s = make(dead_channels=[0], loose_channels=[2])
    data = s.raw.get_data()
    assert np.std(data[0]) == pytest.approx(0.2e-6, rel=0.1)
    assert np.isnan(s.snr_db(data)).tolist() == [True, False, True]


@pytest.mark.parametrize("limit_v", [1e-3, 4e-3])
def test_clipping(limit_v):
    assert np.abs(make(clip_v=limit_v).raw.get_data()).max() == limit_v


@pytest.mark.parametrize("curve_ppm", [20.0, -5.0])
def test_a_clock_that_bends(curve_ppm):
    late_s = make(clock_curve_ppm=curve_ppm).slice_onsets_s - make().slice_onsets_s
    elapsed = late_s * np.sign(curve_ppm)
    assert elapsed[0] == 0 and np.all(np.diff(elapsed) > 0) and np.all(np.diff(elapsed, 2) > -1e-12)
    assert elapsed[-1] < abs(curve_ppm) * 1e-6 * 15


@pytest.mark.parametrize(
    "options, message",
    [
        ({"emg_share": 2.0}, "at most 1"),
        ({"clip_v": 100.0}, "microvolts"),
        ({"clip_v": 0.0}, "above 0"),
        ({"emg": 3}, "is no field"),
        ({"preparation_v": -1e-4}, "0 or more"),
        ({"extra_markers": "many"}, "give a number"),
        ({"dead_channels": [7]}, "not rows"),
        ({"causal_lowpass_hz": 300.0}, "half the sampling rate"),
        ({"second_tr_s": 2.0, "second_break_s": 10.0}, "no volume of the second"),
    ],
)
def test_errors_name_the_remedy(options, message):
    with pytest.raises(ValidationError, match=message):
        make(**options)
