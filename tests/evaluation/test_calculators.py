"""SNR and RMS against values worked out by hand, and what they refuse."""

from __future__ import annotations

import json
import logging

import mne
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet_nb.cli.findings import describe_result
from facet_nb.core import Pipeline, ProcessingContext, ProcessingMetadata
from facet_nb.core.errors import ValidationError
from facet_nb.evaluation import LegacySNRCalculator, PrintMetric, RMSCalculator, SNRCalculator
from facet_nb.evaluation.report import format_report
from facet_nb.preprocessing.selection import Crop, DropChannels

SFREQ = 100.0
TRIGGERS = np.array([300, 400, 500])
LENGTH = 100
INSIDE = slice(300, 600)
MODES = [
    {"mode": "serial"},
    {"mode": "channel_sequential"},
    {"mode": "parallel", "n_jobs": 2, "backend": "threading"},
]


def square(n, amplitude_v):
    """Samples +a, -a, +a …: mean 0, variance a² exactly, for an even number of them."""
    return amplitude_v * (1.0 - 2.0 * (np.arange(n) % 2))


def make_data(outside_v, inside_v, n_times=1000, offset_v=0.0):
    data = np.array([square(n_times, a) for a in outside_v])
    for row, amplitude in zip(data, inside_v, strict=True):
        row[INSIDE] = square(300, amplitude)
    return data + offset_v


def make_raw(data, names=None, types="eeg", sfreq=SFREQ, first_samp=0):
    names = [f"E{i}" for i in range(len(data))] if names is None else names
    info = mne.create_info(names, sfreq, types)
    return mne.io.RawArray(data, info, first_samp=first_samp, verbose="error")


def make_context(raw, original=None, triggers=TRIGGERS, **fields):
    metadata = ProcessingMetadata(triggers=triggers, artifact_length=LENGTH, **fields)
    return ProcessingContext(raw, original, metadata)


def metrics_of(context):
    return context.metadata.custom["metrics"]


# ------------------------------------------------------------------------------------- SNR
def test_snr_by_hand():
    # 4/(9-4), 4/(5-4), and 1/(0.25-1): below 0 there is nothing to measure
    raw = make_raw(make_data([2e-6, 2e-6, 1e-6], [3e-6, np.sqrt(5) * 1e-6, 0.5e-6]))
    found = metrics_of(SNRCalculator().execute(make_context(raw)))
    np.testing.assert_allclose(found["snr_per_channel"], [0.8, 4.0, np.nan], rtol=1e-9)
    assert found["snr"] == pytest.approx((0.8 + 4.0) / 2, rel=1e-9)
    assert found["snr_channels"] == ["E0", "E1", "E2"]
    assert found["snr_excluded"] == ["E2"]


@given(
    outside=st.lists(st.floats(0.5e-6, 50e-6), min_size=1, max_size=6),
    factors=st.lists(st.floats(0.3, 3.0).filter(lambda f: abs(f - 1) > 1e-3), min_size=6),
)
def test_no_ratio_is_negative_and_what_is_missing_is_told(outside, factors):
    """Whatever the silent time was like: a value, or the reason why there is none."""
    within = [v * f for v, f in zip(outside, factors, strict=False)]
    weaker = [f"E{i}" for i, f in enumerate(factors[: len(outside)]) if f < 1]
    done = SNRCalculator().execute(make_context(make_raw(make_data(outside, within))))
    found = metrics_of(done)
    assert found["snr_excluded"] == weaker
    assert all(np.isnan(v) or v > 0 for v in [found["snr"], *found["snr_per_channel"]])
    assert np.isnan(found["snr"]) == (2 * len(weaker) > len(outside))
    told = [f for f in done.get_findings() if f.code == "snr_not_measurable"]
    assert [list(f.channels) for f in told] == ([weaker] if weaker else [])
    printed = format_report("x", found).splitlines()[1]
    assert ("not measurable here: no quiet time" in printed) == np.isnan(found["snr"])
    assert "nan" not in printed and "-" not in printed.replace("e-", "")


