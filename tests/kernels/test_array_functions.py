"""Functions over arrays give what the steps give, for each type, with any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facet_nb import (
    AASCorrection,
    BandPassFilter,
    CommonReference,
    Filter,
    Resample,
    ValidationError,
    signal,
)
from facet_nb.datasets import simulate

SFREQ = 500.0


@pytest.fixture(scope="module")
def sim():
    return simulate(5, SFREQ, 24.0, 2.0, 5, seed=2, lead_in_s=3.0, lead_out_s=3.0)


@pytest.fixture(scope="module")
def x(sim):
    return sim.raw.get_data()


CALLS = {
    "fir": lambda x, **o: signal.filter_fir(x, SFREQ, l_freq=1.0, h_freq=40.0, **o),
    "sos": lambda x, **o: signal.filter_sos(x, SFREQ, l_freq=1.0, h_freq=40.0, **o),
    "causal": lambda x, **o: signal.filter_sos(
        x, SFREQ, l_freq=1.0, h_freq=40.0, phase="forward", **o
    ),
    "resample": lambda x, **o: signal.resample(x, SFREQ, 200.0, **o),
    "median": lambda x, **o: signal.common_reference(x, SFREQ, **o),
    "average": lambda x, **o: signal.common_reference(x, SFREQ, operator="average", **o),
    "template": lambda x, **o: signal.subtract_template(
        x, SFREQ, np.arange(1500, 11000, 200), 200, window=10, **o
    ),
}
STEPS = {
    "fir": Filter(1.0, 40.0),
    "sos": BandPassFilter(1.0, 40.0, method="iir"),
    "causal": BandPassFilter(1.0, 40.0, method="iir", phase="forward"),
    "resample": Resample(200.0),
    "median": CommonReference(),
    "average": CommonReference("average"),
}


@pytest.mark.parametrize("name", STEPS)
def test_they_give_what_the_steps_give(sim, x, name):
    assert np.array_equal(CALLS[name](x), STEPS[name](sim.raw).get_data())


def test_templates_are_those_of_the_correction(sim, x):
    from facet_nb import Pipeline, ProcessingContext

    starts = np.arange(1500, 11000, 200)
    context = ProcessingContext(sim.raw).with_trigger_samples(starts, artifact_length=200)
    step = AASCorrection(window_size=10, realign_after_averaging=False)
    expected = Pipeline([step]).run(context, raise_on_error=True).raw.get_data()
    assert np.array_equal(CALLS["template"](x), expected)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "int16"])
def test_threads_change_no_bit_and_nothing_is_written_to(x, name, dtype):
    given_ = np.round(x * 1e7).astype(dtype) if dtype == "int16" else x.astype(dtype)
    kept = given_.copy()
    given_.flags.writeable = False
    one = CALLS[name](given_)
    assert one.dtype == ("float32" if dtype == "float32" else "float64")
    for n_workers in (2, 3, 9):
        assert np.array_equal(CALLS[name](given_, n_workers=n_workers), one)
    out = np.empty_like(one)
    assert CALLS[name](given_, out=out, n_workers=2) is out and np.array_equal(out, one)
    assert np.array_equal(given_, kept)
    exact = CALLS[name](given_.astype(float))
    peak = np.abs(exact).max()
    np.testing.assert_allclose(one, exact, rtol=0, atol=0 if dtype == "int16" else 4e-6 * peak)


@pytest.mark.parametrize("name", CALLS)
def test_integers_are_rounded_or_refused(x, name):
    counts = np.round(x * 1e7).astype(np.int16)
    exact = CALLS[name](counts)
    out = np.empty(exact.shape, np.int32)
    assert np.array_equal(CALLS[name](counts, out=out), np.rint(exact))
    if np.abs(exact).max() > 127.5:
        with pytest.raises(ValidationError, match="exceeds int8"):
            CALLS[name](counts, out=np.empty(exact.shape, np.int8))


def test_a_causal_filter_needs_no_later_sample(x):
    whole = CALLS["causal"](x)
    for n in (1, 2, 1000, x.shape[1] - 1):
        assert np.array_equal(CALLS["causal"](x[:, :n]), whole[:, :n])


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 60)),
    name=st.sampled_from(["sos", "causal", "median", "average", "resample"]),
    seed=st.integers(0, 99),
)
def test_short_signals(shape, name, seed):
    x = np.random.default_rng(seed).standard_normal(shape)
    result = CALLS[name](x)
    assert np.isfinite(result).all() and len(result) == len(x)
    alone = np.concatenate([CALLS[name](row[np.newaxis]) for row in x])
    assert name in ("median", "average") or np.array_equal(result, alone)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: signal.filter_fir(x, SFREQ), "give l_freq"),
        (lambda x: signal.filter_fir(x, SFREQ, l_freq=300.0), "Nyquist"),
        (lambda x: signal.filter_sos(x, SFREQ, l_freq=9.0, h_freq=2.0), "must be below"),
        (lambda x: signal.filter_sos(x, SFREQ, h_freq=40.0, order=0), "order=0"),
        (lambda x: signal.filter_sos(x, SFREQ, h_freq=40.0, phase="back"), "phase='back'"),
        (lambda x: signal.filter_fir(x[0], SFREQ, h_freq=40.0), "shape"),
        (lambda x: signal.filter_fir(x + 1j, SFREQ, h_freq=40.0), "complex128"),
        (lambda x: signal.filter_fir(x / np.zeros(1), SFREQ, h_freq=40.0), "NaN or infinity"),
        (lambda x: signal.common_reference(x, 0.0), "sfreq=0.0"),
        (lambda x: signal.common_reference(x, SFREQ, operator="mode"), "operator='mode'"),
        (lambda x: signal.common_reference(x, SFREQ, n_workers=0), "n_workers=0"),
        (lambda x: signal.common_reference(x, SFREQ, reference=[9]), "rows are 0 to"),
        (lambda x: signal.common_reference(x, SFREQ, reference=["Cz"]), "row numbers"),
        (lambda x: signal.common_reference(x, SFREQ, groups=[[0], [0]]), "twice"),
        (lambda x: signal.common_reference(x, SFREQ, groups=[[]]), "row numbers"),
        (lambda x: signal.common_reference(x, SFREQ, neighbours=2), "needs positions"),
        (lambda x: signal.common_reference(x, SFREQ, neighbours=1, groups=[[0]]), "one of"),
        (lambda x: signal.resample(x, SFREQ, np.pi), "not a fraction"),
        (lambda x: signal.resample(x, SFREQ, 250.0, out=np.empty((5, 7))), "out has shape"),
        (lambda x: signal.subtract_template(x, SFREQ, np.array([5, 2]), 9), "ascend"),
        (lambda x: signal.subtract_template(x, SFREQ, np.array([0.5, 2]), 9), "whole sample"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_errors_name_the_remedy(x, call, message):
    with pytest.raises(ValidationError, match=message):
        call(x)
