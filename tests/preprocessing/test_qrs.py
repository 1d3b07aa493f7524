"""Heartbeats as triggers."""

from __future__ import annotations

import sys

import mne
import numpy as np
import pytest

from facet_nb.core import Pipeline, ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.preprocessing import qrs
from facet_nb.preprocessing.qrs import QRSTriggerDetector, fill_long_intervals

MODES = [
    {"mode": "serial"},
    {"mode": "channel_sequential"},
    {"mode": "parallel", "n_jobs": 2, "backend": "threading"},
]


@pytest.fixture(params=["neurokit2", "mne"])
def method(request, monkeypatch):
    """Each of the two detectors."""
    if request.param == "neurokit2":
        pytest.importorskip("neurokit2")
    else:
        monkeypatch.setitem(sys.modules, "neurokit2", None)
    return request.param


@pytest.fixture
def without_neurokit(monkeypatch):
    monkeypatch.setitem(sys.modules, "neurokit2", None)


def make_ecg(duration_s=60.0, sfreq=250.0, seed=0, noise=0.03):
    """A plain ECG in V and its R peaks in s: a Gaussian QRS and T wave at irregular intervals."""
    rng = np.random.default_rng(seed)
    beats = 0.5 + np.cumsum(0.85 + 0.06 * rng.normal(size=int(duration_s)))
    beats = beats[beats < duration_s - 0.5]
    times_s = np.arange(int(duration_s * sfreq)) / sfreq
    ecg = noise * rng.normal(size=len(times_s))
    for beat in beats:
        ecg += np.exp(-0.5 * ((times_s - beat) / 0.012) ** 2)
        ecg += 0.25 * np.exp(-0.5 * ((times_s - beat - 0.25) / 0.05) ** 2)
    return 1e-3 * ecg, beats


def make_raw(ecg, sfreq, name="ECG", kind="ecg", first_samp=0):
    eeg = 1e-5 * np.random.default_rng(1).normal(size=len(ecg))
    info = mne.create_info(["Cz", name], sfreq, ["eeg", kind])
    return mne.io.RawArray([eeg, ecg], info, first_samp=first_samp, verbose="error")


def score(triggers, sfreq, true_s, tolerance_s=0.05):
    """Return sensitivity and precision."""
    gaps = np.abs(np.asarray(triggers)[:, np.newaxis] / sfreq - true_s)
    return np.mean(gaps.min(axis=0) <= tolerance_s), np.mean(gaps.min(axis=1) <= tolerance_s)


def detect(raw, **kwargs):
    return QRSTriggerDetector(**kwargs).execute(ProcessingContext(raw))


def test_beats_of_the_twin(shared_data, method):
    twin = np.load(shared_data / "bcg_twin_500.npz")
    sfreq = float(twin["fs"])
    context = detect(make_raw(1e-6 * twin["ecg"], sfreq))
    sensitivity, precision = score(context.get_triggers(), sfreq, twin["r_true"])
    assert sensitivity >= 0.99 and precision >= 0.99
    assert context.get_history()[-1].parameters["method"] == method


def test_beats_upside_down_and_at_other_rates(method):
    for sfreq in (250.0, 1000.0):
        ecg, beats = make_ecg(30.0, sfreq)
        for sign in (1, -1):
            triggers = detect(make_raw(sign * ecg, sfreq)).get_triggers()
            sensitivity, precision = score(triggers, sfreq, beats)
            # One false beat may be in the still beginning.
            assert sensitivity == 1.0 and precision * len(triggers) >= len(triggers) - 1


def test_metadata(method):
    ecg, _ = make_ecg()
    context = detect(make_raw(ecg, 250.0))
    metadata, triggers = context.metadata, context.get_triggers()
    length = int(np.median(np.diff(triggers))) // 2
    assert triggers.dtype == np.int64 and np.all(np.diff(triggers) > 0)
    assert metadata.trigger_regex == "QRS"
    assert metadata.artifact_length == length
    assert metadata.artifact_to_trigger_offset == -length / (2 * 250.0)
    assert not metadata.volume_gaps and metadata.slices_per_volume is None
    assert metadata.acq_start_sample == triggers[0] - length // 2
    assert context.get_history()[-1].parameters["n_triggers"] == len(triggers)


def test_positions_count_from_the_first_sample(without_neurokit):
    ecg, _ = make_ecg()
    plain = detect(make_raw(ecg, 250.0)).get_triggers()
    shifted = detect(make_raw(ecg, 250.0, first_samp=999)).get_triggers()
    np.testing.assert_array_equal(plain, shifted)


