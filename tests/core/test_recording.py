"""What belongs to a recording beside its samples is kept in every mode."""

from __future__ import annotations

import datetime
import pickle
import threading

import mne
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet_nb.core import Pipeline, ProcessingContext, ValidationError, recording
from facet_nb.core.recording import ChannelHeaders, Header
from tests.contract.equality import assert_same
from tests.core import toys
from tests.core.toys import PLACES, RUNS, ids

DATE = datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=datetime.UTC)
STEPS = [toys.Halved(), toys.ZScore(), toys.Found(), toys.Squared(), toys.Spread(), toys.Demeaned()]


def run(steps, raw, **options):
    return Pipeline(steps).run(ProcessingContext(raw), raise_on_error=True, **options).context


def rich_raw(meas_date=DATE, first_samp=1234):
    """With a date, positions, a description, filter information, and annotations up to the end."""
    raw = toys.make_raw(first_samp=first_samp)
    raw.set_meas_date(meas_date)
    raw.set_montage(
        mne.channels.make_dig_montage(
            {n: np.array([0.01 * i, 0.02, 0.03]) for i, n in enumerate(["E1", "E2", "E3", "E4"])}
        ),
        on_missing="ignore",
        verbose="error",
    )
    with raw.info._unlock():
        raw.info["highpass"], raw.info["lowpass"] = 0.5, 120.0
        raw.info["description"] = "a <b>description</b>"
        raw.info["subject_info"] = {"his_id": "s01"}
        raw.info["line_freq"] = 50.0
    start = raw.first_time if meas_date is None else 0.0
    orig = None if meas_date is None else raw.info["meas_date"]
    onset = np.array([0.0, 1.5, 5.5]) + (raw.first_time if orig is not None else start * 0)
    raw.set_annotations(
        mne.Annotations(onset, [0.0, 0.25, 0.499], ["first", "Stimulus/S  1", "BAD_end"], orig)
    )
    return raw


@pytest.mark.parametrize("meas_date", [None, DATE], ids=["no date", "date"])
@pytest.mark.parametrize("first_samp", [0, 1234])
@pytest.mark.parametrize("options", PLACES, ids=ids)
def test_header_is_kept(options, meas_date, first_samp):
    raw = rich_raw(meas_date, first_samp)
    kept = raw.copy()
    new = run(STEPS, raw, **options).get_raw()
    assert new.info["meas_date"] == kept.info["meas_date"]
    assert new.first_samp == kept.first_samp and new.info["bads"] == ["E3"]
    assert new.get_channel_types() == kept.get_channel_types()
    for key in ("highpass", "lowpass", "sfreq", "description", "subject_info", "line_freq"):
        assert new.info[key] == kept.info[key], key
    for a, b in zip(new.info["chs"], kept.info["chs"], strict=True):
        assert np.array_equal(a["loc"], b["loc"], equal_nan=True)
    assert len(new.info["dig"]) == len(kept.info["dig"])
    assert new.annotations.orig_time == kept.annotations.orig_time
    np.testing.assert_allclose(new.annotations.onset, kept.annotations.onset, rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        new.annotations.duration, kept.annotations.duration, rtol=0, atol=1e-9
    )
    assert list(new.annotations.description) == list(kept.annotations.description)
    assert mne.utils.object_diff(raw.info, kept.info) == ""
    assert raw.annotations == kept.annotations


@pytest.mark.parametrize("meas_date", [None, DATE], ids=["no date", "date"])
def test_annotations_and_rates_are_the_same_in_every_mode(meas_date):
    """Annotations are cut at the end of the data, which moves with the rate."""
    raw = rich_raw(meas_date)
    steps = [toys.Decimated(), toys.Halved(), toys.Decimated(), toys.ZScore(), toys.Decimated()]
    serial = run(steps, raw)
    assert serial.get_sfreq() == 62.5 and serial.get_raw().n_times == 375
    assert serial.get_raw().info["lowpass"] == 31.25
    assert len(serial.get_raw().annotations) == 3
    for options in RUNS:
        other = run(steps, raw, **options)
        assert_same(other, serial)
        a, b = other.get_raw().annotations, serial.get_raw().annotations
        assert np.array_equal(a.duration, b.duration)


