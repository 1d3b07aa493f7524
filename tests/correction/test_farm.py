"""FARM as a step: each channel chooses the epochs most like each one."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb import FARMArtifactCorrection, FARMCorrection, Pipeline, StepError, TriggerDetector
from facet_nb.datasets import example
from tests.contract.recordings import make_context
from tests.correction.test_weighted import subtract
from tests.oracles import weights as oracle


@pytest.fixture(scope="module")
def ctx():
    return Pipeline([TriggerDetector(regex=r"\b1\b")])(make_context())


@pytest.mark.parametrize(
    "options",
    [{}, {"search_half_window": 4}, {"correlation_threshold": 1.0}, {"correlation_threshold": 0.0}],
)
def test_equals_the_oracle(ctx, options):
    step = FARMCorrection(window_size=6, realign_after_averaging=False, **options)
    got = Pipeline([step]).run(ctx, raise_on_error=True).get_raw()
    triggers, n = ctx.get_triggers(), ctx.get_artifact_length()
    chosen = []
    for name in ("E3", "E4"):
        x = ctx.get_data(name)[0]
        epochs = np.array([x[s : s + n] for s in triggers])
        matrix = oracle.similar(
            epochs, 6, step.search_half_window or 18, step.correlation_threshold
        )
        expected = subtract(x, triggers, n, matrix)
        atol = 1e-12 * np.abs(x).max()
        np.testing.assert_allclose(got.get_data(name)[0], expected, rtol=0, atol=atol)
        chosen.append(matrix)
    assert not np.array_equal(*chosen)  # each channel by itself


@pytest.mark.parametrize("between", [False, True])
def test_it_cleans_the_example(between):
    sim = example()
    chain = [TriggerDetector(regex=r"\b1\b"), FARMCorrection(window_size=20, subsample=between)]
    got = Pipeline(chain).run(sim.context(), raise_on_error=True)
    assert np.median(sim.snr_db(sim.raw)) < -10
    # where artifacts hardly differ, epochs are alike by their EEG, and some of it goes
    assert np.median(sim.snr_db(got.get_raw())) > 7


def test_an_epoch_like_no_other_keeps_its_eeg(ctx):
    """Its template is made of others: what is in it alone stays, whatever it is."""
    step = FARMCorrection(window_size=6, realign_after_averaging=False)
    x = ctx.get_raw()
    data = x.get_data()
    start, n = int(ctx.get_triggers()[10]), ctx.get_artifact_length()
    odd = np.random.default_rng(0).standard_normal(n) * 0.05
    data[0, start : start + n] = odd
    got = Pipeline([step]).run(
        ctx.with_raw(type(x)(data, x.info, first_samp=x.first_samp, verbose="error")),
        raise_on_error=True,
    )
    left = got.get_raw().get_data()[0, start : start + n]
    assert np.corrcoef(left, odd)[0, 1] > 0.99


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"correlation_threshold": 1.5}, "from 0 to 1"),
        ({"search_half_window": 0}, "larger search_half_window"),
        ({"subsample": True, "interpolate_volume_gaps": True}, "turn one of them off"),
    ],
)
def test_errors_name_the_remedy(ctx, options, remedy):
    with pytest.raises(StepError, match=remedy):
        Pipeline([FARMCorrection(**options)]).run(ctx, raise_on_error=True)


def test_name_of_facetpy():
    assert FARMArtifactCorrection is FARMCorrection
