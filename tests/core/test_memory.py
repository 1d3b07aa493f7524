"""No copy of the recording is kept longer than it is needed, and little travels to workers."""

from __future__ import annotations

import pickle
import weakref

import mne
import numpy as np
import pytest

from facet_nb.core import Pipeline, ProcessingContext
from facet_nb.core.backends import processes
from facet_nb.core.execution import batch
from facet_nb.core.storage import array_store
from facet_nb.core.storage.array_store import fresh_array
from tests.core import toys


@pytest.fixture
def results(monkeypatch):
    """Follow all full-size results: the largest number alive at once, and who is alive."""
    alive, most = [], [0]
    fresh = fresh_array

    def follow(shape):
        array = fresh(shape)
        alive.append(weakref.ref(array))
        most[0] = max(most[0], sum(ref() is not None for ref in alive))
        return array

    monkeypatch.setattr(array_store, "fresh_array", follow)
    return lambda: most[0], lambda: [r() for r in alive if r() is not None]


def new_recording(context):
    raw = context.get_raw().copy()
    return context.with_raw(raw)


@pytest.mark.parametrize(
    ("steps", "n_alive", "n_left"),
    [
        ([toys.Halved() for _ in range(5)], 2, 1),
        ([toys.Halved(), toys.Squared(), toys.Halved(), toys.Decimated(), toys.Halved()], 2, 1),
        ([toys.ZScore(), toys.Halved(), toys.Spread(), toys.Halved(), toys.Spread()], 2, 1),
        ([toys.Halved(), toys.Spread(), toys.Halved(), toys.Halved(), toys.Halved()], 2, 1),
        ([toys.Halved(), new_recording, toys.Halved(), new_recording, toys.Halved()], 1, 1),
        ([toys.Halved(), toys.Found(), toys.Referred(), toys.Found(), toys.Halved()], 2, 1),
        # The noise of a correction refers to the caller's samples and to none of ours.
        ([toys.Halved(), toys.Demeaned(), toys.Halved(), toys.Halved()], 2, 1),
        # Where other samples took their place, it refers to those before the correction ...
        ([toys.Spread(), toys.Halved(), toys.Demeaned(), toys.Halved(), toys.Halved()], 3, 2),
        # ... and before and after it, once a step has made a recording of its own.
        ([toys.Demeaned(), new_recording, toys.Halved(), toys.Halved(), toys.Halved()], 3, 2),
    ],
)
def test_results_that_are_alive(results, steps, n_alive, n_left):
    most, alive = results
    result = Pipeline(steps).run(toys.make_context(), raise_on_error=True)
    assert most() == n_alive
    left = alive()
    assert any(a is result.get_raw()._data for a in left)
    assert len(left) == n_left
    del result, left
    assert alive() == []


