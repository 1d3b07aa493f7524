"""Crop, PickChannels, DropChannels: what goes with the samples."""

from __future__ import annotations

from datetime import UTC, datetime

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facet_nb.core import ArrayProcessor, Pipeline, ProcessingContext, ProcessingMetadata
from facet_nb.core.errors import FacetError, ValidationError
from facet_nb.preprocessing.selection import Crop, DropChannels, PickChannels

SFREQ = 200.0
NAMES = ["Fz", "Cz", "Pz", "VEOG", "ECG", "STI", "temp"]
TYPES = ["eeg", "eeg", "eeg", "eog", "ecg", "stim", "misc"]
MODES = [
    {"mode": "serial"},
    {"mode": "channel_sequential"},
    {"mode": "parallel", "n_jobs": 2, "backend": "threading"},
]


class Half(ArrayProcessor):
    """Takes half of the signal away: the simplest correction there is."""

    name = "half_of_selection_tests"
    subtracts = True

    def compute(self, x, prepared, out=None):
        return 0.5 * x


class Triple(ArrayProcessor):
    """A linear step."""

    name = "triple_of_selection_tests"
    linear = True

    def compute(self, x, prepared, out=None):
        return 3.0 * x


def make_raw(first_samp=0, meas_date=None, n_times=1000):
    rng = np.random.default_rng(3)
    info = mne.create_info(NAMES, SFREQ, TYPES)
    data = 1e-5 * rng.normal(size=(7, n_times))
    raw = mne.io.RawArray(data, info, first_samp=first_samp, verbose="error")
    raw.set_meas_date(meas_date)
    raw.info["bads"] = ["Pz"]
    marks = mne.Annotations([0.1, 1.0, 2.5, 4.0], [0.0, 0.5, 0.0, 1.0], ["a", "b", "c", "d"])
    return raw.set_annotations(marks)


def make_context(raw=None, triggers=(50, 150, 250, 350, 450), noisy=True):
    raw = make_raw() if raw is None else raw
    metadata = ProcessingMetadata(
        triggers=np.array(triggers), artifact_length=100, acq_start_sample=50, acq_end_sample=549
    )
    context = ProcessingContext(raw, metadata=metadata)
    return Half().execute(context) if noisy else context


def describe(annotations):
    return [(round(a["onset"], 9), round(a["duration"], 9), a["description"]) for a in annotations]


# ------------------------------------------------------------------------------------- crop
@settings(max_examples=80)
@given(st.floats(0, 4.995), st.floats(0, 4.995))
def test_crop_keeps_the_span_of_mne(a, b):
    tmin, tmax = sorted((a, b))
    raw = RAW
    cropped = Crop(tmin, tmax).execute(ProcessingContext(raw)).get_raw()
    expected = raw.copy().crop(tmin, tmax)
    np.testing.assert_array_equal(cropped.get_data(), expected.get_data())
    assert cropped.first_samp == expected.first_samp
    assert describe(cropped.annotations) == describe(expected.annotations)


RAW = make_raw()


@pytest.mark.parametrize("first_samp", [0, 321])
@pytest.mark.parametrize("meas_date", [None, datetime(2024, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)])
@pytest.mark.parametrize("mode", MODES, ids=lambda m: m["mode"])
def test_crop_like_mne_in_every_mode(first_samp, meas_date, mode):
    raw = make_raw(first_samp, meas_date)
    start = make_context(raw)
    result = Pipeline([Crop(0.5, 3.0)]).run(start, **mode)
    assert result.success, result.error
    cropped, expected = result.get_raw(), start.get_raw().copy().crop(0.5, 3.0)
    np.testing.assert_array_equal(cropped.get_data(), expected.get_data())
    assert cropped.first_samp == expected.first_samp
    assert describe(cropped.annotations) == describe(expected.annotations)
    assert cropped.info["meas_date"] == expected.info["meas_date"]
    assert cropped.info["bads"] == ["Pz"]


def test_crop_shifts_triggers_and_drops_those_outside():
    context = Crop(0.5, 2.0).execute(make_context())  # samples 100 to 400
    np.testing.assert_array_equal(context.get_triggers(), [50, 150, 250])
    metadata = context.metadata
    assert (metadata.acq_start_sample, metadata.acq_end_sample) == (0, 300)
    assert metadata.artifact_length == 100
    assert context.get_history()[-1].parameters["n_triggers_dropped"] == 2


def test_trigger_at_the_last_sample_stays_and_one_after_it_goes():
    kept = Crop(0.25, 1.25).execute(make_context())  # samples 50 to 250
    np.testing.assert_array_equal(kept.get_triggers(), [0, 100, 200])
    gone = Crop(0.255, 1.245).execute(make_context())  # samples 51 to 249
    np.testing.assert_array_equal(gone.get_triggers(), [99])


