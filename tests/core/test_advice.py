"""The rule by which a way to run is chosen, and what mode="auto" makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb.core import Pipeline, PlanError
from facet_nb.core.planning.cost_model import Candidate, choose, suggest
from facet_nb.core.recording import Shape
from tests.core import toys

SERIAL = Candidate("serial", "serial", 1, 1, 1, 10.0, 500.0, (1,))
THREADS = Candidate("channel_sequential", "threading", 4, 1, 1, 3.0, 900.0, (4,))
SMALL = Candidate("channel_sequential", "serial", 1, 1, 1, 10.4, 200.0, (2,))


def test_goals():
    candidates = [SERIAL, THREADS, SMALL]
    fastest = choose(candidates)
    assert (fastest.best, fastest.runner_up, fastest.clear) == (1, 0, True)
    assert choose(candidates, "smallest").best == 2
    balanced = choose(candidates, "balanced")  # 5000, 2700 and 2080 MB s
    assert (balanced.best, balanced.runner_up) == (2, 1)


def test_no_clear_difference_and_the_simplest_wins():
    found = choose([SMALL, SERIAL])
    assert (found.best, found.clear) == (1, False)
    apart = choose([SMALL, SERIAL], same=lambda a, b: False)
    assert (apart.best, apart.clear) == (1, True)  # 4 % faster, and told apart
    noisy = choose([SERIAL, THREADS], same=lambda a, b: True)
    assert noisy.best == 1  # three times as long is too much for simplicity


def test_the_budget_is_kept_or_the_smallest_need_is_said():
    found = choose([SERIAL, THREADS, SMALL], budget_mb=600.0)
    assert (found.best, found.too_large) == (0, (1,))
    unknown = Candidate("serial", "serial", 1, 1, 1, 0.1)
    assert choose([unknown, SMALL], budget_mb=600.0).best == 1
    with pytest.raises(PlanError, match="needs 200 MB"):
        choose([SERIAL, THREADS, SMALL], budget_mb=100.0)
    with pytest.raises(PlanError, match="goal"):
        choose([SERIAL], "prettiest")
    with pytest.raises(PlanError, match="nothing to choose"):
        choose([])


def test_rough_times_decide_without_measurement():
    ours = [toys.Halved(), toys.Demeaned()]
    large, small = Shape(64, 64, 3_000_000, 5000.0), Shape(4, 4, 2000, 500.0)
    found = suggest(ours, 4, large)
    assert (found["backend"], found["n_jobs"]) == ("threading", 4)
    found = suggest(ours, 4, small)
    assert found["n_jobs"] == 1 and "no clear difference" in found["reason"]
    assert suggest(ours, 4, None)["n_jobs"] == 4
    assert suggest(ours, 64, Shape(3, 3, 10**8, 5000.0))["n_jobs"] == 3
    assert suggest([toys.ZScore()], 4, large)["backend"] == "multiprocessing"
    assert suggest([toys.ZScore()], 4, small)["n_jobs"] == 1  # workers cost more than the work
    assert "one core" in suggest(ours, 1, large)["reason"]


def test_auto_records_its_advice_in_the_history():
    ctx = toys.make_context()
    ctx.add_history_entry("before")
    pipeline = Pipeline([toys.Halved(), toys.Squared()])
    result = pipeline.run(ctx, mode="auto", raise_on_error=True)
    before, first, second = result.get_history()
    assert before.advice is None and second.advice is None
    assert first.advice["mode"] == result.plan.mode and first.advice["reason"] == result.plan.reason
    assert first.advice["forecast_bytes"] > 0
    plain = pipeline.run(ctx, mode="serial", raise_on_error=True)
    assert result.get_history() == plain.get_history()
    assert all(step.advice is None for step in plain.get_history())
    assert len(ctx.get_history()) == 1
    assert np.array_equal(result.get_raw().get_data(), plain.get_raw().get_data())


def test_auto_of_nothing_has_no_entry():
    ctx = toys.make_context()
    assert Pipeline([]).run(ctx, mode="auto").get_history() == []
