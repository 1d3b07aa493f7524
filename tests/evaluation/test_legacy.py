"""Metrics of earlier toolboxes against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb.core.errors import ValidationError
from facet_nb.evaluation import (
    FFTAllenCalculator,
    FFTNiazyCalculator,
    LegacySNRCalculator,
    MedianArtifactCalculator,
    MetricsReport,
    RMSResidualCalculator,
)
from tests.evaluation.test_calculators import (
    make_context,
    make_data,
    make_raw,
    metrics_of,
    square,
)

ALL = [
    LegacySNRCalculator,
    RMSResidualCalculator,
    MedianArtifactCalculator,
    FFTAllenCalculator,
    FFTNiazyCalculator,
]


def test_legacy_snr_compares_with_the_original_outside():
    before = make_data([2e-6, 1e-6], [1e-3, 1e-3])
    after = make_data([9e-6, 9e-6], [3e-6, 0.5e-6])
    after[:, 250:300] = after[:, 600:650] = 0.0  # half an artifact on either side counts
    for row, a in zip(after, (3e-6, 0.5e-6), strict=True):
        row[250:300], row[600:650] = square(50, a), square(50, a)
    found = metrics_of(
        LegacySNRCalculator().execute(make_context(make_raw(after), make_raw(before)))
    )
    # 4 / (9 - 4), and 1 / (0.25 - 1): below 0 there is nothing to measure
    np.testing.assert_allclose(found["legacy_snr_per_channel"], [0.8, np.nan], rtol=1e-9)
    assert found["legacy_snr"] == pytest.approx(0.8) and found["legacy_snr_excluded"] == ["E1"]


def test_legacy_snr_of_an_original_at_another_rate():
    before, after = make_data([2e-6], [1e-3]), make_data([9e-6], [3e-6])
    after[0, 250:650] = square(400, 3e-6)
    fine = make_raw(np.repeat(before, 5, axis=1), sfreq=500.0)
    found = metrics_of(LegacySNRCalculator().execute(make_context(make_raw(after), fine)))
    assert found["legacy_snr"] == pytest.approx(0.8)


def test_rms_residual_is_1_where_nothing_is_left():
    raw = make_raw(make_data([2e-6, 2e-6, 2e-6], [2e-6, 6e-6, 1e-6]))
    found = metrics_of(RMSResidualCalculator().execute(make_context(raw)))
    np.testing.assert_allclose(found["rms_residual_per_channel"], [1.0, 3.0, 0.5])
    assert found["rms_residual"] == pytest.approx(1.5)


def test_median_artifact_in_volts():
    data = make_data([1e-6] * 3, [2e-6, 5e-6, 40e-6])
    data[0, 400:500] = square(100, 5e-6)  # epochs of 4, 10 and 4 µV: mean 6
    found = metrics_of(MedianArtifactCalculator().execute(make_context(make_raw(data))))
    np.testing.assert_allclose(found["median_artifact_per_channel"], [6e-6, 10e-6, 80e-6])
    assert found["median_artifact"] == pytest.approx(10e-6)
    assert found["median_artifact_reference"] == pytest.approx(2e-6)
    assert found["median_artifact_ratio"] == pytest.approx(5.0)


def test_median_artifact_without_a_quiet_epoch():
    context = make_context(make_raw(make_data([1e-6], [2e-6])[:, 290:610]), triggers=[10, 110, 210])
    found = metrics_of(MedianArtifactCalculator().execute(context))
    assert found["median_artifact"] == pytest.approx(4e-6)
    assert "median_artifact_ratio" not in found
    late = make_context(make_raw(make_data([1e-6], [2e-6])[:, :350]), triggers=[300, 400])
    with pytest.raises(ValidationError, match="lies within the data"):
        MedianArtifactCalculator().execute(late)


def tones(n, sfreq=100.0, scale=1.0):
    t = np.arange(n) / sfreq
    return scale * 1e-5 * sum(np.sin(2 * np.pi * f * t) for f in (2.0, 6.0, 10.0, 18.0))


def test_fft_allen_of_doubled_power_is_100_percent():
    data = np.array([tones(3000)] * 2)
    data[:, 1000:2000] *= np.sqrt([[2.0], [1.0]])
    context = make_context(make_raw(data), triggers=np.arange(1000, 2000, 100))
    found = metrics_of(FFTAllenCalculator().execute(context))
    # The phases of segments differ by a little: so do their spectra.
    for band in ("Delta", "Theta", "Alpha", "Beta"):
        np.testing.assert_allclose(found["fft_allen_per_channel"][band], [100.0, 0.0], atol=0.5)
        assert found["fft_allen"][band] == pytest.approx(50.0, abs=0.5)


def test_fft_niazy_of_a_tenth_of_the_amplitude_is_20_db():
    t = np.arange(3000) / 100.0
    volume, slices = np.sin(2 * np.pi * 2.0 * t), np.sin(2 * np.pi * 10.0 * t)
    before = make_raw(1e-3 * np.array([slices + volume]))
    after = make_raw(1e-3 * np.array([0.1 * slices + 0.01 * volume]))
    fields = {"triggers": np.arange(500, 2500, 10), "slices_per_volume": 5}
    found = metrics_of(FFTNiazyCalculator().execute(make_context(after, before, **fields)))
    assert found["fft_niazy_frequencies"] == pytest.approx({"slice": 10.0, "volume": 2.0})
    assert found["fft_niazy"]["slice"]["h1"] == pytest.approx(20.0, abs=0.01)
    assert found["fft_niazy"]["volume"]["h1"] == pytest.approx(40.0, abs=0.01)
    assert found["fft_niazy"]["volume"]["h5"] == pytest.approx(20.0, abs=0.01)
    assert len(found["fft_niazy"]["slice"]) == 5  # 50 Hz is the last that there is
    del fields["slices_per_volume"]
    found = metrics_of(FFTNiazyCalculator().execute(make_context(after, before, **fields)))
    assert found["fft_niazy"]["volume"] == {}


def test_tables_are_told_number_by_number(capsys):
    context = make_context(make_raw(make_data([1e-6], [2e-6])))
    context.metadata.custom["metrics"] = {"fft_niazy": {"slice": {"h1": 20.0}}, "x": {"a": [1]}}
    MetricsReport("r").execute(context)
    assert capsys.readouterr().out.split() == ["Metrics:", "r", "fft_niazy.slice.h1", "20"]


@pytest.mark.parametrize("cls", ALL)
def test_flat_channels_do_not_count(cls):
    data = make_data([1e-6] * 2, [2e-6] * 2) + np.array([[0.0], [1e-6]]) * tones(1000)
    one = metrics_of(cls().execute(make_context(make_raw(data[1:], ["E1"]))))
    data[0] = 0.0
    found = metrics_of(cls(verbose=True).execute(make_context(make_raw(data))))
    assert [v for k, v in found.items() if k.endswith("_excluded")] in ([["E0"]], [])
    key = next(iter(one))
    assert found[key] == one[key]
