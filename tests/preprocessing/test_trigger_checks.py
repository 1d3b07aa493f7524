"""Faulty trains of markers are repaired, told or refused; regular ones are left as they are."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facet_nb import Pipeline, ProcessingContext, TriggerAligner, TriggerDetector
from facet_nb.datasets import simulate
from facet_nb.kernels.triggers import train
from facet_nb.kernels.triggers.clock import describe_runs
from facet_nb.kernels.triggers.spacing import describe_spacing

N, SFREQ = 120_000, 1000.0
VOLUMES = 3000 + 2000 * np.arange(55)
SLICES = 3000 + 100 * np.arange(1000)
PAUSED = (3000 + 2000 * np.arange(50)[:, np.newaxis] + 60 * np.arange(20)).ravel()
TRAINS = {"volumes": VOLUMES, "slices": SLICES, "paused": PAUSED}
TASK = 8000 + (1000 * np.cumsum(np.random.default_rng(0).uniform(2.5, 4.5, 28))).astype(int)


def make_context(**marks):
    """Return a context with markers, by description ("__" is "/")."""
    raw = mne.io.RawArray(np.zeros((1, N)), mne.create_info(1, SFREQ, "eeg"), verbose=False)
    times = np.concatenate([np.asarray(p) / SFREQ for p in marks.values()])
    texts = [name.replace("__", "/") for name, p in marks.items() for _ in p]
    raw.set_annotations(mne.Annotations(times, 0.0, texts))
    return ProcessingContext(raw)


def detect(context, regex="R", **options):
    return Pipeline([TriggerDetector(regex, **options)]).run(context)


def codes(result):
    return [f.code for f in result.findings if f.code != "slice_rate_in_alpha"]


def triggers(result):
    return result.get_context().get_triggers()


@pytest.mark.parametrize("name", TRAINS)
@pytest.mark.parametrize("jitter", [0, 1, 2])
def test_a_regular_train_is_left_as_it_is(name, jitter):
    rng = np.random.default_rng(jitter)
    positions = TRAINS[name] + rng.integers(-jitter, jitter + 1, len(TRAINS[name]))
    result = detect(make_context(R=positions))
    assert codes(result) == (["triggers_jittered"] if jitter else [])
    np.testing.assert_array_equal(triggers(result), positions)
    assert "left_out" not in result.get_history()[-1].parameters


@given(
    st.integers(20, 400),
    st.integers(30, 3000),
    st.integers(0, 2),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_no_marker_of_a_regular_train_is_called_faulty(n, distance, jitter, seed):
    rng = np.random.default_rng(seed)
    positions = 100 + distance * np.arange(n) + rng.integers(-jitter, jitter + 1, n)
    assert len(train.find_doubled(positions)) == 0
    assert len(train.find_strays(positions)) == 0
    assert train.find_sequences(positions) == []
    assert train.is_regular(positions)


@pytest.mark.parametrize(
    ("name", "gap"), [("volumes", 2), ("volumes", 50), ("slices", 3), ("volumes", 150)]
)
def test_both_edges_of_a_pulse(name, gap):
    """Every marker twice: the second of each pair is left out, and told."""
    good = TRAINS[name]
    context = make_context(R=np.concatenate([good, good + gap]))
    result = detect(context)
    assert codes(result) == ["triggers_doubled"]
    np.testing.assert_array_equal(triggers(result), good)
    (found,) = [f for f in result.findings if f.code == "triggers_doubled"]
    assert found.evidence["n"] == len(good)
    kept = detect(context, repair=False)
    assert codes(kept)[0] == "triggers_doubled"
    assert len(triggers(kept)) == 2 * len(good)


@pytest.mark.parametrize("name", TRAINS)
def test_bounces(name):
    """Some markers twice or three times."""
    good = TRAINS[name]
    result = detect(make_context(R=np.concatenate([good, good[::9] + 2, good[::27] + 4])))
    assert codes(result) in (["triggers_doubled"], ["triggers_stray"])
    np.testing.assert_array_equal(triggers(result), good)


@given(
    st.sampled_from(sorted(TRAINS)), st.lists(st.integers(3500, 100_000), min_size=1, max_size=6)
)
@settings(max_examples=30, deadline=None)
def test_stray_markers(name, strays):
    """Whatever is left out is told; a stray far from the train is left out, or told."""
    good = TRAINS[name]
    result = detect(make_context(R=good, R2=strays))
    assert result.success, result.error
    left = np.setdiff1d(np.union1d(good, strays), triggers(result))
    told = sum(f.evidence["n"] for f in result.findings if "n" in f.evidence)
    assert len(left) == 0 or told >= len(left)
    # Where a stray marker is within 5 % of the distance, either of the two may be kept.
    near = max(4, 0.05 * describe_spacing(good).usual)
    for stray in strays:
        offset = np.abs(good - stray).min()
        if offset > near:
            others = [s for s in strays if s != stray and abs(s - stray) < 100]
            assert others or stray not in triggers(result) or "triggers_irregular" in codes(result)


def test_a_stray_marker_and_the_correction():
    """With stray markers the train is that without them, so that the result is the same."""
    clean = detect(make_context(R=VOLUMES))
    dirty = detect(make_context(R=VOLUMES, R2=[7777, 23456, 50400]))
    np.testing.assert_array_equal(triggers(clean), triggers(dirty))
    assert codes(dirty) == ["triggers_stray"]
    assert "'R', 'R2'" in dirty.findings[0].detail
    left = dirty.get_history()[-1].parameters["left_out"]
    assert left == {"stray": [7777, 23456, 50400]}


@pytest.mark.parametrize("lost", [[5, 6, 15, 22, 30, 31], [20], [1, 40, 41, 42]])
def test_missing_markers_are_told(lost):
    result = detect(make_context(R=np.delete(VOLUMES, lost)))
    assert codes(result) == ["triggers_missing"]
    (found,) = result.findings
    assert found.evidence["n"] == len(lost)
    assert "MissingTriggerDetector" in found.remedy
    for k in lost:
        assert any(a < VOLUMES[k] / SFREQ < b for a, b in found.span_s)


@pytest.mark.parametrize(
    ("marks", "regex", "named"),
    [
        ({"Stimulus__S  1": TASK, "Response__R128": VOLUMES}, r"\b1\b", "TriggerDetector(r'R128')"),
        ({"go": TASK, "Scanner__T  1": PAUSED}, "go", "TriggerDetector(r'T  1')"),
        ({"go": TASK}, "go", "repair=False"),
    ],
)
def test_task_codes_are_refused(marks, regex, named):
    """Triggers that are evidently wrong are an error that names the scanner's."""
    result = detect(make_context(**marks), regex)
    assert not result.success
    assert named in str(result.error)
    assert "of 27 distances" in str(result.error)
    assert [(f.code, f.severity) for f in result.findings] == [("triggers_irregular", "error")]
    kept = detect(make_context(**marks), regex, repair=False)
    assert kept.success
    assert "triggers_irregular" in codes(kept)
    np.testing.assert_array_equal(triggers(kept), TASK)


