"""The rule that fuses a rise of the rate, a correction and a fall: what it takes and what not."""

from __future__ import annotations

import pickle
from html import escape

import numpy as np
import pytest

from facet_nb import (
    AASCorrection,
    ANCCorrection,
    CutAcquisitionWindow,
    DownSample,
    FARMCorrection,
    HighPassFilter,
    LowPassFilter,
    PCACorrection,
    ProcessingContext,
    Resample,
    SliceAligner,
    SubsampleAligner,
    TriggerAligner,
    TriggerDetector,
    UpSample,
)
from facet_nb.core import ArrayProcessor, Pipeline, Prepared, ProcessingMetadata, StepError, View
from facet_nb.core.planning.fusion import FusedSteps, find_fusions
from facet_nb.correction.aas_fused import AASPlan
from facet_nb.datasets import simulate
from facet_nb.kernels.resampling import double_rate_signal
from tests.contract.equality import assert_same
from tests.contract.recordings import full_chain, make_context
from tests.core import toys
from tests.core.toys import PLACES, RUNS, ids


class Silent(ArrayProcessor):
    """Writes something down, and looks at nothing."""

    modifies_raw = False
    run_once = True

    def prepare(self, view):
        return Prepared(metadata={"custom": {**view.metadata.custom, "rate": view.sfreq}})


class OwnAAS(AASCorrection):
    """Anyone's variant."""


UP, DOWN, AAS = UpSample(10), DownSample(10), AASCorrection()


@pytest.fixture(scope="module")
def ctx():
    return make_context()


def run(steps, ctx, **options):
    return Pipeline(steps).run(ctx, raise_on_error=True, show_progress=False, **options).context


# --------------------------------------------------------------------------------------- the rule
FUSED = {
    "bare": [UP, AAS, DOWN],
    "aligned": [UP, TriggerAligner(), AAS, DOWN],
    "aligned twice": [UP, SliceAligner(), SubsampleAligner(), AAS, DOWN],
    "something written down": [UP, Silent(), AAS, Silent(), DOWN],
    "one reference": [UP, TriggerAligner(ref_channel="Cz"), AASCorrection(ref_channel="Cz"), DOWN],
}


@pytest.mark.parametrize("name", FUSED)
def test_fused(name):
    steps = [HighPassFilter(1.0), *FUSED[name], LowPassFilter(70.0)]
    fusions = find_fusions(steps)
    assert [f.steps for f in fusions.found] == [tuple(range(1, len(steps) - 1))]
    assert fusions.refused == ()
    units = fusions.replace(steps, range(len(steps)))
    assert [type(u.processor) for u in units] == [HighPassFilter, FusedSteps, LowPassFilter]
    assert units[1].processor.parts == tuple(FUSED[name])


REFUSED = {
    "downsample (step 3) changes the corrected": [UP, AAS, DownSample(5)],
    "no step lowers the rate by 3 again": [UpSample(3), AAS],
    "resample (step 3) changes the corrected signal": [UP, AAS, Resample(500.0)],
    "lowpass_filter (step 2) needs the samples": [UP, LowPassFilter(70.0), AAS, DOWN],
    "lowpass_filter (step 3) changes the corrected signal": [UP, AAS, LowPassFilter(70.0), DOWN],
    "pca_correction (step 3) changes the corrected": [UP, AAS, PCACorrection(), DOWN],
    "anc_correction (step 3) needs the estimated noise": [UP, AAS, ANCCorrection(), DOWN],
    "aas_correction (step 3) changes the corrected signal": [UP, AAS, AAS, DOWN],
    "farm_correction (step 2) needs the samples": [UP, FARMCorrection(), DOWN],
    "trigger_detector (step 2) sees the recording": [UP, TriggerDetector("1"), AAS, DOWN],
    "cut_acquisition_window (step 2) sees": [UP, CutAcquisitionWindow(), AAS, DOWN],
    "lambda (step 2) sees the recording": [UP, lambda c: c, AAS, DOWN],
    "zscore (step 2) sees the recording": [UP, toys.ZScore(), AAS, DOWN],
    "summed (step 2) needs all channels": [UP, toys.Summed(), AAS, DOWN],
    "trigger_aligner (step 3) uses the corrected": [UP, AAS, TriggerAligner(), DOWN],
    "different reference channels": [UP, TriggerAligner(ref_channel="E1"), AAS, DOWN],
    "no correction before the rate is lowered": [UP, TriggerAligner(), DOWN],
    "subclass of AASCorrection": [UP, OwnAAS(), DOWN],
    "weighting='sliding'": [UP, AASCorrection(weighting="sliding"), DOWN],
    "apply_epoch_alpha_scaling=True": [UP, AASCorrection(apply_epoch_alpha_scaling=True), DOWN],
    "interpolate_volume_gaps=True": [UP, AASCorrection(interpolate_volume_gaps=True), DOWN],
    "subsample=True": [UP, AASCorrection(subsample=True), DOWN],
}