@pytest.mark.parametrize("step", [SNRCalculator(), LegacySNRCalculator()])
def test_every_place_says_not_measurable(step, capsys):
    """Summary, table of a notebook, printed metric and JSON."""
    raw = make_raw(make_data([2e-6], [1e-6]))
    context = make_context(raw, make_raw(make_data([2e-6], [1e-3])))
    result = Pipeline([step, PrintMetric(step.key)]).run(context, show_progress=False)
    text = "not measurable here: no quiet time"
    assert text in result.summary() and text in result._repr_html_()
    assert f"{step.key} = {text}" in capsys.readouterr().out
    values = describe_result("a", "b", result)["metrics"]
    assert values[step.key] is None and "NaN" not in json.dumps(values)


@pytest.mark.parametrize("residual_v", [0.5e-6, 2e-6, 10e-6])
def test_snr_of_small_residuals_is_not_clamped(residual_v):
    eeg_v = 10e-6
    raw = make_raw(make_data([eeg_v], [np.hypot(eeg_v, residual_v)]))
    found = metrics_of(SNRCalculator().execute(make_context(raw)))
    assert found["snr"] == pytest.approx((eeg_v / residual_v) ** 2, rel=1e-6)


def test_snr_of_equal_variances_is_infinite():
    raw = make_raw(make_data([1e-6], [1e-6]))
    assert metrics_of(SNRCalculator(time_buffer=0).execute(make_context(raw)))["snr"] == np.inf


def test_snr_leaves_the_buffer_out():
    data = make_data([1e-6], [2e-6])
    data[0, 280:300] = data[0, 600:620] = 1.0  # what the buffer is for
    raw = make_raw(data)
    found = metrics_of(SNRCalculator(time_buffer=0.2).execute(make_context(raw)))
    assert found["snr"] == pytest.approx(1 / 3, rel=1e-9)
    touched = metrics_of(SNRCalculator(time_buffer=0.1).execute(make_context(raw)))
    assert np.isnan(touched["snr"])


def test_artifacts_before_their_triggers_are_no_reference():
    data = make_data([1e-6], [2e-6])
    data[0, 250:300] = square(50, 2e-6)
    context = make_context(make_raw(data), artifact_to_trigger_offset=-0.5)
    found = metrics_of(SNRCalculator(time_buffer=0).execute(context))
    assert found["snr"] == pytest.approx(1 / 3, rel=1e-9)


def test_reference_from_one_side_only():
    data = make_data([1e-6], [2e-6])
    early = make_context(make_raw(data[:, 200:]), triggers=TRIGGERS - 200)
    late = make_context(make_raw(data[:, :600]))
    for context in (early, late):
        found = metrics_of(SNRCalculator().execute(context))
        assert found["snr"] == pytest.approx(1 / 3, rel=1e-9)


def test_snr_without_a_reference():
    data = make_data([1e-6], [2e-6])[:, 295:605]
    context = make_context(make_raw(data), triggers=TRIGGERS - 295)
    with pytest.raises(ValidationError, match="1 s or more before the first trigger"):
        SNRCalculator().execute(context)
    with pytest.raises(ValidationError, match="time_buffer=-1"):
        SNRCalculator(time_buffer=-1).execute(context)


def test_short_reference_is_said(caplog):
    data = make_data([1e-6], [2e-6])[:, 250:600]
    context = make_context(make_raw(data), triggers=TRIGGERS - 250)
    with caplog.at_level(logging.WARNING, logger="facet_nb"):
        done = SNRCalculator().execute(context)
    assert "only 0.4 s without artifact" in caplog.text
    assert done.get_history()[-1].parameters["outside_s"] == pytest.approx(0.4)


# ------------------------------------------------------------------------------------- RMS
def test_rms_ratio_by_hand():
    before = make_raw(make_data([1e-6] * 3, [1e-3, 6e-6, 8e-6], offset_v=0.02))
    after = make_raw(make_data([1e-6] * 3, [1e-5, 2e-6, 4e-6]))
    found = metrics_of(RMSCalculator().execute(make_context(after, before)))
    np.testing.assert_allclose(found["rms_ratio_per_channel"], [100.0, 3.0, 2.0], rtol=1e-6)
    assert found["rms_ratio"] == pytest.approx(3.0, rel=1e-6)
    assert found["rms_channels"] == ["E0", "E1", "E2"]


def test_rms_looks_within_the_acquisition_only():
    before, after = make_data([1.0], [4e-6]), make_data([7.0], [2e-6])
    found = metrics_of(RMSCalculator().execute(make_context(make_raw(after), make_raw(before))))
    assert found["rms_ratio"] == pytest.approx(2.0)


