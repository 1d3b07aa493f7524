"""Gradient correction on recordings that are not regular; dB are medians over channels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from facet_nb import (
    AASCorrection,
    GradientCorrection,
    HighPassFilter,
    Pipeline,
    ProcessingContext,
    TriggerAligner,
)
from facet_nb.core.recording import replace_data
from facet_nb.datasets import simulate
from facet_nb.kernels.lowrank import lowrank

KEYS = {"n_channels": 3, "sfreq": 500, "duration_s": 44, "tr_s": 2.0, "n_slices": 16}


def make(markers="volume", seed=3, keys=None, **imperfections):
    keys = {**KEYS, "markers": markers, "seed": seed, **(keys or {})}
    return simulate(**keys, imperfections=imperfections or None)


def run(simulation, step=None, mode="serial"):
    context = simulation.context().with_trigger_samples(simulation.triggers)
    step = GradientCorrection() if step is None else step
    return Pipeline([step]).run(context, mode=mode, show_progress=False, raise_on_error=True)


def measure(simulation, step=None):
    return float(np.nanmedian(simulation.snr_db(run(simulation, step).get_raw())))


def notes_of(result, name="gradient_correction"):
    return next(h.parameters for h in result.context.get_history() if h.name == name)


@pytest.mark.parametrize("markers", ["slice", "volume"])
@pytest.mark.parametrize("seed", [3, 6])
def test_wrong_markers_cost_nothing_and_are_told(markers, seed):
    plain, wrong = make(markers, seed), make(markers, seed, extra_markers=3)
    result = run(wrong)
    assert np.array_equal(result.get_raw().get_data(), run(plain).get_raw().get_data())
    notes = notes_of(result)
    left_out = notes.get("doubled_markers", []) + notes.get("stray_markers", [])
    assert sorted(left_out) == np.setdiff1d(wrong.triggers, plain.triggers).tolist()


@pytest.mark.parametrize("share, after_s", [(1.0, 0.004), (0.3, 0.01), (1.0, 0.05)])
def test_doubled_markers_cost_nothing(share, after_s):
    plain, wrong = make(), make(doubled_share=share, doubled_after_s=after_s)
    assert np.array_equal(run(wrong).get_raw().get_data(), run(plain).get_raw().get_data())
    n = len(wrong.triggers) - len(plain.triggers)
    assert notes_of(run(wrong))["n_doubled_markers"] == n


@pytest.mark.parametrize("markers", ["slice", "volume"])
@pytest.mark.parametrize("tr_s, n_slices", [(1.5, 15), (1.6, 20)])
def test_each_sequence_is_corrected_by_itself(markers, tr_s, n_slices):
    options = {"second_tr_s": tr_s, "second_n_slices": n_slices}
    both = make(markers, keys={"duration_s": 80}, **options)
    result = run(both)
    runs = notes_of(result)["runs"]
    assert [own["clock"]["trusted"] for own in runs] == [True, True]
    assert sum(own["n_markers"] for own in runs) == len(both.triggers)
    assert np.median(both.snr_db(result.get_raw())) > 16
    lazily = run(both, mode="channel_sequential")
    assert np.array_equal(lazily.get_raw().get_data(), result.get_raw().get_data())


@pytest.mark.parametrize("markers", ["slice", "volume"])
@pytest.mark.parametrize("seed", [3, 6])
def test_what_recurs_with_the_volume_is_no_drift(markers, seed):
    wrong = make(markers, seed, preparation_v=3e-4)
    result = run(wrong)
    notes = notes_of(result)
    assert notes["locked_to_volumes"] > 1 and notes["volume_samples"] in (1000, 1001)
    assert np.median(wrong.snr_db(result.get_raw())) > 11  # 0 dB without
    context = wrong.context().with_trigger_samples(wrong.triggers)
    chunked = Pipeline([GradientCorrection()]).run(
        context, mode="channel_sequential", chunk_duration_s=5.0, show_progress=False
    )
    assert np.array_equal(chunked.get_raw().get_data(), result.get_raw().get_data())


@pytest.mark.parametrize("block_v", [2e-4, 1e-3])
@pytest.mark.parametrize(("seed", "markers"), [(201, "slice"), (202, "volume"), (205, "slice")])
def test_a_block_keeps_its_size_wherever_its_edge_falls_between_samples(seed, markers, block_v):
    # Its edge changes with the position of samples, and courses above the EEG bands follow that.
    keys = {"sfreq": 1000, "n_slices": 20, "duration_s": 100}
    wrong = make(markers, seed, keys, preparation_v=block_v)
    result = run(wrong)
    assert np.median(wrong.snr_db(result.get_raw())) > 17  # 12 where the block followed its edge
    rest = wrong.clean - result.get_raw().get_data()[: len(wrong.clean)]
    onsets = np.rint(1000 * wrong.slice_onsets_s[20:-20:20]).astype(int)
    sizes = rest[:, onsets[:, np.newaxis] + np.arange(5, 45)].mean(axis=2)
    assert np.all(np.median(np.abs(np.diff(sizes, axis=1)), axis=1) < 0.01 * block_v)


@pytest.mark.parametrize("seed", [202, 203])
def test_an_ecg_without_noise_keeps_its_beats_and_does_not_ring(seed):
    keys = {"n_channels": 1, "sfreq": 2500, "tr_s": 2.0, "n_slices": 20, "duration_s": 80}
    keys |= {"markers": "volume", "pulse": True, "motion": 0.05, "seed": seed}
    simulation = simulate(**keys)
    true = simulate(**keys, artifact_amplitude_v=0.0).raw.get_data(picks="ECG")[0]
    rest = run(simulation).get_raw().get_data(picks="ECG")[0] - true
    inner = rest[10000:-10000]
    assert np.std(inner) < 0.3 * np.std(true)  # the beats were taken for changes of the artifact
    assert np.abs(inner).max() < 3e-4  # V; 1 mV at head movements


@pytest.mark.parametrize("seed", [202, 204])
def test_a_heartbeat_is_no_volume(seed):
    # Beats every nine slices recur as a block in a volume of nine slices would.
    keys = {"sfreq": 1000, "n_slices": 20, "pulse": True}
    simulation = make("slice", seed, keys)
    result = run(simulation)
    assert "locked_to_volumes" not in notes_of(result)
    pulse = np.zeros_like(simulation.clean)
    simulation.pulse.add_to(pulse)
    rest = result.get_raw().get_data()[: len(pulse)] - pulse
    assert np.median(simulation.snr_db(rest)) > 15  # 1 and 2 as a mean over volumes


@pytest.mark.parametrize("seed", [201, 202])
def test_what_all_slices_hold_in_other_sizes_is_followed(seed):
    # In one of these the mean volume of the reference shows it, in the other it does not.
    keys = {"n_channels": 5, "sfreq": 1000, "n_slices": 20, "duration_s": 150}
    wrong = make("slice", seed, keys, rectification_v=3e-4)
    result = run(wrong)
    assert "locked_to_volumes" not in notes_of(result)
    assert np.median(wrong.snr_db(result.get_raw())) > 20  # 15 as a mean over volumes


@pytest.mark.parametrize("markers", ["slice", "volume"])
def test_nothing_is_locked_to_regular_volumes(markers):
    assert "locked_to_volumes" not in notes_of(run(make(markers)))


@pytest.mark.parametrize("seed", [3, 6])
@pytest.mark.parametrize("markers", ["slice", "volume"])
def test_an_electrode_without_contact_is_no_reference(markers, seed):
    wrong = make(markers, seed, dead_channels=[0])
    result = run(wrong)
    chosen = notes_of(result)["ref_channel"]
    assert chosen in wrong.ch_names[1:]
    named = run(wrong, GradientCorrection(ref_channel=chosen))
    assert np.array_equal(named.get_raw().get_data(), result.get_raw().get_data())


@pytest.mark.parametrize("mode", ["channel_sequential", "parallel"])
def test_the_reference_is_chosen_once_in_every_mode(mode):
    """Behind the first correction no channel shows the artifact: the choice must not change."""
    wrong = make("slice", 4, dead_channels=[0])
    steps = [HighPassFilter(0.5), GradientCorrection(), AASCorrection(20)]
    done = []
    for each in ("serial", mode):
        context = wrong.context().with_trigger_samples(wrong.triggers)
        options = {"mode": each, "show_progress": False, "raise_on_error": True}
        if each == "parallel":
            options |= {"backend": "threading", "n_jobs": 2}
        done.append(Pipeline(steps).run(context, **options))
    one, other = done
    assert np.array_equal(one.get_raw().get_data(), other.get_raw().get_data())
    names = [notes_of(result, "aas_correction")["ref_channel"] for result in done]
    assert names == [notes_of(one)["ref_channel"]] * 2 != [wrong.ch_names[0]] * 2


@pytest.mark.parametrize("seed", [0, 1])
def test_muscle_bursts_are_no_courses(seed):
    """Narrow-band bursts over every channel; a mean of all epochs is not disturbed by them."""
    s = simulate(2, 2000, 50, n_slices=30, seed=3)
    rng = np.random.default_rng(seed)
    sos = butter(2, [30, 120], "bandpass", fs=2000, output="sos")
    noise = sosfiltfilt(sos, rng.standard_normal(s.clean.shape), axis=1)
    bursts = np.zeros(s.clean.shape)
    for begin in rng.uniform(8, 42, 5):
        a, n = int(begin * 2000), int(2000 * rng.uniform(0.5, 2))
        bursts[:, a : a + n] += 60e-6 * np.hanning(n) * noise[:, a : a + n] / noise.std()
    done = []
    for added in (0.0, bursts):
        context = ProcessingContext(replace_data(s.raw, s.raw.get_data() + added))
        context = context.with_trigger_samples(s.triggers)
        y = Pipeline([GradientCorrection()]).run(context, show_progress=False).get_raw()
        done.append(np.median(s.snr_db(y.get_data() - added)))
    plain, loud = done
    assert loud > plain - 10.0  # 18 dB less without


@pytest.mark.parametrize(
    "options, begins",
    [({"dummy_volumes": 2}, True), ({"start_in_volume": 0.4}, True), ({}, False)],
)
@pytest.mark.parametrize("markers", ["slice", "volume"])
def test_artifacts_outside_the_markers_are_corrected_and_told(markers, options, begins):
    wrong = make(markers, **options)
    result = run(wrong)
    told = [finding for finding in result.findings if finding.code == "unmarked_corrected"]
    if not begins:
        assert not told and "n_unmarked" not in notes_of(result)
        return
    assert np.median(wrong.snr_db(result.get_raw())) > 16  # below -10 without
    (begin, end) = told[0].span_s[0]
    assert abs(begin - wrong.acquisition_s[0]) < 0.01 or begin == 0.0
    assert abs(end - wrong.triggers[0] / wrong.sfreq) < 0.01
    lazily = run(wrong, mode="channel_sequential")
    assert np.array_equal(lazily.get_raw().get_data(), result.get_raw().get_data())


@pytest.mark.parametrize("seed", [3, 6])
@pytest.mark.parametrize("markers", ["slice", "volume"])
def test_slices_within_which_the_head_jumps_cost_little(markers, seed, monkeypatch):
    jumps = make(markers, seed, keys={"motion": 0.05, "motions_per_min": 6}, jump_s=0.01)
    after = np.median(jumps.snr_db(run(jumps).get_raw(), 30.0, 100.0))
    monkeypatch.setattr(lowrank, "blend", lambda x, own, before, after: own)
    assert after > np.median(jumps.snr_db(run(jumps).get_raw(), 30.0, 100.0)) + 3.0


@pytest.mark.parametrize("clip_v, sfreq", [(3e-3, 500), (2.5e-3, 800)])
def test_saturated_samples_cost_less_than_with_an_average(clip_v, sfreq, monkeypatch):
    cut = make(keys={"sfreq": sfreq}, clip_v=clip_v)
    result = run(cut)
    after = np.median(cut.snr_db(result.get_raw()))
    assert after > measure(cut, AASCorrection(30, subsample=True))
    context = cut.context().with_trigger_samples(cut.triggers)
    options = {"mode": "channel_sequential", "chunk_duration_s": 5.0, "show_progress": False}
    chunked = Pipeline([GradientCorrection()]).run(context, **options)
    assert np.array_equal(chunked.get_raw().get_data(), result.get_raw().get_data())
    lazy = Pipeline([GradientCorrection()]).lazy(context).get_data()
    assert np.array_equal(lazy, result.get_raw().get_data())
    monkeypatch.setattr(lowrank.clipping, "find_limits", lambda x: (-np.inf, np.inf))
    assert after > measure(cut) + 2.0


@pytest.mark.parametrize("drift", [0.0, 1e-3, -3e-4, -1.5e-3])
@pytest.mark.parametrize(
    ("chain", "right_db"),
    [
        (lambda: [GradientCorrection()], 22.0),
        (lambda: [AASCorrection(subsample=True)], 14.0),
        (lambda: [TriggerAligner(), AASCorrection(subsample=True)], 14.0),
    ],
)
def test_markers_of_another_clock_are_taken_to_the_artifacts(chain, right_db, drift):
    sim = simulate(seed=4, n_channels=3, sfreq=1000, duration_s=60.0)
    true = np.asarray(sim.triggers)
    markers = np.rint(true[0] + (true - true[0]) * (1 + drift)).astype(int)
    markers = markers[markers < sim.raw.n_times - 200]
    context = sim.context().with_trigger_samples(markers)
    result = Pipeline(chain()).run(context, show_progress=False, raise_on_error=True)
    told = [f for f in result.findings if f.code == "triggers_drift"]
    assert np.median(sim.snr_db(result.get_raw())) > right_db
    assert result.quality.verdict == "good"
    # Later steps, and the verdict, see the onsets of the artifacts.
    left = np.asarray(result.context.metadata.triggers)
    assert np.abs(left - true[: len(left)]).max() <= 2
    if not drift:
        assert not told
        return
    assert [f.severity for f in told] == ["warning"]
    assert told[0].evidence["factor"] == pytest.approx(1 / (1 + drift), abs=3e-5)
    options = {"mode": "channel_sequential", "chunk_duration_s": 5.0, "show_progress": False}
    chunked = Pipeline(chain()).run(context, raise_on_error=True, **options)
    assert np.array_equal(chunked.get_raw().get_data(), result.get_raw().get_data())
    assert np.array_equal(chunked.context.metadata.triggers, left)