def test_annotations_of_single_channels():
    raw = toys.make_raw()
    raw.set_annotations(
        mne.Annotations(
            [0.1, 0.2], [0.1, 0.1], ["BAD_a", "BAD_b"], ch_names=[("E1",), ("E4", "E2")]
        )
    )
    seen = {}

    class Looking(toys.ChannelWise):
        def change(self, x, context):
            notes = context.get_raw().annotations
            first, *others = context.get_channel_names()
            if not others:  # once more, with a second channel, to see whether that matters
                seen[first] = list(notes.description)
            return x

    new = run([Looking(), toys.Halved()], raw).get_raw()
    assert [tuple(c) for c in new.annotations.ch_names] == [("E1",), ("E4", "E2")]
    assert seen == {"E1": ["BAD_a"], "E2": ["BAD_b"], "E4": ["BAD_b"], "EOG1": [], "ECG1": []}


def test_anyones_step_sees_a_recording_of_one_channel():
    seen = []

    class Looking(toys.ChannelWise):
        def change(self, x, context):
            raw = context.get_raw()
            seen.append(
                (
                    raw.ch_names[0],
                    raw.get_channel_types()[0],
                    raw.first_samp,
                    raw.info["sfreq"],
                    len(raw.annotations),
                    tuple(context.get_triggers()[:2]),
                )
            )
            raw.annotations.append(1.0, 0.0, "mine")  # nobody else's
            raw.info["bads"] = [raw.ch_names[0]]
            context.metadata.triggers[:] = 0
            return x

    ctx = toys.make_context()
    result = Pipeline([toys.Decimated(), Looking(), toys.Halved()]).run(
        ctx, mode="channel_sequential", raise_on_error=True
    )
    types = dict(zip(toys.NAMES, toys.TYPES, strict=True))
    assert set(seen) == {(n, types[n], 617, 250.0, 2, (50, 150)) for n in toys.GOOD}
    assert len(result.get_raw().annotations) == 2 and result.get_raw().info["bads"] == ["E3"]


def test_quick_headers_are_the_headers():
    header = Header.of(rich_raw())
    quick = ChannelHeaders(header)
    shape = {"sfreq": 250.0, "first_samp": 617, "band": (1.0, 40.0)}
    for channel in (0, 4, 5, 0):
        x = np.zeros((1, 1500))
        a = quick.attach(x, channel, **shape)
        b = header.attach(x, picks=[channel], **shape)
        assert mne.utils.object_diff(a.info, b.info) == ""
        assert a.annotations == b.annotations and a.first_samp == b.first_samp
        assert a._data is x
    longer = quick.attach(np.zeros((1, 700)), 0, **shape)
    assert longer.annotations == header.attach(np.zeros((1, 700)), picks=[0], **shape).annotations


def test_headers_in_several_threads():
    """Checking an Info unlocks it for a moment: another thread then finds it locked."""
    header = Header.of(rich_raw())
    problems = []

    def work():
        try:
            for channel in range(8):
                header.attach(np.zeros((1, 3000)), picks=[channel])
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.set_annotations(mne.Annotations([1.0], [0.0], ["new"])),
        lambda raw: raw.info.update(bads=["E1"]),
        lambda raw: raw.rename_channels({"E1": "F1"}),
        lambda raw: raw.set_channel_types({"temp": "eeg"}, verbose="error"),
        lambda raw: raw.drop_channels(["E2"]),
        lambda raw: raw.crop(0.5, 3.0),
        lambda raw: raw.set_meas_date(DATE),
    ],
    ids=["annotations", "bads", "rename", "types", "drop", "crop", "date"],
)
@pytest.mark.parametrize("way", ["given", "with_raw"])
def test_changes_of_the_header_by_a_step_are_in_the_result_only(change, way):
    raw = toys.make_raw()
    kept = raw.copy()

    def step(context):
        given = context.get_raw()
        change(given)
        return context if way == "given" else context.with_raw(given)

    expected = raw.copy()
    change(expected)
    for options in PLACES:
        new = run([step], raw, **options).get_raw()
        assert mne.utils.object_diff(new.info, expected.info) == ""
        assert new.annotations == expected.annotations
        assert np.array_equal(new.get_data(), expected.get_data())
        assert new._data.flags.writeable
    assert mne.utils.object_diff(raw.info, kept.info) == ""
    assert raw.annotations == kept.annotations
    assert np.array_equal(raw.get_data(), kept.get_data())


def test_steps_over_all_channels_see_the_recording_of_its_class(tmp_path):
    raw = toys.make_raw()
    raw.save(tmp_path / "x_raw.fif", verbose="error", fmt="double")
    for preload in (True, False):
        loaded = mne.io.read_raw_fif(tmp_path / "x_raw.fif", preload=preload, verbose="error")
        seen = []
        run([lambda c, seen=seen: seen.append(c.get_raw()) or c], loaded)
        assert type(seen[0]) is type(loaded) and seen[0].filenames == loaded.filenames
        assert loaded.preload is preload

    def load(context):
        context.get_raw().load_data(verbose="error")
        return context

    lazy = mne.io.read_raw_fif(tmp_path / "x_raw.fif", preload=False, verbose="error")
    assert run([load], lazy).get_raw().preload and not lazy.preload