def test_channels_are_matched_by_name():
    before = make_raw(make_data([1e-6] * 3, [8e-6, 6e-6, 4e-6]), ["A", "B", "C"])
    after = make_raw(make_data([1e-6] * 3, [2e-6] * 3), ["A", "B", "C"])
    context = DropChannels(["A"]).execute(make_context(after, before))
    found = metrics_of(RMSCalculator().execute(context))
    assert found["rms_channels"] == ["B", "C"]
    np.testing.assert_allclose(found["rms_ratio_per_channel"], [3.0, 2.0])


def test_channels_that_the_original_does_not_have(caplog):
    before = make_raw(make_data([1e-6], [8e-6]), ["A"])
    after = make_raw(make_data([1e-6] * 2, [2e-6] * 2), ["A", "new"])
    found = metrics_of(RMSCalculator().execute(make_context(after, before)))
    np.testing.assert_allclose(found["rms_ratio_per_channel"], [4.0, np.nan])
    assert found["rms_ratio"] == pytest.approx(4.0) and found["rms_excluded"] == ["new"]
    assert "new" in caplog.text
    with pytest.raises(ValidationError, match="matched by name"):
        RMSCalculator().execute(make_context(after, make_raw(make_data([1], [1]), ["other"])))


@pytest.mark.parametrize("factor", [2, 5])
def test_original_at_another_rate_is_compared_over_the_same_time(factor):
    after = make_data([1e-6], [2e-6])
    before = np.repeat(make_data([1.0], [8e-6]), factor, axis=1)
    fine = make_raw(before, sfreq=factor * SFREQ, first_samp=factor * 70)
    coarse = make_raw(after, first_samp=70)
    found = metrics_of(RMSCalculator().execute(make_context(coarse, fine)))
    assert found["rms_ratio"] == pytest.approx(4.0)
    swapped = make_context(fine, coarse, triggers=factor * TRIGGERS)
    swapped.metadata.artifact_length = factor * LENGTH
    assert metrics_of(RMSCalculator().execute(swapped))["rms_ratio"] == pytest.approx(0.25)


@pytest.mark.parametrize("first_samp", [0, 55])
def test_cut_recording_is_compared_over_the_same_time(first_samp):
    before = make_data([1.0], [8e-6])
    before[0, 300:400] = square(100, 1.0)  # an artifact that the cut leaves out
    after = make_raw(make_data([1e-6], [2e-6]), first_samp=first_samp)
    context = make_context(after, make_raw(before, first_samp=first_samp))
    cut = Crop(4.0, 9.0).execute(context)
    assert metrics_of(RMSCalculator().execute(cut))["rms_ratio"] == pytest.approx(4.0)


def test_original_that_covers_a_part():
    after = make_raw(make_data([1e-6], [2e-6]))
    before = make_raw(make_data([1.0], [8e-6])[:, 400:], first_samp=400)
    found = metrics_of(RMSCalculator().execute(make_context(after, before)))
    assert found["rms_ratio"] == pytest.approx(4.0)
    elsewhere = make_raw(make_data([1.0], [8e-6]), first_samp=5000)
    with pytest.raises(ValidationError, match="does not cover the acquisition"):
        RMSCalculator().execute(make_context(after, elsewhere))


def test_original_on_disk_is_read_in_pieces(tmp_path):
    before = make_raw(make_data([1e-6] * 2, [8e-6, 6e-6]))
    before.save(tmp_path / "a_raw.fif", fmt="double", verbose="error")
    original = mne.io.read_raw_fif(tmp_path / "a_raw.fif", verbose="error")
    after = make_raw(make_data([1e-6] * 2, [2e-6] * 2))
    found = metrics_of(RMSCalculator().execute(make_context(after, original)))
    np.testing.assert_allclose(found["rms_ratio_per_channel"], [4.0, 3.0])
    assert not original.preload


def test_without_an_original_there_is_nothing_to_compare():
    context = make_context(make_raw(make_data([1e-6], [2e-6])))
    assert metrics_of(RMSCalculator().execute(context))["rms_ratio"] == 1.0
    context._raw_original = None
    with pytest.raises(ValidationError, match="raw_original"):
        RMSCalculator().execute(context)


