"""User-defined steps that claim to be channel-wise and are not; writes that pass numpy's flag."""

from __future__ import annotations

import ctypes

import mne
import numpy as np
import pytest

from facet_nb.core import ArrayProcessor, Pipeline, Prepared, ProcessingContext, Processor
from tests.core import toys
from tests.faults.test_contract import write_past_the_flag

RUNS = [
    *toys.PLACES,
    {"mode": "serial", "memory_budget": "8 GB", "batch_size": 2},
    {"mode": "channel_sequential", "dtype": "float32"},
]
CODE = "channels_not_independent"


def weigh(x, context):
    """Take the first principal component out, as a spatial filter does."""
    u, s, v = np.linalg.svd(x, full_matrices=False)
    return x - s[0] * u[:, :1] @ v[:1]


NOT = {
    "common average": lambda x, context: x - x.mean(axis=0),
    "median": lambda x, context: x - np.median(x, axis=0),
    "spatial filter": weigh,
    "scale of all": lambda x, context: x / x.std(),
    "next row": lambda x, context: x - 0.1 * np.roll(x, 1, axis=0),
    "random": lambda x, context: x + 1e-6 * np.random.default_rng().standard_normal(x.shape),
}
IS = {
    "scaled": lambda x, context: 2.0 * x,
    "mean of time": lambda x, context: x - x.mean(axis=1, keepdims=True),
    "nothing left": lambda x, context: 0.0 * x,
    "one row only": lambda x, context: np.atleast_2d(2.0 * x[0]),
    "rounding": lambda x, context: x - (x + 1e-3 - 1e-3),
    "spectrum": lambda x, context: np.fft.irfft(np.fft.rfft(x), x.shape[1]),
    "one channel or nothing": lambda x, context: (
        2.0 * x.reshape(1, -1)[:, : len(x.T)] / (2 - len(x))
    ),
}


class Answer(toys.ChannelWise):
    """Returns what a function of both tables makes of its samples."""

    def __init__(self, what: str) -> None:
        self.what = what

    def change(self, x, context):
        with np.errstate(all="ignore"):
            return (NOT | IS)[self.what](x, context)


def find(result):
    return [f for f in result.findings if f.code == CODE]


@pytest.mark.parametrize("options", RUNS, ids=toys.ids)
@pytest.mark.parametrize("what", [*NOT, *IS])
def test_a_step_that_looks_at_its_neighbours_is_told(what, options):
    steps = [toys.Halved(), Answer(what)]
    result = Pipeline(steps).run(toys.make_context(n_times=300), show_progress=False, **options)
    assert result.success, result.error
    found = find(result)
    assert len(found) == (what in NOT)
    for finding in found:
        assert finding.step == "answer" and finding.channels == ("E1",)
        assert "channel_wise = False" in str(finding)
        assert finding.severity == "warning" and finding.evidence["difference_v"] > 0


def test_one_channel_has_no_neighbour():
    result = Pipeline([Answer("common average")]).run(toys.wide_context(1))
    assert result.success and not find(result)


def test_what_a_step_counts_is_not_changed_by_the_check():
    class Counting(toys.ChannelWise):
        def __init__(self):
            self.n, self.rng = 0, np.random.default_rng(0)

        def change(self, x, context):
            self.n += 1
            return x + 0.0 * self.rng.standard_normal()

    step = Counting()
    assert Pipeline([step]).run(toys.make_context(), raise_on_error=True).success
    state, expected = step.rng.bit_generator.state, np.random.default_rng(0)
    expected.standard_normal(len(toys.GOOD))
    assert step.n == len(toys.GOOD) and state == expected.bit_generator.state


def test_no_check_under_a_timeout():
    """The limit is for one channel: three would need more."""
    result = Pipeline([Answer("common average")]).run(toys.make_context(), timeout=60)
    assert result.success and not find(result)


# --------------------------------------------------------------- steps that see all channels
def multiply(x):
    """Double samples in place, as torch and C do."""
    flat = (ctypes.c_double * x.size).from_address(x.__array_interface__["data"][0])
    np.frombuffer(flat)[...] *= 2.0