def test_the_proposed_expression_finds_the_train():
    """A text that others contain gets an expression of its own."""
    context = make_context(S=TASK, Stimulus__S=VOLUMES, S1=TASK + 100)
    result = detect(context, "^S$")
    (call,) = {part for part in str(result.error).split() if part.startswith("TriggerDetector(r")}
    step = eval(call.rstrip("."), {"TriggerDetector": TriggerDetector})
    found = Pipeline([step]).run(context)
    np.testing.assert_array_equal(triggers(found), VOLUMES)


def test_a_regular_task_is_told():
    """Two regular trains: in step if they are of one scanner."""
    task = 3100 + 2310 * np.arange(40)
    assert codes(detect(make_context(R128=VOLUMES, go=task), "go")) == ["triggers_other_train"]
    assert codes(detect(make_context(R128=VOLUMES, S1=PAUSED), "S1")) == []
    assert codes(detect(make_context(R128=VOLUMES, S1=PAUSED), "R128")) == []


@pytest.mark.parametrize("other", [1500, 2050, 2700])
def test_two_sequences(other):
    second = 50_000 + other * np.arange(25)
    result = detect(make_context(R=np.concatenate([VOLUMES[:20], second])))
    assert codes(result) == ["triggers_two_sequences"]
    (found,) = result.findings
    assert found.span_s == ((3.0, 41.0), (50.0, second[-1] / SFREQ))
    np.testing.assert_allclose(found.evidence["distances_s"], [2.0, other / SFREQ])