@pytest.mark.parametrize("reason", REFUSED)
def test_not_fused_and_why(reason):
    pipeline = Pipeline(REFUSED[reason])
    plan = pipeline.plan("channel_sequential")
    assert plan.fusions.found == ()
    (line,) = plan.fusions.refused
    assert line.startswith("upsample (step 1) is not fused: ")
    assert reason in line
    assert line in str(plan)
    assert escape(line) in plan._repr_html_()
    units = plan.fusions.replace(pipeline.processors, range(len(pipeline)))
    assert [u.processor for u in units] == list(pipeline)


def test_chains_without_a_rise_need_no_remark():
    for steps in ([AAS], [UpSample(1), AAS, DownSample(1)], [DOWN, AAS], [UpSample(0.5), AAS]):
        fusions = find_fusions(steps)
        assert fusions.found == () and fusions.refused == ()


def test_several_fusions_in_one_chain():
    steps = [UP, AAS, DOWN, HighPassFilter(1.0), UpSample(4), TriggerAligner(), AAS, DownSample(4)]
    assert [f.steps for f in find_fusions(steps).found] == [(0, 1, 2), (4, 5, 6, 7)]


# --------------------------------------------------------------------------------------- the plan
def test_plan_names_all_steps_and_says_what_is_fused():
    for mode in ("serial", "channel_sequential", "parallel", "auto"):
        plan = Pipeline(full_chain()).plan(mode)
        assert [i for stage in plan.stages for i in stage.steps] == list(range(7))
        text = "upsample → trigger_aligner → aas_correction → downsample fused"
        assert text in str(plan) and text in plan._repr_html_()
        assert [s for s in plan.stages if "upsample" in s.names] == [
            s for s in plan.stages if "downsample" in s.names
        ]
        literal = Pipeline(full_chain()).plan(mode, fuse=False)
        assert "fused" not in str(literal) and literal.fusions.found == ()


def test_plans_of_one_pipeline_are_equal():
    pipeline = Pipeline(full_chain())
    assert pipeline.plan() == pipeline.plan()
    assert pipeline.plan() != pipeline.plan(fuse=False)
    assert find_fusions(list(pipeline)) != find_fusions(full_chain())


# ------------------------------------------------------------------------------------- the result
@pytest.fixture(scope="module")
def literal(ctx):
    return run(full_chain(), ctx, fuse=False)


def assert_alike(fused, literal):
    """Equal but for the samples' rounding."""
    a, b = fused.get_raw(), literal.get_raw()
    np.testing.assert_allclose(a.get_data(), b.get_data(), rtol=0, atol=1e-9)
    noise = fused.get_estimated_noise(), literal.get_estimated_noise()
    np.testing.assert_allclose(*noise, rtol=0, atol=1e-9)
    assert fused.to_dict() == literal.to_dict()
    assert (a.first_samp, a.ch_names, a.info["bads"]) == (b.first_samp, b.ch_names, b.info["bads"])
    for key in ("sfreq", "highpass", "lowpass"):
        assert a.info[key] == b.info[key]


