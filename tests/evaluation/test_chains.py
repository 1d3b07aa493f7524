"""Several chains on one recording: the table, and that it tells which is better."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb import AASCorrection, Pipeline, ProcessingContext, TriggerDetector, compare
from facet_nb.core.errors import ValidationError
from facet_nb.datasets import example
from facet_nb.evaluation.chains import Spectrum, find_peaks


@pytest.fixture(scope="module")
def recording():
    return example()


@pytest.fixture(scope="module")
def runs(recording):
    chains = {"few": AASCorrection(window_size=5), "many": AASCorrection(window_size=60)}
    return {
        name: Pipeline([TriggerDetector(r"\b1\b"), step]).run(recording.context())
        for name, step in chains.items()
    }


def test_table_with_truth(recording, runs):
    comparison = compare(runs, truth=recording.clean)
    table = comparison.table
    assert list(table.index) == ["before", "few", "many"]
    expected = [
        "seconds", "rms_uv", "slice_off_db", "snr_db", "nrmse", "correlation",
        "alpha_correlation", "error_uv",
    ]  # fmt: skip
    assert list(table.columns) == expected
    assert table.snr_db["many"] > table.snr_db["few"] + 5 > table.snr_db["before"]
    own = np.median(recording.snr_db(runs["many"].get_raw()))
    assert table.snr_db["many"] == pytest.approx(own, abs=0.5)
    assert table.slice_off_db["before"] > 30 > 15 > table.slice_off_db["many"]
    assert table.seconds["few"] == runs["few"].execution_time
    assert np.isnan(table.seconds["before"])
    error = np.median(comparison.chains[1].per_channel)
    assert error == pytest.approx(table.error_uv["many"], rel=1e-6)
    assert comparison.unit == "µV"


def test_table_without_truth_and_names(runs):
    comparison = compare([runs["few"].context, runs["many"]])
    assert list(comparison.table.index) == ["before", "chain 1", "chain 2"]
    assert "snr_db" not in comparison.table
    assert comparison.truth is None and comparison.unit == "dB"
    # few epochs in a template: EEG is gone at the harmonics
    few, many = comparison.chains
    assert np.median(few.harmonics_db) < np.median(many.harmonics_db) < 0
    assert np.median(few.per_channel) > np.median(many.per_channel)
    assert "chain 2" in comparison._repr_html_()


def test_peaks_above_and_below():
    freqs = np.arange(0.0, 40.01, 0.25)
    density = np.ones(len(freqs))
    density[np.abs(freqs - 10.0) < 0.3] = 100.0
    density[np.abs(freqs - 20.0) < 0.3] = 0.01
    found = find_peaks(Spectrum(freqs, density), 10.0, 40.0)
    np.testing.assert_allclose(found, [20.0, -20.0, 0.0], atol=1e-9)


def test_volume_triggers_have_a_finer_spectrum(recording):
    volumes = recording.triggers[::25]
    context = ProcessingContext(recording.raw).with_trigger_samples(volumes)
    result = Pipeline([AASCorrection(window_size=5, correlation_threshold=0.5)]).run(context)
    comparison = compare({"volumes": result})
    assert comparison.slice_hz == pytest.approx(0.5)
    assert comparison.before.spectrum.freqs_hz[1] <= 0.05
    assert len(comparison.before.harmonics_db) > 100


def test_what_cannot_be_compared(recording, runs):
    failed = Pipeline([TriggerDetector("nothing")]).run(recording.context())
    with pytest.raises(ValidationError, match="'bad' failed"):
        compare({"bad": failed})
    with pytest.raises(ValidationError, match="put TriggerDetector"):
        compare([recording.context()])
    with pytest.raises(ValidationError, match="nothing to compare"):
        compare([])
    with pytest.raises(ValidationError, match="is a str"):
        compare({"path": "file.edf"})
