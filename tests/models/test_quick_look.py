"""The quick look: order, times, verdict, and what ends it."""

from __future__ import annotations

import math

import pytest

from facet_nb.core import Pipeline
from facet_nb.core.errors import ValidationError
from facet_nb.models import RunModel
from facet_nb.models.quick_look import PASSES, QuickLook, order_points
from tests.models.helpers import Choosy, Halve, make_simulation


@pytest.fixture(scope="module")
def simulation():
    return make_simulation()


@pytest.mark.parametrize(
    ("cores", "numbers"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (6, [1, 2, 6, 3, 4, 5])]
)
def test_two_workers_come_before_one_is_repeated(cores, numbers):
    points = order_points(cores)
    assert [p.n_jobs for p in points[::2]] == numbers
    assert {p.mode for p in points} == {"channel_sequential", "parallel"}
    assert all(not p.wall_s and math.isnan(p.speedup) for p in points)


def test_a_look(simulation):
    run = RunModel(Pipeline([Halve(0.005)]), simulation, cores=2, batch_size=1)
    look = QuickLook(run).start()
    assert look.running and look.n_planned == 4
    assert look.wait(20) and look.status == "done"
    assert all(len(p.wall_s) == PASSES for p in look.points)
    one, two = (look.points[i] for i in (0, 2))
    assert one.speedup == 1.0 and two.n_jobs == 2 and look.best.n_jobs == 2
    assert look.verdict.startswith("First look: ")
    run.pipeline = Pipeline([Halve()])
    assert look.points == () and look.verdict == "" and look.status == "idle"


def test_a_chain_that_fails(simulation):
    look = QuickLook(RunModel(Pipeline([Choosy("C3")]), simulation, cores=2)).start()
    assert look.wait(10) and look.status == "failed" and "C3" in look.error


def test_cancelling(simulation):
    look = QuickLook(RunModel(Pipeline([Halve(0.05)]), simulation, cores=2)).start()
    with pytest.raises(ValidationError, match="in progress"):
        look.start()
    look.cancel()
    assert look.wait(10) and look.status == "cancelled"
