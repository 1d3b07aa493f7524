"""Chunks of time: the same answer to the bit, in every way to run."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("facet_nb.kernels.compiled._native")

from facet_nb import (
    AASCorrection,
    ANCCorrection,
    BandPassFilter,
    CommonReference,
    DownSample,
    GradientCorrection,
    HighPassFilter,
    Loader,
    LowPassFilter,
    NotchFilter,
    Resample,
    TriggerAligner,
    TriggerDetector,
    UpSample,
    VolumeTriggerCorrection,
)
from facet_nb.core import Pipeline, PlanError, ProcessingContext, StepError
from facet_nb.core.execution import streaming
from facet_nb.core.storage import scratch
from facet_nb.datasets import simulate
from facet_nb.io import export
from facet_nb.kernels.pages import find_map
from facet_nb.kernels.streams import AverageStream
from tests.core import toys

WAYS = [
    {"mode": "serial"},
    {"mode": "channel_sequential"},
    {"mode": "channel_sequential", "backend": "threading", "n_jobs": 2, "batch_size": 2},
    {"mode": "parallel", "backend": "multiprocessing", "n_jobs": 2},
]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    sim = simulate(4, 1000.0, 60.0, 1.0, 10, seed=0, lead_in_s=2.0, lead_out_s=2.0)
    sim.raw.info["bads"] = [sim.raw.ch_names[1]]
    path = tmp_path_factory.mktemp("chunks") / "a_raw.fif"
    export(ProcessingContext(sim.raw), path)
    return path


def chain(file, preload=True, **filters):
    return [
        Loader(file, preload=preload),
        TriggerDetector(regex=r"\b1\b"),
        HighPassFilter(1.0, **filters),
        AASCorrection(subsample=True, window_size=10),
        NotchFilter(50.0, picks=[0, 2]),
        LowPassFilter(70.0),
    ]


def run(steps, **options):
    return Pipeline(steps).run(raise_on_error=True, show_progress=False, **options)


@pytest.mark.parametrize("preload", [True, False], ids=["memory", "file"])
@pytest.mark.parametrize("way", WAYS, ids=toys.ids)
def test_chunks_give_the_same_answer(file, tmp_path, monkeypatch, way, preload):
    monkeypatch.setenv("FACET_NB_TMPDIR", str(tmp_path))
    expected = run(chain(file))
    result = run(chain(file, preload), chunk_duration_s=7.3, **way)
    assert any(stage.chunk_duration_s == 7.3 for stage in result.plan.stages)
    assert "in chunks of 7.3 s" in str(result.plan)
    assert np.array_equal(result.get_raw()._data, expected.get_raw()._data)
    noise = result.context.get_estimated_noise()
    assert np.array_equal(noise, expected.context.get_estimated_noise())
    assert np.array_equal(result.context.get_triggers(), expected.context.get_triggers())
    assert scratch.is_spilled(result.get_raw()._data) is not preload
    names = list(result.step_times["step"])
    assert names == list(expected.step_times["step"])
    assert (result.step_times["wall_s"][2:] > 0).all()
    del result, noise
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seconds", [3.1, 100.0])
@pytest.mark.parametrize("way", WAYS[1:], ids=toys.ids)
def test_the_chain_with_its_rate_raised_and_lowered(file, way, seconds):
    first, rest = chain(file)[:3], chain(file, False)[4:]
    steps = [*first, UpSample(10), TriggerAligner(), AASCorrection(window_size=10), DownSample(10)]
    expected = run([*steps, *rest])
    steps[0] = Loader(file, preload=False)
    result = run([*steps, *rest], chunk_duration_s=seconds, **way)
    assert "fused" in str(result.plan) and "not in chunks" not in str(result.plan)
    assert any(stage.chunk_duration_s == seconds for stage in result.plan.stages)
    assert np.array_equal(result.get_raw()._data, expected.get_raw()._data)
    assert np.array_equal(result.context.get_triggers(), expected.context.get_triggers())
    noise = result.context.get_estimated_noise()
    assert np.array_equal(noise, expected.context.get_estimated_noise())


@pytest.mark.parametrize(
    "options", [{}, {"weighting": "sliding"}, {"subsample": True, "weighting": "sliding"}], ids=str
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_averaging_of_every_kind(file, options, dtype):
    steps = [*chain(file, False)[:3], AASCorrection(window_size=10, **options)]
    expected = run(steps, dtype=dtype)
    result = run(steps, dtype=dtype, chunk_duration_s=3.7)
    assert any(stage.chunk_duration_s == 3.7 for stage in result.plan.stages)
    assert np.array_equal(result.get_raw().get_data(), expected.get_raw().get_data())


def test_our_own_chain(file):
    steps = [*chain(file, False)[:2], GradientCorrection(block_s=11.0), LowPassFilter(70.0)]
    expected = run(steps)
    result = run(steps, chunk_duration_s=3.7, mode="channel_sequential")
    assert "not in chunks" not in str(result.plan)
    assert np.array_equal(result.get_raw()._data, expected.get_raw()._data)


@pytest.mark.parametrize("options", [{}, {"subsample": True}], ids=str)
@pytest.mark.parametrize("way", WAYS[2:3], ids=toys.ids)
def test_rates_that_change_on_the_way(file, way, options):
    """Passes of another length than the result, and results of another length than the source."""
    steps = [*chain(file, False)[:3], UpSample(3), AASCorrection(window_size=10, **options)]
    for after in ([DownSample(3), LowPassFilter(70.0)], [Resample(640.0)]):
        expected = run([*steps, *after], fuse=False)
        result = run([*steps, *after], fuse=False, chunk_duration_s=3.7, **way)
        assert "not in chunks" not in str(result.plan)
        assert np.array_equal(result.get_raw()._data, expected.get_raw()._data)
        assert result.get_raw().info["sfreq"] == expected.get_raw().info["sfreq"]


def test_chunks_in_single_precision(file):
    expected = run(chain(file), dtype="float32")
    result = run(chain(file), dtype="float32", chunk_duration_s=5, mode="channel_sequential")
    assert np.array_equal(result.get_raw()._data, expected.get_raw()._data)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_a_step_decides_on_is_in_a_file(file, monkeypatch, dtype):
    """A step of ours looks at float64: in single precision, that is a copy."""
    looked, prepare = [], AASCorrection.prepare

    def look(step, view):
        looked.append(view.reference)
        return prepare(step, view)

    monkeypatch.setattr(AASCorrection, "prepare", look)
    run(chain(file, False), dtype=dtype, chunk_duration_s=3.7, mode="channel_sequential")
    run(chain(file, False), dtype=dtype, mode="channel_sequential")
    streamed, whole = looked
    assert find_map(streamed) is not None and find_map(whole) is None
    assert streamed.dtype == np.float64 and not streamed.flags.writeable
    assert np.array_equal(streamed, whole)


def test_no_step_sees_more_than_a_chunk_at_once(file, monkeypatch):
    given = []
    give = streaming._give
    monkeypatch.setattr(streaming, "_give", lambda s, x: given.append(len(x)) or give(s, x))
    monkeypatch.setattr(AASCorrection, "compute", None)
    run([*chain(file)[:2], chain(file)[3]], chunk_duration_s=2)
    assert max(given) <= 2000 and sum(given) >= 3 * 64_000


def test_stages_that_cannot_and_why(file):
    steps = [HighPassFilter(1.0, method="iir"), toys.ZScore(), VolumeTriggerCorrection(3)]
    steps.append(ANCCorrection())
    plan = Pipeline(steps).plan("serial", chunk_duration_s=10)
    assert all(stage.chunk_duration_s is None for stage in plan.stages)
    text = str(plan)
    for why in (
        "highpass_filter runs backwards over the whole length",
        "zscore is a user-defined step",
        "anc_correction scales the noise by",
        "volume_trigger_correction needs the whole length of a channel",
    ):
        assert why in text
    result = run([Loader(file), *chain(file)[1:2], *steps], chunk_duration_s=10)
    expected = run([Loader(file), *chain(file)[1:2], *steps])
    assert np.array_equal(result.get_raw()._data, expected.get_raw()._data)
    mixed = [CommonReference(), BandPassFilter(1.0, 40.0)]
    both = [run([Loader(file), *mixed], chunk_duration_s=c) for c in (3.0, None)]
    assert np.array_equal(*(r.get_raw()._data for r in both))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_recording_that_cannot_be_cut(file, monkeypatch, caplog, dtype):
    steps = [*chain(file, False)[:3], AASCorrection(subsample=True, window_size=10)]
    steps.append(LowPassFilter(70.0))
    expected = run(steps, dtype=dtype).get_raw().get_data()
    monkeypatch.setattr(AverageStream, "make", lambda *given: None)
    result = run(steps, dtype=dtype, chunk_duration_s=5)
    assert "aas_correction cannot process this recording in chunks" in caplog.text
    assert np.array_equal(result.get_raw().get_data(), expected)


def test_a_filter_of_ones_own_is_not_taken_for_ours():
    class Doubled(HighPassFilter):
        def compute(self, x, prepared, out=None):
            return 2.0 * super().compute(x, prepared, out)

    plan = Pipeline([Doubled(1.0)]).plan("serial", chunk_duration_s=10)
    assert "doubled computes in a way of its own" in str(plan)


def test_samples_that_are_not_finite_are_named(file):
    raw = run([Loader(file)]).get_raw().copy()
    raw._data[3, 40_000] = np.nan
    with pytest.raises(StepError, match=f"channel {raw.ch_names[3]} holds 1 sample"):
        run([LowPassFilter(40.0)], initial_context=ProcessingContext(raw), chunk_duration_s=5)


@pytest.mark.parametrize("value", [0, -1, "ten", True, float("nan"), float("inf")])
def test_lengths_that_are_none(value):
    with pytest.raises(PlanError, match="positive number of seconds"):
        Pipeline([LowPassFilter(40.0)]).plan("serial", chunk_duration_s=value)
