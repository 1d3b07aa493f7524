"""Results that FACETpy 2.0.2 gets wrong without a word: what ours are instead.

Nothing here runs FACETpy. Failures of its parallel modes are in ``test_peer_parallel.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import facet_nb as fnb
from facet_nb.kernels.filters import lms
from tests.parity.modes import MODES, OTHER_MODES, assert_same, chain, rms, run, simulated


# ------------------------------------- 1: the answer depends on mode, n_jobs and order of channels
def with_special_first_channel() -> Any:
    """A recording in which the first channel's artifact comes later and later."""
    raw = simulated().raw.copy()
    x = raw._data
    for late, start in enumerate(range(8000, raw.n_times, 5000), 1):
        x[0, start:] = np.roll(simulated().raw.get_data()[0], late)[start:]
    return raw


@pytest.mark.parametrize("mode", OTHER_MODES)
def test_averaging_is_the_same_in_every_mode(mode: str) -> None:
    raw = with_special_first_channel()
    assert_same(run(chain(), raw, mode), run(chain(), raw))


def test_realignment_is_decided_by_one_channel_for_all() -> None:
    """The special channel moves triggers as no other would: the test above is a real one."""
    raw = with_special_first_channel()
    first = run([*chain()[:3], fnb.TriggerAligner()], raw).get_triggers()
    third = run([*chain()[:3], fnb.TriggerAligner(ref_channel=raw.ch_names[2])], raw).get_triggers()
    assert np.count_nonzero(np.abs(first - third) > 5) > 100


def test_order_of_channels_does_not_change_them() -> None:
    raw = with_special_first_channel()
    reference = raw.ch_names[1]
    steps = [
        fnb.TriggerDetector(r"\b1\b"),
        fnb.UpSample(10),
        fnb.TriggerAligner(ref_channel=reference),
        fnb.AASCorrection(ref_channel=reference),
        fnb.DownSample(10),
    ]
    turned = raw.copy().reorder_channels(raw.ch_names[::-1])
    one = run(steps, raw, "channel_sequential")
    two = run(steps, turned, "parallel-2-threads")
    np.testing.assert_array_equal(one.get_data(), two.get_data()[::-1])
    np.testing.assert_array_equal(one.get_estimated_noise(), two.get_estimated_noise()[::-1])


# ----------------------------------------------- 2: principal components take EEG, not artifact
def test_principal_components_take_artifact_and_leave_eeg() -> None:
    simulation = simulated(sfreq=2000.0, motion=0.05, motions_per_min=12.0)
    averaged = run([fnb.TriggerDetector(r"\b1\b"), fnb.AASCorrection()], simulation.raw)
    cleaned = run([fnb.PCACorrection(n_components=4)], averaged)
    inside = slice(*(simulation.acquisition_s * np.array(simulation.sfreq)).astype(int))
    removed = (averaged.get_data() - cleaned.get_data())[:, inside]
    truth = simulation.clean[:, inside]
    residual = averaged.get_data()[:, inside] - truth
    for taken, eeg, artifact in zip(removed, truth, residual, strict=True):
        assert abs(np.corrcoef(taken, eeg)[0, 1]) < 0.05
        assert np.corrcoef(taken, artifact)[0, 1] > 0.3
    left = cleaned.get_data()[:, inside] - truth
    assert np.all(rms(left) < rms(residual))
    np.testing.assert_allclose(
        cleaned.get_estimated_noise() - averaged.get_estimated_noise(),
        averaged.get_data() - cleaned.get_data(),
        atol=1e-15,
    )


def test_high_pass_before_principal_components_works_at_high_rates_too() -> None:
    """At ten times the rate nothing slow is taken either."""
    simulation = simulated()
    steps = [fnb.TriggerDetector(r"\b1\b"), fnb.UpSample(10), fnb.AASCorrection()]
    averaged = run(steps, simulation.raw)
    cleaned = run([fnb.PCACorrection(n_components=3)], averaged)
    removed = averaged.get_data() - cleaned.get_data()
    spectrum = np.abs(np.fft.rfft(removed)) ** 2
    freqs_hz = np.fft.rfftfreq(removed.shape[1], 1 / averaged.get_sfreq())
    slow = spectrum[:, freqs_hz < 40].sum(axis=1)
    assert np.all(spectrum.sum(axis=1) > 0)
    assert np.all(slow < 0.02 * spectrum.sum(axis=1))