def test_crop_without_any_trigger_left():
    context = Crop(3.0, 4.0).execute(make_context())
    assert not context.has_triggers()
    assert context.metadata.acq_start_sample is None
    without = Crop(3.0, 4.0).execute(ProcessingContext(make_raw()))
    assert without.get_triggers() is None


def test_noise_is_cropped_too():
    start = make_context()
    noise = start.get_estimated_noise()
    assert np.abs(noise).max() > 0
    context = Crop(0.5, 2.0).execute(start)
    np.testing.assert_allclose(
        context.get_estimated_noise(), noise[:, 100:401], rtol=1e-12, atol=1e-20
    )
    later = Triple().execute(context)
    np.testing.assert_allclose(
        later.get_estimated_noise(), 3 * noise[:, 100:401], rtol=1e-12, atol=1e-20
    )


def test_noise_that_was_set_is_cropped_too():
    start = make_context(noisy=False)
    noise = np.zeros((7, 1000))
    noise[:2] = np.arange(1000)
    start.set_estimated_noise(noise)
    found = Crop(0.5, 2.0).execute(start).get_estimated_noise()
    np.testing.assert_array_equal(found, noise[:, 100:401])


def test_crop_leaves_input_and_original_alone():
    start = make_context(noisy=False)
    before = start.get_raw().get_data()
    context = Crop(1.0, 2.0).execute(start)
    context.get_raw()._data[:] = 0
    np.testing.assert_array_equal(start.get_raw().get_data(), before)
    np.testing.assert_array_equal(start.get_triggers(), [50, 150, 250, 350, 450])
    assert context.get_raw_original().n_times == 1000


def test_crop_twice_is_crop_once():
    once = Crop(1.5, 3.0).execute(make_context())
    twice = Crop(0.5, 2.0).execute(Crop(1.0, None).execute(make_context()))
    np.testing.assert_array_equal(once.get_data(), twice.get_data())
    np.testing.assert_array_equal(once.get_triggers(), twice.get_triggers())
    assert once.get_raw().first_samp == twice.get_raw().first_samp


def test_crop_to_one_sample_and_to_everything():
    assert Crop(1.0, 1.0).execute(make_context()).get_raw().n_times == 1
    assert Crop(tmin=4.995).execute(make_context()).get_raw().n_times == 1
    assert Crop().execute(make_context()).get_raw().n_times == 1000


@pytest.mark.parametrize(
    ("tmin", "tmax"), [(-1, 2), (2, 1), (0, 6), (5.1, None), (float("nan"), 1), (0, float("inf"))]
)
def test_crop_of_what_is_not_there(tmin, tmax):
    with pytest.raises(FacetError, match=r"4\.995 s"):
        Crop(tmin, tmax).execute(make_context())


# --------------------------------------------------------------------------------- channels
@pytest.mark.parametrize(
    ("picks", "expected"),
    [
        (["Cz", "Fz"], ["Fz", "Cz"]),
        ("eeg", ["Fz", "Cz", "Pz"]),
        ("data", ["Fz", "Cz", "Pz", "VEOG", "ECG"]),
        (["eog", "STI"], ["VEOG", "STI"]),
        ([0, 6], ["Fz", "temp"]),
        (2, ["Pz"]),
        ("all", NAMES),
        (["Cz", "nobody"], ["Cz"]),
    ],
)
def test_pick_channels(picks, expected):
    start = make_context()
    context = PickChannels(picks).execute(start)
    assert context.get_channel_names() == expected
    rows = [NAMES.index(n) for n in expected]
    np.testing.assert_array_equal(context.get_data(), start.get_data()[rows])
    np.testing.assert_allclose(
        context.get_estimated_noise(), start.get_estimated_noise()[rows], rtol=1e-12, atol=1e-20
    )
    assert context.get_raw().info["bads"] == [n for n in ("Pz",) if n in expected]


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        (["Cz", "temp"], ["Fz", "Pz", "VEOG", "ECG", "STI"]),
        ("Cz", ["Fz", "Pz", "VEOG", "ECG", "STI", "temp"]),
        (["stim", "misc"], ["Fz", "Cz", "Pz", "VEOG", "ECG"]),
        (["nobody"], NAMES),
        ([], NAMES),
    ],
)
def test_drop_channels(channels, expected):
    start = make_context()
    context = DropChannels(channels).execute(start)
    assert context.get_channel_names() == expected
    rows = [NAMES.index(n) for n in expected]
    np.testing.assert_array_equal(context.get_data(), start.get_data()[rows])
    assert context.get_estimated_noise().shape == (len(expected), 1000)


