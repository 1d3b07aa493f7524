"""Runs in float32: the same answer in every mode, as near to float64 as promised."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb import (
    AASCorrection,
    ANCCorrection,
    BandPassFilter,
    CommonReference,
    HighPassFilter,
    LowPassFilter,
    NotchFilter,
    Pipeline,
    PlanError,
    Processor,
)
from tests.contract.equality import assert_same
from tests.contract.recordings import detect, full_chain, make_context


class Halve(Processor):
    """Anyone's channel-wise step: it sees float64, whatever the run."""

    channel_wise = True

    def process(self, context):
        raw = context.get_raw().copy()
        assert raw._data.dtype == np.float64
        raw._data = raw._data * (1 / 3)
        return context.with_raw(raw)


CHAINS = {
    "full": full_chain,
    "native": lambda: [
        *detect(),
        HighPassFilter(1.0),
        AASCorrection(12, subsample=True),
        LowPassFilter(70.0),
    ],
    "noise": lambda: [*detect(), AASCorrection(12, subsample=True), ANCCorrection()],
    "mixed": lambda: [
        NotchFilter(50.0, picks=["E1", "E2"]),
        Halve(),
        BandPassFilter(1.0, 40.0, method="iir"),
        CommonReference(),
    ],
}
#: mode, backend, n_jobs, n_workers, batch_size
WAYS = [
    ("serial", "serial", 1, 2, 1),
    ("channel_sequential", "serial", 1, 1, 1),
    ("channel_sequential", "threading", 2, 2, 3),
    ("channel_sequential", "multiprocessing", 2, 1, 2),
    ("parallel", "threading", 2, 1, 1),
    ("parallel", "multiprocessing", 2, 2, 3),
]


@pytest.fixture(scope="module")
def ctx():
    return make_context()


@pytest.fixture(scope="module")
def serial(ctx):
    return {name: run(name, ctx) for name in CHAINS}


def run(name, ctx, **options):
    options = {"dtype": "float32", **options}
    return Pipeline(CHAINS[name]()).run(ctx, raise_on_error=True, **options).context


@pytest.mark.parametrize(("mode", "backend", "n_jobs", "n_workers", "batch_size"), WAYS)
@pytest.mark.parametrize("name", CHAINS)
def test_same_answer(ctx, serial, name, mode, backend, n_jobs, n_workers, batch_size):
    numbers = {"n_jobs": n_jobs, "n_workers": n_workers, "batch_size": batch_size}
    assert_same(run(name, ctx, mode=mode, backend=backend, **numbers), serial[name])


@pytest.mark.parametrize("name", CHAINS)
def test_as_near_to_float64_as_promised(ctx, serial, name):
    """Within 3e-6 of the largest sample before the chain; what is no electrode's is exact."""
    exact, rounded = run(name, ctx, dtype="float64").get_raw(), serial[name].get_raw()
    a, b = exact.get_data(), rounded.get_data()
    assert b.dtype == np.float64
    data = [exact.ch_names.index(n) for n in ("E1", "E2", "E3", "E4", "E6")]
    bad = exact.ch_names.index("E5")
    assert np.array_equal(b[data], b[data].astype(np.float32))
    assert np.array_equal(b[bad], a[bad].astype(np.float32), equal_nan=True)
    assert 0 < np.abs(a - b)[data].max() < 3e-6 * np.abs(ctx.get_raw().get_data(picks=data)).max()
    rest = [exact.ch_names.index(n) for n in ("STI", "temp")]
    assert np.array_equal(a[rest], b[rest])


def test_the_plan_says_so():
    plan = Pipeline(full_chain()).plan("channel_sequential", dtype="float32")
    text = str(plan)
    assert {stage.dtype for stage in plan.stages} == {"float32", "float64"}
    assert "float32, upsample, aas_correction, downsample computed in float64 and rounded" in text
    assert "float32" not in str(Pipeline(full_chain()).plan("channel_sequential"))


@pytest.mark.parametrize("dtype", ["float16", "single precision", int])
def test_other_precisions_are_refused(ctx, dtype):
    with pytest.raises(PlanError, match="use 'float64' or 'float32'"):
        run("native", ctx, dtype=dtype)


def test_float64_is_the_default(ctx):
    default = Pipeline(CHAINS["native"]()).run(ctx, raise_on_error=True).context
    assert_same(default, run("native", ctx, dtype=np.float64))
