"""What the system lacks or takes away ends in one FacetError with a remedy; nothing hangs."""

from __future__ import annotations

import ctypes
import itertools
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import mne
import numpy as np
import psutil
import pytest

from facet_nb.core import FacetError, Pipeline, PlanError, ProcessingContext, StepError
from facet_nb.core.backends import dask as dask_backend
from facet_nb.core.backends import processes
from facet_nb.core.cancel import CancelToken
from facet_nb.core.execution.heartbeats import HeartbeatTable
from facet_nb.core.execution.timeouts import Watch
from facet_nb.core.storage import scratch, shared_memory
from facet_nb.core.storage.array_store import Store
from tests.core import toys
from tests.faults import programs

PROCESSES = {"mode": "channel_sequential", "backend": "multiprocessing", "n_jobs": 2}
LINUX = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux")


class HoldsLock(toys.ChannelWise):
    """Calls C without releasing Python's interpreter lock, on one channel."""

    def __init__(self, channel: str, seconds: int = 30) -> None:
        self.channel, self.seconds = channel, seconds

    def change(self, x, context):
        if context.get_channel_names() == [self.channel]:
            ctypes.PyDLL(None).sleep(self.seconds)
        return 2.0 * x


@LINUX
@pytest.mark.parametrize("channel", ["E1", "E4"])
def test_a_step_that_holds_the_lock_is_ended_in_processes(channel):
    context = toys.make_context(n_times=2000)
    Pipeline([toys.ZScore()]).run(context, **PROCESSES)  # workers are there
    begin = time.monotonic()
    result = Pipeline([HoldsLock(channel)]).run(context, timeout=0.5, **PROCESSES)
    assert time.monotonic() - begin < 10
    error = result.error
    assert isinstance(error, StepError) and error.cause_type == "TimeoutError"
    assert (error.step, error.channel) == ("holds_lock", channel) and "was ended" in str(error)
    assert Pipeline([toys.ZScore()]).run(context, **PROCESSES).success


@pytest.mark.parametrize(
    ("step", "options", "told"),
    [
        (toys.ZScore(), {"mode": "serial"}, True),
        (toys.ZScore(), {"mode": "parallel", "backend": "threading", "n_jobs": 2}, True),
        (toys.ZScore(), PROCESSES, False),
        (lambda context: context, PROCESSES, True),
        (toys.Halved(), PROCESSES, True),  # its decisions are made here
    ],
)
def test_elsewhere_it_is_said_before_anything_starts(step, options, told):
    events = []
    context = toys.make_context(n_times=2000)
    result = Pipeline([step]).run(context, timeout=60, on_event=events.append, **options)
    found = [f for f in result.findings if f.code == "timeout_not_certain"]
    assert result.success and len(found) == told
    names = [type(event).__name__ for event in events]
    if told:
        assert "multiprocessing" in found[0].remedy
        assert names.index("FindingRaised") < names.index("StageStarted")
    assert not [f for f in Pipeline([step]).run(context, **options).findings if f in found]


def test_a_process_that_was_stopped_makes_no_task_late():
    """Time in which the watchdog itself did not run does not count: Ctrl-Z, a suspended job."""
    table = HeartbeatTable.of(1)
    table.begin(0)
    watch = Watch(table, 1.0, CancelToken())
    seen: dict[int, tuple[float, float]] = {}
    assert watch._find_late(seen) is None
    start, since = seen[0]
    seen[0] = start, since - 5.0  # five seconds went by
    watch.shift(seen, 4.5)
    assert watch._find_late(seen) is None
    seen[0] = start, seen[0][1] - 1.0
    assert watch._find_late(seen) == (0, 0)


@LINUX
def test_idle_workers_that_are_frozen():
    context = toys.make_context(n_times=2000)
    assert Pipeline([toys.ZScore()]).run(context, **PROCESSES).success
    workers = psutil.Process().children(recursive=True)
    for worker in workers:
        worker.send_signal(signal.SIGSTOP)
    begin = time.monotonic()
    result = Pipeline([toys.Halved(), toys.ZScore()]).run(context, **PROCESSES)
    assert result.success and time.monotonic() - begin < 15
    for worker in workers:
        if worker.is_running():
            worker.send_signal(signal.SIGCONT)


def test_a_cluster_without_workers(monkeypatch):
    """No worker comes for as long as a run waits; one that comes in time is used."""

    class Client:
        status = "running"

        def __init__(self):
            self.cores = {}

        def ncores(self):
            return self.cores

        def submit(self, *args, **kwargs):
            return object()

        def cancel(self, *args, **kwargs):
            return None

    client = Client()
    distributed = pytest.importorskip("distributed")

    def wait(*args, **kwargs):
        raise TimeoutError

    monkeypatch.setattr(distributed, "wait", wait)
    monkeypatch.setattr(dask_backend, "find_client", lambda: client)
    monkeypatch.setattr(dask_backend, "_PATIENCE_S", 0.2)
    monkeypatch.setattr(dask_backend, "_LOOK_S", 0.05)
    results = dask_backend.run_calls(print, [(1,)], 1, CancelToken())
    with pytest.raises(FacetError, match=r"no worker for 0\.2 s.*scale\(2\)"):
        list(results)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ImportError("no sem")])
