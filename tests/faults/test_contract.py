"""What user-defined steps return is checked; the errors are the same in every mode and batch."""

from __future__ import annotations

import ctypes
import time

import mne
import numpy as np
import pytest

from facet_nb.core import ArrayProcessor, Pipeline, Prepared, ProcessingContext, Processor
from tests.core import toys

N_CHANNELS, N_TIMES = 6, 600
RUNS = [
    {"mode": "serial"},
    {"mode": "serial", "n_workers": 2, "batch_size": 6},
    {"mode": "channel_sequential"},
    {"mode": "channel_sequential", "batch_size": 3},
    {"mode": "channel_sequential", "batch_size": 4, "dtype": "float32"},
    {"mode": "parallel", "backend": "threading", "n_jobs": 2, "batch_size": 6},
]


def make_context(n_channels=N_CHANNELS):
    data = 1e-5 * np.random.default_rng(0).standard_normal((n_channels, N_TIMES))
    info = mne.create_info([f"E{i}" for i in range(n_channels)], 500.0, "eeg")
    return ProcessingContext(mne.io.RawArray(data, info, verbose="error"))


ANSWERS = {
    "first": lambda x: 2 * x[:1],
    "flat": lambda x: 2 * x[0],
    "mean": lambda x: x.mean(axis=1, keepdims=True),
    "scalar": lambda x: np.float64(0.0),
    "neighbours": lambda x: x - x.mean(axis=0) + 0.5 * x,
    "reversed": lambda x: np.where(len(x) > 1, x[::-1] * 2, x),
    "complex": lambda x: x * (1 + 5j),
    "text": lambda x: x.astype(str),
    "objects": lambda x: x.astype(object),
    "none": lambda x: None,
    "short": lambda x: x[:, :-1],
    "transposed": lambda x: x.T.copy(),
    "nan": lambda x: x / (x - x),
    "twice": lambda x: np.concatenate([x, x]),
    "deep": lambda x: x[np.newaxis],
    "bytes": lambda x: x.tobytes(),
    "dates": lambda x: x.astype("datetime64[s]"),
    "masked": lambda x: np.ma.masked_array(x, mask=x > 0),
    "one infinite": lambda x: np.where(x == x.max(axis=1, keepdims=True), np.inf, x),
}
TOLD = {"complex": "complex128", "text": "real numbers", "objects": "real numbers", "nan": "NaN"}
TOLD |= {"one infinite": "infinite", "neighbours": "independently", "reversed": "independently"}
TOLD |= {"none": "real numbers", "masked": "masked", "bytes": "|S", "dates": "datetime64"}


class Answering(ArrayProcessor):
    """A step with a mistake."""

    def __init__(self, what: str) -> None:
        self.what = what

    def compute(self, x, prepared, out=None):
        with np.errstate(all="ignore"):
            return ANSWERS[self.what](x)


def fail(steps, context=None, **options):
    answer = Pipeline(steps).run(context or make_context(), show_progress=False, **options)
    assert not answer.success
    return answer.error


@pytest.mark.parametrize("what", ANSWERS)
def test_wrong_arrays_are_one_error_everywhere(what):
    seen = set()
    for options in RUNS:
        error = fail([toys.Halved(), Answering(what)], **options)
        assert error.step == "answering" and error.cause_type == "ValidationError"
        assert TOLD.get(what, "of shape") in str(error)
        assert error.channel == "E0"
        seen.add(str(error))
    assert len(seen) == 1


class WrongButForTheFirst(ArrayProcessor):
    """A mistake that the trial on the reference does not show; the second channel takes longer."""

    def compute(self, x, prepared):
        number = int(np.rint(x[0, 0]))
        if number == 0:
            return x.copy()
        if number == 1:
            time.sleep(0.5)
        return x[:, :-1]


@pytest.mark.parametrize("backend", ["threading", "multiprocessing"])
def test_the_first_wrong_channel_is_named_however_fast_its_worker_is(backend):
    data = np.repeat(np.arange(float(N_CHANNELS))[:, np.newaxis], N_TIMES, axis=1)
    info = mne.create_info([f"E{i}" for i in range(N_CHANNELS)], 500.0, "eeg")
    context = ProcessingContext(mne.io.RawArray(data, info, verbose="error"))
    options = {"mode": "parallel", "backend": backend, "n_jobs": 3, "batch_size": 1}
    error = fail([WrongButForTheFirst()], context, oversubscribe=True, **options)
    assert error.channel == "E1"
    assert str(error) == str(fail([WrongButForTheFirst()], context, mode="serial", batch_size=1))


class WithoutOut(ArrayProcessor):
    def compute(self, x, prepared):
        return 3 * x


class WithMore(ArrayProcessor):
    def compute(self, x, prepared, **more):
        return np.multiply(3, x, out=more["out"])