def test_two_runs_of_one_sequence_are_a_note():
    result = detect(make_context(R=np.concatenate([VOLUMES[:20], 50_333 + 2000 * np.arange(30)])))
    assert [(f.code, f.severity) for f in result.findings] == [("triggers_irregular", "note")]


@pytest.mark.parametrize(("name", "n"), [("volumes", 3), ("volumes", 5), ("slices", 5)])
@pytest.mark.parametrize("late", [-4, 3, 0])
def test_a_break_near_a_whole_number_of_distances(name, n, late):
    first, period = TRAINS[name][:20], int(np.diff(TRAINS[name])[0])
    second = first[-1] + n * period + late + period * np.arange(30)
    result = detect(make_context(R=np.concatenate([first, second])))
    # Only what is exact to a sample can be missing markers.
    told = [("triggers_irregular", "note")] if late else [("triggers_missing", "warning")]
    found = [f for f in result.findings if f.code != "slice_rate_in_alpha"]
    assert [(f.code, f.severity) for f in found] == told
    assert found[0].span_s == ((first[-1] / SFREQ, second[0] / SFREQ),)
    history = result.get_context().get_history()[-1].parameters
    assert history["n_missing"] == (0 if late else n - 1)


@given(
    n=st.integers(2, 6),
    first=st.integers(10, 30),
    jitter=st.integers(0, 2),
    seed=st.integers(0, 99),
)
@settings(max_examples=30, deadline=None)
def test_markers_that_are_missing_are_no_break(n, first, jitter, seed):
    kept = np.delete(VOLUMES, np.arange(first, first + n))
    shifts = np.random.default_rng(seed).integers(-jitter, jitter + 1, len(kept))
    assert describe_runs(kept + shifts).n_missing == n


@pytest.mark.parametrize("jitter", [1, 100])
@pytest.mark.parametrize("marker", ["volumes", "paused"])
def test_stimuli_locked_to_volumes(marker, jitter):
    rng = np.random.default_rng(0)
    onsets = VOLUMES[1:-5:3] + 700 + rng.integers(0, jitter, 17)
    told = detect(make_context(R=TRAINS[marker], go=onsets))
    assert codes(told) == ["stimuli_locked"]
    assert codes(detect(make_context(R=TRAINS[marker], go=TASK))) == []


@pytest.mark.parametrize("n_times", [2, 3, 4])
@pytest.mark.parametrize("n_events", [10, 17])
def test_stimuli_at_one_of_several_times_of_the_volume(n_times, n_events):
    """A part of what they evoke is in each volume. Jittered ones are not told."""
    rng = np.random.default_rng(n_events)
    grid = VOLUMES[1 : 1 + n_events] + 2000 // n_times * rng.integers(0, n_times, n_events) + 90
    (told,) = detect(make_context(R=VOLUMES, go=grid)).findings
    assert (told.code, told.evidence["events"]) == ("stimuli_locked", ["go"])
    assert 1 < told.evidence["n_times"] <= n_times
    jittered = grid + rng.integers(0, 2000, n_events)
    assert codes(detect(make_context(R=VOLUMES, go=jittered))) == []


