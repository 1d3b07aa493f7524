"""What goes wrong is a clear FacetError in every mode, and the caller's context stays."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import mne
import numpy as np
import psutil
import pytest

from facet_nb.core import (
    FacetError,
    Pipeline,
    PlanError,
    Prepared,
    ProcessingContext,
    StepError,
)
from tests.core import toys
from tests.core.toys import PLACES, ids

EVERYWHERE = [
    *PLACES,
    {"mode": "channel_sequential"},
    {"mode": "channel_sequential", "backend": "multiprocessing", "n_jobs": 2},
    {"mode": "parallel", "backend": "threading", "n_jobs": 2},
]
APART = {"mode": "parallel", "backend": "multiprocessing", "n_jobs": 2}


@pytest.fixture
def ctx():
    return toys.make_context()


@pytest.fixture(autouse=True)
def _no_folder_is_left():
    before = toys.list_folders()  # recordings of earlier tests may still be in use
    yield
    assert toys.list_folders() <= before


def fail(steps, ctx, **options):
    """Run, check that it failed as it should, and that nothing was changed; return the error."""
    samples = ctx.get_data().copy() if ctx.has_raw() else None
    before = ctx.to_dict()
    result = Pipeline(steps).run(ctx, **options)
    assert not result.success and result.context is None
    assert isinstance(result.error, FacetError), repr(result.error)
    assert result.state.status == "failed"
    assert ctx.to_dict() == before
    if samples is not None:
        assert np.array_equal(ctx.get_data(), samples, equal_nan=True)
    with pytest.raises(type(result.error)):
        result.get_context()
    return result.error


# --------------------------------------------------------------------------- processors that fail
@pytest.mark.parametrize("options", EVERYWHERE, ids=ids)
@pytest.mark.parametrize(("kind", "cause"), [("value", "ValueError"), ("two", "Awkward")])
def test_a_processor_that_raises(ctx, options, kind, cause):
    error = fail([toys.Halved(), toys.Raising("E4", kind), toys.Halved()], ctx, **options)
    assert isinstance(error, StepError)
    assert (error.step, error.index, error.channel) == ("raising", 1, "E4")
    assert error.cause_type == cause
    assert "Step 2 (raising) failed on channel E4" in str(error)
    assert ("no such thing" if kind == "value" else "3 apples") in str(error)
    assert "in change" in error.remote_traceback
    assert pickle.loads(pickle.dumps(error)).remote_traceback == error.remote_traceback


@pytest.mark.parametrize("options", EVERYWHERE, ids=ids)
def test_the_channel_is_named_within_a_batch(ctx, options):
    assert fail([toys.Raising("E4")], ctx, **options, batch_size=3).channel == "E4"


@pytest.mark.parametrize("options", EVERYWHERE, ids=ids)
def test_the_reference_channel_fails_first(ctx, options):
    error = fail([toys.Raising("E1", "two")], ctx, **options)
    assert (error.step, error.channel, error.cause_type) == ("raising", "E1", "Awkward")


@pytest.mark.parametrize("options", PLACES, ids=ids)
def test_a_step_over_all_channels_that_raises(ctx, options):
    def broken(context):
        raise KeyError("x")

    error = fail([toys.Halved(), broken], ctx, **options)
    assert (error.step, error.index, error.cause_type) == ("lambda", 1, "KeyError")
    assert isinstance(error.__cause__, KeyError)


def test_the_cause_is_kept_within_a_process(ctx):
    for options in ({"mode": "serial"}, {"backend": "threading", "mode": "parallel", "n_jobs": 2}):
        assert isinstance(fail([toys.Raising()], ctx, **options).__cause__, ValueError)


def test_a_failure_does_not_cost_the_workers(ctx):
    """Correct the mistake, run again: without a second of starting workers anew."""
    assert Pipeline([toys.ZScore()]).run(ctx, **APART).success
    before = {child.pid for child in psutil.Process().children()}
    fail([toys.Raising()], ctx, **APART)
    assert Pipeline([toys.ZScore()]).run(ctx, **APART).success
    assert {child.pid for child in psutil.Process().children()} == before


def test_raise_on_error(ctx):
    with pytest.raises(StepError, match="no such thing"):
        Pipeline([toys.Raising()]).run(ctx, raise_on_error=True)


@pytest.mark.parametrize("options", EVERYWHERE, ids=ids)
def test_sys_exit(ctx, options):
    error = fail([toys.Exiting()], ctx, **options)
    assert (error.step, error.channel, error.cause_type) == ("exiting", "E4", "SystemExit")


@pytest.mark.parametrize(
    ("channel", "mode"),
    [("E4", "channel_sequential"), ("E1", "parallel")],  # E1: the reference
)
def test_a_worker_that_dies(ctx, channel, mode):
    begin = time.monotonic()
    steps = [toys.Halved(), toys.Exiting(channel, hard=True)]
    error = fail(steps, ctx, mode=mode, n_jobs=2)
    assert time.monotonic() - begin < 30
    assert (error.step, error.channel) == ("exiting", channel)
    assert "ended twice without returning a result" in str(error) and "n_jobs" in str(error)
    assert Pipeline([toys.ZScore()]).run(ctx, mode=mode, n_jobs=2).success


def test_a_worker_that_dies_once_costs_its_batch_only(ctx, tmp_path):
    steps = [toys.Exiting("E4", hard=True, marker=str(tmp_path / "died"))]
    events = []
    result = Pipeline(steps).run(ctx, **APART, on_event=events.append, raise_on_error=True)
    assert (tmp_path / "died").exists()
    expected = Pipeline([toys.Scaled()]).run(ctx, raise_on_error=True)
    assert np.array_equal(result.get_raw().get_data(), expected.get_raw().get_data())
    batches = [e.batch for e in events if type(e).__name__ == "BatchDone" and e.batch >= 0]
    assert sorted(batches) == list(range(len(toys.GOOD)))


def test_processors_that_cannot_be_sent_are_named_before_anything_starts(ctx):
    class Weird(toys.Scaled):
        def __reduce__(self):
            raise RuntimeError("I stay here")

    ran = []
    steps = [lambda c: ran.append(1) or c, toys.Unpicklable(), toys.Halved(), Weird()]
    error = fail(steps, ctx, **APART)
    assert isinstance(error, PlanError) and not ran
    for part in ("unpicklable", "weird (I stay here)", "backend='threading'"):
        assert part in str(error)
    steps[1:2] = []
    result = Pipeline(steps).run(ctx, mode="parallel", backend="threading", n_jobs=2)
    assert result.success and ran


def test_decisions_that_cannot_be_sent_are_named(ctx):
    class Holding(toys.Halved):
        def prepare(self, view):
            return Prepared(threading.Lock())

    error = fail([Holding()], ctx, **APART)
    assert isinstance(error, PlanError) and "holding" in str(error)


@pytest.mark.parametrize("options", EVERYWHERE, ids=ids)
@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("none", "returned NoneType"),
        ("raw", "returned RawArray"),
        ("two channels", "shape (2, 3000)"),
        ("shorter", "must not change the number of samples"),
        ("uneven", "2995 samples, but 3000 for the reference channel"),
    ],
)
def test_wrong_answers(ctx, options, what, told):
    error = fail([toys.Returning(what)], ctx, **options)
    assert told in str(error)


@pytest.mark.parametrize("what", [None, 3, "text"])
def test_wrong_answers_of_steps_over_all_channels(ctx, what):
    error = fail([lambda c: what], ctx)
    assert f"returned {type(what).__name__}" in str(error)


@pytest.mark.parametrize("n_times", [300, 200_000])  # below and above 1 MB of samples
@pytest.mark.parametrize("options", EVERYWHERE, ids=ids)
@pytest.mark.parametrize("step", [toys.InPlace(), toys.Overwriting()], ids=lambda s: s.name)
def test_changes_in_place_are_refused_everywhere(options, n_times, step):
    data = np.random.default_rng(0).standard_normal((3, n_times))
    raw = mne.io.RawArray(data, mne.create_info(3, 500.0, "eeg"), verbose="error")
    error = fail([step], ProcessingContext(raw), **options)
    assert error.step == step.name
    assert "changed its input" in str(error)
    remedy = "context.get_raw().copy()" if step.name == "in_place" else "write to out"
    assert remedy in str(error)


@pytest.mark.parametrize("change", ["samples", "filter", "pick"])
def test_changes_in_place_of_steps_over_all_channels(ctx, change):
    def step(context):
        raw = context.get_raw()
        if change == "samples":
            raw._data[0] = 0.0
        elif change == "filter":
            raw.filter(1.0, None, verbose="error")
        else:
            raw.apply_function(lambda x: x * 0.0, verbose="error")
        return context

    error = fail([step], ctx)
    assert "context.get_raw().copy()" in str(error)


@pytest.mark.parametrize("call", ["execute", "__call__"])
def test_changes_in_place_of_a_step_that_is_called_directly(ctx, call):
    samples = ctx.get_data().copy()
    with pytest.raises(FacetError, match=r"context\.get_raw\(\)\.copy"):
        getattr(toys.InPlace(), call)(ctx)
    assert np.array_equal(ctx.get_data(), samples)

    class Overridden(toys.Scaled):
        def execute(self, context):
            return super().execute(context)

    assert np.array_equal(Overridden().execute(ctx).get_data(), 2.0 * samples)
    assert [s.name for s in toys.Scaled().execute(ctx).get_history()] == ["scaled"]


def test_changes_of_decisions_are_refused(ctx):
    class Greedy(toys.Referred):
        def prepare(self, view):
            view.reference[...] = 0.0

    class Greedier(toys.Summed):
        def prepare(self, view):
            view.data[...] = 0.0

    class Sloppy(toys.Referred):
        def prepare(self, view):
            view.metadata.custom["mine"] = 1
            view.metadata.triggers[:] = 0
            return super().prepare(view)

    for step in (Greedy(), Greedier()):
        assert "read-only" in str(fail([step], ctx))
    assert Pipeline([Sloppy()]).run(ctx, raise_on_error=True).success
    assert ctx.get_triggers()[0] == 100 and "mine" not in ctx.metadata.custom


# ------------------------------------------------------------------------- recordings that fail
@pytest.mark.parametrize("options", PLACES, ids=ids)
@pytest.mark.parametrize("where", ["E1", "E4"])
@pytest.mark.parametrize("steps", [[toys.Halved()], [toys.ZScore(), toys.Halved()]])
def test_nan(ctx, options, where, steps):
    raw = ctx.get_raw().copy()
    raw._data[toys.NAMES.index(where), 5:8] = np.nan
    error = fail(steps, ctx.with_raw(raw), **options)
    assert error.channel == where and "3 samples that are NaN" in str(error)
    assert f"raw.info['bads'] = ['{where}']" in str(error)
    raw.info["bads"] = [where]
    assert Pipeline([toys.Halved()]).run(ctx.with_raw(raw), **options).success


def test_nan_of_other_channels_passes_through(ctx):
    raw = ctx.get_raw().copy()
    for name in ("E3", "temp"):
        raw._data[toys.NAMES.index(name), 3] = np.nan
    result = Pipeline([toys.Halved(), toys.Spread(), toys.Decimated()]).run(
        ctx.with_raw(raw), raise_on_error=True
    )
    assert np.isnan(result.get_raw().get_data()).sum() == 0  # sample 3 is not kept
    result = Pipeline([toys.Halved()]).run(ctx.with_raw(raw), raise_on_error=True)
    assert np.isnan(result.get_raw().get_data()).sum() == 2


@pytest.mark.parametrize("options", PLACES, ids=ids)
@pytest.mark.parametrize("step", [toys.ZScore(), toys.Halved(), toys.Spread(), toys.Found()])
def test_no_data_channel(ctx, options, step):
    for raw in (ctx.get_raw().copy().pick(["STI", "temp"]), ctx.get_raw().copy()):
        raw.info["bads"] = [n for n in raw.ch_names if n not in ("STI", "temp")]
        error = fail([step], ProcessingContext(raw), **options)
        assert error.step == step.name
        assert "no good data channel" in str(error) and "raw.info['bads']" in str(error)


def test_no_recording():
    for step in (toys.Halved(), toys.ZScore(), toys.Assigning()):
        error = fail([step], ProcessingContext())
        assert error.step == step.name and "Loader(path=" in str(error)


@pytest.mark.parametrize("step", [toys.Halved(), toys.ZScore(), toys.Spread(), toys.Assigning()])
def test_no_triggers(step):
    class Needing(type(step)):
        requires_triggers = True

    error = fail([Needing()], ProcessingContext(toys.make_raw()))
    assert error.step == "needing" and "TriggerDetector" in str(error)


def test_reference_that_is_not_there(ctx):
    for name in ("Oz", 99, -1):
        error = fail([toys.Referred(name)], ctx)
        assert error.step == "referred" and repr(name) in str(error)


def test_picks_that_are_not_there(ctx):
    error = fail([toys.Halved(), toys.Picked(["Oz"])], ctx)
    assert (error.step, error.index) == ("picked", 1) and "'Oz'" in str(error)


def test_complex_samples(ctx):
    raw = ctx.get_raw().copy()
    raw._data = raw._data + 1j
    assert "complex" in str(fail([toys.Halved()], ctx.with_raw(raw)))


@pytest.mark.parametrize("thing", [np.zeros((2, 3)), 3])
def test_what_is_no_context(thing):
    with pytest.raises(FacetError, match="MNE Raw object or the path of a file"):
        Pipeline([toys.Halved()]).run(thing)


def test_a_file_that_is_not_there():
    result = Pipeline([toys.Halved()]).run("file.edf")
    assert not result.success and "file.edf" in str(result.error)


def test_what_is_no_recording():
    for thing in ("file.edf", np.zeros((2, 3))):
        with pytest.raises(FacetError, match="not an MNE Raw"):
            ProcessingContext(thing)
        with pytest.raises(FacetError, match="not an MNE Raw"):
            toys.make_context().with_raw(thing)


# ------------------------------------------------------------------------------------- full disk
PROGRAM = """
    import resource, sys
    from facet_nb.core import Pipeline, FacetError
    from tests.core import toys

    ctx = toys.make_context(n_times=20_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    result = Pipeline([toys.Halved(), toys.ZScore()]).run(ctx, mode="parallel", n_jobs=2)
    print(type(result.error).__name__, result.error)
    assert isinstance(result.error, FacetError) and not result.success
    assert Pipeline([toys.Halved()]).run(ctx, mode="parallel", backend="threading").success
"""


def run_program(text: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    path = folder / "program.py"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    root = str(Path(__file__).resolve().parents[2])
    variables = {**os.environ, "PYTHONPATH": root, "FACET_NB_TMPDIR": str(folder), **environment}
    return subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=100, env=variables
    )


def test_no_room_for_the_samples(tmp_path):
    done = run_program(PROGRAM, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no room for" in done.stdout and "FACET_NB_TMPDIR" in done.stdout
    assert not list(tmp_path.glob("facet_nb-*"))


def test_temporary_folder_that_is_not_there(ctx, monkeypatch, tmp_path):
    monkeypatch.setenv("FACET_NB_TMPDIR", str(tmp_path / "nowhere"))
    error = fail([toys.Halved()], ctx, **APART)
    assert "FACET_NB_TMPDIR" in str(error)
