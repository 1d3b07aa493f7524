"""The honest metrics: against the truth, clean in, what is not locked, what cannot be mended."""

from __future__ import annotations

import logging

import mne
import numpy as np
import pytest

from facet_nb import AASCorrection, DropChannels, HighPassFilter, Pipeline, ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.datasets import simulate
from facet_nb.datasets.agreement import compare_snr_db
from facet_nb.evaluation import (
    CleanInTest,
    IntegrityCalculator,
    PrintMetric,
    TruthCalculator,
    UnlockedEnergyCalculator,
)
from facet_nb.preprocessing.selection import Crop
from tests.evaluation.test_calculators import make_context, make_data, make_raw, metrics_of

SFREQ = 500.0


def with_data(raw, data):
    return mne.io.RawArray(data, raw.info.copy(), verbose="error")


@pytest.fixture(scope="module")
def sim():
    return simulate(3, SFREQ, 20.0, 1.0, 5, seed=1)


@pytest.fixture(scope="module")
def eeg(sim):
    """The clean EEG, with triggers."""
    raw = with_data(sim.raw, np.asarray(sim.clean)[: len(sim.raw.ch_names)])
    return ProcessingContext(raw).with_trigger_samples(sim.triggers)


@pytest.fixture(scope="module")
def corrected(sim):
    steps = [HighPassFilter(freq=0.5), AASCorrection(window_size=20)]
    start = ProcessingContext(sim.raw).with_trigger_samples(sim.triggers)
    return Pipeline(steps).run(start, raise_on_error=True).context


# ----------------------------------------------------------------------------------- truth
def test_truth_of_a_known_error(eeg):
    clean = eeg.get_data()
    off = eeg.with_raw(with_data(eeg.get_raw(), 1.1 * clean))
    found = metrics_of(TruthCalculator(clean).execute(off))
    assert found["truth_snr_db"] == pytest.approx(20.0, abs=1e-6)
    assert found["truth_nrmse"] == pytest.approx(0.1, rel=1e-6)
    assert found["truth_correlation"] == pytest.approx(1.0)
    assert set(found["truth_bands"]) == {"broad", "delta", "theta", "alpha", "beta", "gamma"}
    for values in found["truth_bands"].values():
        assert values["snr_db"] == pytest.approx(20.0, abs=1e-6)
    assert len(found["truth_snr_db_per_channel"]) == 3


def test_truth_is_compared_in_its_band(eeg):
    clean = eeg.get_data()
    tone = 1e-5 * np.sin(2 * np.pi * 20.0 * eeg.get_raw().times)
    found = metrics_of(
        TruthCalculator(clean).execute(eeg.with_raw(with_data(eeg.get_raw(), clean + tone)))
    )
    bands = found["truth_bands"]
    assert bands["beta"]["snr_db"] < 10 < 40 < bands["alpha"]["snr_db"]
    assert found["truth_residual_v"] == pytest.approx(1e-5 / np.sqrt(2), rel=1e-3)


def test_same_definition_as_that_of_data_sets(sim, corrected):
    clean = np.asarray(sim.clean)[: len(sim.raw.ch_names)]
    done = TruthCalculator(clean, margin_s=0.5).execute(corrected)
    span = {k: done.get_history()[-1].parameters[k] for k in ("start", "stop")}
    expected = compare_snr_db(corrected.get_data(), clean, SFREQ, **span)
    np.testing.assert_allclose(metrics_of(done)["truth_snr_db_per_channel"], expected, rtol=1e-9)


def test_truth_from_files_and_recordings(eeg, corrected, tmp_path):
    raw, clean = eeg.get_raw(), eeg.get_data()
    np.savez(tmp_path / "t.npz", clean=1e6 * clean, fs=SFREQ)
    raw.save(tmp_path / "t_raw.fif", fmt="double", verbose="error")
    swapped = raw.copy().reorder_channels(raw.ch_names[::-1])
    results = [
        metrics_of(TruthCalculator(truth).execute(corrected))
        for truth in (clean, tmp_path / "t.npz", tmp_path / "t_raw.fif", swapped)
    ]
    for found in results[1:]:
        assert found["truth_snr_db"] == pytest.approx(results[0]["truth_snr_db"], rel=1e-9)
        assert found["truth_channels"] == results[0]["truth_channels"]


def test_truth_in_a_description(tmp_path):
    step = TruthCalculator(str(tmp_path / "t.npz"), margin_s=0.5)
    again = Pipeline.from_yaml(Pipeline([step]).to_yaml())[0]
    assert again.to_dict() == step.to_dict()
    assert TruthCalculator(np.zeros((2, 9))).to_dict()["parameters"]["truth"] == "<array 2 × 9>"


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (np.zeros((2, 10)), "crop or resample"),
        (np.zeros(10), "shape"),
        ("missing.npz", "clean' in µV"),
        ("missing_raw.fif", "cannot be used as truth"),
    ],
)
def test_truth_that_cannot_be_used(corrected, truth, message):
    with pytest.raises(ValidationError, match=message):
        TruthCalculator(truth).execute(corrected)


def test_bands_and_margins_that_cannot_be_used(corrected, eeg):
    clean = eeg.get_data()
    with pytest.raises(ValidationError, match="fmin < fmax"):
        TruthCalculator(clean, bands={"x": (5, 2)}).execute(corrected)
    with pytest.raises(ValidationError, match="half the sampling rate"):
        TruthCalculator(clean, bands={"x": (5, 400)}).execute(corrected)
    with pytest.raises(ValidationError, match="leaves nothing"):
        TruthCalculator(clean, margin_s=100).execute(corrected)