@pytest.mark.parametrize("period", [0.5, 2 / 3, 1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("n_events", [5, 20])
def test_regular_stimuli_at_a_ratio_of_the_volume_period(period, n_events):
    at = VOLUMES[1] + 700 + np.rint(2000 * period * np.arange(n_events)).astype(int)
    (told,) = detect(make_context(R=VOLUMES, go=at[at < VOLUMES[-1]])).findings
    assert told.code == "stimuli_locked"
    free = np.random.default_rng(n_events).integers(VOLUMES[1], VOLUMES[-2], n_events)
    assert codes(detect(make_context(R=VOLUMES, go=np.sort(free)))) == []


def test_a_second_marker_of_each_volume_is_no_stimulus():
    assert codes(detect(make_context(R=VOLUMES, scan=VOLUMES + 20))) == []


def test_slice_rate_in_alpha():
    assert [f.code for f in detect(make_context(R=SLICES)).findings] == ["slice_rate_in_alpha"]
    assert detect(make_context(R=PAUSED)).findings == ()


# -------------------------------------------------------------------------- combined stim channels
def make_stim(*, volumes=128, task=1):
    """Return a context whose stim channel is the sum of volume pulses and task codes that last."""
    values = np.zeros(N, int)
    for start in VOLUMES:
        values[start : start + 20] |= volumes
    for start in TASK:
        values[start : start + 1500] |= task
    info = mne.create_info(["E", "STI"], SFREQ, ["eeg", "stim"])
    raw = mne.io.RawArray(np.stack([np.zeros(N), values]), info, verbose=False)
    return ProcessingContext(raw)


@pytest.mark.parametrize(("volumes", "task"), [(128, 1), (4, 3), (1, 64)])
def test_bits_of_a_stim_channel(volumes, task):
    """A code that is overlaid by others is missed; the mask finds all, and is proposed."""
    context = make_stim(volumes=volumes, task=task)
    plain = detect(context, f"^{volumes}$")
    assert set(codes(plain)) & {"triggers_missing", "triggers_irregular"}
    text = str(plain.error or plain.findings[0])
    assert f"mask={volumes}" in text
    masked = detect(context, ".", mask=volumes)
    np.testing.assert_array_equal(triggers(masked), VOLUMES)


@pytest.mark.parametrize(("volumes", "task"), [(128, 1), (8, 4)])
def test_a_train_within_all_that_matches_is_proposed(volumes, task):
    result = detect(make_stim(volumes=volumes, task=task), ".")
    assert not result.success or codes(result)
    assert f"mask={volumes}" in str(result.error or result.findings)
    context = make_context(R128=VOLUMES, go=np.sort(np.random.default_rng(2).integers(0, N, 90)))
    assert "TriggerDetector(r'R128')" in str(detect(context, "R128|go").error)


@pytest.mark.parametrize("mask", [0, -1, 1.5, True, "128"])
def test_a_mask_must_be_bits(mask):
    result = detect(make_stim(), ".", mask=mask)
    assert "mask=" in str(result.error)


# ------------------------------------------------------------------------------- given positions
@pytest.mark.parametrize(
    ("given", "code"),
    [
        ([100.0, 200.0, 300.5], "triggers_rounded"),
        ([100, 200, 200, 300], "triggers_repeated"),
        ([-5, 100, 200], "triggers_outside"),
        ([100, 200, N], "triggers_outside"),
    ],
)
def test_given_positions(given, code):
    context = make_context(R=VOLUMES)
    for new in (context.with_triggers(given), context.with_trigger_samples(given)):
        assert [(f.code, f.step) for f in new.get_findings()] == [(code, "with_triggers")]
        (found,) = new.get_findings()
        assert found.evidence == {"n": 1}
    assert context.with_triggers(VOLUMES).get_findings() == ()


# ------------------------------------------------------------------------------------- alignment
@pytest.mark.parametrize(("jitter", "told"), [(1, False), (4, True), (6, True)])
def test_alignment_beyond_the_window(jitter, told):
    sim = simulate(
        1, 500, 30, tr_s=2.0, n_slices=10, markers="slice", seed=2, marker_jitter_samples=jitter
    )
    chain = Pipeline([TriggerDetector(r"\b1\b"), TriggerAligner()])
    result = chain.run(ProcessingContext(sim.raw.copy()))
    assert result.success, result.error
    assert ("alignment_at_edge" in [f.code for f in result.findings]) == told
