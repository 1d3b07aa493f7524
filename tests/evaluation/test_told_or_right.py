"""Everyday faults: the result is right, or a finding or measure names the cause."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from facet_nb import (
    AASCorrection,
    ANCCorrection,
    GradientCorrection,
    MissingTriggerCompleter,
    PCACorrection,
    Pipeline,
    ProcessingContext,
    PulseCorrection,
    QRSTriggerDetector,
    TriggerDetector,
)
from facet_nb.core import ArrayProcessor, Prepared
from facet_nb.datasets import simulate

SEEDS = [3, 8]
TRIGGERS = TriggerDetector(r"S  1|R128")


# Many tests compare with the same recording without a fault; what is kept here, nobody changes.
_made, _corrected = {}, {}


def make(seed, imperfections=None, **options):
    options = {"n_channels": 3, "sfreq": 500, "duration_s": 40, "n_slices": 15} | options
    key = repr((seed, imperfections, sorted(options.items())))
    if key not in _made:
        _made[key] = simulate(seed=seed, imperfections=imperfections, **options)
    return _made[key]


def run(simulation, *steps):
    known = _corrected.get(id(simulation)) if not steps else None
    if known is not None:
        return known
    chain = Pipeline([TRIGGERS, *(steps or (GradientCorrection(),))])
    result = chain.run(simulation.context(), show_progress=False)
    assert result.success, result.error
    if not steps:
        _corrected[id(simulation)] = result
    return result


def told(result):
    """Return codes of findings, and names of measures that are beyond their limits."""
    flagged = [m.name for m in result.quality.measures if m.verdict == "check"]
    return {finding.code for finding in result.findings} | set(flagged)


def find(result, code):
    (finding,) = (f for f in result.findings if f.code == code)
    return finding


# ---------------------------------------------------------------------------------- triggers
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("markers", ["slice", "volume"])
def test_missing_markers(seed, markers):
    simulation = make(seed, markers=markers, missing=(4, 7))
    result = run(simulation)
    assert {"triggers_missing", "triggers_completed"} <= told(result)
    assert np.median(simulation.snr_db(result.raw)) > 12
    assert {"triggers_missing"} <= told(run(simulation, AASCorrection(10)))
    assert "triggers_completed" not in told(run(make(seed, markers=markers)))


@pytest.mark.parametrize("jitter", [2, 3])
@pytest.mark.parametrize("markers", ["slice", "volume"])
def test_jittered_markers(jitter, markers):
    result = run(make(5, markers=markers, marker_jitter_samples=jitter))
    finding = find(result, "triggers_jittered")
    assert 0.5 < finding.evidence["rms_samples"] < jitter
    assert {"trigger_detector", "gradient_correction"} == set(finding.step.split(", "))


@pytest.mark.parametrize("seed", SEEDS)
def test_markers_left_out_by_the_correction_itself(seed):
    simulation = make(seed, {"doubled_share": 0.2, "doubled_after_s": 6e-3})
    chain = Pipeline([TriggerDetector("S  1", repair=False), GradientCorrection()])
    result = chain.run(simulation.context(), show_progress=False)
    finding = find(result, "triggers_doubled")
    assert "gradient_correction" in finding.step and "left out" in finding.detail


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("markers", ["slice", "volume"])
def test_runs(seed, markers):
    second = {"second_tr_s": 1.5, "second_n_slices": 15}
    result = run(make(seed, second, markers=markers, duration_s=60))
    finding = find(result, "runs_apart")
    assert finding.severity == "note" and finding.evidence["n_runs"] == len(finding.span_s) == 2
    assert "runs_apart" not in told(run(make(seed, markers=markers)))


@pytest.mark.parametrize("late_s", [0.003, 0.011])
def test_a_break_in_which_no_marker_is_missing(late_s):
    one, two = (make(seed, markers="volume", duration_s=50, sfreq=1000) for seed in SEEDS)
    # The break has five times the repetition time, to some milliseconds.
    apart = len(one.raw) - one.triggers[-1] + two.triggers[0]
    length = int(np.median(np.diff(one.triggers)))
    shift = 6 * length - apart + round(1e3 * late_s)
    quiet = np.zeros((one.clean.shape[0], shift))
    data = np.hstack([one.raw.get_data(), quiet, two.raw.get_data()])
    raw = mne.io.RawArray(data, one.raw.info.copy(), verbose=False)
    triggers = np.concatenate([one.triggers, two.triggers + len(one.raw) + shift])
    raw.set_annotations(mne.Annotations(triggers / 1000, 0.0, "R128"))
    result = Pipeline([TRIGGERS, GradientCorrection()]).run(ProcessingContext(raw))
    assert find(result, "triggers_irregular").severity == "note"
    assert not {"triggers_missing", "triggers_completed", "warnings"} & told(result)
    assert np.median(one.snr_db(result.raw.copy().crop(0, one.raw.times[-1]))) > 15


@pytest.mark.parametrize("lacking", [1, 3])
def test_fewer_triggers_than_expected(lacking):
    simulation = make(4, markers="volume")
    n = len(simulation.triggers) + lacking
    result = run(simulation, MissingTriggerCompleter(n, 1, strict=False))
    assert find(result, "triggers_lacking").evidence["n"] == lacking


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("n_slices", "told_of"), [(20, True), (30, False)])
def test_slices_at_an_alpha_rate_that_are_not_marked(seed, n_slices, told_of):
    simulation = make(seed, markers="volume", n_slices=n_slices, sfreq=1000)
    assert ("slice_rate_in_alpha" in told(run(simulation))) == told_of


# ------------------------------------------------------------------------------ marked time
@pytest.mark.parametrize("chain", [GradientCorrection, AASCorrection])
@pytest.mark.parametrize(
    ("wrong", "start_s", "seconds"),
    [
        ({"dummy_volumes": 1}, 5, 2),
        ({"dummy_volumes": 3}, 5, 6),
        ({"start_in_volume": 0.3}, 0, 1.4),
    ],
)
def test_artifact_outside_the_marked_time(chain, wrong, start_s, seconds):
    result = run(make(6, wrong, markers="volume"), chain())
    corrects = chain is GradientCorrection
    finding = find(result, "unmarked_corrected" if corrects else "artifact_unmarked")
    assert finding.severity == ("note" if corrects else "warning")
    (begin_s, end_s), *_ = finding.span_s
    assert begin_s == pytest.approx(start_s, abs=0.2)
    assert end_s - begin_s == pytest.approx(seconds, abs=0.3)
    assert ("untouched_artifact" in told(result)) != corrects
    assert not corrects or "artifact_unmarked" not in told(result)
    codes = told(run(make(6, markers="volume"), chain()))
    assert not {"artifact_unmarked", "unmarked_corrected"} & codes


@pytest.mark.parametrize("n_kept", [10, 13])
def test_markers_that_stop_early(n_kept):
    simulation = make(7, markers="volume")
    context = simulation.context().with_triggers(simulation.triggers[:n_kept])
    length = int(np.median(np.diff(simulation.triggers)))
    known = context.with_trigger_samples(simulation.triggers[:n_kept], artifact_length=length)
    result = Pipeline([AASCorrection(8)]).run(known, show_progress=False)
    assert "after the last" in find(result, "artifact_unmarked").detail
    result = Pipeline([GradientCorrection()]).run(context, show_progress=False)
    assert find(result, "unmarked_corrected").evidence["n_unmarked"] > 0
    assert "artifact_unmarked" not in told(result)


@pytest.mark.parametrize("chain", [GradientCorrection, AASCorrection])
@pytest.mark.parametrize("every", [3, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_markers_missing_in_a_pattern_are_no_pauses(chain, every, seed):
    """The train is that of a scanner with pauses, in which it runs, however."""
    simulation = make(seed, markers="volume", duration_s=64)
    kept = np.delete(simulation.triggers, np.arange(1, len(simulation.triggers), every))
    result = Pipeline([chain()]).run(
        simulation.context().with_trigger_samples(kept), show_progress=False
    )
    finding = find(result, "artifact_unmarked")
    assert finding.evidence["n_pauses"] >= 4 and "may be missing" in finding.detail
    lost_s = simulation.triggers[1::every] / simulation.sfreq
    for begin_s, end_s in finding.span_s[: finding.evidence["n_pauses"]]:
        assert np.min(np.abs(lost_s - begin_s)) < 0.3 and 1.5 < end_s - begin_s < 2.1
    paused = make(seed, volume_gap_s=0.6)
    assert "artifact_unmarked" not in told(run(paused, chain()))


@pytest.mark.parametrize("clip_v", [1.5e-3, 2.5e-3])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_recording_in_memory_that_is_cut(seed, clip_v):
    quality = run(make(seed, {"clip_v": clip_v})).quality
    assert quality["saturated"].verdict == "check" and quality["saturated"].channels
    assert run(make(seed)).quality["saturated"].value == 0


# -------------------------------------------------------------------------------- correction
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("chain", [GradientCorrection, AASCorrection])
def test_a_dead_reference(seed, chain):
    simulation = make(seed, {"dead_channels": [0]})
    finding = find(run(simulation, chain()), "reference_replaced")
    assert finding.channels == (simulation.ch_names[0],)
    assert finding.evidence["used"] in simulation.ch_names[1:]
    named = chain(ref_channel=simulation.ch_names[1])
    assert "reference_replaced" not in told(run(simulation, named))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n_bursts", [6, 8])
def test_muscles(seed, n_bursts):
    wrong = {"emg_bursts": n_bursts, "emg_share": 1.0}
    quality = run(make(seed, wrong, sfreq=1000, motion=0.0)).quality
    assert quality["bursts"].verdict == "check" and quality["bursts"].span_s
    assert run(make(seed, sfreq=1000, motion=0.0)).quality["bursts"].value == 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("wrong", [{"preparation_v": 3e-4}, {"rectification_v": 4e-4}])
def test_artifact_with_a_net_mean(seed, wrong):
    simulation = make(seed, wrong)
    assert {"locked_residual", "level"} & told(run(simulation, AASCorrection(30)))
    result = run(simulation)
    right = np.median(simulation.snr_db(result.raw)) > 10
    assert right or result.quality.verdict == "check"


@pytest.mark.parametrize("seed", [3, 6])
def test_what_recurs_with_volumes_is_told(seed):
    result = run(make(seed, {"preparation_v": 3e-4}, sfreq=500, markers="volume"))
    assert find(result, "locked_to_volumes").evidence["strength"] > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_vibration_that_waxes_and_wanes(seed):
    simulation = make(seed, {"vibration_v": 100e-6}, sfreq=1000)
    result = run(simulation)
    right = np.median(simulation.snr_db(result.raw)) > 15
    assert right or "slow_residual" in told(result)
    averaged = run(simulation, AASCorrection(60))
    assert np.min(simulation.snr_db(averaged.raw)) < 8
    assert "slow_residual" in told(averaged)


@pytest.mark.parametrize(("seed", "freq_hz"), [(3, 19.0), (8, 31.0)])
def test_a_vibration_in_one_band_of_one_channel(seed, freq_hz):
    class Vibration(ArrayProcessor):
        name = "vibration"

        def prepare(self, view):
            return Prepared((view.sfreq, view.ch_names))

        def compute(self, x, prepared, out=None):
            y, n = x.copy(), x.shape[1]
            times_s = np.arange(n) / prepared.payload[0]
            size = 5e-6 * (1 + 0.5 * np.sin(2 * np.pi * times_s / 20))
            if np.array_equal(x[0, :5], first):
                y[0] += size * np.sin(2 * np.pi * freq_hz * times_s)
            return y

    simulation = make(seed, sfreq=1000, motion=0.0)
    calm = run(simulation)
    first = calm.raw.get_data()[1, :5]
    assert calm.quality["slow_band_residual"].verdict == "good"
    shaken = run(simulation, GradientCorrection(), Vibration())
    assert np.median(simulation.snr_db(shaken.raw)) > 15
    assert shaken.quality["slow_band_residual"].channels == (simulation.ch_names[1],)


@pytest.mark.parametrize(("factor", "which"), [(1e6, [1]), (1e3, [0, 1, 2]), (1e-6, [2])])
def test_samples_in_another_unit(factor, which):
    simulation = make(3)
    raw = simulation.raw.copy()
    raw._data[which] *= factor
    chain = Pipeline([TRIGGERS, GradientCorrection(ref_channel=0)])
    measure = chain.run(ProcessingContext(raw), show_progress=False).quality["amplitude"]
    assert measure.verdict == "check"
    assert ("contact" if factor < 1 else "volts") in measure.detail
    assert measure.channels == tuple(simulation.ch_names[i] for i in which)
    assert run(simulation).quality["amplitude"].verdict == "good"


def change(simulation, function):
    raw = simulation.raw.copy()
    function(raw._data)
    return Pipeline([TRIGGERS, GradientCorrection()]).run(
        ProcessingContext(raw), show_progress=False
    )


def walk(x, seed):
    x[2] = np.cumsum(20e-6 * np.random.default_rng(seed).standard_normal(len(x[2])))


def hiss(x, seed):
    x[2] += 100e-6 * np.random.default_rng(seed).standard_normal(len(x[2]))


def disconnect(x, seed):
    x[2] = 0.5e-6 * np.random.default_rng(seed).standard_normal(len(x[2]))


def flatten(x, seed):
    x[2] = 1e-6 * seed


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fault", [walk, hiss, disconnect, flatten])
def test_an_electrode_without_contact_that_is_not_the_reference(seed, fault):
    simulation = make(seed, n_channels=5, sfreq=1000)
    measure = change(simulation, lambda x: fault(x, seed)).quality["odd_channels"]
    assert measure.channels == (simulation.ch_names[2],) and "Mark" in measure.detail
    assert run(simulation).quality["odd_channels"].value == 0


@pytest.mark.parametrize("value", [0.0, 2e-4])
@pytest.mark.parametrize("chain", [GradientCorrection(), AASCorrection(8)])
def test_samples_that_the_recorder_lost(value, chain):
    simulation = make(3, markers="volume")
    raw = simulation.raw.copy()
    raw._data[:, 10_000:11_000] = value
    result = Pipeline([TRIGGERS, chain]).run(ProcessingContext(raw), show_progress=False)
    finding = find(result, "signal_lost")
    assert finding.span_s == ((20.0, 22.0),) and finding.severity == "warning"
    assert "signal_lost" not in told(run(simulation, chain))


@pytest.mark.parametrize(("kind", "name"), [("ecg", "ECG"), ("eog", "VEOG"), ("emg", "EMG")])
def test_a_quiet_channel_that_rings(kind, name):
    simulation = make(4, sfreq=1000)
    raw = simulation.raw.copy()
    rng, times_s = np.random.default_rng(1), raw.times
    raw._data[2] = 2e-4 * np.sin(7 * times_s) + 5e-6 * rng.standard_normal(len(times_s))
    raw.rename_channels({raw.ch_names[2]: name})
    raw.set_channel_types({name: kind}, on_unit_change="ignore")
    for steps, rings in (((), False), ((Ring(),), True)):
        chain = [TRIGGERS, GradientCorrection(picks=["eeg", kind]), *steps]
        result = Pipeline(chain).run(ProcessingContext(raw.copy()), show_progress=False)
        measure = result.quality["added_energy"]
        assert (measure.verdict == "check") == rings
        assert measure.channels == (name,) * rings


@pytest.mark.parametrize("seed", SEEDS)
def test_few_epochs(seed):
    result = run(make(seed, markers="volume"), AASCorrection(25))
    assert find(result, "epochs_few").evidence["window_size"] == 25
    assert "epochs_few" not in told(run(make(seed), AASCorrection(25)))


@pytest.mark.parametrize("seed", SEEDS)
def test_volumes_are_few_for_a_template(seed):
    simulation = make(seed, {"preparation_v": 3e-4}, sfreq=1000, markers="volume", duration_s=60)
    n = len(simulation.triggers)
    whole = find(run(simulation, GradientCorrection(slices=None)), "epochs_few")
    assert abs(whole.evidence["n"] - n) <= 2 and "% of the EEG" in whole.detail
    volumes = find(run(simulation), "locked_to_volumes")
    assert volumes.severity == "warning" and abs(volumes.evidence["n_volumes"] - n) <= 2
    assert not {"epochs_few", "locked_to_volumes"} & told(run(make(seed, markers="volume")))


@pytest.mark.parametrize("seed", SEEDS)
def test_steps_that_take_eeg(seed):
    assert "high_residual" in told(
        run(make(seed), GradientCorrection(), PCACorrection(locked_only=False))
    )
    assert "high_residual" not in told(run(make(seed)))


@pytest.mark.parametrize(
    "options", [{}, {"markers": "volume"}, {"sfreq": 1000, "tr_s": 2.4, "n_slices": 18}]
)
def test_an_adaptive_filter_that_takes_eeg(options):
    simulation = make(4, **options)
    kept = run(simulation)
    taken = run(simulation, GradientCorrection(), ANCCorrection(control=False))
    lost_db = simulation.snr_db(kept.raw) - simulation.snr_db(taken.raw)
    assert np.median(lost_db) > 2 and "harmonic_loss" in told(taken)
    assert "harmonic_loss" not in told(kept)
    assert "harmonic_loss" not in told(run(simulation, GradientCorrection(), ANCCorrection()))


class Ring(ArrayProcessor):
    """Half a second of ringing in a quiet channel, as of courses that its noise does not bound."""

    name, types, at_s = "ring", ("ecg", "eog", "emg"), 25.0

    def prepare(self, view):
        return Prepared(view.sfreq)

    def compute(self, x, prepared, out=None):
        y, begin = x.copy(), round(self.at_s * prepared.payload)
        n = round(0.5 * prepared.payload)
        y[:, begin : begin + n] += 3e-3 * np.sin(2 * np.pi * 40 * np.arange(n) / prepared.payload)
        return y


@pytest.mark.parametrize(("seed", "markers"), [(2, "slice"), (5, "volume")])
def test_an_ecg_that_rings(seed, markers):
    options = {"sfreq": 1000, "n_slices": 20, "pulse": True, "duration_s": 80, "markers": markers}
    simulation = make(seed, **options)
    calm = run(simulation)
    assert calm.quality["ecg_bursts"].value == 0
    rings = run(simulation, GradientCorrection(), Ring())
    measure = rings.quality["ecg_bursts"]
    assert measure.verdict == "check" and measure.channels == ("ECG",)
    assert any(start <= Ring.at_s <= stop for start, stop in measure.span_s)


# ------------------------------------------------------------------------------------- pulse
def place_beats(simulation, wrong_share, seed):
    """Return the times of beats, of which a share is wrong, in s."""
    rng, beats = np.random.default_rng(seed), simulation.r_peaks_s.copy()
    wrong = rng.random(len(beats)) < wrong_share
    beats[wrong] += rng.uniform(0.3, 0.6, wrong.sum())
    return np.sort(beats[(beats > 0.5) & (beats < simulation.spec["duration_s"] - 2)])


def make_clear_ecg(simulation):
    """Return a context whose ECG shows nothing but beats."""
    raw, sfreq = simulation.raw.copy(), simulation.sfreq
    ecg = 5e-6 * np.random.default_rng(0).standard_normal(raw.n_times)
    for at in (place_beats(simulation, 0.0, 0) * sfreq).astype(int):
        ecg[at : at + 10] += 1e-3 * np.hanning(12)[1:-1]
    raw._data[raw.ch_names.index("ECG")] = ecg
    return ProcessingContext(raw)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("share", "wrong"), [(0.0, False), (0.5, True)])
def test_beats_that_the_eeg_does_not_support(seed, share, wrong):
    simulation = make(seed, pulse=True, artifact_amplitude_v=0.0, n_channels=6, duration_s=60)
    beats = (place_beats(simulation, share, seed) * simulation.sfreq).astype(int)
    context = simulation.context().with_triggers(beats)
    result = Pipeline([PulseCorrection()]).run(context, show_progress=False)
    assert ("beats_unsupported" in told(result)) == wrong
    assert (result.quality["beats_unsupported"].verdict == "check") == wrong


@pytest.mark.parametrize("seed", SEEDS)
def test_a_gradient_artifact_that_is_left(seed):
    simulation = make(seed, pulse=True)
    context = make_clear_ecg(simulation)
    chains = ([], [GradientCorrection(picks="eeg")])
    codes = []
    steps = [TRIGGERS, QRSTriggerDetector(), PulseCorrection()]
    refused = Pipeline(steps).run(context, show_progress=False)
    assert not refused.success and "gradient_left" in [f.code for f in refused.findings]
    for chain in chains:
        steps = [TRIGGERS, *chain, QRSTriggerDetector(), PulseCorrection(check_gradient=False)]
        result = Pipeline(steps).run(context, show_progress=False)
        assert result.success, result.error
        codes.append([f.code for f in result.findings])
        assert "scanner_times_s" in result.context.metadata.custom
        assert result.quality["locked_residual"].value is not None
    assert "gradient_left" in codes[0] and "gradient_left" not in codes[1]


def test_a_regular_recording_has_no_warning():
    for markers in ("slice", "volume"):
        result = run(make(2, markers=markers))
        assert [f.code for f in result.findings if f.severity != "note"] == []
        assert result.quality.verdict == "good", result.quality
        assert isinstance(result.raw, mne.io.BaseRaw)


# --------------------------------------------------------------------- channels and warnings
def test_steps_of_the_gain_equal_channels_and_neither():
    """A fault of one channel is named; a whole recording with another gain has none."""
    for seed, markers, motion in [(3, "slice", 0.0), (8, "volume", 0.03)]:
        options = {"n_channels": 6, "sfreq": 1000, "duration_s": 50, "n_slices": 18}
        simulation = make(seed, markers=markers, motion=motion, **options)
        third, half = simulation.ch_names[2], simulation.raw.n_times // 2

        def judge(function, simulation=simulation):
            return change(simulation, function).quality

        def step(data, factor=2.0, half=half):
            data[2, half:] *= factor

        def copy(data, noise_v=0.0):
            data[4] = data[2] + noise_v * np.random.default_rng(0).standard_normal(data.shape[1])

        calm = run(simulation).quality
        assert calm["gain_step"].value == 1.0 and calm["equal_channels"].value == 0
        assert calm["gain_step"].verdict == calm["equal_channels"].verdict == "good"
        louder = judge(lambda data: np.multiply(data, 1.5, out=data))
        assert louder["gain_step"].value == 1.0
        for factor in (2.0, 0.4):
            stepped = judge(lambda data, factor=factor: step(data, factor))
            assert stepped["gain_step"].channels == (third,) and stepped.verdict == "check"
            ((begin, end),) = stepped["gain_step"].span_s
            assert begin - 2.0 <= half / 1000 <= end + 2.0
            assert stepped["equal_channels"].value == 0
        for noise_v in (0.0, 1e-7):
            equal = judge(lambda data, noise_v=noise_v: copy(data, noise_v))
            assert equal["equal_channels"].channels == (third, simulation.ch_names[4])
            assert "bridged" in equal["equal_channels"].detail and equal.verdict == "check"
            assert equal["gain_step"].verdict == "good"


@pytest.mark.parametrize("n_channels", [4, 5, 8])
@pytest.mark.parametrize("factor", [1.5, 0.6])
def test_a_step_of_the_gain_in_any_of_few_channels_has_its_size(n_channels, factor):
    """Also of the channel whose artifact is in the middle of all."""
    simulation = make(11, n_channels=n_channels, sfreq=1000, markers="volume", duration_s=50)
    for row in range(0, n_channels, 2):

        def step(x, row=row):
            x[row, 25_000:] *= factor

        quality = change(simulation, step).quality
        assert quality["gain_step"].channels == (simulation.ch_names[row],)
        assert quality["gain_step"].value == pytest.approx(max(factor, 1 / factor), rel=0.1)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n_volumes", [20, 28])
def test_a_warning_that_stands_is_in_the_verdict(seed, n_volumes):
    simulation = make(seed, markers="volume", sfreq=1000, duration_s=2 * n_volumes + 10)
    quality = run(simulation, AASCorrection(30, subsample=True)).quality
    assert quality["warnings"].verdict == quality.verdict == "check"
    assert "few artifacts" in quality["warnings"].detail
    whole = run(simulation)
    assert whole.quality["warnings"].value == 0 and "epochs_few" not in told(whole)


@pytest.mark.parametrize(("wrong", "code"), [({"missing": (4, 7)}, "triggers_missing")])
@pytest.mark.parametrize("markers", ["slice", "volume"])
def test_a_warning_that_was_repaired_is_not(wrong, code, markers):
    simulation = make(3, markers=markers, **wrong)
    repaired = run(simulation)
    assert code in told(repaired) and repaired.quality["warnings"].value == 0
    assert run(simulation, AASCorrection(10)).quality["warnings"].value >= 1