def test_overlooked_beats_are_filled_in():
    ecg, beats = make_ecg()
    peaks = np.rint(beats * 250.0).astype(np.int64)
    for gone in ([20], [20, 21, 40]):
        filled = fill_long_intervals(ecg, np.delete(peaks, gone), 250.0)
        np.testing.assert_allclose(filled, peaks, atol=1)
    silent = ecg.copy()
    silent[peaks[30] - 60 : peaks[30] + 60] = 0.0
    assert len(fill_long_intervals(silent, np.delete(peaks, 30), 250.0)) == len(peaks) - 1


def test_channel_by_type_by_name_or_as_told(without_neurokit):
    ecg, _ = make_ecg()
    by_name = make_raw(ecg, 250.0, name="my ekg 1", kind="eeg")
    context = detect(by_name)
    assert context.get_history()[-1].parameters["ecg_channel"] == "my ekg 1"
    other = make_raw(ecg, 250.0, name="heart", kind="misc")
    with pytest.raises(ValidationError, match=r"no ECG.*set_channel_types"):
        detect(other)
    told = detect(other, ecg_channel="heart")
    np.testing.assert_array_equal(told.get_triggers(), context.get_triggers())


def test_channels_that_cannot_be_used(without_neurokit):
    ecg, _ = make_ecg()
    with pytest.raises(ValidationError, match="flat"):
        detect(make_raw(np.zeros(5000), 250.0))
    with pytest.raises(ValidationError, match="too short"):
        detect(make_raw(ecg[:500], 250.0))
    broken = ecg.copy()
    broken[7] = np.nan
    with pytest.raises(Exception, match="NaN"):
        detect(make_raw(broken, 250.0))


def test_single_beat_is_too_few(monkeypatch):
    ecg, _ = make_ecg()
    monkeypatch.setattr(qrs, "find_beats", lambda *args: (np.array([700]), "mne"))
    with pytest.raises(ValidationError, match="1 heartbeats found in ECG"):
        detect(make_raw(ecg, 250.0))


def test_save_to_annotations(without_neurokit):
    ecg, _ = make_ecg()
    raw = make_raw(ecg, 250.0)
    context = detect(raw, save_to_annotations=True)
    marks = context.get_raw().annotations
    assert set(marks.description) == {"QRS"}
    np.testing.assert_array_equal(np.rint(marks.onset * 250.0), context.get_triggers())
    assert len(raw.annotations) == 0


def test_all_modes_agree(without_neurokit):
    ecg, _ = make_ecg()
    start = ProcessingContext(make_raw(ecg, 250.0))
    results = [Pipeline([QRSTriggerDetector()]).run(start, **mode) for mode in MODES]
    assert all(r.success for r in results), [r.error for r in results]
    for result in results[1:]:
        assert result.context.to_dict() == results[0].context.to_dict()
    assert start.get_triggers() is None


def test_polarity_is_found_in_little_memory():
    """neurokit2's own test makes a table of 24 GB of this minute at 5 kHz."""
    import tracemalloc

    beat = np.exp(-(((np.arange(5000) - 2500) / 60.0) ** 2)) - 0.01
    ecg = np.tile(beat, 60) + 0.02 * np.random.default_rng(0).standard_normal(300_000)
    tracemalloc.start()
    assert not qrs.is_inverted(ecg, 5000.0)
    assert qrs.is_inverted(-ecg, 5000.0)
    assert not qrs.is_inverted(ecg[:9000], 5000.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * ecg.nbytes


@pytest.mark.parametrize("sfreq", [1000.0, 2048.0, 5000.0])
def test_beats_are_found_to_a_millisecond_at_any_rate(sfreq):
    """QRS complexes at known times, between samples; upright and inverted, with drift and noise."""
    rng = np.random.default_rng(0)
    times_s = np.cumsum(0.8 + 0.05 * rng.standard_normal(40)) + 0.5
    t = np.arange(int((times_s[-1] + 1) * sfreq)) / sfreq
    ecg = 1e-4 * np.sin(0.5 * t) + 5e-6 * rng.standard_normal(len(t))
    for beat in times_s:
        ecg += 1e-3 * np.exp(-(((t - beat) / 0.012) ** 2))
        ecg -= 2e-4 * np.exp(-(((t - beat - 0.035) / 0.012) ** 2))
        ecg += 2e-4 * np.exp(-(((t - beat - 0.28) / 0.05) ** 2))
    for sign in (1, -1):
        found, method = qrs.find_beats(sign * ecg, sfreq)
        if method == "neurokit2":
            assert len(found) == len(times_s)
            error_s = found / sfreq - times_s
            assert np.std(error_s) < 1e-3
            assert abs(np.median(error_s)) < 3e-3