@pytest.mark.parametrize("kind", [WithoutOut, WithMore])
@pytest.mark.parametrize("options", RUNS)
def test_a_step_need_not_take_the_array_for_its_result(kind, options):
    context = make_context()
    wanted = 3 * context.get_data()
    found = Pipeline([kind()]).run(context, raise_on_error=True, **options).get_context().get_data()
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_any_other_shape_is_refused(seed):
    """Shapes that numpy would spread over rows or samples, and others."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.choice([1, 2, 3, N_TIMES - 1, N_TIMES], size=rng.integers(0, 4)).tolist())
    batch = int(rng.integers(1, 7))

    class Shaped(ArrayProcessor):
        def compute(self, x, prepared, out=None):
            return np.zeros(shape) if shape != x.shape else np.zeros((len(x), N_TIMES + 1))

    assert "of shape" in str(fail([Shaped()], mode="channel_sequential", batch_size=batch))


@pytest.mark.parametrize(
    ("prepared", "told"),
    [
        (None, "NoneType"),
        (Prepared(n_times=0), "n_times=0"),
        (Prepared(n_times=2.5), "n_times=2.5"),
        (Prepared(sfreq=float("nan")), "sfreq=nan"),
        (Prepared(sfreq=-1.0), "sfreq=-1.0"),
    ],
)
def test_wrong_decisions(prepared, told):
    class Preparing(toys.Halved):
        def prepare(self, view):
            return prepared

    assert told in str(fail([Preparing()]))


def change_name(raw):
    return raw.rename_channels({raw.ch_names[0]: "other"})


def change_rate(raw):
    if raw.ch_names == ["E3"]:
        with raw.info._unlock():
            raw.info["sfreq"] = 250.0
    return raw


def add_annotation(raw):
    return raw.set_annotations(mne.Annotations([0.1], [0.1], ["found"]))


def add_bad(raw):
    raw.info["bads"] = list(raw.ch_names)
    return raw


def make_complex(raw):
    raw._data = raw._data * 1j
    return raw


def mask_some(raw):
    raw._data = np.ma.masked_array(raw._data, mask=raw._data > 0)
    return raw


def make_nan(raw):
    raw._data = raw._data * (np.nan if raw.ch_names == ["E3"] else 1.0)
    return raw


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (change_name, "must not rename"),
        (change_rate, "250 Hz"),
        (add_annotation, "annotations"),
        (add_bad, "bad channel"),
        (make_complex, "complex128"),
        (mask_some, "masked"),
        (make_nan, "NaN"),
    ],
)
def test_wrong_recordings_are_one_error_everywhere(change, told):
    class Changing(Processor):
        channel_wise = True

        def process(self, context):
            return context.with_raw(change(context.get_raw().copy()))

    seen = set()
    for options in RUNS:
        error = fail([Changing()], **options)
        assert told in str(error) and error.cause_type == "ValidationError"
        seen.add(str(error))
    assert len(seen) == 1


@pytest.mark.parametrize("what", ["rows", "samples", "complex", "masked", "nan"])
def test_wrong_recordings_of_steps_over_all_channels(what):
    def step(context):
        raw = context.get_raw().copy()
        if what == "rows":
            raw._data = raw._data[:1]
        elif what == "samples":
            raw._data = raw._data[:, :7]
        elif what == "complex":
            raw._data = raw._data * 1j
        elif what == "masked":
            mask_some(raw)
        else:
            raw._data[2, 5] = np.nan
        return context.with_raw(raw)

    error = fail([step])
    assert error.cause_type == "ValidationError" and "process() returned" in str(error)
    if what == "nan":
        assert error.channel == "E2"


def write_past_the_flag(x):
    """Write as C does, which knows nothing of numpy's flag."""
    pointer = ctypes.cast(x.__array_interface__["data"][0], ctypes.POINTER(ctypes.c_double))
    pointer[0] = 7.0


@pytest.mark.parametrize("options", RUNS[:4] + RUNS[5:], ids=toys.ids)
@pytest.mark.parametrize("kind", ["array", "channel"])
def test_writes_past_the_flag_do_not_reach_the_recording(kind, options):
    class Array(ArrayProcessor):
        def compute(self, x, prepared, out=None):
            y = 2.0 * x
            write_past_the_flag(x)
            return y

    class Channel(toys.ChannelWise):
        def change(self, x, context):
            y = 2.0 * x
            write_past_the_flag(context.get_raw()._data)
            return y

    context = make_context()
    before = context.get_data().copy()
    step = Array() if kind == "array" else Channel()
    answer = Pipeline([step]).run(context, show_progress=False, **options)
    np.testing.assert_array_equal(context.get_data(), before)
    np.testing.assert_array_equal(answer.get_raw().get_data(), 2.0 * before)


@pytest.mark.parametrize("options", RUNS, ids=toys.ids)
def test_a_step_runs_once_per_channel(options):
    """Also on the reference channel, and also where it draws numbers or counts."""
    calls: list[str] = []
    checks: list[str] = []

    class Counting(toys.ChannelWise):
        def change(self, x, context):
            names = context.get_channel_names()
            (calls if len(names) == 1 else checks).append(names[0])  # see test_independence.py
            return x + 1e-6 * len(calls)

    context = make_context()
    answer = Pipeline([toys.Halved(), Counting(), toys.Halved()]).run(
        context, show_progress=False, **options
    )
    assert answer.success, answer.error
    assert sorted(calls) == context.get_channel_names()
    assert checks == ["E0"]
