"""Bad input: a clear error that names step, channel and remedy, and nothing is lost."""

from __future__ import annotations

import os

import numpy as np
import pytest

from facet_nb import (
    AASCorrection,
    EDFExporter,
    FacetError,
    HighPassFilter,
    Loader,
    Pipeline,
    PlanError,
    ProcessingContext,
    Processor,
    StepError,
    TriggerAligner,
    TriggerDetector,
    export,
)
from facet_nb.core.recording import replace_data
from tests.contract.recordings import full_chain, make_context

MODES = [
    {"mode": "serial"},
    {"mode": "channel_sequential"},
    {"mode": "channel_sequential", "n_jobs": 2, "backend": "threading"},
    {"mode": "parallel", "n_jobs": 2, "backend": "multiprocessing"},
]


class Choosy(Processor):
    """Raises on one channel."""

    name = "choosy"
    requires_raw = True
    channel_wise = True

    def process(self, context):
        if context.get_channel_names() == ["E4"]:
            raise ArithmeticError("E4 is not to my taste")
        return context


class Ending(Processor):
    """Ends its process on one channel."""

    name = "ending"
    requires_raw = True
    channel_wise = True

    def process(self, context):
        if context.get_channel_names() == ["E4"]:
            os._exit(3)
        return context


@pytest.fixture
def ctx():
    return make_context()


def with_samples(context, change):
    data = context.get_data().copy()
    change(data, context.get_channel_names())
    return ProcessingContext(replace_data(context.get_raw(), data))


def fails(pipeline, context, **options):
    """Return the error; the context given is as it was."""
    before = context.get_data().copy()
    result = pipeline.run(context, **options)
    assert not result.success
    assert isinstance(result.error, FacetError)
    assert np.array_equal(context.get_data(), before, equal_nan=True)
    assert context.get_triggers() is None
    assert context.get_history() == []
    assert not context.has_estimated_noise()
    return result.error


@pytest.mark.parametrize("options", MODES)
def test_no_trigger_matches(ctx, options):
    chain = full_chain()
    chain[0] = TriggerDetector(regex=r"\b77\b")
    error = fails(Pipeline(chain), ctx, **options)
    assert error.step == "trigger_detector"
    for known in ("Stimulus/S  1", "BAD_before", "STI"):
        assert known in str(error)


@pytest.mark.parametrize("options", MODES)
def test_nan_names_step_channel_and_remedy(ctx, options):
    def spoil(data, names):
        data[names.index("E3"), 5000] = np.nan

    broken = with_samples(ctx, spoil)
    error = fails(Pipeline(full_chain()), broken, **options)
    assert isinstance(error, StepError)
    assert error.step == "highpass_filter"
    assert error.channel == "E3"
    assert "info['bads']" in str(error)
    broken.get_raw().info["bads"].append("E3")
    assert Pipeline(full_chain()).run(broken, **options).success


@pytest.mark.parametrize("options", MODES)
def test_flat_reference_channel(ctx, options):
    def flatten(data, names):
        data[names.index("E1")] = 0.0

    flat = with_samples(ctx, flatten)
    result = Pipeline(full_chain()).run(flat, **options)
    assert result.success
    assert result.context.metadata.ref_channel not in (None, "E1")
    asked = full_chain()
    position = [p.name for p in asked].index("trigger_aligner")
    asked[position] = TriggerAligner(ref_channel="E1")
    error = fails(Pipeline(asked), flat, **options)
    assert error.step == "trigger_aligner"
    assert error.channel == "E1"
    assert "ref_channel" in str(error)


@pytest.mark.parametrize("options", MODES)
def test_any_other_flat_channel_stays_flat(ctx, options):
    def flatten(data, names):
        data[names.index("E6")] = 0.0

    result = Pipeline(full_chain()).run(with_samples(ctx, flatten), **options)
    assert result.success
    assert not result.get_raw().get_data("E6").any()


@pytest.mark.parametrize("options", MODES)
def test_one_channel(ctx, options):
    one = ProcessingContext(ctx.get_raw().copy().pick(["E2"]))
    alone = Pipeline(full_chain()).run(one, raise_on_error=True, **options)
    assert alone.get_raw().ch_names == ["E2"]
    assert alone.get_raw().get_data().std() < 0.2 * one.get_data().std()


def test_missing_triggers_and_triggers_at_the_edges(ctx):
    ready = Pipeline(full_chain()[:1])(ctx)
    triggers = np.delete(ready.get_triggers(), [7, 20, 21])
    holes = ready.with_triggers(np.concatenate([[0], triggers, [ctx.get_raw().n_times - 3]]))
    result = Pipeline(full_chain()[1:]).run(holes, raise_on_error=True)
    assert np.isfinite(result.get_raw().get_data()).all()


@pytest.mark.parametrize("options", MODES)
def test_a_processor_that_raises(ctx, options):
    error = fails(Pipeline([HighPassFilter(1.0), Choosy()]), ctx, **options)
    assert isinstance(error, StepError)
    assert (error.step, error.channel, error.index) == ("choosy", "E4", 1)
    assert "ArithmeticError: E4 is not to my taste" in str(error)
    assert "process" in error.remote_traceback


@pytest.mark.slow
def test_a_processor_that_ends_its_process(ctx):
    error = fails(Pipeline([Ending()]), ctx, mode="parallel", n_jobs=2)
    assert isinstance(error, StepError)
    assert (error.step, error.channel) == ("ending", "E4")
    assert "os._exit" in str(error)


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"n_jobs": 0}, "-1 for all"),
        ({"n_workers": 0}, "-1 for all"),
        ({"n_jobs": 1.5}, "number of workers"),
        ({"batch_size": 0}, "1 or more"),
        ({"mode": "sideways"}, "serial, channel_sequential, parallel, auto"),
        ({"backend": "spam"}, "multiprocessing, threading, serial"),
        ({"mode": "serial", "parallel": True}, "use only one of them"),
    ],
)
def test_settings_that_cannot_be(ctx, options, remedy):
    with pytest.raises(PlanError, match=remedy.replace("(", r"\(")):
        Pipeline([HighPassFilter(1.0)]).run(ctx, **options)


def test_unwritable_output(ctx, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    target = tmp_path / "file" / "corrected.edf"
    error = fails(Pipeline([EDFExporter(path=str(target))]), ctx)
    assert error.step == "edf_exporter"
    assert str(target.parent) in str(error)


def test_truncated_brainvision_file(ctx, tmp_path):
    export(ctx, tmp_path / "whole.vhdr")
    samples = tmp_path / "whole.eeg"
    samples.write_bytes(samples.read_bytes()[: samples.stat().st_size // 2 - 3])
    result = Pipeline([Loader(path=str(tmp_path / "whole.vhdr")), AASCorrection()]).run()
    assert result.failed_processor == "auto_loader"
    assert "whole.eeg" in str(result.error)


def test_errors_can_be_raised(ctx):
    with pytest.raises(StepError, match="E4 is not to my taste"):
        Pipeline([Choosy()]).run(ctx, raise_on_error=True)