@pytest.mark.parametrize("mode", ["parallel", "channel_sequential"])
def test_no_semaphores(monkeypatch, error, mode):
    """/dev/shm is missing, full or read-only (simulated)."""

    def refuse(n):
        raise error

    context = SimpleNamespace(Semaphore=refuse)
    monkeypatch.setattr(multiprocessing, "get_context", lambda *args: context)
    options = {"mode": mode, "backend": "multiprocessing", "n_jobs": 2}
    result = Pipeline([toys.ZScore()]).run(toys.make_context(n_times=2000), **options)
    assert isinstance(result.error, PlanError)
    assert "/dev/shm" in str(result.error) and "backend='threading'" in str(result.error)


# ---------------------------------------------------------------------- files that are cut off
class Cutting(toys.Halved):
    """Truncates the file of its samples, as a cleaner of temporary files may, on one channel."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def compute(self, x, prepared, out=None):
        for path in Path(self.folder).glob("facet_nb-*/*"):
            if path.suffix == ".f64" or path.name == "samples":
                os.truncate(path, path.stat().st_size // 2)
        return 0.5 * x


@pytest.mark.parametrize(
    "options",
    [PROCESSES, {"mode": "channel_sequential"}],
    ids=["processes", "files"],
)
def test_a_stage_file_that_is_truncated(tmp_path, options):
    """An error in a program of its own: SIGBUS would end it, and zeros would be wrong samples."""
    text = """
    import sys
    import mne
    from facet_nb.core import FacetError, Pipeline, ProcessingContext
    from tests.core import toys
    from tests.faults.test_nothing_hangs import Cutting

    options = eval(sys.argv[2])
    context = toys.make_context(n_times=20_000)
    if len(options) == 1:  # samples that are in a file stay in files
        context.get_raw().save(sys.argv[1] + "/x_raw.fif", verbose="error")
        raw = mne.io.read_raw_fif(sys.argv[1] + "/x_raw.fif", verbose="error")
        context = ProcessingContext(raw)
    steps = [toys.Halved(), Cutting(sys.argv[1]), toys.ZScore(), toys.Halved()]
    result = Pipeline(steps).run(context, fuse=False, **options)
    assert isinstance(result.error, FacetError), repr(result.error)
    print(result.error)
    """
    told = programs.run(text, tmp_path, tmp_path, repr(options))
    assert "truncated while in use" in told or "too early" in told
    assert "FACET_NB_TMPDIR" in told


class Clearing(Cutting):
    """Removes the scratch folder of its own run, as a cleaner of temporary files may."""

    def compute(self, x, prepared, out=None):
        for path in Path(self.folder).glob("facet_nb-*"):
            shutil.rmtree(path, ignore_errors=True)
        return 0.5 * x


@pytest.mark.parametrize(
    "options",
    [PROCESSES, PROCESSES | {"mode": "parallel"}, {"mode": "channel_sequential"}],
    ids=["processes", "parallel", "files"],
)
@pytest.mark.parametrize("n_behind", [1, 2])
def test_a_scratch_folder_that_vanishes_is_no_cancellation(
    tmp_path, monkeypatch, options, n_behind
):
    """Nobody cancelled: samples that are still open are used, or an error says what is gone."""
    monkeypatch.setenv("FACET_NB_TMPDIR", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    context = toys.make_context(n_times=20_000)
    if "backend" not in options:  # samples that are in a file stay in files
        context.get_raw().save(tmp_path / "x_raw.fif", verbose="error")
        raw = mne.io.read_raw_fif(tmp_path / "x_raw.fif", verbose="error")
        context = ProcessingContext(raw)
    behind = [toys.ZScore(), toys.Halved()][:n_behind]
    steps = [toys.Halved(), Clearing(str(tmp_path / "scratch")), *behind]
    result = Pipeline(steps).run(context, fuse=False, **options)
    assert not result.cancelled
    if not result.success:
        assert isinstance(result.error, FacetError), repr(result.error)
        assert "removed while in use" in str(result.error)
        assert "FACET_NB_TMPDIR" in str(result.error)
    else:
        whole = Pipeline([toys.Halved(), toys.Halved(), *behind]).run(context)
        np.testing.assert_array_equal(result.get_raw().get_data(), whole.get_raw().get_data())


@pytest.mark.parametrize("n_bytes", [0, 8, 8 * 5 * 99, 8 * 5 * 100 - 1])
def test_every_way_to_open_a_truncated_file(tmp_path, monkeypatch, n_bytes):
    monkeypatch.setenv("FACET_NB_TMPDIR", str(tmp_path))
    from facet_nb.core.storage.row_io import read_rows, write_rows

    ref, array = scratch.create((5, 100))
    array[...] = 1.0
    for use in (
        lambda: ref.open(),
        lambda: read_rows(ref, [0]),
        lambda: write_rows(ref, [4], np.ones((1, 100))),
        lambda: scratch.check_whole(array),
    ):
        os.truncate(ref.path, 8 * 5 * 100)
        use()
        os.truncate(ref.path, n_bytes)
        with pytest.raises(FacetError, match="truncated while in use"):
            use()
        assert os.stat(ref.path).st_size == n_bytes, "it was extended with zeros"
    os.truncate(ref.path, 8 * 5 * 100)


@pytest.mark.skipif(not shared_memory.is_usable(), reason="memory without a file: Linux only")
def test_shared_memory_cannot_be_truncated():
    with_memory = Store(shared=True, memory=True)
    ref, _ = with_memory.allocate((3, 1000))
    try:
        with pytest.raises(PermissionError):
            os.truncate(ref.path, 8)
    finally:
        with_memory.close()


# ------------------------------------------------------------------------------------- memory
class Greedy(toys.ChannelWise):
    """Asks for more memory than there is, on one channel."""

    def change(self, x, context):
        if "E4" in context.get_channel_names():
            np.empty((2**50,))
        return x


@pytest.mark.parametrize("options", toys.PLACES, ids=toys.ids)
def test_a_step_without_memory(options):
    error = Pipeline([Greedy()]).run(toys.make_context(n_times=2000), **options).error
    assert isinstance(error, StepError)
    assert (error.step, error.channel) == ("greedy", "E4")
    assert "n_jobs" in str(error) and "memory_budget" in str(error)


@pytest.mark.parametrize("place", ["build_context", "prepare_stage", "choose_kernels"])
def test_memory_that_ends_between_steps(monkeypatch, place):
    from facet_nb.core.execution import runner

    def fail(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(runner, place, fail)
    result = Pipeline([toys.Halved()]).run(toys.make_context(n_times=2000))
    assert isinstance(result.error, FacetError)
    assert "not enough memory" in str(result.error) and "memory_budget" in str(result.error)


def test_threads_that_cannot_be_started(monkeypatch):
    """A limit on processes and threads (simulated): an error, and no wait for a thread."""

    def start(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    options = {"mode": "parallel", "backend": "threading", "n_jobs": 2}
    result = Pipeline([toys.ZScore()]).run(toys.make_context(n_times=2000), **options)
    assert isinstance(result.error, FacetError)
    assert "thread" in str(result.error) and "n_jobs" in str(result.error)


def make_executor(manager, feeder, calls):
    """Return what a run sees of loky's executor."""
    items = {i: SimpleNamespace(future=future) for i, future in enumerate(calls)}
    worker = SimpleNamespace(ended=False)
    worker.terminate = lambda: setattr(worker, "ended", True)
    return SimpleNamespace(
        _executor_manager_thread=manager,
        _call_queue=SimpleNamespace(_thread=feeder),
        _pending_work_items=items,
        _processes={1: worker},
    )