# -------------------------------------------------------------------------------- clean in
def test_a_chain_that_does_nothing_does_no_harm(eeg):
    assert CleanInTest([lambda context: context]).run(eeg).harm_db == -np.inf


def test_harm_of_a_known_change(eeg):
    def shrink(context):
        return context.with_raw(with_data(context.get_raw(), 0.9 * context.get_data()))

    found = CleanInTest([shrink]).run(eeg)
    assert found.harm_db == pytest.approx(-20.0, abs=1e-6)
    assert list(found.per_channel) == eeg.get_channel_names()
    assert found.per_band["alpha"] == pytest.approx(-20.0, abs=1e-6)


def averaging(n):
    return AASCorrection(window_size=n, weighting="sliding", realign_after_averaging=False)


def test_harm_of_averaging_falls_with_the_window(eeg):
    harm = [
        CleanInTest(Pipeline([averaging(n)])).run(eeg, mode=mode).harm_db
        for n, mode in ((10, "serial"), (50, "serial"), (50, "channel_sequential"))
    ]
    assert -25 < harm[1] < harm[0] - 3
    assert harm[2] == harm[1]


def test_a_chain_that_changes_the_frame(eeg):
    with pytest.raises(ValidationError, match="no Crop"):
        CleanInTest([Crop(0.0, 10.0)]).run(eeg)


# -------------------------------------------------------------------------------- unlocked
def test_unlocked_energy_is_that_of_what_does_not_recur(sim):
    start = ProcessingContext(sim.raw).with_trigger_samples(
        100 * np.arange(2, 92), artifact_length=100
    )
    rng = np.random.default_rng(0)
    t = np.arange(sim.raw.n_times) / SFREQ
    locked = np.sqrt(2) * 3e-6 * np.sin(2 * np.pi * 10.0 * t)  # two periods in an epoch
    noise = np.array([locked] * 3)
    start.set_estimated_noise(noise)
    found = metrics_of(UnlockedEnergyCalculator().execute(start))
    assert found["unlocked_energy_db"] < -40  # the band-pass begins and ends
    start.set_estimated_noise(noise + rng.normal(scale=1e-6, size=noise.shape))
    found = metrics_of(UnlockedEnergyCalculator().execute(start))
    band = (70 - 0.5) / 250  # of white noise's power
    assert found["unlocked_rms"] == pytest.approx(1e-6 * np.sqrt(band), rel=0.05)
    assert found["unlocked_energy_db"] == pytest.approx(10 * np.log10(band / (9 + band)), abs=0.5)


def test_unlocked_energy_of_a_correction(corrected):
    found = metrics_of(UnlockedEnergyCalculator().execute(corrected))
    assert -60 < found["unlocked_energy_db"] < 0
    assert 0 < found["unlocked_rms"] < 1e-3


def test_unlocked_energy_needs_a_correction(eeg):
    with pytest.raises(ValidationError, match="after a correction"):
        UnlockedEnergyCalculator().execute(eeg)


# ------------------------------------------------------------------------------- integrity
def test_integrity_counts_what_was_lost(caplog):
    rng = np.random.default_rng(0)
    data = 1e-6 * rng.normal(size=(3, 1000)) + make_data([1e-6] * 3, [1e-3] * 3)
    data[0, 400:410] = 16.384e-3
    data[1, 700] = -16.384e-3  # one sample: by the limit only
    original = make_raw(data)
    context = make_context(original.copy(), original)
    noise = data.copy()
    noise[2, 400:500] = 0.0
    context.set_estimated_noise(noise)
    context = DropChannels("E1").execute(context)
    with caplog.at_level(logging.WARNING, logger="facet_nb"):
        found = metrics_of(IntegrityCalculator().execute(context))
    assert found["clipped_channels"] == {"E0": 10} and "E0" in caplog.text
    assert found["clipped_fraction"] == pytest.approx(10 / 3000)
    assert found["uncorrected_channels"] == {"E2": 100} and found["uncorrected_samples"] == 100
    assert found["discarded_channels"] == ["E1"] and found["n_discarded"] == 1
    found = metrics_of(IntegrityCalculator(limit_v=16.384e-3).execute(context))
    assert found["clipped_channels"] == {"E0": 10, "E1": 1}
    with pytest.raises(ValidationError, match="limit_v"):
        IntegrityCalculator(limit_v=0).execute(context)


def test_integrity_without_triggers():
    data = np.array([[0.0, 1, 2, 2, 2, 1], [0, 1, 2, 3, 4, 5]])
    found = metrics_of(IntegrityCalculator().execute(ProcessingContext(make_raw(data))))
    assert found["clipped_channels"] == {"E0": 3}
    assert "uncorrected_samples" not in found


# ------------------------------------------------------------------------------- printing
def test_print_metric(capsys):
    context = ProcessingContext()
    context.metadata.custom["metrics"] = {"snr": 3.25, "fft": {"a": 1.0}, "names": ["A"]}
    PrintMetric("snr", "fft", "rms", label="after").execute(context)
    assert capsys.readouterr().out == "after: snr = 3.25, fft.a = 1, rms not found\n"
    PrintMetric().execute(context)
    assert capsys.readouterr().out == "snr = 3.25\n"
    step = PrintMetric("snr", label="x")
    again = Pipeline.from_yaml(Pipeline([step]).to_yaml())[0]
    assert again.to_dict() == step.to_dict() and again.metric_names == ["snr"]
