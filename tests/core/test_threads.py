"""Threads alive during a run stay within cores + outer workers, on any machine."""

from __future__ import annotations

import threading
import time
import weakref
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import facet_nb.signal
from facet_nb import ArrayProcessor, CommonReference, HighPassFilter, Pipeline
from facet_nb.core.backends import registry
from facet_nb.core.execution import threads
from tests.core.toys import wide_context

seen: list[int] = []
there: set[threading.Thread] = set()


class Count(ArrayProcessor):
    """Notes how many threads are alive while inner threads share a batch."""

    def compute(self, x, prepared, out=None):
        out = np.empty_like(x) if out is None else out
        time.sleep(0.002)  # so that all threads of the batch are at work
        seen.append(len(set(threading.enumerate()) - there))  # others may end meanwhile
        out[...] = x
        return out


class CountTimes(Count):
    """The same, shared over time."""

    splits = "times"
    needs = "all"


@pytest.mark.parametrize("mode", ["serial", "channel_sequential", "parallel"])
@pytest.mark.parametrize("cores", [1, 2, 12, 24])
@pytest.mark.parametrize(("n_jobs", "n_workers"), [(6, 2), (2, 6), (1, 4), (6, -1)])
def test_threads_stay_within_cores_and_workers(monkeypatch, mode, cores, n_jobs, n_workers):
    monkeypatch.setattr(registry, "count_cores", lambda backend=None: cores)
    monkeypatch.setattr(threads, "_pools", weakref.WeakKeyDictionary())
    ctx = wide_context(n_channels=14, n_times=17_000)
    seen.clear()
    there.clear()
    there.update(threading.enumerate())
    steps = [HighPassFilter(40.0), Count(), CountTimes(), CommonReference(), Count()]
    Pipeline(steps).run(
        ctx,
        mode=mode,
        backend="threading",
        n_jobs=n_jobs,
        n_workers=n_workers,
        batch_size=4,
        raise_on_error=True,
    )
    assert max(seen) <= cores + n_jobs
    if cores == 24 and (n_jobs, n_workers) == (2, 6):
        assert max(seen) >= 5  # inner threads there are


def test_outer_workers_do_not_wait_for_one_anothers_inner_threads(monkeypatch):
    """As many batches at once as outer workers, each with inner threads: no one starves."""
    monkeypatch.setattr(registry, "count_cores", lambda backend=None: 8)
    ctx = wide_context(n_channels=16, n_times=2000)
    options = {"mode": "channel_sequential", "backend": "threading", "batch_size": 2}

    def run_s(**more):
        begin = time.perf_counter()
        Pipeline([Count()] * 5).run(ctx, raise_on_error=True, **options, **more)
        return time.perf_counter() - begin

    run_s(n_jobs=4)
    assert min(run_s(n_jobs=4, n_workers=2) for _ in range(3)) < 10 * run_s(n_jobs=4) + 0.5


class Told(ArrayProcessor):
    """Notes the thread and the number of channels of each call."""

    def __init__(self, number=0, calls=None, meet=None):
        self.number, self.calls, self.meet = number, calls, meet

    def compute(self, x, prepared, out=None):
        self.calls.append((threading.current_thread().name, self.number, len(x)))
        if self.meet is not None:
            self.meet.wait()
        return np.array(x)


def test_inner_threads_take_their_channels_through_all_steps(monkeypatch):
    monkeypatch.setattr(registry, "count_cores", lambda backend=None: 2)
    calls: list[tuple[str, int, int]] = []
    steps = [Told(0, calls), Told(1, calls, threading.Barrier(2, timeout=10)), Told(2, calls)]
    ctx = wide_context(n_channels=4, n_times=500)
    result = Pipeline(steps).run(
        ctx, mode="channel_sequential", n_workers=2, batch_size=4, raise_on_error=True
    )
    # Single channels are computed once more, to see that they do not depend on their neighbours.
    batches = [call for call in calls if call[2] > 1]
    assert sorted((number, n) for _, number, n in batches) == [(i, 2) for i in (0, 0, 1, 1, 2, 2)]
    assert len({name for name, *_ in batches}) == 2
    assert len(result.state.step_wall_s) == 3
    np.testing.assert_array_equal(result.get_raw()._data, ctx.get_raw()._data)


def test_the_step_that_fails_in_an_inner_thread_is_named(monkeypatch):
    monkeypatch.setattr(registry, "count_cores", lambda backend=None: 2)

    class Failing(Count):
        name = "failing"

        def compute(self, x, prepared, out=None):
            if last in x[:, 0]:
                raise ValueError("the last channel")
            return np.array(x)

    ctx = wide_context(n_channels=4, n_times=500)
    last = ctx.get_raw()._data[3, 0]
    result = Pipeline([Count(), Failing(), Count()]).run(
        ctx, mode="channel_sequential", n_workers=2, batch_size=4
    )
    assert (result.failed_processor, result.failed_processor_index) == ("failing", 1)
    assert "the last channel" in str(result.error)


# ------------------------------------------------------------------------------ blocks of time
@given(st.integers(1, 400), st.integers(0, 10**7), st.integers(1, 64))
def test_blocks_of_time_cover_all_and_are_worth_a_thread(n_channels, n_times, n_workers):
    blocks = threads.split_times(n_channels, n_times, n_workers)
    assert 1 <= len(blocks) <= n_workers
    assert [blocks[0].start, blocks[-1].stop] == [0, n_times]
    assert all(a.stop == b.start for a, b in pairwise(blocks))
    if len(blocks) > 1:
        assert min(b.stop - b.start for b in blocks) * n_channels >= 0.9 * threads.MIN_VALUES


@pytest.mark.parametrize(("n_channels", "duration_s"), [(64, 1.0), (256, 0.3), (32, 2.0)])
@pytest.mark.parametrize("operator", ["median", "average"])
def test_a_short_window_of_many_channels_uses_two_threads(
    n_channels, duration_s, operator, monkeypatch
):
    """A window below 3.3 s at 5 kHz never did, however many channels it had."""
    used = []

    def note(work, blocks):
        used.append(len(blocks))
        return threads.run_blocks(work, blocks)

    monkeypatch.setattr(facet_nb.signal, "run_blocks", note)
    x = np.random.default_rng(5).standard_normal((n_channels, round(5000 * duration_s)))
    one = facet_nb.signal.common_reference(x, 5000.0, operator=operator)
    two = facet_nb.signal.common_reference(x, 5000.0, operator=operator, n_workers=2)
    assert used == [1, 2]
    assert np.array_equal(one, two)