THREADS = {"ended": True, "alive": False, "new": False, None: False}


@pytest.mark.parametrize("feeder", THREADS)
@pytest.mark.parametrize("manager", THREADS)
def test_calls_whose_thread_has_ended(monkeypatch, manager, feeder):
    """They fail, and their workers end; calls of threads that live or begin go on."""
    go_on = threading.Event()

    def make_thread(kind):
        if kind is None:
            return None
        thread = threading.Thread(target=go_on.wait if kind == "alive" else int)
        if kind != "new":
            thread.start()
        if kind == "ended":
            thread.join()
        return thread

    calls = [Future(), Future()]
    calls[0].cancel()
    executor = make_executor(make_thread(manager), make_thread(feeder), calls)
    monkeypatch.setitem(sys.modules, processes._LOKY, SimpleNamespace(_executor=executor))
    processes._fail_lost_calls()
    lost = THREADS[manager] or THREADS[feeder]
    assert calls[1].done() == executor._processes[1].ended == lost
    if lost:
        assert "has ended" in str(calls[1].exception())
    executor._pending_work_items.clear()
    executor._processes[1].ended = False
    processes._fail_lost_calls()  # nobody waits: nothing to do
    assert not executor._processes[1].ended
    go_on.set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_of_loky_that_ends(monkeypatch):
    """As where memory ends: the run ends with a remedy, and the next one has new workers."""
    from joblib.externals.loky import process_executor

    context = toys.make_context(n_times=2000)
    before = context.get_data().copy()
    with monkeypatch.context() as patch:
        patch.setattr(processes, "_INTERVAL_S", 0.05)
        owner, count = process_executor._ExecutorManagerThread, itertools.count()
        original = owner.process_result_item

        def process_result_item(self, *args):
            if next(count):
                raise RuntimeError("can't start new thread")
            return original(self, *args)

        patch.setattr(owner, "process_result_item", process_result_item)
        error = Pipeline([toys.ZScore()]).run(context, **PROCESSES).error
    assert isinstance(error, FacetError) and "Use fewer n_jobs" in str(error)
    assert np.array_equal(context.get_data(), before)
    assert Pipeline([toys.ZScore()]).run(context, **PROCESSES).success