@pytest.mark.parametrize(
    ("kinds", "n_alive"), [("ghggg", 2), ("sgh", 3), ("shg", 2), ("shggg", 2), ("gsg", 3)]
)
def test_a_correction_that_may_take_the_place_of_its_input(results, kinds, n_alive):
    class Greedy(toys.Demeaned):
        def can_overwrite(self):
            return True

    most, _ = results
    ctx = toys.make_context()
    samples = ctx.get_data().copy()
    steps = [toys.Halved() if c == "h" else Greedy() if c == "g" else toys.Spread() for c in kinds]
    result = Pipeline(steps).run(ctx, raise_on_error=True)
    assert most() == n_alive and np.array_equal(ctx.get_data(), samples)
    plain = Pipeline([toys.Demeaned() if isinstance(s, Greedy) else s for s in steps])
    expected = plain.run(ctx, raise_on_error=True)
    assert np.array_equal(result.get_raw().get_data(), expected.get_raw().get_data())
    noise = expected.context.get_estimated_noise()
    assert np.array_equal(result.context.get_estimated_noise(), noise)


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize(
    ("kinds", "direct"),
    [("oo", "01"), ("og", "11"), ("ogg", "111"), ("ogo", "001"), ("oog", "011"), ("ogp", "000")],
)
def test_samples_that_later_steps_may_overwrite_lie_where_the_result_will(kinds, direct, n_workers):
    """`g` may overwrite its input, `o` may not; nor may `p`, which leaves channels out."""
    seen = {}

    class Watched(toys.Squared):
        def __init__(self, number, greedy, picks=None):
            self.number, self.greedy, self.picks = number, greedy, picks

        def can_overwrite(self):
            return self.greedy

        def compute(self, x, prepared, out=None):
            result = super().compute(x, prepared, out)
            seen.setdefault(self.number, []).append(result)
            return result

    ctx = toys.make_context()
    samples = ctx.get_data().copy()
    picks = {"p": ["E1", "E4"]}
    steps = [Watched(i, kind != "o", picks.get(kind)) for i, kind in enumerate(kinds)]
    options = {"mode": "channel_sequential", "n_workers": n_workers, "batch_size": 4}
    raw = Pipeline(steps).run(ctx, raise_on_error=True, **options).get_raw()
    assert np.array_equal(ctx.get_data(), samples)
    expected = samples.copy()
    for kind in kinds:
        rows = [toys.NAMES.index(name) for name in picks.get(kind, toys.GOOD)]
        expected[rows] *= np.abs(expected[rows])
    good = [toys.NAMES.index(name) for name in toys.GOOD]
    assert np.array_equal(raw.get_data()[good], expected[good])
    for number, flag in enumerate(direct):
        places = [np.shares_memory(result, raw._data) for result in seen[number]]
        assert any(places) == (flag == "1"), (kinds, number)  # trials have arrays of their own


def test_channel_sequential_holds_one_batch_of_intermediates(results):
    most, _ = results
    largest = []

    class Counting(toys.Halved):
        def compute(self, x, prepared, out=None):
            largest.append(len(x))
            return super().compute(x, prepared, out)

    steps = [Counting(), toys.Squared(), Counting(), toys.Decimated(), Counting()]
    Pipeline(steps).run(toys.make_context(), channel_sequential=True, batch_size=2)
    assert most() == 1 and max(largest) == 2


def test_what_is_sent_for_each_batch_is_small(monkeypatch):
    """Decisions, header and annotations go once for each stage, samples never."""
    raw = toys.wide_context(16, n_times=50_000).get_raw()
    onset = np.linspace(0.0, 200.0, 840)
    raw.set_annotations(mne.Annotations(onset, 0.001, "Stimulus/S  1"))

    class Deciding(toys.Cancelling):
        parallel_safe = True

        def prepare(self, view):
            return type(super().prepare(view))(np.zeros(100_000))

    sent, jobs = [], []
    write, backend_run = array_store.Store.write, processes.ProcessBackend.run

    def note_job(self, content):
        jobs.append(len(content))
        return write(self, content)

    def note_calls(self, function, calls, n_jobs, cancel):
        if function is batch.run_batch:
            sent.extend(len(pickle.dumps(call)) for call in calls)
        return backend_run(self, function, calls, n_jobs, cancel)

    monkeypatch.setattr(array_store.Store, "write", note_job)
    monkeypatch.setattr(processes.ProcessBackend, "run", note_calls)
    steps = [toys.Demeaned(), toys.Halved(), Deciding(), toys.ZScore()]
    options = {"mode": "parallel", "n_jobs": 2, "batch_size": 1}
    Pipeline(steps).run(ProcessingContext(raw), **options, raise_on_error=True)
    assert len(sent) == 4 * 16 and max(sent) < 500
    assert len(jobs) == 4 and max(jobs) < 8 * 100_000 + 200_000


def test_no_more_workers_than_batches(monkeypatch):
    """64 cores and three channels: three workers, the same ones in every stage."""
    asked = []
    backend_run = processes.ProcessBackend.run

    def note(self, function, calls, n_jobs, cancel):
        asked.append(n_jobs)
        return backend_run(self, function, calls, n_jobs, cancel)

    monkeypatch.setattr(processes.ProcessBackend, "run", note)
    steps = [toys.Halved(), toys.Found(), toys.ZScore(), toys.Halved()]
    result = Pipeline(steps).run(toys.wide_context(3), mode="parallel", n_jobs=64)
    assert result.success and len(asked) == 5 and set(asked) == {3}
    assert result.plan.n_jobs == result.state.n_jobs == 64