@pytest.mark.parametrize("options", RUNS, ids=ids)
def test_fused_in_every_mode_to_the_bit(ctx, literal, options):
    serial = run(full_chain(), ctx)
    assert_alike(serial, literal)
    assert_same(run(full_chain(), ctx, **options), serial)


def test_fuse_false_takes_every_step_as_it_is(ctx, literal, monkeypatch):
    by_hand = ctx
    for step in full_chain():
        by_hand = by_hand | step
    assert_same(by_hand, literal)
    monkeypatch.setattr(FusedSteps, "prepare", None)
    assert_same(run(full_chain(), ctx, fuse=False, mode="channel_sequential"), literal)


def test_history_and_metadata_are_those_of_the_steps(ctx):
    context = run(full_chain(), ctx)
    names = [step.name for step in context.get_history()]
    assert names == [step.name for step in full_chain()]
    aligner = context.get_history()[3].parameters
    assert aligner["ref_channel"] == "E1" and "largest_move" in aligner
    assert context.metadata.upsampling_factor == 1
    assert context.get_sfreq() == 500.0


def test_steps_between_see_the_high_rate(ctx):
    steps = [*full_chain()[:3], Silent(), *full_chain()[3:]]
    fused, literal = run(steps, ctx), run(steps, ctx, fuse=False)
    assert fused.metadata.custom["rate"] == 5000.0
    assert_alike(fused, literal)


@pytest.mark.parametrize("options", PLACES, ids=ids)
def test_later_corrections_and_the_noise(ctx, options):
    steps = [*full_chain(), AASCorrection(window_size=10, subsample=True), ANCCorrection()]
    fused = run(steps, ctx, **options)
    literal = run(steps, ctx, fuse=False)
    np.testing.assert_allclose(fused.get_data(), literal.get_data(), rtol=0, atol=1e-8)
    assert fused.to_dict() == literal.to_dict()
    assert_same(fused, run(steps, ctx))


def test_samples_of_a_fused_step_lie_where_the_result_will(monkeypatch):
    ctx = ProcessingContext(simulate(4, 1000.0, 18.0, 1.0, 5, seed=1).raw)
    seen, compute = [], FusedSteps.compute

    def watch(self, x, prepared, out=None):
        seen.append(x)
        return compute(self, x, prepared, out)

    monkeypatch.setattr(FusedSteps, "compute", watch)
    given = ctx.get_data().copy()
    result = run(full_chain(), ctx, mode="channel_sequential", batch_size=2).get_raw()
    assert len(seen) == 2 and all(np.shares_memory(x, result._data) for x in seen)
    assert np.array_equal(ctx.get_data(), given)


def test_channels_that_hold_no_data(ctx, literal):
    raw = ctx.get_raw().copy()
    row = raw.ch_names.index("E5")  # bad
    raw._data[row, 50:60] = np.nan
    fused = run(full_chain(), ProcessingContext(raw)).get_raw()
    assert np.isfinite(fused.get_data()).all()
    assert not fused.get_data()[row, 50:60].any()
    for name in ("STI", "temp"):
        assert np.array_equal(fused.get_data([name]), ctx.get_raw().get_data([name]))


def test_a_rate_that_is_no_round_number():
    sim = simulate(2, 999.7, 18.0, 1.0, 5, seed=1)
    ctx = ProcessingContext(sim.raw)
    steps = [TriggerDetector(r"\b1\b"), UpSample(7), TriggerAligner(), AAS, DownSample(7)]
    assert_alike(run(steps, ctx), run(steps, ctx, fuse=False))


def test_times_are_where_the_work_is(ctx):
    result = Pipeline(full_chain()).run(ctx, mode="channel_sequential", show_progress=False)
    times = result.step_times.set_index("step")
    assert times.loc["aas_correction", "cpu_s"] > 0
    assert times.loc["trigger_aligner", "cpu_s"] > 0
    assert list(times.index) == [step.name for step in full_chain()]
    assert result.state.fraction == 1.0
    assert result.state.steps_done == set(range(7))


