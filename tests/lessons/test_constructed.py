"""Constructed runs lose their time by the cause that they name; the waterfall says so."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet_nb.benchmark.whatif import schedule
from facet_nb.core.errors import ValidationError
from facet_nb.lessons import CAUSES, ConstructedRun, construct
from facet_nb.plots import plot_lanes

SETTINGS = ["threads", "n_workers", "larger batches", "smaller batches", "fewer workers"]
TIMES = st.lists(st.floats(0.01, 5), min_size=1, max_size=20)


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("salt", range(10))
def test_largest_part_is_the_cause(cause, salt):
    run = construct(cause, salt)
    parts = dict(run.waterfall.lost.parts)
    assert max(parts, key=parts.get) == cause
    assert parts[cause] > 0.6 * run.lost_s > 0
    assert [s for s in SETTINGS if run.recovers(s) >= 0.2] == [CAUSES[cause]]


@given(TIMES, st.integers(1, 8))
def test_the_timeline_is_list_scheduling(times, workers):
    run = ConstructedRun(workers, tuple(times), 0.5, 0.0, 0.0, 0.0)
    assert run.trace.wall_s == pytest.approx(0.5 + schedule(times, workers))
    assert run.base.wall_s == pytest.approx(0.5 + sum(times))


@given(TIMES, st.integers(2, 8), st.floats(0, 1), st.floats(0, 1))
def test_no_worker_does_two_batches_at_once(times, workers, transfer_s, dispatch_s):
    run = ConstructedRun(workers, tuple(times), transfer_s=transfer_s, dispatch_s=dispatch_s)
    lanes = {}
    for batch in run.trace.stages[1].batches:
        lanes.setdefault(batch.worker, []).append(batch)
    assert len(lanes) <= workers
    for batches in lanes.values():
        for first, second in pairwise(batches):
            assert second.start_s >= first.stop_s


def test_unknown_words_are_refused():
    with pytest.raises(ValidationError, match="no cause"):
        construct("luck")
    with pytest.raises(ValidationError, match="no setting"):
        construct("dispatch").change("more workers")


def test_lanes_say_what_is_not_measured():
    picture = plot_lanes(construct("imbalance").trace, note="constructed")
    assert picture.caption.startswith("Constructed. Timeline of ")
    assert "constructed" in [text.get_text() for text in picture.axes[0].texts]
    assert plot_lanes(construct("imbalance").trace).axes[0].texts[:] == []
