"""A Dask cluster as the place of batches and of recordings."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

from facet_nb.core import (
    CancelToken,
    Pipeline,
    PlanError,
    ProcessingContext,
    Processor,
    RunCancelled,
    StepError,
)
from facet_nb.core.backends import registry
from facet_nb.core.backends.dask import find_client
from facet_nb.core.events import BatchDone, StageStarted
from tests.contract.equality import assert_same
from tests.contract.recordings import full_chain, make_context

distributed = pytest.importorskip("distributed", reason="Dask is not installed")
dask = pytest.importorskip("dask")

pytestmark = pytest.mark.slow

ON_DASK = {"mode": "channel_sequential", "backend": "dask", "n_jobs": 2}


class Slow(Processor):
    """Waits, in steps, so that a cancel can be seen."""

    channel_wise = True

    def __init__(self, seconds: float = 0.1, log: str | None = None) -> None:
        self.seconds = seconds
        self.log = log

    def process(self, context: ProcessingContext) -> ProcessingContext:
        time.sleep(self.seconds)
        if self.log is not None:
            with open(self.log, "a") as file:
                file.write("done\n")
        return context


class Killer(Processor):
    """Kills its worker, as the system does where memory ends; in this process it does nothing."""

    channel_wise = True

    def __init__(self, parent: int, channel: str, flag: str | None = None) -> None:
        self.parent = parent
        self.channel = channel
        self.flag = flag

    def process(self, context: ProcessingContext) -> ProcessingContext:
        wanted = context.get_raw().ch_names == [self.channel] and os.getpid() != self.parent
        if wanted and not (self.flag and os.path.exists(self.flag)):
            if self.flag:
                open(self.flag, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return context


@pytest.fixture(scope="module")
def client():
    options = {"dashboard_address": None, "threads_per_worker": 1, "memory_limit": 0}
    patience = {"distributed.scheduler.allowed-failures": 0}
    with dask.config.set(patience), distributed.Client(n_workers=2, **options) as made:
        yield made


@pytest.fixture(scope="module")
def ctx():
    return make_context()


@pytest.fixture(scope="module")
def serial(ctx):
    return Pipeline(full_chain()).run(ctx, raise_on_error=True).context


def test_no_client(ctx):
    with pytest.raises(PlanError, match=r"no Dask client.*from dask\.distributed"):
        Pipeline(full_chain()).run(ctx, **ON_DASK, raise_on_error=True)


def test_nobody_answers(ctx):
    address = "tcp://127.0.0.1:9"
    settings = {"scheduler-address": address, "distributed.comm.timeouts.connect": "0.5s"}
    with dask.config.set(settings), pytest.raises(PlanError, match=f"answers at {address}"):
        Pipeline(full_chain()).run(ctx, **ON_DASK, raise_on_error=True)


def test_scheduler_of_the_settings(client):
    """A program that makes no client, as the command line, finds the cluster by its address."""
    settings = {"scheduler-address": client.scheduler.address}
    found = []

    def look():
        with dask.config.set(settings):
            found.append(find_client())

    with client.as_current(), dask.config.set(settings):
        assert find_client() is client
    worker = threading.Thread(target=look)
    worker.start()
    worker.join()
    assert found[0].scheduler.address == client.scheduler.address


@pytest.mark.parametrize("mode", ["channel_sequential", "parallel"])
def test_same_answer(client, ctx, serial, mode):
    events = []
    options = ON_DASK | {"mode": mode, "batch_size": 2, "on_event": events.append}
    result = Pipeline(full_chain()).run(ctx, **options, raise_on_error=True)
    assert_same(result.context, serial)
    pids = {event.pid for event in events if isinstance(event, BatchDone) and event.batch >= 0}
    assert pids - {os.getpid()}


def test_all_jobs_are_the_threads_of_the_cluster(client):
    assert registry.count_cores("dask") == 2
    assert Pipeline(full_chain()).plan("channel_sequential", backend="dask", n_jobs=-1).n_jobs == 2


def test_recordings_on_the_cluster(client, ctx, serial):
    results = Pipeline(full_chain()).map([ctx, ctx], n_jobs=2, backend="dask", keep_raw=True)
    assert results.summary_df["success"].tolist() == [True, True]
    for result in results:
        assert np.array_equal(result.context.get_data(), serial.get_data())


def test_a_failure_has_step_and_channel(client, ctx):
    def break_down(context):
        raise RuntimeError("as planned")

    class Broken(Processor):
        channel_wise = True

        def process(self, context):
            return break_down(context) if context.get_raw().ch_names == ["E3"] else context

    with pytest.raises(StepError, match=r"E3.*as planned"):
        Pipeline([Broken()]).run(ctx, **ON_DASK, raise_on_error=True)


def test_cancelled_tasks_end_at_their_next_step(client, ctx, tmp_path):
    log = tmp_path / "log"
    token = CancelToken()
    steps = [Slow(0.25, str(log)) for _ in range(4)]

    def wait_and_cancel():
        deadline = time.monotonic() + 60
        while not log.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        token.cancel()

    def stop(event):
        if isinstance(event, StageStarted):
            threading.Thread(target=wait_and_cancel, daemon=True).start()

    with pytest.raises(RunCancelled):
        Pipeline(steps).run(ctx, **ON_DASK, on_event=stop, cancel=token, raise_on_error=True)
    time.sleep(0.4)  # the step that was under way
    lines = log.read_text().count("\n")
    time.sleep(0.5)
    assert log.read_text().count("\n") == lines < 4 * 8
    again = Pipeline([Slow(0.0)]).run(ctx, **ON_DASK, raise_on_error=True)
    assert np.array_equal(again.context.get_data(), ctx.get_data())


def test_a_killed_worker_costs_nothing(client, ctx, tmp_path):
    steps = [Killer(os.getpid(), "E3", str(tmp_path / "once"))]
    result = Pipeline(steps).run(ctx, **ON_DASK, raise_on_error=True)
    assert (tmp_path / "once").exists()
    assert np.array_equal(result.context.get_data(), ctx.get_data())


def test_a_batch_that_kills_is_named(client, ctx):
    with pytest.raises(StepError, match=r"E3.*ended twice without returning a result"):
        Pipeline([Killer(os.getpid(), "E3")]).run(ctx, **ON_DASK, raise_on_error=True)


def test_a_folder_that_workers_do_not_see(client, ctx):
    from facet_nb.core.execution.batch import run_batch
    from facet_nb.core.execution.job import JobFile

    failure = client.submit(run_batch, JobFile("/nowhere/job", 3, "aas", 100), 0, [0]).result()
    assert failure.step == 3 and "FACET_NB_TMPDIR" in failure.message
