"""Averaged artifact subtraction as a step: what it removes, refuses and reports."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb import (
    AASCorrection,
    Loader,
    Pipeline,
    ProcessingContext,
    StepError,
    TriggerDetector,
)
from facet_nb.datasets import example, simulate
from facet_nb.datasets.agreement import compare_snr_db
from tests.contract.recordings import full_chain, make_context
from tests.oracles import averaging as oracle


@pytest.fixture(scope="module")
def ctx():
    return Pipeline([TriggerDetector(regex=r"\b1\b")])(make_context())


def test_equals_the_oracle(ctx):
    step = AASCorrection(window_size=12, realign_after_averaging=False)
    got = Pipeline([step]).run(ctx, raise_on_error=True)
    x = ctx.get_data("E3")[0]
    triggers, n = ctx.get_triggers(), ctx.get_artifact_length()
    expected = oracle.correct_blocks(x, triggers, n, 12, 0.975)
    scale = np.abs(x).max()
    np.testing.assert_allclose(
        got.get_raw().get_data("E3")[0], expected, rtol=0, atol=1e-12 * scale
    )


def test_noise_is_what_went(ctx):
    got = Pipeline([AASCorrection(window_size=12)]).run(ctx, raise_on_error=True)
    removed = ctx.get_data() - got.get_raw().get_data()
    np.testing.assert_array_equal(got.context.get_estimated_noise(), removed)
    assert not removed[got.get_raw().ch_names.index("E5")].any()  # bad: left alone


@pytest.mark.parametrize("weighting", ["blocks", "sliding"])
def test_it_cleans_the_example(weighting):
    sim = example()
    chain = full_chain()
    chain[4] = AASCorrection(window_size=30, weighting=weighting)
    got = Pipeline(chain).run(sim.context(), mode="channel_sequential", raise_on_error=True)
    before = np.median(sim.snr_db(sim.raw))
    after = np.median(sim.snr_db(got.get_raw()))
    assert before < -10
    assert after > 12


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"window_size": 0}, "window_size=0"),
        ({"correlation_threshold": 0.0}, "correlation_threshold"),
        ({"rel_window_position": 2.0}, "rel_window_position"),
        ({"search_window_factor": 0.0}, "search_window_factor"),
        ({"weighting": "spam"}, "'blocks' or 'sliding'"),
        ({"ref_channel": "nobody"}, "nobody"),
    ],
)
def test_bad_parameters(ctx, options, remedy):
    result = Pipeline([AASCorrection(**options)]).run(ctx)
    assert remedy in str(result.error)


def test_without_triggers():
    result = Pipeline([AASCorrection()]).run(make_context())
    assert isinstance(result.error, StepError)
    assert result.failed_processor == "aas_correction"
    assert "TriggerDetector" in str(result.error)


def test_triggers_outside_of_the_recording(ctx):
    lost = ctx.with_triggers(ctx.get_triggers() + 10_000_000)
    result = Pipeline([AASCorrection()]).run(lost)
    assert "0 of 55 artifacts lie wholly within" in str(result.error)


def test_triggers_at_the_edges(ctx):
    n = ctx.get_raw().n_times
    at_edges = ctx.with_triggers([-10, 0, 100, 200, 300, n - 100, n - 40, n + 5])
    got = Pipeline([AASCorrection(window_size=3)]).run(at_edges, raise_on_error=True)
    assert np.isfinite(got.get_raw().get_data()).all()
    assert got.get_history()[-1].parameters["incomplete_epochs"] == 4


def test_no_artifact_length():
    ctx = make_context()
    one = ProcessingContext(ctx.get_raw()).with_triggers([2000])
    result = Pipeline([AASCorrection()]).run(one)
    assert "artifact length is not known" in str(result.error)


def test_the_twin_of_the_niazy_recording(shared_data):
    """The chain of the readme on the recording with known truth, against the reference programs."""
    truth = np.load(shared_data / "niazy_twin_2048_truth.npz")
    steps = [Loader(path=shared_data / "niazy_twin_2048.vhdr"), *full_chain()]
    got = Pipeline(steps).run(mode="channel_sequential", raise_on_error=True)
    assert len(got.context.get_triggers()) == 840
    span = slice(truth["trig"][0], truth["trig"][-1])
    snr = compare_snr_db(got.get_raw().get_data()[:, span], truth["clean"][:, span] * 1e-6, 2048.0)
    assert np.median(snr) > 14.0  # FACETpy's AAS: 14.0


SUBSAMPLE = {
    "blocks": AASCorrection(window_size=30, subsample=True),
    "sliding": AASCorrection(window_size=30, subsample=True, weighting="sliding"),
}


@pytest.mark.parametrize("step", SUBSAMPLE.values(), ids=SUBSAMPLE)
def test_between_samples_at_the_native_rate(step):
    """Better than upsampling ten times where the clocks of scanner and EEG run apart."""
    sim = simulate(4, 2000.0, 40.0, 2.0, 20, motion=0.0)
    tens = full_chain()
    native = [tens[0], tens[1], step, tens[6]]
    options = {"mode": "channel_sequential", "raise_on_error": True}
    one = Pipeline(native).run(sim.context(), **options).context
    ten = Pipeline(tens).run(sim.context(), **options).context
    assert np.median(sim.snr_db(one)) > np.median(sim.snr_db(ten)) - 0.1
    assert np.abs(one.get_triggers() - sim.triggers).max() <= 1
    threads = {"mode": "parallel", "n_jobs": 2, "backend": "threading"}
    other = Pipeline(native).run(sim.context(), raise_on_error=True, **threads).context
    assert np.array_equal(other.get_data(), one.get_data())
    assert np.array_equal(other.get_estimated_noise(), one.get_estimated_noise())


@pytest.mark.parametrize(
    "options",
    [
        {"apply_epoch_alpha_scaling": True},
        {"interpolate_volume_gaps": True},
        {"rel_window_position": 0.5},
    ],
)
def test_what_does_not_go_between_samples(ctx, options):
    result = Pipeline([AASCorrection(subsample=True, **options)]).run(ctx)
    assert "subsample=True" in str(result.error)
