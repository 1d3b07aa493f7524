"""Triggers from annotations and stim channels, and the ones that are missing."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import UTC, datetime

import mne
import numpy as np
import pytest

from facet_nb.core import Pipeline, ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.datasets import simulate
from facet_nb.kernels.triggers.spacing import describe_spacing
from facet_nb.preprocessing.triggers import MissingTriggerDetector, TriggerDetector

SFREQ = 500.0
MODES = [
    {"mode": "serial"},
    {"mode": "channel_sequential"},
    {"mode": "parallel", "n_jobs": 2, "backend": "threading"},
]


def make_raw(marks=(), *, stim=None, n_times=5000, first_samp=0, meas_date=None):
    """Two EEG channels of noise; `marks` are (sample, description), `stim` (sample, code)."""
    names, types = ["C3", "C4"], ["eeg", "eeg"]
    data = 1e-5 * np.random.default_rng(0).normal(size=(2, n_times))
    if stim is not None:
        codes = np.zeros(n_times)
        for sample, code in stim:
            codes[sample : sample + 3] = code
        data, names, types = np.vstack([data, codes]), [*names, "STI 014"], [*types, "stim"]
    info = mne.create_info(names, SFREQ, types)
    raw = mne.io.RawArray(data, info, first_samp=first_samp, verbose="error")
    if meas_date is not None:
        raw.set_meas_date(meas_date)
    onsets = [sample / SFREQ for sample, _ in marks]
    texts = [text for _, text in marks]
    return raw.set_annotations(mne.Annotations(onsets, 0.0, texts))


def detect(raw, regex, **kwargs):
    return TriggerDetector(regex, **kwargs).execute(ProcessingContext(raw))


def notes(context):
    return dict(context.get_history()[-1].parameters)


# ------------------------------------------------------------------------- what is matched
@pytest.mark.parametrize(
    ("regex", "text"),
    [
        (r"\b1\b", "Stimulus/S  1"),
        (r"\b1\b", "S  1"),
        (r"\b1\b", "1"),
        (r"R128", "Response/R128"),
        (r"^1$", "1"),
        (r"(?i)scan", "MR Scan start"),
    ],
)
def test_expression_is_searched_in_descriptions(regex, text):
    others = [(50, "S 11"), (90, "S 10"), (110, "New Segment/")]
    raw = make_raw([*others, (100, text), (200, text), (300, text)])
    context = detect(raw, regex)
    np.testing.assert_array_equal(context.get_triggers(), [100, 200, 300])
    assert context.get_triggers().dtype == np.int64
    assert context.metadata.trigger_regex == regex
    assert context.metadata.artifact_length == 100
    assert notes(context)["source"] == "annotations"


def test_bad_spans_and_edges_are_no_events():
    raw = make_raw([(10, "BAD 1"), (20, "EDGE boundary"), (30, "bad_1"), (100, "1"), (200, "1")])
    np.testing.assert_array_equal(detect(raw, ".").get_triggers(), [100, 200])


def test_stim_channel_without_codes_does_not_hide_annotations():
    raw = make_raw([(100, "R128"), (200, "R128")], stim=[])
    context = detect(raw, "R128")
    np.testing.assert_array_equal(context.get_triggers(), [100, 200])


def test_stim_channel_with_other_codes_does_not_hide_annotations():
    raw = make_raw([(100, "S  1"), (200, "S  1")], stim=[(700, 11), (900, 12)])
    np.testing.assert_array_equal(detect(raw, r"\b1\b").get_triggers(), [100, 200])


def test_stim_codes_are_matched_as_text():
    raw = make_raw(stim=[(100, 1), (200, 11), (300, 1), (500, 1)])
    context = detect(raw, r"\b1\b")
    np.testing.assert_array_equal(context.get_triggers(), [100, 300, 500])
    assert notes(context)["source"] == "stim channels"
    events = mne.find_events(raw, verbose="error")
    np.testing.assert_array_equal(context.get_triggers(), events[events[:, 2] == 1, 0])


def test_same_events_in_both_are_counted_once_and_the_fuller_record_wins():
    samples = [100, 200, 300, 400]
    both = make_raw([(s + 1, "1") for s in samples], stim=[(s, 1) for s in samples])
    np.testing.assert_array_equal(detect(both, "1").get_triggers(), [101, 201, 301, 401])
    fuller = make_raw([(s, "1") for s in samples[:2]], stim=[(s, 1) for s in samples])
    np.testing.assert_array_equal(detect(fuller, "1").get_triggers(), samples)


def test_matches_at_the_same_sample_are_one():
    raw = make_raw([(100, "S  1"), (100, "R  1"), (300, "S  1")])
    np.testing.assert_array_equal(detect(raw, r"\b1\b").get_triggers(), [100, 300])


# ---------------------------------------------------------------------------- positions
@pytest.mark.parametrize("first_samp", [0, 1234])
@pytest.mark.parametrize("meas_date", [None, datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)])
def test_positions_count_from_the_first_sample(first_samp, meas_date):
    samples = np.array([0, 333, 1001, 4999])
    raw = make_raw([(s, "1") for s in samples], first_samp=first_samp, meas_date=meas_date)
    assert (raw.annotations.orig_time is None) == (meas_date is None)
    found = detect(raw, "1").get_triggers()
    np.testing.assert_array_equal(found, samples)
    events, _ = mne.events_from_annotations(raw, regexp="1", verbose="error")
    np.testing.assert_array_equal(found, events[:, 0] - first_samp)


@pytest.mark.parametrize("first_samp", [0, 77])
def test_stim_positions_count_from_the_first_sample(first_samp):
    raw = make_raw(stim=[(100, 1), (300, 1)], first_samp=first_samp)
    np.testing.assert_array_equal(detect(raw, "1").get_triggers(), [100, 300])


def test_positions_after_a_crop_of_mne():
    raw = make_raw([(s, "1") for s in (100, 1000, 2000, 3000)], first_samp=50)
    cropped = raw.copy().crop(1.0, 5.0)
    np.testing.assert_array_equal(detect(cropped, "1").get_triggers(), [500, 1500])


def test_onsets_between_samples_go_to_the_nearest():
    raw = make_raw([(100.4, "1"), (200.6, "1"), (300.49, "1")])
    np.testing.assert_array_equal(detect(raw, "1").get_triggers(), [100, 201, 300])


def test_events_outside_the_data_are_left_out_and_said_so(caplog):
    raw = make_raw([(100, "1"), (200, "1")])
    raw.annotations.append([-0.5, 10.0, 12.0], 0.0, "1")  # 10 s: the sample after the last
    with caplog.at_level(logging.WARNING, logger="facet_nb"):
        context = detect(raw, "1")
    np.testing.assert_array_equal(context.get_triggers(), [100, 200])
    assert notes(context)["n_outside"] == 3
    assert "3 triggers lie outside" in caplog.text


def test_all_events_outside_the_data():
    raw = make_raw()
    raw.annotations.append([-1.0, 20.0], 0.0, "1")
    with pytest.raises(ValidationError, match=r"all 2 events.* outside"):
        detect(raw, "1")


# ------------------------------------------------------------------------------- metadata
def test_metadata_of_volumes_with_missing_triggers():
    starts = [200 + v * 1030 + s * 100 for v in range(4) for s in range(10)]
    raw = make_raw([(s, "1") for i, s in enumerate(starts) if i not in (5, 6)])
    context = detect(raw, "1")
    metadata = context.metadata
    assert (metadata.artifact_length, metadata.slices_per_volume) == (100, 10)
    assert metadata.volume_gaps is True
    assert (metadata.acq_start_sample, metadata.acq_end_sample) == (200, starts[-1] + 99)
    assert notes(context)["n_triggers"] == 38 and notes(context)["n_missing"] == 2


def test_artifacts_before_their_triggers_widen_the_acquisition():
    raw = make_raw([(s, "1") for s in (1000, 1100, 1200)])
    start = ProcessingContext(raw)
    start.metadata.artifact_to_trigger_offset = -0.02
    metadata = TriggerDetector("1").execute(start).metadata
    assert (metadata.acq_start_sample, metadata.acq_end_sample) == (990, 1299)


def test_single_trigger_has_no_length():
    metadata = detect(make_raw([(100, "1")]), "1").metadata
    assert metadata.artifact_length is None and len(metadata.triggers) == 1


def test_niazy_twin(shared_data):
    for name, regex in (
        ("niazy_twin_2048_raw.fif", r"\b1\b"),
        ("niazy_twin_2048.vhdr", r"\b1\b"),
    ):
        raw = mne.io.read_raw(shared_data / name, verbose="error")
        context = detect(raw, regex)
        assert len(context.get_triggers()) == 840
        metadata = context.metadata
        assert (metadata.artifact_length, metadata.slices_per_volume) == (293, 21)
        # MNE anchors its expression; these files hold no other description.
        events, _ = mne.events_from_annotations(raw, verbose="error")
        np.testing.assert_array_equal(context.get_triggers(), events[:, 0] - raw.first_samp)


# --------------------------------------------------------------------------------- errors
def test_no_match_lists_what_there_is():
    raw = make_raw([(10, "S  1"), (20, "S  1"), (30, "R128")], stim=[(700, 11), (900, 11)])
    with pytest.raises(ValidationError) as caught:
        detect(raw, "nothing")
    message = str(caught.value)
    for text in ("'nothing'", "'S  1' (2)", "'R128' (1)", "STI 014: 11 (2)", "with_triggers"):
        assert text in message


def test_no_match_where_there_is_nothing():
    with pytest.raises(ValidationError, match=r"Annotations: there are none.*there are none"):
        detect(make_raw(), "1")
    with pytest.raises(ValidationError, match="STI 014: no codes"):
        detect(make_raw(stim=[]), "1")


def test_no_match_among_very_many_descriptions_stays_short():
    raw = make_raw([(10 * i, f"word {i}") for i in range(200)])
    with pytest.raises(ValidationError, match="180 more") as caught:
        detect(raw, "nothing")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("regex", ["(", "[a", "*", 1, None])
def test_invalid_expression(regex):
    with pytest.raises(ValidationError, match="not a regular expression"):
        detect(make_raw([(1, "1")]), regex)


def test_failure_in_a_pipeline_names_the_step():
    result = Pipeline([TriggerDetector("x")]).run(ProcessingContext(make_raw([(1, "1")])))
    assert not result.success
    assert "Step 1 (trigger_detector)" in str(result.error)


# ---------------------------------------------------------------------- annotations, input
@pytest.mark.parametrize("first_samp", [0, 40])
@pytest.mark.parametrize("meas_date", [None, datetime(2024, 5, 6, tzinfo=UTC)])
def test_save_to_annotations_adds_and_keeps(first_samp, meas_date):
    raw = make_raw([(100, "1"), (200, "1")], first_samp=first_samp, meas_date=meas_date)
    context = detect(raw, "1", save_to_annotations=True)
    marks = context.get_raw().annotations
    assert Counter(marks.description) == {"1": 2, "Trigger": 2}
    np.testing.assert_array_equal(detect(context.get_raw(), "Trigger").get_triggers(), [100, 200])
    assert len(raw.annotations) == 2
    np.testing.assert_array_equal(context.get_data(), raw.get_data())


def test_saved_annotations_of_a_pipeline_leave_a_writable_recording():
    raw = make_raw([(100, "1"), (200, "1")])
    before = raw.get_data()
    result = Pipeline([TriggerDetector("1", save_to_annotations=True)]).run(ProcessingContext(raw))
    result.get_raw().apply_function(lambda x: x * 0)
    np.testing.assert_array_equal(raw.get_data(), before)


def test_recording_that_is_not_loaded_stays_on_disk(tmp_path):
    make_raw([(100, "1"), (200, "1")]).save(tmp_path / "a_raw.fif", verbose="error")
    raw = mne.io.read_raw_fif(tmp_path / "a_raw.fif", verbose="error")
    context = detect(raw, "1", save_to_annotations=True)
    assert not raw.preload and not context.get_raw().preload
    assert Counter(context.get_raw().annotations.description) == {"1": 2, "Trigger": 2}


def test_context_given_is_not_changed():
    raw = make_raw([(100, "1"), (200, "1")])
    start = ProcessingContext(raw)
    detect_two = TriggerDetector("1")
    detect_two.execute(start)
    detect_two.process(start)
    assert start.get_triggers() is None and start.get_history() == []
    assert start.metadata.artifact_length is None


def test_process_finds_the_same_without_history():
    start = ProcessingContext(make_raw([(100, "1"), (200, "1")]))
    processed = TriggerDetector("1").process(start)
    np.testing.assert_array_equal(processed.get_triggers(), [100, 200])
    assert processed.get_history() == []


# ------------------------------------------------------------------------ missing triggers
@pytest.fixture(scope="module")
def train():
    """Simulated slices with pauses between volumes, and their true triggers."""
    sim = simulate(3, 1000.0, 20.0, tr_s=1.1, n_slices=10, seed=5)
    return sim.raw, np.asarray(sim.triggers)


def with_triggers(raw, triggers):
    context = ProcessingContext(raw).with_triggers(triggers)
    known = describe_spacing(triggers)
    return context.with_metadata(
        context.metadata.updated(
            artifact_length=known.artifact_length, slices_per_volume=known.slices_per_volume
        )
    )


@pytest.mark.parametrize(
    "missing", [[20], [20, 21], [20, 21, 22], [5, 33, 34, 80], [0], [-1], [0, -1, 50, 51]]
)
def test_missing_triggers_are_found(train, missing):
    raw, triggers = train
    context = MissingTriggerDetector().execute(with_triggers(raw, np.delete(triggers, missing)))
    found = context.get_triggers()
    assert len(found) == len(triggers)
    assert np.abs(found - triggers).max() <= 1
    assert found.dtype == np.int64
    assert notes(context)["n_added"] == len(missing)
    assert len(context.metadata.custom["missing_triggers"]) == len(missing)


def test_nothing_is_missing(train):
    raw, triggers = train
    context = MissingTriggerDetector().execute(with_triggers(raw, triggers))
    np.testing.assert_array_equal(context.get_triggers(), triggers)
    assert notes(context)["n_added"] == 0
    assert context.metadata.custom["missing_triggers"] == []


def test_an_artifact_that_is_not_there_is_not_invented(train):
    raw, triggers = train
    data = raw.get_data()
    quiet = slice(int(triggers[50]), int(triggers[52]))
    data[:, quiet] = 1e-5 * np.random.default_rng(2).normal(
        size=(len(data), quiet.stop - quiet.start)
    )
    silent = mne.io.RawArray(data, raw.info, verbose="error")
    context = with_triggers(silent, np.delete(triggers, [50, 51]))
    assert len(MissingTriggerDetector().execute(context).get_triggers()) == len(triggers) - 2


def test_found_triggers_are_only_reported(train):
    raw, triggers = train
    start = with_triggers(raw, np.delete(triggers, [20, 21]))
    context = MissingTriggerDetector(add_to_context=False).execute(start)
    np.testing.assert_array_equal(context.get_triggers(), start.get_triggers())
    np.testing.assert_allclose(
        context.metadata.custom["missing_triggers"], triggers[[20, 21]], atol=1
    )
    assert (notes(context)["n_found"], notes(context)["n_added"]) == (2, 0)
    assert "missing_triggers" not in start.metadata.custom


def test_niazy_twin_with_holes_at_volume_edges(shared_data):
    raw = mne.io.read_raw_fif(shared_data / "niazy_twin_2048_raw.fif", verbose="error")
    full = detect(raw, r"\b1\b")
    triggers = full.get_triggers()
    missing = [20, 21, 22, 100, 101, 419, 420, 700]  # 20 and 419: last slices, 21 and 420: first
    context = full.with_triggers(np.delete(triggers, missing))
    found = MissingTriggerDetector().execute(context)
    assert found.metadata.artifact_length == 293
    assert found.metadata.slices_per_volume == 21
    assert len(found.get_triggers()) == 840
    assert np.abs(found.get_triggers() - triggers).max() <= 2


def test_reference_channel_may_be_named_and_skips_what_holds_no_data(train):
    raw, triggers = train
    raw = raw.copy()
    raw.info["bads"] = [raw.ch_names[0]]
    start = with_triggers(raw, np.delete(triggers, [20]))
    context = MissingTriggerDetector().execute(start)
    assert notes(context)["ref_channel"] == raw.ch_names[1]
    named = MissingTriggerDetector(ref_channel=raw.ch_names[2]).execute(start)
    assert len(named.get_triggers()) == len(context.get_triggers()) == len(triggers)
    for wrong in (raw.ch_names[0], "nobody", 99):
        with pytest.raises(ValidationError, match="ref_channel"):
            MissingTriggerDetector(ref_channel=wrong).execute(start)


def test_triggers_at_the_very_edges(train):
    raw, triggers = train
    whole = raw.copy().crop(triggers[0] / 1000.0, (triggers[-1] + 3) / 1000.0)
    context = with_triggers(whole, np.delete(triggers - triggers[0], [40]))
    found = MissingTriggerDetector().execute(context).get_triggers()
    assert np.abs(found - (triggers - triggers[0])).max() <= 1


@pytest.mark.parametrize(
    "kwargs",
    [{"correlation_threshold": 0}, {"correlation_threshold": 1.5}, {"search_window_factor": 0.7}],
)
def test_parameters_out_of_range(train, kwargs):
    with pytest.raises(ValidationError, match=next(iter(kwargs))):
        MissingTriggerDetector(**kwargs).execute(with_triggers(*train))


def test_reference_that_cannot_be_used(train):
    raw, triggers = train
    for value, text in ((0.0, "flat"), (np.nan, "NaN")):
        data = raw.get_data()
        data[0, :] = value
        broken = mne.io.RawArray(data, raw.info, verbose="error")
        with pytest.raises(Exception, match=text):
            MissingTriggerDetector().execute(with_triggers(broken, triggers))
    with pytest.raises(ValidationError, match="two triggers"):
        MissingTriggerDetector().execute(ProcessingContext(raw).with_triggers([100]))
    with pytest.raises(ValidationError, match="TriggerDetector"):
        MissingTriggerDetector().execute(ProcessingContext(raw))


# ----------------------------------------------------------------------------------- modes
def test_all_modes_agree(train):
    raw, triggers = train
    holes = raw.copy()
    holes.set_annotations(None)
    kept = np.delete(triggers, [20, 21, 77])
    holes.set_annotations(mne.Annotations(kept / 1000.0, 0.0, "R128"))
    steps = [TriggerDetector("R128"), MissingTriggerDetector()]
    results = [Pipeline(steps).run(ProcessingContext(holes), **mode) for mode in MODES]
    assert all(r.success for r in results), [r.error for r in results]
    first = results[0].context
    assert len(first.get_triggers()) == len(triggers)
    for result in results[1:]:
        np.testing.assert_array_equal(result.context.get_triggers(), first.get_triggers())
        assert result.get_history() == first.get_history()
        assert result.context.metadata.to_dict() == first.metadata.to_dict()
        assert len(result.get_raw().annotations) == len(kept)