def test_fused_steps_are_done_with_the_one_that_works(ctx):
    """A grid of steps and channels has no empty rows."""
    state = Pipeline(full_chain()).run(ctx, channel_sequential=True, raise_on_error=True).state
    done = {step: {c for s, c in state.cells if s == step} for step in range(1, 7)}
    everyone = {"E1", "E2", "E3", "E4", "E6", "EOG1", "ECG1"}
    assert all(channels == everyone for channels in done.values()), done


@pytest.mark.parametrize(
    ("name", "step", "steps"),
    [
        ("trigger_aligner", 3, {3: TriggerAligner(ref_trigger_index=999)}),
        ("aas_correction", 4, {4: AASCorrection(window_size=0)}),
    ],
)
def test_errors_name_the_step_itself(ctx, name, step, steps):
    chain = [steps.get(i, s) for i, s in enumerate(full_chain())]
    for fuse in (True, False):
        result = Pipeline(chain).run(ctx, fuse=fuse, show_progress=False)
        assert isinstance(result.error, StepError)
        assert (result.failed_processor, result.failed_processor_index) == (name, step)
        if fuse:
            text = str(result.error)
    assert str(result.error) == text


def test_no_triggers_is_the_same_error(ctx):
    raw = ctx.get_raw()
    steps = full_chain()[1:]
    errors = [
        Pipeline(steps).run(ProcessingContext(raw), fuse=fuse, show_progress=False).error
        for fuse in (True, False)
    ]
    assert str(errors[0]) == str(errors[1]) and "triggers" in str(errors[0])


def test_map_can_run_literally(ctx):
    results = Pipeline(full_chain()).map([ctx], fuse=False, keep_raw=True)
    assert results[0].plan.fusions.found == ()


def test_what_is_fused_can_be_sent_to_workers():
    fused = find_fusions([UP, TriggerAligner(), AAS, DOWN]).found[0].processor
    copy = pickle.loads(pickle.dumps(fused))
    assert copy.name == "aas_correction" and copy.needs == "reference" and copy.main == 2


def test_memory_does_not_grow_with_the_factor_or_far_with_the_length():
    import tracemalloc

    peaks = []
    for n, window in ((50_000, 30), (300_000, 30), (600_000, 10)):
        x = np.random.default_rng(0).standard_normal((1, n)) * 1e-5
        steps = [UpSample(50), AASCorrection(window_size=window), DownSample(50)]
        fused = find_fusions(steps).found[0].processor
        starts = 50 * np.arange(100, n - 300, 200)
        payload = fused.kernel.prepare(AASPlan(starts, starts, 50 * 200), n)
        double_rate_signal._buffers.arrays.clear()
        tracemalloc.start()
        fused.kernel.compute(x, payload, x)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        said = fused.memory((1, n), 1000.0)
        if peaks:  # the first also makes the tables of this factor
            assert 0.3 * said < peak <= said < 8 * n + (42 << 20)
        peaks.append(peak)
    assert peaks[0] < 16 << 20


@pytest.mark.parametrize(("n", "window"), [(20_000, 30), (400_000, 30)])
def test_memory_to_prepare_is_what_is_said(n, window):
    import tracemalloc

    fused = find_fusions([UP, TriggerAligner(), AASCorrection(window), DOWN]).found[0].processor
    x = 1e-5 * np.random.default_rng(0).standard_normal(n)
    triggers = np.arange(100, n - 400, 300)
    metadata = ProcessingMetadata(triggers=triggers, artifact_length=300)
    view = View(1000.0, n, metadata, ("E1",), reference=x, reference_name="E1")
    tracemalloc.start()
    prepared = fused.prepare(view)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert prepared.payload.n_times == n
    assert peak < fused.memory_to_prepare((1, n), 1000.0) < 8 * peak + (64 << 20)