# ------------------------------------------------- 3: an epoch left over is its own template
@pytest.mark.parametrize("weighting", ["blocks", "sliding"])
@pytest.mark.parametrize("n_triggers", [31, 61])
def test_last_epoch_keeps_its_eeg(weighting: str, n_triggers: int) -> None:
    simulation = simulated(clock_offset_ppm=0.0, n_slices=10, motion=0.0)
    found = run([fnb.TriggerDetector(r"\b1\b")], simulation.raw)
    context = found.with_triggers(found.get_triggers()[:n_triggers])
    done = run([fnb.AASCorrection(window_size=30, weighting=weighting)], context)
    start, length = int(done.get_triggers()[-1]), done.get_artifact_length()
    last = slice(start + 2, start + length - 2)
    before = slice(start - 10 * length, start)
    output, truth = done.get_data(), simulation.clean
    assert np.all(np.std(output[:, last], axis=1) > 0.3 * np.std(truth[:, last], axis=1))
    assert np.all(rms((output - truth)[:, last]) < 3 * rms((output - truth)[:, before]))


# ------------------------------------------------------ 4: one NaN moves every channel's triggers
@pytest.mark.parametrize("mode", MODES)
def test_nan_is_refused_by_name_in_every_mode(mode: str) -> None:
    raw = simulated().raw.copy()
    name = raw.ch_names[0]
    raw._data[0, 7000] = np.nan
    context = fnb.ProcessingContext(raw)
    result = fnb.Pipeline(chain()).run(context, show_progress=False, **MODES[mode])
    assert not result.success
    assert isinstance(result.error, fnb.StepError)
    assert result.error.channel == name
    assert name in str(result.error)
    assert "bads" in str(result.error)
    assert not context.has_triggers()


def test_marking_the_nan_channel_bad_saves_the_others() -> None:
    simulation = simulated()
    raw = simulation.raw.copy()
    raw._data[0, 7000] = np.nan
    raw.info["bads"] = raw.ch_names[:1]
    done = run(chain(), raw, "channel_sequential")
    alone = run(chain(), simulation.raw.copy().drop_channels(raw.ch_names[:1]))
    np.testing.assert_array_equal(done.get_data()[1:], alone.get_data())
    np.testing.assert_array_equal(done.get_triggers(), alone.get_triggers())
    output = done.get_data()
    output[0] = simulation.clean[0]
    assert np.median(simulation.snr_db(output)[1:]) > 8.0


# --------------------------------------------------------------------------- 5: trigger detection
def test_silent_stim_channel_hides_no_annotations() -> None:
    import mne

    simulation = simulated()
    raw = simulation.raw.copy()
    info = mne.create_info(["STI 014"], raw.info["sfreq"], "stim")
    silent = mne.io.RawArray(np.zeros((1, raw.n_times)), info, verbose="error")
    raw.add_channels([silent], force_update_info=True)
    found = run([fnb.TriggerDetector(r"\b1\b")], raw)
    np.testing.assert_array_equal(found.get_triggers(), simulation.triggers)


def test_three_missing_triggers_are_no_volume_gaps() -> None:
    simulation = simulated(missing=(40, 95, 150))
    metadata = run([fnb.TriggerDetector(r"\b1\b")], simulation.raw).metadata
    assert not metadata.volume_gaps
    assert abs(metadata.artifact_length - 1000 / 15) < 2


def test_jitter_of_two_samples_makes_no_volume_gaps() -> None:
    simulation = simulated(marker_jitter_samples=2)
    assert np.ptp(np.diff(simulation.triggers)) >= 5
    metadata = run([fnb.TriggerDetector(r"\b1\b")], simulation.raw).metadata
    assert not metadata.volume_gaps
    assert abs(metadata.artifact_length - 1000 / 15) < 4


def test_pauses_between_volumes_are_volume_gaps() -> None:
    simulation = simulated(volume_gap_s=0.1)
    metadata = run([fnb.TriggerDetector(r"\b1\b")], simulation.raw).metadata
    assert metadata.volume_gaps
    assert metadata.slices_per_volume == 15


@pytest.mark.parametrize("missing", [(60, 61), (40, 95, 150)])
def test_missing_triggers_are_all_found(missing: tuple[int, ...]) -> None:
    simulation = simulated(missing=missing)
    steps = [fnb.TriggerDetector(r"\b1\b"), fnb.MissingTriggerDetector()]
    done = run(steps, simulation.raw)
    expected = np.rint(simulation.onsets_s * simulation.sfreq).astype(int)
    assert len(done.metadata.custom["missing_triggers"]) == len(missing)
    assert np.abs(done.get_triggers() - expected).max() <= 1


# ---------------------------------------- 6: cutting and dropping leave triggers and noise behind
def corrected() -> fnb.ProcessingContext:
    return run([fnb.TriggerDetector(r"\b1\b"), fnb.AASCorrection()], simulated().raw)


