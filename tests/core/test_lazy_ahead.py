"""Reading ahead: the next window of a lazy recording is computed while the last one is shown."""

from __future__ import annotations

import threading

import mne
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet_nb import AASCorrection, Pipeline, TriggerDetector
from facet_nb.core.lazy import nodes, prefetch
from facet_nb.core.lazy.prefetch import Prefetcher, ReadSpan
from facet_nb.datasets import simulate

CHAIN = [TriggerDetector(regex=r"\b1\b"), AASCorrection(window_size=7)]


@pytest.fixture
def lazy(monkeypatch):
    """Two minutes at 500 Hz; whatever is read is followed by a pause."""
    monkeypatch.setattr(prefetch, "IDLE_S", 0.0)
    raw = simulate(4, 500.0, 120.0, 2.0, 5, seed=11, lead_in_s=4.0, lead_out_s=3.0).raw
    return Pipeline(CHAIN).lazy(raw)


@pytest.fixture
def made(monkeypatch):
    """The windows that were computed by this thread, not found in the cache."""
    found, before, me = [], nodes.WindowNode._make, threading.get_ident()

    def make(self, channels, start, stop):
        if threading.get_ident() == me:
            found.append((channels, start, stop))
        return before(self, channels, start, stop)

    monkeypatch.setattr(nodes.WindowNode, "_make", make)
    return found


def wait(lazy):
    lazy._raw_extras[0]["samples"].ahead.wait()


@pytest.mark.parametrize("direction", [1, -1])
def test_the_next_window_is_there_before_somebody_looks(lazy, made, direction):
    full = Pipeline(CHAIN).lazy(lazy.context.get_raw_original()).get_data()
    begin = 10_000 if direction > 0 else 50_000
    for number in range(5):
        made.clear()
        start = begin + 5000 * number * direction
        x = lazy.get_data([0, 2], start=start, stop=start + 5000)
        assert np.array_equal(x, full[[0, 2], start : start + 5000])
        assert bool(made) == (number < 2)  # two windows show a direction
        wait(lazy)


def test_a_plot_that_scrolls(lazy, made):
    with mne.viz.use_browser_backend("matplotlib"):
        figure = lazy.plot(duration=5.0, show=False, verbose="error")
        for number in range(5):
            wait(lazy)
            made.clear()
            figure._fake_keypress("shift+right")
            assert not made or number < 2


def test_nobody_travels(lazy):
    for start in (0, 20_000, 20_000, 3000):
        lazy.get_data([0], start=start, stop=start + 500)
        assert lazy._raw_extras[0]["samples"].ahead._thread is None
    lazy.get_data([1], start=3500, stop=4000)
    assert lazy._raw_extras[0]["samples"].ahead._thread is None


def test_a_program_that_reads_on_gets_no_second_thread_beside_it():
    read = []
    ahead = Prefetcher(lambda *span: read.append(span), 10_000, 10_000)
    for start in range(0, 9000, 100):  # each one before the pause is over
        ahead.note([0], start, start + 100)
    assert not read
    ahead.wait()
    assert [(start, stop) for _, start, stop in read] == [
        (9000, 9025),
        (9025, 9050),
        (9050, 9075),
        (9075, 9100),
    ]


def test_windows_that_would_fill_the_cache_are_not_read_ahead():
    ahead = Prefetcher(lambda *_: pytest.fail("read"), 10_000, 199)
    for start in (0, 100, 200):
        ahead.note([0, 1], start, start + 100)
    assert ahead._thread is None


@given(st.integers(0, 900), st.integers(1, 100), st.integers(-200, 200))
def test_the_next_window_touches_this_one(start, length, step):
    before = ReadSpan((0,), start, start + length)
    now = ReadSpan((0,), max(0, start + step), max(0, start + step) + length)
    span = now.following(before, 1000)
    if span is None:
        return
    moved = now.start - before.start
    assert 0 < abs(moved) <= length
    assert 0 <= span.start < span.stop <= 1000 and span.stop - span.start <= abs(moved)
    assert span.start == now.stop if moved > 0 else span.stop == now.start
