"""Every mode, backend and number of workers gives the same answer, bit for bit."""

from __future__ import annotations

import itertools
import os

import pytest

from facet_nb import AASCorrection, CommonReference, HighPassFilter, Pipeline
from tests.contract.equality import assert_same
from tests.contract.recordings import detect, full_chain, make_context

CHAINS = {
    "full": full_chain,
    "reference": lambda: [HighPassFilter(freq=1.0), CommonReference(), CommonReference("average")],
    "sliding": lambda: [*detect(), AASCorrection(window_size=12, weighting="sliding")],
}
NIGHT = bool(os.environ.get("FACET_NB_NIGHT"))
N_CHANNELS = 7  # good data channels of the recording


@pytest.fixture(scope="module")
def ctx():
    return make_context()


@pytest.fixture(scope="module")
def serial(ctx):
    return {
        name: Pipeline(chain()).run(ctx, mode="serial", raise_on_error=True).context
        for name, chain in CHAINS.items()
    }


def runs():
    for name in CHAINS:
        for n_workers in (1, 2, 4):
            yield name, "serial", "serial", 1, n_workers, 1
        yield name, "auto", "multiprocessing", 1, 1, 1
    modes = ("channel_sequential", "parallel")
    backends = ("serial", "threading", "multiprocessing")
    # In this order, as processes stay for the next run if it wants as many.
    everything = itertools.product(backends, (1, 2, 3, N_CHANNELS), modes, (1, 2, 4), (1, 3))
    for backend, n_jobs, mode, n_workers, batch_size in everything:
        if (n_workers, batch_size) == (4, 3):
            continue  # as with two: a batch of three has no more than three blocks
        as_many = (backend, n_jobs) == ("multiprocessing", N_CHANNELS)
        if as_many and (n_workers, batch_size) != (1, 1) and not NIGHT:
            continue  # three processes run these too; to start seven takes 4 s of CPU time
        for name in ("full", "reference"):
            yield name, mode, backend, n_jobs, n_workers, batch_size
        if (n_jobs, n_workers) == (2, 2):
            yield "sliding", mode, backend, n_jobs, n_workers, batch_size


@pytest.mark.parametrize(
    ("name", "mode", "backend", "n_jobs", "n_workers", "batch_size"), list(runs())
)
def test_same_answer(ctx, serial, name, mode, backend, n_jobs, n_workers, batch_size):
    result = Pipeline(CHAINS[name]()).run(
        ctx,
        mode=mode,
        backend=backend,
        n_jobs=n_jobs,
        n_workers=n_workers,
        batch_size=batch_size,
        raise_on_error=True,
    )
    assert_same(result.context, serial[name])


def test_the_chain_corrects_something(ctx, serial):
    """The equalities above are of something: the artifact is gone, and noise is what went."""
    before, after = ctx.get_raw(), serial["full"].get_raw()
    span = slice(*after.time_as_index([4.0, 13.0]))
    for name in ("E1", "E6", "EOG1", "ECG1"):
        assert after.get_data(name)[0, span].std() < 0.2 * before.get_data(name)[0, span].std()
    assert abs(serial["full"].get_estimated_noise()[0, span]).max() > 1e-4
