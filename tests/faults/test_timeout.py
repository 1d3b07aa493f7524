"""A task that hangs ends its run at timeout=, and the error says where."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from facet_nb.core import Pipeline, Prepared, StepError, ValidationError
from facet_nb.core.execution import timeouts
from tests.core import toys
from tests.faults import programs

SERIAL = {"mode": "serial"}
THREADS = {"mode": "parallel", "backend": "threading", "n_jobs": 2}
PROCESSES = {"mode": "channel_sequential", "backend": "multiprocessing", "n_jobs": 2}


class Hanging(toys.ChannelWise):
    """Does not come to an end on one channel, for as long as a file is there."""

    def __init__(self, folder: Path, channel: str = "E4") -> None:
        self.flag = str(Path(folder, "hang"))
        self.channel = channel

    def change(self, x, context):
        while self.channel in context.get_channel_names() and Path(self.flag).exists():
            time.sleep(0.01)
        return 2.0 * x


class Deciding(toys.Halved):
    """Does not come to a decision."""

    needs = "reference"

    def __init__(self, folder: Path) -> None:
        self.flag = str(Path(folder, "hang"))

    def prepare(self, view):
        while Path(self.flag).exists():
            time.sleep(0.01)
        return Prepared()


@pytest.fixture
def ctx():
    return toys.make_context()


@pytest.fixture(autouse=True)
def hang(tmp_path):
    flag = tmp_path / "hang"
    flag.touch()
    yield flag
    flag.unlink(missing_ok=True)  # threads cannot be killed: let them go


@pytest.mark.parametrize("options", [SERIAL, THREADS, PROCESSES], ids=toys.ids)
@pytest.mark.parametrize("channel", ["E4", "E1"])  # E1: the reference channel
def test_hung_batch(ctx, tmp_path, options, channel, hang):
    Pipeline([toys.ZScore()]).run(ctx, **options)  # workers are there
    steps = [toys.Halved(), Hanging(tmp_path, channel), toys.Halved()]
    begin = time.monotonic()
    result = Pipeline(steps).run(ctx, timeout=0.5, **options)
    assert time.monotonic() - begin < 30
    error = result.error
    assert isinstance(error, StepError) and not result.cancelled
    assert (error.step, error.index, error.channel) == ("hanging", 1, channel)
    assert error.cause_type == "TimeoutError"
    assert str(error).count("Step 2 (hanging) failed on channel") == 1
    assert "timeout=0.5 s" in str(error)
    killed = options is PROCESSES
    assert ("was ended" in str(error)) == killed
    assert ("cannot be killed" in str(error)) != killed
    assert (result.state.failed_step, result.state.failed_index) == ("hanging", 1)
    hang.unlink()
    assert Pipeline(steps).run(ctx, timeout=30, **options).success


@pytest.mark.parametrize("options", [SERIAL, PROCESSES], ids=toys.ids)
def test_hung_decision(ctx, tmp_path, options):
    error = Pipeline([toys.Halved(), Deciding(tmp_path)]).run(ctx, timeout=0.3, **options).error
    assert (error.step, error.channel, error.cause_type) == ("deciding", "E1", "TimeoutError")


def test_hung_step_over_all_channels(ctx, hang):
    def wait(context):
        while hang.exists():
            time.sleep(0.01)
        return context

    error = Pipeline([toys.Halved(), wait]).run(ctx, timeout=0.3).error
    assert (error.step, error.index, error.cause_type) == ("lambda", 1, "TimeoutError")
    assert error.channel is None


def test_threads_stop_at_their_next_kernel(ctx, tmp_path):
    """What is late, but comes to a next step, is ended and not left alone."""
    steps = [toys.Sleeping(0.5, str(tmp_path)), toys.Sleeping(0.5, str(tmp_path))]
    result = Pipeline(steps).run(
        ctx, timeout=0.3, mode="channel_sequential", backend="threading", n_jobs=2
    )
    assert result.error.cause_type == "TimeoutError"
    began = len(list(tmp_path.glob("*-began-*")))
    time.sleep(0.8)
    assert len(list(tmp_path.glob("*-began-*"))) == began


@pytest.mark.parametrize("options", toys.RUNS, ids=toys.ids)
def test_a_timeout_changes_nothing_else(ctx, options):
    expected = Pipeline(toys.chain()).run(ctx, raise_on_error=True)
    found = Pipeline(toys.chain()).run(ctx, timeout=60, raise_on_error=True, **options)
    assert (found.get_raw().get_data() == expected.get_raw().get_data()).all()
    error = Pipeline([toys.Raising()]).run(ctx, timeout=60, **options).error
    assert (error.step, error.channel, error.cause_type) == ("raising", "E4", "ValueError")


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_one_of_many_recordings_hangs(ctx, tmp_path, hang, n_jobs):
    """It fails, and the others are done."""
    other = ctx.with_raw(ctx.get_raw().copy().rename_channels({"E4": "F4"}))
    steps = [Hanging(tmp_path, "F4")]
    good, bad, last = Pipeline(steps).map([ctx, other, ctx], timeout=0.5, n_jobs=n_jobs)
    assert good.success and last.success
    assert "hanging" in str(bad.error) and "timeout=0.5" in str(bad.error)
    with pytest.raises(ValidationError, match="timeout="):
        Pipeline(steps).map([ctx], timeout=-1)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "1", True])
def test_what_is_no_timeout(ctx, timeout):
    with pytest.raises(ValidationError, match="timeout="):
        Pipeline([toys.Halved()]).run(ctx, timeout=timeout)


def test_the_limit_is_of_a_task_and_not_of_the_run(ctx):
    """Five batches of 0.15 s each are no reason to end."""
    assert Pipeline([toys.Sleeping(0.15)]).run(ctx, timeout=0.6).success


PROGRAM = """
    import time
    from facet_nb.core import Pipeline
    from tests.core import toys

    ctx, threads = toys.make_context(), {"mode": "parallel", "backend": "threading", "n_jobs": 2}
    for options in ({"mode": "serial"}, threads):
        result = Pipeline([toys.Sleeping(600)]).run(ctx, timeout=0.2, **options)
        print(result.error.cause_type, flush=True)
"""


def test_a_thread_that_was_left_alone_does_not_keep_the_process(tmp_path):
    begin = time.monotonic()
    assert programs.run(PROGRAM, tmp_path).split() == ["TimeoutError", "TimeoutError"]
    assert time.monotonic() - begin < 30


def test_a_result_within_the_grace_does_not_save_a_late_task():
    """Whether a run ends must not depend on chance."""
    heartbeats, stop = timeouts.HeartbeatTable.of(1), timeouts.CancelToken()

    def work():
        heartbeats.begin(0)
        stop.wait(60)  # until it was found late
        heartbeats.end(0)
        yield 1

    with pytest.raises(timeouts.TaskTimeout):
        list(timeouts.collect(work(), heartbeats, 0.2, stop))
