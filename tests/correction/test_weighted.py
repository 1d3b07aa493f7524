"""Template subtraction with weights as steps: what they remove, refuse and report."""

from __future__ import annotations

import numpy as np
import pytest

import facet_nb as fnb
from facet_nb import (
    CorrespondingSliceCorrection,
    FARMCorrection,
    Pipeline,
    SliceTriggerCorrection,
    StepError,
    TriggerDetector,
    VolumeTriggerCorrection,
)
from facet_nb.datasets import example
from tests.contract.equality import assert_same
from tests.contract.recordings import make_context
from tests.oracles import weights as oracle


@pytest.fixture(scope="module")
def ctx():
    return Pipeline([TriggerDetector(regex=r"\b1\b")])(make_context())


def subtract(x, starts, n_samples, matrix):
    """Slow and obvious: the product with a dense matrix, one artifact after another."""
    epochs = np.array([x[s : s + n_samples] for s in starts]) - x.mean()
    out = x.copy()
    for start, end, template in zip(starts, [*starts[1:], len(x)], matrix @ epochs, strict=True):
        length = min(n_samples, end - start)
        out[start : start + length] -= template[:length]
    return out


CASES = {
    "volume": (VolumeTriggerCorrection(window_size=7), lambda n: oracle.neighbours(n, 3)),
    "slice": (SliceTriggerCorrection(window_size=7), lambda n: oracle.alternate(n, 7)),
    "corresponding": (
        CorrespondingSliceCorrection(slices_per_volume=5, window_size=2),
        lambda n: oracle.corresponding(n, 5, 2),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_equals_the_oracle(ctx, case):
    step, matrix = CASES[case]
    step = type(step)(**{**step.get_parameters(), "realign_after_averaging": False})
    got = Pipeline([step]).run(ctx, raise_on_error=True)
    x, triggers = ctx.get_data("E3")[0], ctx.get_triggers()
    expected = subtract(x, triggers, ctx.get_artifact_length(), matrix(len(triggers)))
    atol = 1e-12 * np.abs(x).max()
    np.testing.assert_allclose(got.get_raw().get_data("E3")[0], expected, rtol=0, atol=atol)
    removed = ctx.get_data() - got.get_raw().get_data()
    np.testing.assert_array_equal(got.context.get_estimated_noise(), removed)


@pytest.mark.parametrize("between", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_it_cleans_the_example(case, between):
    sim = example()
    parameters = {**CASES[case][0].get_parameters(), "window_size": 20, "subsample": between}
    if case == "corresponding":
        parameters |= {"slices_per_volume": 25, "window_size": 7}
    step = type(CASES[case][0])(**parameters)
    chain = [TriggerDetector(regex=r"\b1\b"), step]
    got = Pipeline(chain).run(sim.context(), raise_on_error=True)
    assert np.median(sim.snr_db(sim.raw)) < -10
    assert np.median(sim.snr_db(got.get_raw())) > 10


def test_triggers_move_to_where_templates_fit():
    sim = example()
    jitter = np.random.default_rng(0).integers(-2, 3, len(sim.triggers))
    start = sim.context().with_trigger_samples(sim.triggers + jitter, artifact_length=160)
    got = Pipeline([SliceTriggerCorrection(window_size=20)]).run(start, raise_on_error=True)
    moved = got.context.get_triggers() - sim.triggers
    assert np.abs(moved - np.median(moved)).max() < np.ptp(jitter)
    assert moved.std() < 0.5 * jitter.std()


def test_slices_per_volume_of_the_metadata(ctx):
    metadata = ctx.metadata.updated(slices_per_volume=5)
    by_metadata = CorrespondingSliceCorrection(window_size=2)(ctx.with_metadata(metadata))
    by_hand = CorrespondingSliceCorrection(slices_per_volume=5, window_size=2)(ctx)
    assert np.array_equal(by_metadata.get_data(), by_hand.get_data())


@pytest.mark.parametrize(
    ("step", "remedy"),
    [
        (VolumeTriggerCorrection(window_size=0), "1 or more"),
        (SliceTriggerCorrection(search_window_factor=0), "above 0"),
        (
            SliceTriggerCorrection(subsample=True, apply_epoch_alpha_scaling=True),
            "turn one of them off",
        ),
        (CorrespondingSliceCorrection(slices_per_volume=50), "Check the triggers"),
    ],
)
def test_errors_name_the_remedy(ctx, step, remedy):
    with pytest.raises(StepError, match=remedy):
        Pipeline([step]).run(ctx, raise_on_error=True)


def test_unknown_number_of_slices(ctx):
    bare = ctx.with_metadata(ctx.metadata.updated(slices_per_volume=None))
    with pytest.raises(StepError, match="slices_per_volume=…"):
        Pipeline([CorrespondingSliceCorrection()]).run(bare, raise_on_error=True)


@pytest.mark.parametrize(
    "name", ["VolumeTriggerCorrection", "SliceTriggerCorrection", "CorrespondingSliceCorrection"]
)
def test_names_of_facetpy(name):
    other = name.replace("Correction", "")
    assert getattr(fnb, f"AvgArtWght{other}Correction") is getattr(fnb, name)


def test_an_epoch_beyond_the_recording_enters_no_template(ctx):
    x = ctx.get_data("E3")[0]
    n = ctx.get_artifact_length()
    cut = ctx.with_trigger_samples(
        np.append(ctx.get_triggers(), len(x) - n // 2), artifact_length=n
    )
    got = Pipeline([VolumeTriggerCorrection(window_size=5)]).run(cut, raise_on_error=True)
    assert np.isfinite(got.get_raw().get_data("E3")).all()
    step = VolumeTriggerCorrection(window_size=5)
    rows = list(step.weigh(cut.metadata, 6).restrict(np.arange(6) < 5))
    assert all(5 not in row for row in rows)


@pytest.mark.parametrize(
    "step",
    [
        VolumeTriggerCorrection(window_size=7, subsample=True),
        SliceTriggerCorrection(window_size=7, apply_epoch_alpha_scaling=True),
        FARMCorrection(window_size=7, subsample=True),
        FARMCorrection(window_size=7, interpolate_volume_gaps=True),
    ],
    ids=["volume between", "slice scaled", "farm between", "farm gaps"],
)
def test_options_give_the_same_answer_in_every_mode(ctx, step):
    serial = Pipeline([step]).run(ctx, raise_on_error=True).context
    for mode, backend in [("channel_sequential", "serial"), ("parallel", "multiprocessing")]:
        other = Pipeline([step]).run(
            ctx, mode=mode, backend=backend, n_jobs=2, n_workers=2, raise_on_error=True
        )
        assert_same(other.context, serial)
    assert not np.array_equal(serial.get_data(), ctx.get_data())