@pytest.mark.parametrize("step", [PickChannels(["Cz", "STI"]), DropChannels(["Fz", "temp"])])
@pytest.mark.parametrize("meas_date", [None, datetime(2024, 1, 2, tzinfo=UTC)])
def test_what_is_kept_beside_the_samples(step, meas_date):
    raw = make_raw(55, meas_date)
    with raw.info._unlock():
        raw.info["highpass"], raw.info["lowpass"] = 0.5, 70.0
    start = make_context(raw)
    kept = step.execute(start)
    new = kept.get_raw()
    assert describe(new.annotations) == describe(raw.annotations)
    assert (new.first_samp, new.info["highpass"], new.info["lowpass"]) == (55, 0.5, 70.0)
    assert new.info["meas_date"] == raw.info["meas_date"]
    np.testing.assert_array_equal(kept.get_triggers(), start.get_triggers())
    assert [s.name for s in kept.get_history()] == ["half_of_selection_tests", step.name]
    assert kept.get_raw_original().ch_names == NAMES
    assert start.get_channel_names() == NAMES


def test_annotations_of_channels_go_with_them():
    raw = make_raw()
    raw.annotations.append([0.2, 0.3], 0.0, ["both", "one"], ch_names=[("Fz", "Cz"), ("Fz",)])
    before = describe(raw.annotations)
    new = DropChannels("Fz").execute(ProcessingContext(raw)).get_raw()
    expected = raw.copy().drop_channels("Fz")
    assert describe(new.annotations) == describe(expected.annotations)
    assert list(new.annotations.ch_names) == list(expected.annotations.ch_names)
    assert describe(raw.annotations) == before


def test_noise_follows_channels_through_later_steps():
    start = make_context()
    noise = start.get_estimated_noise()
    context = Triple().execute(PickChannels(["Cz", "VEOG"]).execute(start))
    np.testing.assert_allclose(
        context.get_estimated_noise(), 3 * noise[[1, 3]], rtol=1e-12, atol=1e-20
    )


def test_recording_that_is_not_loaded(tmp_path):
    make_raw().save(tmp_path / "a_raw.fif", fmt="double", verbose="error")
    raw = mne.io.read_raw_fif(tmp_path / "a_raw.fif", verbose="error")
    context = PickChannels(["Cz", "STI"]).execute(ProcessingContext(raw))
    np.testing.assert_array_equal(context.get_data(), make_raw().get_data(picks=["Cz", "STI"]))
    assert not raw.preload


@pytest.mark.parametrize("step", [PickChannels("seeg"), PickChannels([]), DropChannels("all")])
def test_nothing_left(step):
    with pytest.raises(ValidationError, match=r"leaves no channel.*Fz, Cz"):
        step.execute(make_context())


@pytest.mark.parametrize("make", [PickChannels, DropChannels])
def test_missing_channels_may_be_an_error(make):
    with pytest.raises(ValidationError, match=r"'nobody'.*Fz"):
        make(["Cz", "nobody"], on_missing="raise").execute(make_context())
    with pytest.raises(ValidationError, match="on_missing='perhaps'"):
        make(["Cz"], on_missing="perhaps").execute(make_context())


def test_result_is_independent_of_the_input():
    start = make_context()
    context = PickChannels(["Cz"]).execute(start)
    context.get_raw()._data[:] = 0
    assert np.all(start.get_data()[1] != 0)


# ------------------------------------------------------------------------------------ modes
def test_all_modes_agree():
    steps = [Half(), Crop(0.3, 4.0), DropChannels("Fz"), Triple(), PickChannels(["eeg", "stim"])]
    start = make_context(noisy=False)
    results = [Pipeline(steps).run(start, **mode) for mode in MODES]
    assert all(r.success for r in results), [r.error for r in results]
    first = results[0].context
    assert first.get_channel_names() == ["Cz", "Pz", "STI"]
    for result in results:
        context = result.context
        np.testing.assert_array_equal(context.get_data(), first.get_data())
        np.testing.assert_array_equal(context.get_estimated_noise(), first.get_estimated_noise())
        assert context.to_dict() == first.to_dict()
        assert describe(context.get_raw().annotations) == describe(first.get_raw().annotations)
    cz = make_raw().get_data(picks=["Cz"])[0, 60:801]
    np.testing.assert_allclose(first.get_data()[0], 1.5 * cz, rtol=1e-12)
    np.testing.assert_allclose(first.get_estimated_noise()[0], 1.5 * cz, rtol=1e-9)
