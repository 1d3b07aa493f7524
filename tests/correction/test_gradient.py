"""Gradient correction: what is left of artifact and lost of EEG, and awkward recordings."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from facet_nb import (
    AASCorrection,
    CleanInTest,
    GradientCorrection,
    Pipeline,
    ProcessingContext,
    StepError,
    TriggerDetector,
    load,
)
from facet_nb.core.recording import replace_data
from facet_nb.datasets import simulate
from facet_nb.datasets.agreement import compare_snr_db


def correct(ctx, step=None):
    return Pipeline([step or GradientCorrection()]).run(
        ctx, mode="channel_sequential", show_progress=False, raise_on_error=True
    )


def of(sim):
    return sim.context().with_trigger_samples(sim.triggers)


def found(result):
    return result.get_history()[-1].parameters


# ------------------------------------------------------------------------------------ the twin
class Twin:
    """Real EEG and markers, a simulated artifact; what a lab has, and the truth beside it."""

    def __init__(self, folder):
        known = np.load(folder / "niazy_twin_2048_truth.npz")
        self.sfreq, self.clean = float(known["fs"]), 1e-6 * known["clean"].astype(float)
        self.ctx = load(folder / "niazy_twin_2048.vhdr") | TriggerDetector(r"\b1\b")
        marks = self.ctx.get_triggers()
        self.span = slice(int(marks[0]), int(marks[-1]) + 293)

    def measure(self, data):
        """SNR (0.5-70 Hz), correlation of alpha, residual over the whole band in µV: medians."""
        snr = compare_snr_db(
            data, self.clean, self.sfreq, start=self.span.start, stop=self.span.stop
        )
        alpha = butter(4, (8.0, 12.0), "bandpass", fs=self.sfreq, output="sos")
        pairs = [
            (sosfiltfilt(alpha, x)[self.span], sosfiltfilt(alpha, truth)[self.span])
            for x, truth in zip(data, self.clean, strict=True)
        ]
        r = [np.corrcoef(*pair)[0, 1] for pair in pairs]
        rest = 1e6 * np.std((data - self.clean)[:, self.span], axis=1)
        return np.median(snr), np.median(r), np.median(rest)


@pytest.fixture(scope="module")
def twin(shared_data):
    return Twin(shared_data)


def test_twin_against_its_truth(twin):
    result = correct(twin.ctx)
    snr_db, r, rest_uv = twin.measure(result.get_raw().get_data()[:6])
    assert snr_db >= 26.0  # 20 asked for; references reach 16.4
    assert r >= 0.9995
    assert rest_uv <= 4.0  # 10 asked for
    assert found(result)["times"] == "clock"
    assert found(result)["clock"]["period_samples"] == pytest.approx(292.116, abs=1e-3)


def test_twin_without_artifact_stays_as_it_is(twin):
    raw = twin.ctx.get_raw().copy()
    data = raw.get_data()
    data[:6] = twin.clean
    clean = ProcessingContext(replace_data(raw, data))
    clean = clean.with_trigger_samples(twin.ctx.get_triggers())
    band = {"all": (0.5, 70.0)}
    harm_db = CleanInTest([GradientCorrection()], band).run(clean).harm_db
    assert harm_db <= -40.0  # -20 asked for; references -4.5 to -6.8
    assert CleanInTest([AASCorrection()], band).run(clean).harm_db > harm_db + 15.0


# ------------------------------------------------------------------------------------ simulated
#: Recordings that differ in rate, TR, slices, markers, motion and amplitude. No default is tuned
#: to one of them.
SCENARIOS = {
    "5 kHz, slices": {"sfreq": 5000, "n_slices": 30, "seed": 1},
    "5 kHz, volumes": {"sfreq": 5000, "n_slices": 30, "seed": 2, "markers": "volume"},
    "TR 1.6 s, multiband": {
        **{"sfreq": 5000, "tr_s": 1.6, "n_slices": 54, "multiband": 3},
        **{"seed": 3, "markers": "volume"},
    },
    "much motion": {
        **{"tr_s": 3.0, "n_slices": 21, "volume_gap_s": 0.005, "seed": 4},
        **{"motion": 0.1, "motions_per_min": 4, "drift": 0.05, "slice_variation": 0.05},
    },
    "much motion, volumes": {
        **{"sfreq": 2500, "tr_s": 2.5, "n_slices": 40, "seed": 6, "markers": "volume"},
        **{"motion": 0.05, "motions_per_min": 3, "drift": 0.03, "slice_variation": 0.05},
    },
    "0.3 mV": {
        **{"sfreq": 1000, "n_slices": 20, "seed": 5},
        **{"artifact_amplitude_v": 3e-4, "lowpass_hz": 200},
    },
    "20 mV": {"n_slices": 30, "seed": 18, "artifact_amplitude_v": 20e-3},
    "500 Hz": {"sfreq": 500, "n_slices": 15, "seed": 15},
    "alpha at the slice rate": {"n_slices": 20, "seed": 12, "missing": (5, 6, 100, 300)},
    "pauses, volumes": {"n_slices": 15, "seed": 14, "markers": "volume", "volume_gap_s": 0.2},
    "markers jitter": {"n_slices": 30, "seed": 11, "marker_jitter_samples": 2},
    "synchronised": {"sfreq": 5000, "n_slices": 40, "seed": 20, "clock_offset_ppm": 0},
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_simulated_recordings_against_their_truth(name):
    options = {"n_channels": 3, "sfreq": 2048, "duration_s": 60.0, "tr_s": 2.0, **SCENARIOS[name]}
    sim = simulate(**options)
    result = correct(of(sim))
    snr_db = sim.snr_db(result.get_raw())
    assert np.median(snr_db) >= 20.0  # 17 asked for; references 14.2
    assert snr_db.min() >= 12.0
    begin, end = (int(t * sim.sfreq) for t in sim.acquisition_s)
    inside = slice(begin + int(sim.sfreq), end - int(sim.sfreq))
    rest = np.std((result.get_raw().get_data()[:3] - sim.clean)[:, inside], axis=1)
    assert np.median(rest) < 5e-6


def test_slices_are_found_within_volumes():
    sim = simulate(2, 2048.0, 40.0, 1.6, 54, multiband=3, markers="volume", seed=3)
    notes = found(correct(of(sim)))
    assert notes["slices_found"] == 18
    assert notes["slice_samples"] == pytest.approx(1.6 * 2048 / 18, rel=1e-4)
    assert notes["n_artifacts"] == 18 * len(sim.triggers)
    told = found(correct(of(sim), GradientCorrection(slices=18)))
    assert told["slices_found"] == 18
    assert found(correct(of(sim), GradientCorrection(slices=None)))["slices_found"] == 1


def test_volumes_as_they_are_do_well_too():
    """Where slices differ, and none are found, whole volumes are the epochs."""
    sim = simulate(3, 2048.0, 90.0, 2.0, 30, markers="volume", seed=2)
    result = correct(of(sim), GradientCorrection(slices=None))
    assert np.median(sim.snr_db(result.get_raw())) >= 18.0


def test_clean_in_other_recordings():
    for markers in ("slice", "volume"):
        sim = simulate(3, 1000.0, 60.0, 2.0, 20, markers=markers, seed=8, artifact_amplitude_v=0.0)
        ctx = ProcessingContext(sim.raw).with_trigger_samples(sim.triggers)
        assert CleanInTest([GradientCorrection()]).run(ctx).harm_db <= -20.0


def _with_ecg(sim, eeg):
    return np.concatenate([eeg, sim.raw.get_data()[len(eeg) :]])


def test_pulse_artifact_muscles_and_movements_of_the_signal_stay():
    """What is not locked to the scanner is left as it is, however large."""
    sim = simulate(3, 2048.0, 70.0, 2.0, 30, seed=42, pulse=True)
    rng, t = np.random.default_rng(0), np.arange(sim.clean.shape[1]) / 2048.0
    signal = sim.clean + sim.artifact - sim.gradient_artifact
    for middle in rng.uniform(8, 60, 5):
        muscles = 60e-6 * rng.standard_normal(signal.shape) * np.exp(-(((t - middle) / 0.4) ** 2))
        sway = 500e-6 * np.sin(14.0 * t) * np.exp(-(((t - middle - 2.0) / 0.4) ** 2))
        signal += muscles + sway
    ctx = ProcessingContext(replace_data(sim.raw, _with_ecg(sim, signal + sim.gradient_artifact)))
    got = correct(ctx.with_trigger_samples(sim.triggers)).get_raw().get_data()[:3]
    span = {"start": 6 * 2048, "stop": 64 * 2048}
    assert np.median(compare_snr_db(got, signal, 2048.0, **span)) > 25.0


# ------------------------------------------------------------------------------------ awkward
@pytest.fixture(scope="module")
def plain():
    return simulate(3, 2048.0, 50.0, 2.0, 30, seed=32)


def median_snr(result, clean, span):
    data = result.get_raw().get_data()[: len(clean)]
    return np.median(compare_snr_db(data, clean, 2048.0, start=span[0], stop=span[1]))


def test_first_trigger_at_the_first_sample(plain):
    first = int(plain.triggers[0])
    raw = plain.raw.copy().crop(first / 2048.0)
    ctx = ProcessingContext(raw).with_trigger_samples(plain.triggers - first)
    clean = plain.clean[:, first:]
    assert median_snr(correct(ctx), clean, (0, len(clean[0]) - 4 * 2048)) > 20.0


def test_recording_that_ends_within_an_artifact(plain):
    last = int(plain.triggers[-1])
    raw = plain.raw.copy().crop(0, (last + 60) / 2048.0)
    ctx = ProcessingContext(raw).with_trigger_samples(plain.triggers)
    span = (int(plain.triggers[0]), raw.n_times)
    assert median_snr(correct(ctx), plain.clean[:, : raw.n_times], span) > 20.0


@pytest.mark.parametrize("slices", ["auto", None])
def test_last_volume_that_was_cut_short(slices):
    sim = simulate(3, 2048.0, 60.0, 2.0, 20, seed=31, markers="volume")
    artifact = sim.gradient_artifact
    stop = int(sim.onsets_s[-1] * 2048 + 0.55 * 4096)
    artifact[:, stop:] = 0.0
    ctx = ProcessingContext(replace_data(sim.raw, sim.clean + artifact))
    result = correct(ctx.with_trigger_samples(sim.triggers), GradientCorrection(slices=slices))
    change = result.get_raw().get_data()[:3] - sim.clean
    beyond = slice(stop + 20, int(sim.onsets_s[-1] * 2048 + 4096))
    assert np.std(change[:, beyond]) < 10e-6
    assert np.std(artifact[:, stop - 2048 : stop]) > 100e-6
    assert np.std(change[:, stop - 2048 : stop - 300]) < 20e-6


def test_markers_before_the_scan_touch_nothing(plain):
    early = plain.triggers[0] - np.rint(np.arange(3, 0, -1) * 2048 / 15).astype(int)
    ctx = plain.context().with_trigger_samples(np.concatenate([early, plain.triggers]))
    change = correct(ctx).get_raw().get_data()[:3] - plain.clean
    assert np.std(change[:, early[0] : plain.triggers[0] - 20]) < 2e-6


def test_two_runs_in_one_file(plain):
    other = simulate(3, 2048.0, 40.0, 2.0, 30, seed=33)
    data = np.concatenate([plain.raw.get_data(), other.raw.get_data()], axis=1)
    raw = mne.io.RawArray(data, plain.raw.info, verbose="error")
    markers = np.concatenate([plain.triggers, other.triggers + plain.raw.n_times])
    result = correct(ProcessingContext(raw).with_trigger_samples(markers))
    assert found(result)["clock"]["n_runs"] == 2
    clean = np.concatenate([plain.clean, other.clean], axis=1)
    assert median_snr(result, clean, (0, len(clean[0]))) > 20.0
    pause = slice(int(plain.triggers[-1]) + 400, plain.raw.n_times + int(other.triggers[0]) - 10)
    assert np.array_equal(result.get_raw().get_data()[:3, pause], data[:, pause])


def test_clipped_flat_and_drifting_channels(plain):
    data = plain.raw.get_data()
    limit = 0.7 * np.abs(data[0]).max()
    data[0] = np.clip(data[0], -limit, limit)
    data[1] = 0.0
    drift = 0.1 + 5e-3 * np.sin(np.arange(data.shape[1]) / 2048.0 / 6.0)
    data[2] += drift
    ctx = ProcessingContext(replace_data(plain.raw, data))
    step = GradientCorrection(ref_channel=plain.ch_names[2])
    got = correct(ctx.with_trigger_samples(plain.triggers), step).get_raw().get_data()
    assert np.all(np.isfinite(got))
    assert not got[1].any()
    inside = slice(6 * 2048, 44 * 2048)
    assert np.std((got[2] - drift - plain.clean[2])[inside]) < 5e-6
    assert np.std(got[0][inside]) < 0.1 * np.std(data[0][inside])


@pytest.mark.parametrize(
    ("n_triggers", "options", "remedy"),
    [
        (1, {}, "needs at least two artifacts"),
        (300, {"slices": "many"}, "'auto', None, or a number"),
        (300, {"slices": 0}, "'auto', None, or a number"),
        (300, {"max_courses": -1}, "0 or more"),
        (300, {"shrinkage": -1.0}, "0 or more"),
        (300, {"block_s": 0.0}, "above 0 s"),
    ],
)
def test_errors_name_the_remedy(plain, n_triggers, options, remedy):
    ctx = plain.context().with_trigger_samples(plain.triggers[:n_triggers])
    with pytest.raises(StepError, match=remedy):
        correct(ctx, GradientCorrection(**options))


def test_a_flat_reference_is_an_error_if_asked_for(plain):
    data = plain.raw.get_data()
    data[0] = 0.0
    ctx = ProcessingContext(replace_data(plain.raw, data)).with_trigger_samples(plain.triggers)
    with pytest.raises(StepError, match="flat"):
        correct(ctx, GradientCorrection(ref_channel=0))
    assert found(correct(ctx))["ref_channel"] in plain.ch_names[1:]


def test_eight_triggers_are_few_but_enough():
    sim = simulate(3, 2048.0, 30.0, 2.5, 20, seed=13, markers="volume")
    assert len(sim.triggers) == 8
    assert np.median(sim.snr_db(correct(of(sim)).get_raw())) > 20.0


def test_jitter_of_markers_is_told_and_the_signal_decides():
    sim = simulate(2, 2048.0, 40.0, 2.0, 30, seed=11, marker_jitter_samples=2)
    notes = found(correct(of(sim)))
    assert notes["clock"]["trusted"] is False
    assert "jitter" in notes["clock"]["verdict"]
    assert notes["times"] != "markers"
