"""benchmark_scaling: one honest time for each number of jobs."""

from __future__ import annotations

import threading
import time

import pytest

from facet_nb.benchmark import benchmark_scaling
from facet_nb.core import FacetError, Pipeline, PlanError, Processor
from facet_nb.datasets import simulate

STEP_S = 0.05


class Sleeper(Processor):
    """Takes the same time for each channel."""

    channel_wise = True

    def process(self, context):
        time.sleep(STEP_S)
        return context


class Meets(Processor):
    """Goes on when as many channels have got here as a barrier wants; else the run fails."""

    channel_wise = True
    barrier = None

    def process(self, context):
        if self.barrier and "Fz" not in context.get_raw().ch_names:  # the first is tried before
            self.barrier.wait(60.0)
        return context


class Broken(Processor):
    channel_wise = True

    def process(self, context):
        raise RuntimeError("no luck")


@pytest.fixture(scope="module")
def context():
    return simulate(n_channels=4, sfreq=500, duration_s=15, lead_in_s=2, lead_out_s=2).context()


def test_times_of_all_numbers_of_jobs(context):
    times_s = benchmark_scaling(Pipeline([Sleeper()]), context, 4, backend="threading")
    assert list(times_s) == [1, 2, 3, 4]
    assert times_s[1] >= 4 * STEP_S


def test_jobs_run_at_once(context, monkeypatch):
    """Times would not tell: where cores are busy, four jobs may take longer than one."""
    run, numbers = Pipeline.run, []

    def note(self, *args, n_jobs, **options):
        numbers.append(n_jobs)
        Meets.barrier = threading.Barrier(3) if n_jobs == 4 else None
        return run(self, *args, n_jobs=n_jobs, **options)

    monkeypatch.setattr(Pipeline, "run", note)
    benchmark_scaling(Pipeline([Meets()]), context, 4, backend="threading")
    assert numbers == [1, 2, 3, 4]


def test_failure_is_raised(context):
    with pytest.raises(FacetError, match="no luck"):
        benchmark_scaling(Pipeline([Broken()]), context, 2, backend="threading")


@pytest.mark.parametrize("number", [0, -1, 1.5, True])
def test_number_is_checked(context, number):
    with pytest.raises(PlanError, match="max_workers"):
        benchmark_scaling(Pipeline([Sleeper()]), context, number)