def test_samples_are_shared_not_copied():
    raw = toys.make_raw()
    for step in (toys.Found(), lambda c: c, lambda c: c.with_triggers([1])):
        assert run([step], raw).get_raw()._data is raw._data


def test_kinds_of_channels():
    raw = toys.make_raw()
    kinds = ["data", "data", "stim", "bad", "data", "data", "data", "other"]
    assert recording.channel_kinds(raw) == kinds
    assert recording.data_picks(raw).tolist() == [0, 1, 4, 5, 6]


@pytest.mark.parametrize(
    ("picks", "types", "rows"),
    [
        (None, None, range(8)),
        (None, ("eeg",), [0, 1, 3, 4]),
        ("all", ("eeg", "ecg"), [0, 1, 3, 4, 6]),
        ("E1", None, [0]),
        (3, None, [3]),
        (["eog", "E4", 0], None, [0, 4, 5]),
        (["E1", "EOG1"], ("eeg",), [0]),
    ],
)
def test_picks(picks, types, rows):
    assert recording.resolve_picks(picks, toys.make_raw().info, types) == set(rows)


@pytest.mark.parametrize("picks", ["Oz", ["E1", "Oz"], [0, 99], -1])
def test_picks_that_are_not_there(picks):
    with pytest.raises(ValidationError, match="neither a channel nor a channel type"):
        recording.resolve_picks(picks, toys.make_raw().info)


@pytest.mark.parametrize("n", [0, 1, 5])
@pytest.mark.parametrize("date", [None, DATE])
def test_a_copy_of_annotations_shares_nothing(n, date):
    names = [("E1",), (), ("E1", "E2"), (), ("E4",)][:n]
    extras = [{"a": 1}, None, {"b": "x", "c": 2.5}, {}, None][:n]
    marks = mne.Annotations(
        np.arange(n) / 3, np.full(n, 0.1), list("edcba")[:n], date, names, extras=extras
    )
    copied = recording.copy_annotations(marks)
    assert copied == marks and type(copied) is mne.Annotations
    assert [dict(e) for e in copied.extras] == [dict(e) for e in marks.extras]
    before = marks.copy()
    copied.append(9.0, 1.0, "more")
    copied.onset[:1] += 1.0
    copied.description[:1] = "other"
    for extra in copied.extras:
        extra["new"] = 1
    assert marks == before and [dict(e) for e in marks.extras] == [dict(e) for e in before.extras]
    assert len(pickle.loads(pickle.dumps(copied))) == n + 1
    copied.crop(0.0, 0.1)


@st.composite
def marks(draw):
    """Annotations within a recording, at its ends, over them, and outside."""
    n = draw(st.integers(1, 12))
    inside = st.floats(0.0, 10.0)
    onsets = inside if draw(st.booleans()) else st.one_of(inside, st.sampled_from([-3.0, 10.0, 11]))
    lengths = st.one_of(st.just(0.0), st.floats(0.0, 1.0 if draw(st.booleans()) else 20.0))
    return mne.Annotations(
        draw(st.lists(onsets, min_size=n, max_size=n)),
        draw(st.lists(lengths, min_size=n, max_size=n)),
        [f"mark {i}" for i in range(n)],
        ch_names=draw(st.lists(st.sampled_from([(), ("E1",)]), min_size=n, max_size=n)),
        extras=draw(st.lists(st.sampled_from([None, {"a": 1}]), min_size=n, max_size=n)),
    )


@given(marks(), st.booleans(), st.sampled_from([0, 17]))
def test_annotations_are_given_as_mne_sets_them(annotations, dated, first_samp):
    raws = [
        mne.io.RawArray(np.zeros((1, 5000)), mne.create_info(["E1"], 500.0, "eeg"), first_samp)
        for _ in range(2)
    ]
    if dated:
        for raw in raws:
            raw.set_meas_date(DATE)
        annotations._orig_time = DATE
    own = annotations.copy()
    raws[0].set_annotations(annotations, emit_warning=False)
    recording.give_annotations(raws[1].set_annotations, own, emit_warning=False)
    one, two = (raw.annotations for raw in raws)
    assert one == two and [dict(e) for e in one.extras] == [dict(e) for e in two.extras]
    assert one.onset.tobytes() == two.onset.tobytes()
    assert one.duration.tobytes() == two.duration.tobytes()
    two.crop(1.0, 2.0)  # MNE's own method again