# ------------------------------------------------------------------------------------- both
@pytest.mark.parametrize(("step", "key"), [(SNRCalculator(), "snr"), (RMSCalculator(), "rms")])
def test_flat_channels_are_left_out_and_named(step, key, caplog):
    data = make_data([1e-6] * 3, [2e-6] * 3)
    data[1] = 0.0
    data[2] = 0.1
    context = step.execute(make_context(make_raw(data)))
    found = metrics_of(context)
    name = "rms_ratio" if key == "rms" else key
    assert np.isnan(found[f"{name}_per_channel"]).tolist() == [False, True, True]
    assert found[f"{key}_excluded"] == ["E1", "E2"]
    assert found[name] == pytest.approx(1 / 3 if key == "snr" else 1.0)
    told = [channel for finding in context.get_findings() for channel in finding.channels]
    assert told == ["E1", "E2"] or "E1, E2" in caplog.text


@pytest.mark.parametrize(("step", "key"), [(SNRCalculator(), "snr"), (RMSCalculator(), "rms")])
def test_bad_channels_and_channels_without_data_do_not_count(step, key):
    raw = make_raw(
        make_data([1e-6] * 4, [2e-6] * 4), ["A", "B", "STI", "T"], ["eeg", "eog", "stim", "misc"]
    )
    raw.info["bads"] = ["A"]
    assert metrics_of(step.execute(make_context(raw)))[f"{key}_channels"] == ["B"]
    raw.info["bads"] = ["A", "B"]
    with pytest.raises(ValidationError, match="no good data channel"):
        step.execute(make_context(raw))


@pytest.mark.parametrize("step", [SNRCalculator(), RMSCalculator()])
def test_triggers_and_length_are_needed(step):
    raw = make_raw(make_data([1e-6], [2e-6]))
    with pytest.raises(ValidationError, match="TriggerDetector"):
        step.execute(ProcessingContext(raw))
    one = ProcessingContext(raw, metadata=ProcessingMetadata(triggers=np.array([300])))
    with pytest.raises(ValidationError, match="length of one artifact"):
        step.execute(one)
    several = ProcessingContext(raw, metadata=ProcessingMetadata(triggers=TRIGGERS))
    assert np.isfinite(next(iter(metrics_of(step.execute(several)).values())))
    with pytest.raises(ValidationError, match="outside the data"):
        step.execute(make_context(raw, triggers=TRIGGERS + 5000))


@pytest.mark.parametrize("step", [SNRCalculator(), RMSCalculator()])
def test_metrics_are_added_and_the_input_is_not_changed(step):
    start = make_context(make_raw(make_data([1e-6], [2e-6])))
    start.metadata.custom["metrics"] = {"mine": 1.0}
    done = step.execute(start)
    assert start.metadata.custom == {"metrics": {"mine": 1.0}}
    assert metrics_of(done)["mine"] == 1.0 and len(metrics_of(done)) == 5
    assert start.get_history() == [] and len(done.get_history()) == 1
    assert step.process(start).get_history() == []


@pytest.mark.parametrize("make", [SNRCalculator, RMSCalculator])
def test_verbose_prints_a_line_for_each_channel(make, capsys):
    context = make_context(make_raw(make_data([1e-6] * 2, [2e-6] * 2)))
    make().execute(context)
    assert capsys.readouterr().out == ""
    make(verbose=True).execute(context)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["E0", "E1"]


def test_all_modes_agree():
    rng = np.random.default_rng(0)
    before = make_raw(rng.normal(size=(4, 1000)))
    after = make_raw(1e-2 * rng.normal(size=(4, 1000)))
    start = make_context(after, before)
    steps = [SNRCalculator(), Crop(1.0, 9.0), DropChannels("E1"), RMSCalculator()]
    results = [Pipeline(steps).run(start, **mode) for mode in MODES]
    assert all(r.success for r in results), [r.error for r in results]
    for result in results[1:]:
        np.testing.assert_equal(result.metrics, results[0].metrics)  # NaN equals NaN there
        np.testing.assert_equal(result.context.to_dict(), results[0].context.to_dict())
    assert results[0].metric("rms_ratio") == pytest.approx(100.0, rel=0.2)
    assert len(results[0].metrics["snr_per_channel"]) == 4
    assert results[0].metrics["rms_channels"] == ["E0", "E2", "E3"]
