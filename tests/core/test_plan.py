"""What a mode makes of a pipeline, and what cannot be asked for."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb import set_defaults
from facet_nb.core import Pipeline, PlanError
from facet_nb.core.backends import registry
from facet_nb.core.planning.planner import RunOptions, make_plan
from tests.core import toys

STEPS = [
    toys.Assigning(),
    toys.Halved(),
    toys.Found(),
    toys.ZScore(),
    toys.Unsafe(),
    toys.Demeaned(),
    toys.Spread(),
    toys.Halved(),
    toys.Summed(),
    toys.Halved(),
]


def plan(steps, mode, cores=8, **options):
    return make_plan(steps, RunOptions(mode, **options), cores)


def stages(made):
    return [(s.kind[0], list(s.steps), s.n_jobs, s.backend) for s in made.stages]


# ------------------------------------------------------------------------------------------- stages
def test_serial_takes_one_step_at_a_time():
    made = plan(STEPS, "serial", n_jobs=4)
    assert [s.steps for s in made.stages] == [(i,) for i in range(10)]
    assert {s.n_jobs for s in made.stages} == {1} and made.n_jobs == 1
    assert [s.kind for s in made.stages].count("global") == 2


def test_channel_sequential_joins_what_can_be_joined():
    assert stages(plan(STEPS, "channel_sequential")) == [
        ("g", [0], 1, "serial"),
        ("c", [1, 2, 3, 4, 5], 1, "serial"),
        ("g", [6], 1, "serial"),
        ("c", [7], 1, "serial"),
        ("c", [8, 9], 1, "serial"),  # what needs all channels begins anew
    ]


def test_steps_that_are_not_parallel_safe_stay_here():
    made = plan(STEPS, "channel_sequential", n_jobs=4)
    assert stages(made) == [
        ("g", [0], 1, "serial"),
        ("c", [1, 2, 3], 4, "multiprocessing"),
        ("c", [4], 1, "serial"),
        ("c", [5], 4, "multiprocessing"),
        ("g", [6], 1, "serial"),
        ("c", [7], 4, "multiprocessing"),
        ("c", [8, 9], 4, "multiprocessing"),
    ]
    assert "unsafe is not parallel-safe" in made.stages[2].reason
    result = Pipeline([toys.Unpicklable(), toys.Unsafe()]).run(
        toys.make_context(), mode="parallel", backend="threading", n_jobs=2
    )
    assert result.success


def test_parallel_splits_each_step():
    made = plan(STEPS, "parallel", n_jobs=4, backend="threading")
    assert [s.steps for s in made.stages] == [(i,) for i in range(10)]
    assert [s.n_jobs for s in made.stages] == [1, 4, 4, 4, 1, 4, 1, 4, 4, 4]
    assert made.stages[6].n_workers == 4, "time is split where channels cannot be"
    assert "4 threads" in made.stages[1].reason and "time is split" in made.stages[6].reason
    assert "reference channel once" in made.stages[2].reason


def test_the_serial_backend_does_not_split():
    for mode in ("parallel", "channel_sequential"):
        made = plan(STEPS, mode, n_jobs=4, backend="serial")
        assert made.n_jobs == 1 and {s.backend for s in made.stages} == {"serial"}


def test_inner_threads_keep_to_the_cores():
    for n_jobs, n_workers, inner in [(1, 4, 4), (2, 4, 4), (4, 4, 2), (8, 4, 1), (3, -1, 2)]:
        made = plan(STEPS, "parallel", n_jobs=n_jobs, n_workers=n_workers)
        assert made.n_workers == inner, (n_jobs, n_workers)
        assert all(s.n_jobs * s.n_workers <= 8 for s in made.stages)
    assert plan(STEPS, "serial", n_jobs=8, n_workers=4).n_workers == 4
    assert plan(STEPS, "serial", n_workers=4).stages[1].batch_size == 16


@pytest.mark.parametrize(
    ("given", "cores", "workers"),
    [(1, 8, 1), (12, 8, 12), (-1, 8, 8), (-2, 8, 7), (-8, 8, 1), (-99, 8, 1), (-1, 1, 1)],
)
def test_numbers_of_workers(given, cores, workers):
    assert plan(STEPS, "parallel", cores=cores, n_jobs=given).n_jobs == workers
    assert plan(STEPS, "parallel", cores=cores, n_jobs=np.int64(given)).n_jobs == workers


def test_auto():
    ours = [toys.Halved(), toys.Demeaned()]
    made = plan(ours, "auto", cores=4)
    assert (made.mode, made.backend, made.n_jobs) == ("channel_sequential", "threading", 4)
    assert "release the GIL" in made.reason
    made = plan([*ours, toys.ZScore()], "auto", cores=4)
    assert made.backend == "multiprocessing" and "zscore" in made.reason
    made = plan([*ours, toys.ZScore()], "auto", cores=1)
    assert (made.n_jobs, made.stages[0].backend) == (1, "serial") and "one core" in made.reason


# ------------------------------------------------------------------------- what cannot be asked for
@pytest.mark.parametrize("name", ["n_jobs", "n_workers"])
@pytest.mark.parametrize("value", [0, True, False, 1.5, 2.0, "2", np.float64(2)])
def test_what_is_no_number_of_workers(name, value):
    with pytest.raises(
        PlanError, match=f"{name}={value!r}".replace("(", r"\(").replace(")", r"\)")
    ):
        Pipeline(STEPS).run(toys.make_context(), parallel=True, **{name: value})


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "3", None])
def test_what_is_no_size_of_a_batch(value):
    with pytest.raises(PlanError, match="1 or more channels"):
        Pipeline(STEPS).plan("channel_sequential", batch_size=value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"mode": "serial", "parallel": True}, "contradicts parallel=True"),
        ({"mode": "parallel", "channel_sequential": True}, "contradicts channel_sequential=True"),
        ({"mode": "paralel"}, "serial, channel_sequential, parallel, auto"),
        ({"backend": "ray"}, "multiprocessing, threading, serial"),
        ({"mode": ""}, "unknown mode"),
    ],
)
def test_contradictions(options, told):
    with pytest.raises(PlanError) as caught:
        Pipeline(STEPS).run(toys.make_context(), **options)
    assert told in str(caught.value)


def test_flags_as_in_facetpy(monkeypatch):
    """Positions, both flags at once, and all cores if a parallel run does not say how many."""
    monkeypatch.setattr(registry, "count_cores", lambda backend=None: 2)
    ctx, pipeline = toys.make_context(), Pipeline([toys.Halved()])
    threads = {"backend": "threading"}
    for args, mode, n_jobs in [
        ((), "serial", 1),
        ((True,), "parallel", 2),
        ((True, 1), "parallel", 1),
        ((False, 2), "serial", 1),
        ((False, -1, True), "channel_sequential", 2),
        ((False, None, True), "channel_sequential", 1),
        ((True, None, True, False), "channel_sequential", 2),
    ]:
        result = pipeline.run(ctx, *args, **threads)
        assert (result.plan.mode, result.plan.n_jobs) == (mode, n_jobs), args
    assert pipeline.plan("parallel", **threads).n_jobs == 2
    before = set_defaults(n_jobs=1)
    assert pipeline.run(ctx, True, **threads).plan.n_jobs == 1
    set_defaults(**before)
    assert pipeline.run(ctx, True, **threads).plan.n_jobs == 2


def test_more_workers_than_cores_only_if_one_insists():
    steps = [toys.Halved()]
    made = plan(steps, "channel_sequential", cores=4, n_jobs=2, n_workers=4)
    assert made.n_workers == 2
    (finding,) = made.findings
    assert "n_workers=2 instead of 4" in finding.detail and "oversubscribe" in finding.detail
    made = plan(steps, "channel_sequential", cores=4, n_jobs=2, n_workers=4, oversubscribe=True)
    assert made.n_workers == 4 and not made.findings


def test_agreeing_words_are_no_contradiction():
    ctx = toys.make_context()
    assert Pipeline([toys.Halved()]).run(ctx, mode="parallel", parallel=True).success
    assert Pipeline([]).run(ctx, mode="channel_sequential", channel_sequential=True).success


# ------------------------------------------------------------------------------------------ showing
def test_plan_as_text_and_table():
    made = plan([toys.Halved(), toys.Spread()], "channel_sequential", n_jobs=2, batch_size=3)
    assert str(made).splitlines() == [
        "mode=channel_sequential, backend=multiprocessing, n_jobs=2, n_workers=1, batch_size=3",
        "1. channel_wise halved",
        "   channel-wise, one step at a time, batches of 3 channels over 2 processes",
        "2. global       spread",
        "   needs all channels, or no samples: runs once, in this process",
    ]
    html = made._repr_html_()
    assert html.count("<tr>") == 3 and "over 2 processes" in html
    assert "mode=" in str(plan([], "auto"))


@pytest.mark.parametrize(("mode", "n_channels"), [("channel_sequential", 2), ("serial", 8)])
def test_a_batch_has_a_channel_for_each_inner_thread(mode, n_channels):
    stage = plan([toys.Halved()], mode, n_workers=2).stages[0]
    assert (stage.n_workers, stage.batch_size) == (2, n_channels)
    assert f"batches of {n_channels} channels" in stage.reason
    assert plan([toys.Halved()], mode, n_workers=2, cores=1).stages[0].batch_size == 1