@pytest.mark.parametrize("mode", MODES)
def test_crop_moves_triggers_and_noise(mode: str) -> None:
    whole = corrected()
    part = run([fnb.Crop(5.0, 15.0)], whole, mode)
    triggers = whole.get_triggers()
    kept = triggers[(triggers >= 5000) & (triggers <= 15000)] - 5000
    np.testing.assert_array_equal(part.get_triggers(), kept)
    np.testing.assert_array_equal(part.get_data(), whole.get_data()[:, 5000:15001])
    noise = whole.get_estimated_noise()[:, 5000:15001]
    np.testing.assert_array_equal(part.get_estimated_noise(), noise)
    onsets = np.rint(part.get_raw().annotations.onset * 1000) - part.get_raw().first_samp
    marks = simulated().triggers
    marks = marks[(marks >= 5000) & (marks <= 15000)] - 5000
    np.testing.assert_array_equal(onsets[onsets <= 10000], marks)


def test_dropped_channels_take_their_noise_with_them() -> None:
    whole = corrected()
    names = whole.get_channel_names()
    rest = run([fnb.DropChannels([names[1]])], whole)
    assert rest.get_channel_names() == [names[0], *names[2:]]
    np.testing.assert_array_equal(
        rest.get_estimated_noise(), whole.get_estimated_noise()[[0, 2, 3]]
    )
    picked = run([fnb.PickChannels([names[3], names[0]])], whole)
    np.testing.assert_array_equal(picked.get_estimated_noise(), whole.get_estimated_noise()[[0, 3]])


def test_metrics_belong_to_channels_by_name() -> None:
    """Dropping a channel leaves the figures of the others as they were."""
    whole = corrected()
    names = whole.get_channel_names()
    steps = [fnb.SNRCalculator(), fnb.RMSCalculator()]
    every = run(steps, whole).metadata.custom["metrics"]
    rest = run([fnb.DropChannels([names[0]]), *steps], whole).metadata.custom["metrics"]
    for metric in ("snr_per_channel", "rms_ratio_per_channel"):
        before, after = by_name(every[metric], names), by_name(rest[metric], names[1:])
        assert set(after) == set(names[1:])
        for name in names[1:]:
            assert after[name] == pytest.approx(before[name], rel=1e-12)


def by_name(values: Any, names: list[str]) -> dict[str, float]:
    """Return values by channel: metrics are given by name, or in the order of channels."""
    return dict(values) if isinstance(values, dict) else dict(zip(names, values, strict=True))


# --------------------------------- 7: parallel modes lose annotations, header, EOG and ECG
@pytest.mark.parametrize("mode", MODES)
def test_header_and_history_survive(mode: str) -> None:
    import mne

    raw = simulated().raw
    shifted = mne.io.RawArray(raw.get_data(), raw.info, first_samp=1234, verbose="error")
    shifted.set_meas_date(1_700_000_000)
    shifted.set_annotations(raw.annotations)
    shifted.annotations.append(4.0, 2.0, "lights off")
    done = run(chain(), shifted, mode)
    result = done.get_raw()
    assert result.first_samp == 1234
    assert result.info["meas_date"] == shifted.info["meas_date"]
    assert list(result.annotations.description) == list(shifted.annotations.description)
    np.testing.assert_allclose(result.annotations.onset, shifted.annotations.onset, atol=1e-9)
    assert result.annotations.orig_time == shifted.annotations.orig_time
    assert result.info["highpass"] == pytest.approx(1.0)
    assert result.info["lowpass"] == pytest.approx(70.0)
    assert [s.name for s in done.get_history()] == [p.name for p in chain()]
    montage = result.get_montage().get_positions()["ch_pos"]
    assert set(montage) == set(raw.ch_names)


@pytest.mark.parametrize("mode", MODES)
def test_filters_may_come_before_trigger_detection(mode: str) -> None:
    """FACETpy's modes other than serial have lost the annotations by then."""
    detect, filt, correct = (
        fnb.TriggerDetector(r"\b1\b"),
        fnb.HighPassFilter(1.0),
        fnb.AASCorrection(),
    )
    done = run([filt, detect, correct], simulated().raw, mode)
    other = run([detect, filt, correct], simulated().raw)
    np.testing.assert_array_equal(done.get_data(), other.get_data())
    np.testing.assert_array_equal(done.get_triggers(), other.get_triggers())