def in_place(context):
    multiply(context.get_raw()._data)
    return context


def beside(context):
    raw = context.get_raw().copy()
    multiply(context.get_raw()._data)
    return context.with_raw(raw)


def original(context):
    raw = context.get_raw_original()
    multiply(raw._data)
    return context


class Global(Processor):
    """The same as a class."""

    def process(self, context):
        return in_place(context)


WRITES = {"in place": (in_place, 2), "beside": (beside, 1), "class": (Global(), 2)}


@pytest.mark.parametrize("budget", [None, "8 GB"])
@pytest.mark.parametrize("first", [[], [toys.Halved()]], ids=["alone", "second"])
@pytest.mark.parametrize("what", WRITES)
def test_global_steps_cannot_write_to_the_recording(what, first, budget):
    context, (step, factor) = toys.make_context(), WRITES[what]
    before = context.get_data().copy()
    kept = Pipeline(first).run(context) if first else None
    expected = before if kept is None else kept.get_raw().get_data()
    result = Pipeline([*first, step]).run(context, memory_budget=budget, raise_on_error=True)
    np.testing.assert_array_equal(context.get_data(), before)
    np.testing.assert_array_equal(result.get_raw().get_data(), factor * expected)
    assert result.get_context().get_raw_original() is context.get_raw()


def test_alone_as_well():
    context = toys.make_context()
    before = context.get_data().copy()
    new = Global()(context)
    np.testing.assert_array_equal(context.get_data(), before)
    np.testing.assert_array_equal(new.get_data(), 2 * before)
    raw = Global()(context.get_raw())
    np.testing.assert_array_equal(context.get_data(), before)
    np.testing.assert_array_equal(raw.get_data(), 2 * before)


def test_nor_to_the_original():
    context = toys.make_context()
    before = context.get_data().copy()
    assert Pipeline([original]).run(context).success
    np.testing.assert_array_equal(context.get_data(), before)

    def by_numpy(given):
        given.get_raw_original()._data *= 2.0
        return given

    error = Pipeline([toys.Halved(), by_numpy]).run(context).error
    assert "in place" in str(error)
    np.testing.assert_array_equal(context.get_data(), before)


def test_samples_on_disk(tmp_path):
    """They are mapped copy-on-write: no file changes, and none is copied."""
    path = tmp_path / "x_raw.fif"
    toys.make_raw().save(path, verbose="error")
    raw = mne.io.read_raw_fif(path, verbose="error")
    before, content = raw.get_data(), path.read_bytes()
    steps = [toys.Scaled(0.5), in_place, toys.Halved()]
    result = Pipeline(steps).run(ProcessingContext(raw), memory_budget="8 GB", raise_on_error=True)
    picks = [i for i, name in enumerate(toys.NAMES) if name in toys.GOOD]
    np.testing.assert_array_equal(result.get_raw().get_data()[picks], before[picks] / 2)
    assert path.read_bytes() == content
    np.testing.assert_array_equal(raw.get_data(), before)


@pytest.mark.parametrize("needs", ["reference", "all"])
def test_decisions_cannot_write_to_the_recording(needs):
    class Deciding(ArrayProcessor):
        def prepare(self, view):
            for x in (view.reference, view.data, view.all_data):
                if x is not None:
                    write_past_the_flag(x)
            return Prepared()

        def compute(self, x, prepared, out=None):
            return 2.0 * x

    Deciding.needs = needs
    context = toys.make_context()
    before = context.get_data().copy()
    result = Pipeline([Deciding()]).run(context, raise_on_error=True)
    np.testing.assert_array_equal(context.get_data(), before)
    np.testing.assert_array_equal(result.get_raw().get_data()[0], 2 * before[0])


def test_an_untouched_recording_keeps_its_samples():
    """The private copy is dropped: a result without changes shares the caller's samples."""
    context = toys.make_context()
    result = Pipeline([lambda given: given]).run(context, raise_on_error=True)
    assert result.get_raw()._data is context.get_raw()._data
