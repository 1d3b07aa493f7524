"""A study on a Dask cluster: workers that come late, die, differ, or see other files."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest

from facet_nb.core import (
    CancelToken,
    FacetError,
    Pipeline,
    PlanError,
    ProcessingContext,
    Processor,
    ValidationError,
)
from facet_nb.core.backends import dask as backend
from tests.core import toys
from tests.study import studies

distributed = pytest.importorskip("distributed", reason="Dask is not installed")
dask = pytest.importorskip("dask")

pytestmark = pytest.mark.slow

LOCAL = {"dashboard_address": "127.0.0.1:0", "threads_per_worker": 1, "memory_limit": 0}


class Told(Processor):
    """Notes the process; kills it, or waits, if it is asked to."""

    def __init__(self, log: str, sleep_s: float = 0.0, kill_once: str = "") -> None:
        self.log = log
        self.sleep_s = sleep_s
        self.kill_once = kill_once

    def process(self, context: ProcessingContext) -> ProcessingContext:
        with open(self.log, "a") as file:
            file.write(f"{os.getpid()}\n")
        if self.kill_once and not os.path.exists(self.kill_once):
            open(self.kill_once, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.sleep_s)
        return context


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(n_workers=2, host="127.0.0.1", **LOCAL) as cluster,
        distributed.Client(cluster) as made,
    ):
        yield made


@pytest.fixture
def paths(tmp_path):
    return [studies.write(tmp_path / f"k{i}.fif", i) for i in range(4)]


def run(steps, inputs, **options):
    return Pipeline(steps).map(inputs, backend="dask", show_progress=False, **options)


def test_a_scheduler_that_dies(paths, tmp_path):
    """What is finished is kept; the rest fails with a remedy, and nothing hangs."""
    program = tmp_path / "cluster.py"
    program.write_text(CLUSTER)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}  # for the steps above
    process = subprocess.Popen(
        [sys.executable, program],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    address = process.stdout.readline().strip()
    settings = {"distributed.comm.timeouts.connect": "2s"}
    began = None
    try:
        with dask.config.set(settings):
            made = backend.connect(address)

            def kill(row):
                nonlocal began
                if began is None:
                    began = time.monotonic()
                    os.killpg(process.pid, signal.SIGKILL)

            steps = [Told(str(tmp_path / "log"), sleep_s=1.5)]
            batch = run(steps, paths, output=tmp_path / "out", on_finish=kill)
            spent = time.monotonic() - began
            made.close(timeout=1)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    states = [row.state for row in batch.rows]
    # The client of other tests in this process may take over the rest.
    assert states.count("done") >= 1 and set(states) <= {"done", "failed"}
    told = [row.error for row in batch.rows if row.state == "failed"]
    assert all("scheduler does not answer" in error for error in told), told
    assert spent < 60


def test_the_same_files(client, tmp_path):
    inputs = studies.make_inputs(tmp_path / "in")
    pipeline = studies.make_pipeline(tmp_path / "log")
    options = {"show_progress": False, "memory_budget": "2 GB"}
    here = pipeline.map(inputs, output=tmp_path / "here", n_jobs=1, **options)
    there = pipeline.map(inputs, output=tmp_path / "there", backend="dask", **options)
    states = [row.state for row in there.rows]
    assert states == [row.state for row in here.rows] == studies.STATES, there.summary()
    written = studies.list_written(tmp_path / "there")
    assert written == studies.list_written(tmp_path / "here") and len(written) == 8
    assert not there[0].context.has_raw()


def test_contexts_go_through_files(client, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FACET_NB_TMPDIR", str(tmp_path))
    contexts = [toys.make_context(seed=i) for i in range(2)]
    batch = run([toys.Halved()], contexts, keep_raw=True)
    for context, result in zip(contexts, batch, strict=True):
        expected = Pipeline([toys.Halved()]).run(context).get_raw().get_data()
        assert np.array_equal(result.get_raw().get_data(), expected)
    assert "2 recordings in memory are written" in capsys.readouterr().err
    assert not list(tmp_path.glob("facet_nb-*"))


def test_the_plan_is_for_the_memory_of_a_worker(paths, monkeypatch):
    """With a limit of two threads, of which the smaller worker counts; and none without limits."""
    info = {"workers": {"a": {"memory_limit": 8 * 10**9, "nthreads": 2}}}
    info["workers"]["b"] = {"memory_limit": 3 * 10**9, "nthreads": 1}
    made = type(
        "Client", (), {"scheduler_info": lambda self: info, "ncores": lambda self: {"a": 2}}
    )
    monkeypatch.setattr(backend, "_look_up_client", made)
    pipeline = Pipeline([toys.Halved()])
    plan = pipeline.plan_map(paths, backend="dask")
    assert plan.limit_bytes == 24 * 10**8 and "of each worker" in str(plan)
    assert "workers should have" in str(plan) and not plan.local
    info["workers"]["a"]["memory_limit"] = info["workers"]["b"]["memory_limit"] = 0
    assert backend.DaskBackend().find_memory() is None
    large = studies.write(paths[0].parent / "large.vhdr")
    studies.stretch(large, 16_000_000)  # 1 GB
    info["workers"]["b"]["memory_limit"] = 10**9
    small = pipeline.plan_map([large], backend="dask", keep_raw=True).files[0]
    info["workers"]["b"]["memory_limit"] = 10**11
    wide = pipeline.plan_map([large], backend="dask", keep_raw=True).files[0]
    assert small.needs_bytes > 10**9 and wide.needs_bytes >= small.needs_bytes


def test_a_killed_worker_costs_nothing(client, paths, tmp_path):
    with dask.config.set({"distributed.scheduler.allowed-failures": 3}):
        steps = [Told(str(tmp_path / "log"), kill_once=str(tmp_path / "once"))]
        batch = run(steps, paths, output=tmp_path / "out")
    assert (tmp_path / "once").exists()
    assert [row.state for row in batch.rows] == ["done"] * 4, batch.summary()


def test_a_restart_of_the_cluster_costs_nothing_that_is_finished(client, paths, tmp_path):
    seen = []

    def restart(row):
        if not seen:
            client.restart(wait_for_workers=False)
        seen.append(row.index)

    steps = [Told(str(tmp_path / "log"), sleep_s=0.3)]
    batch = run(steps, paths, output=tmp_path / "out", n_jobs=2, on_finish=restart)
    assert [row.state for row in batch.rows] == ["done"] * 4, batch.summary()
    assert sorted(seen) == [0, 1, 2, 3]


def test_other_versions_are_an_error(client, paths, monkeypatch):
    found = {**backend._list_versions(), "numpy": "1.0"}
    monkeypatch.setattr(backend, "_list_versions", lambda: found)
    batch = run([toys.Halved()], paths)
    assert {row.state for row in batch.rows} == {"failed"}
    assert "instead of 1.0" in batch.rows[0].error and "same versions" in batch.rows[0].error


def test_a_folder_that_workers_do_not_see(client, paths):
    number = os.open(paths[0].parent, os.O_RDONLY)
    try:
        batch = run([toys.Halved()], [f"/proc/self/fd/{number}/{path.name}" for path in paths[:2]])
    finally:
        os.close(number)
    assert {row.state for row in batch.rows} == {"failed"}
    assert all("mounted on all machines" in row.error for row in batch.rows)


@contextlib.contextmanager
def other_machine(address, hidden):
    """Start a worker that sees an empty folder in place of `hidden`."""
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--host", "127.0.0.1"]
    worker += ["--dashboard-address", "127.0.0.1:0", "--nthreads", "1", "--no-nanny"]
    inside = f"mount -t tmpfs none {hidden} && exec {' '.join(worker)}"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", inside],
        env=environment,
        cwd="/",
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def can_hide():
    """Whether this process may give another one file systems of its own."""
    try:
        return subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not can_hide(), reason="needs the right to mount (root on Linux)")
def test_a_store_instead_of_a_shared_folder(tmp_path, monkeypatch):
    """Files of several parts, a recording in memory, reports and failures go through it."""
    pytest.importorskip("zarr")
    hidden, store = tmp_path / "hidden", tmp_path / "store"
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("FACET_NB_TMPDIR", str(tmp_path / "scratch"))
    paths = [studies.write(hidden / "in" / f"k{i}.vhdr", i) for i in range(2)]
    damaged = hidden / "in" / "damaged.edf"
    damaged.write_text("nothing")
    inputs = [*paths, toys.make_context(seed=5), damaged]
    pipeline = Pipeline([toys.Halved()])
    options = {"show_progress": False, "memory_budget": "2 GB"}
    here = pipeline.map(inputs, output=hidden / "here", n_jobs=1, **options)
    with (
        distributed.LocalCluster(n_workers=0, host="127.0.0.1", **LOCAL) as cluster,
        distributed.Client(cluster) as client,
        other_machine(cluster.scheduler_address, hidden),
    ):
        client.wait_for_workers(1, timeout=60)
        remote = {"backend": "dask", **options}
        blind = pipeline.map(paths[:1], output=hidden / "blind", **remote)
        assert "mounted on all machines" in blind.rows[0].error
        there = pipeline.map(
            inputs, output=hidden / "there", store=store, reports=hidden / "reports", **remote
        )
        again = pipeline.map(inputs, output=hidden / "there", store=store, resume=True, **remote)
    states = [row.state for row in there.rows]
    assert states == [row.state for row in here.rows] == ["done"] * 3 + ["failed"], there.summary()
    assert here.rows[3].error.endswith(there.rows[3].error)
    assert studies.list_written(hidden / "there") == studies.list_written(hidden / "here")
    names = {path.name for path in (hidden / "here").iterdir()}
    assert names == {path.name for path in (hidden / "there").iterdir()} and len(names) > 6
    assert all(os.path.isfile(row.report) for row in there.rows)
    assert [row.resumed for row in again.rows] == [True, True, False, False]
    assert not [path for path in store.rglob("*") if "facet_nb-" in path.name]
    assert not list((tmp_path / "scratch").iterdir())


def test_a_store_needs_other_machines(paths, tmp_path):
    with pytest.raises(ValidationError, match="backend='dask'"):
        Pipeline([toys.Halved()]).map(paths, store=tmp_path / "store", n_jobs=2)


def test_a_store_that_cannot_be_written(client, paths):
    with pytest.raises(PlanError, match="nothing can be written there"):
        run([toys.Halved()], paths, store="nowhere://x")
    with pytest.raises(ValidationError, match="all workers share"):
        run([toys.Halved()], paths, store="/tmp", checkpoint="/tmp/kept")


def test_nothing_listens_outside_the_loopback(client):
    """Neither the scheduler in this process nor its workers, with their HTTP servers."""
    assert studies.list_listening([psutil.Process()]) == {"127.0.0.1"}


def test_cancel(client, paths, tmp_path):
    token = CancelToken()
    steps = [Told(str(tmp_path / "log"), sleep_s=0.5)]
    threading.Timer(0.2, token.cancel).start()
    batch = run(steps, paths, cancel=token, n_jobs=2)
    assert "cancelled" in {row.state for row in batch.rows}


def test_an_adaptive_cluster_begins_without_workers(paths, tmp_path):
    log = tmp_path / "log"
    with (
        distributed.LocalCluster(n_workers=0, host="127.0.0.1", **LOCAL) as cluster,
        distributed.Client(cluster),
    ):
        cluster.adapt(minimum=0, maximum=1, interval="100ms")
        batch = run([Told(str(log))], paths[:2])
    assert [row.state for row in batch.rows] == ["done"] * 2, batch.summary()
    assert str(os.getpid()) not in log.read_text().split()


def test_a_cluster_to_which_no_worker_comes(paths, monkeypatch):
    monkeypatch.setattr(backend, "_PATIENCE_S", 0.5)
    with (
        distributed.LocalCluster(n_workers=0, host="127.0.0.1", **LOCAL) as cluster,
        distributed.Client(cluster),
        pytest.raises(PlanError, match=r"no worker for 0\.5 s.*scale\(2\)"),
    ):
        run([toys.Halved()], paths)


CLUSTER = """
import sys, time
from distributed import LocalCluster

if __name__ == "__main__":
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1",
                           dashboard_address="127.0.0.1:0", memory_limit=0)
    print(cluster.scheduler_address, flush=True)
    time.sleep(120)
"""


def test_nobody_answers():
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.5s"}),
        pytest.raises(FacetError, match="no Dask scheduler answers"),
    ):
        backend.connect("tcp://127.0.0.1:9")