@pytest.mark.parametrize("mode", MODES)
def test_eog_and_ecg_are_corrected(mode: str) -> None:
    simulation = simulated(pulse=True)
    raw = simulation.raw.copy()
    raw.set_channel_types({raw.ch_names[1]: "eog"})
    assert raw.get_channel_types() == ["eeg", "eog", "eeg", "eeg", "ecg"]
    done = run(chain(), raw, mode)
    inside = slice(*(simulation.acquisition_s * np.array(simulation.sfreq)).astype(int))
    before, after = raw.get_data()[:, inside], done.get_data()[:, inside]
    assert np.all(np.std(after[[1, 4]], axis=1) < 0.25 * np.std(before[[1, 4]], axis=1))
    assert np.all(rms(done.get_estimated_noise()[[1, 4]]) > 1e-4)


# ------------------------------------------------------------- 8: SNR says 1 whatever is left
def with_residual(residual_v: float) -> fnb.ProcessingContext:
    """20 µV of background throughout; within the acquisition a residual that is orthogonal."""
    import mne

    sfreq, n_times = 1000.0, 30_000
    times_s = np.arange(n_times) / sfreq
    x = 20e-6 * np.sqrt(2) * np.sin(2 * np.pi * 10 * times_s)
    x[10_000:20_000] += residual_v * np.sqrt(2) * np.sin(2 * np.pi * 37 * times_s[10_000:20_000])
    info = mne.create_info(["Cz"], sfreq, "eeg")
    raw = mne.io.RawArray(x[None], info, verbose="error")
    triggers = np.arange(10_000, 20_000, 100)
    metadata = fnb.ProcessingMetadata(triggers=triggers, artifact_length=100)
    return fnb.ProcessingContext(raw, metadata=metadata)


@pytest.mark.parametrize("residual_uv", [1.0, 3.0, 10.0])
def test_snr_follows_the_residual(residual_uv: float) -> None:
    done = run([fnb.SNRCalculator()], with_residual(residual_uv * 1e-6))
    assert done.get_metric("snr") == pytest.approx((20.0 / residual_uv) ** 2, rel=1e-3)


def test_snr_of_eeg_that_was_taken_away_is_not_measurable() -> None:
    context = with_residual(0.0)
    context.get_raw()._data[:, 10_000:20_000] *= 0.8
    done = run([fnb.SNRCalculator()], context)
    assert np.isnan(done.get_metric("snr"))
    assert [finding.code for finding in done.get_findings()] == ["snr_not_measurable"]


# ------------------------------------------------ 9: adaptive cancellation in two implementations
def test_compiled_and_plain_adaptive_filter_agree() -> None:
    rng = np.random.default_rng(3)
    reference = rng.normal(size=4000)
    signal = np.convolve(reference, [0.5, -0.2, 0.1])[:4000] + rng.normal(size=4000)
    step = 0.05 / (30 * np.var(reference))
    fast = lms.cancel_adaptively(signal, reference, 30, step)
    slow = lms.cancel_in_numpy(signal, reference, 30, step)
    np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-9)
    assert np.std(fast) > 0.1


def test_adaptive_cancellation_has_one_step_size() -> None:
    context = corrected()
    one = run([fnb.ANCCorrection(use_c_extension=True)], context)
    two = run([fnb.ANCCorrection(use_c_extension=False)], context)
    np.testing.assert_array_equal(one.get_data(), two.get_data())
    assert not np.array_equal(one.get_data(), context.get_data())


@pytest.mark.parametrize("mode", OTHER_MODES)
def test_adaptive_cancellation_is_the_same_in_every_mode(mode: str) -> None:
    steps = [fnb.TriggerDetector(r"\b1\b"), fnb.AASCorrection(), fnb.ANCCorrection()]
    assert_same(run(steps, simulated().raw, mode), run(steps, simulated().raw))


# ------------------------------------------------------ 10: the upsampling factor is not kept
def test_upsampling_factor_follows_the_rate() -> None:
    raw = simulated().raw
    up = run([fnb.UpSample(10)], raw)
    assert up.metadata.upsampling_factor == 10
    assert run([fnb.DownSample(10)], up).metadata.upsampling_factor == 1
    assert run([fnb.DownSample(5)], up).metadata.upsampling_factor == 2


def test_upsampling_factor_has_one_default(tmp_path: Any) -> None:
    raw = simulated().raw
    path = tmp_path / "recording_raw.fif"
    raw.save(path, verbose="error")
    loaded = fnb.Loader(path=str(path)).execute(fnb.ProcessingContext())
    assert loaded.metadata.upsampling_factor == 1
    assert fnb.ProcessingContext(raw).metadata.upsampling_factor == 1
    assert fnb.ProcessingMetadata().upsampling_factor == 1
