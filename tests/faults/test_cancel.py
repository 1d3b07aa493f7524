"""A cancelled run ends soon, leaves nothing behind, and the next one works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from facet_nb.core import CancelToken, Pipeline, RunCancelled, ValidationError
from tests.core import toys

SERIAL = {"mode": "serial"}
THREADS = {"mode": "channel_sequential", "backend": "threading", "n_jobs": 2}
PROCESSES = {"mode": "parallel", "backend": "multiprocessing", "n_jobs": 2}


@pytest.fixture
def ctx():
    return toys.wide_context(6)


def began(folder):
    return len(list(Path(folder).glob("*-began-*")))


def cancel_when(token, ready, after_s=0.0):
    """Cancel on another thread as soon as ``ready()``; return the time it was done, in a list."""
    when = []

    def watch():
        while not ready():
            time.sleep(0.005)
        time.sleep(after_s)
        when.append(time.monotonic())
        token.set() if isinstance(token, threading.Event) else token.cancel()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread, when


def computing():
    """Worker processes of ours that use the processor."""
    children = psutil.Process().children(recursive=True)
    for child in children:
        child.cpu_percent()
    time.sleep(0.2)
    return [c for c in children if c.is_running() and c.cpu_percent() > 20]


@pytest.fixture(autouse=True)
def _folders_before():
    """Remember the folders of earlier tests, whose recordings may still be in use."""
    global before
    before = toys.list_folders()


def no_folder_left():
    return toys.list_folders() <= before


@pytest.mark.parametrize("options", [SERIAL, THREADS, PROCESSES], ids=toys.ids)
@pytest.mark.parametrize("kind", [CancelToken, threading.Event])
def test_cancelled_before_it_began(ctx, options, kind):
    token = kind()
    token.set() if kind is threading.Event else token.cancel()
    result = Pipeline([toys.ZScore()]).run(ctx, cancel=token, **options)
    assert result.cancelled and not result.success
    assert isinstance(result.error, RunCancelled)
    assert result.state.status == "cancelled" and result.context is None
    with pytest.raises(RunCancelled):
        Pipeline([toys.ZScore()]).run(ctx, cancel=token, raise_on_error=True, **options)
    assert no_folder_left()


@pytest.mark.parametrize(
    ("options", "seconds", "limit_s"),
    [(SERIAL, 0.4, 0.8), (THREADS, 0.4, 0.8), (PROCESSES, 20.0, 1.0)],
    ids=["serial", "threads", "processes"],
)
def test_cancelled_in_the_middle_of_a_batch(ctx, tmp_path, options, seconds, limit_s):
    """Serial and threads stop at the next step; processes are not waited for."""
    Pipeline([toys.ZScore()]).run(ctx, **options)  # workers are there
    samples = ctx.get_data().copy()
    steps = [toys.Halved(), toys.Sleeping(seconds, str(tmp_path)), toys.ZScore()]
    slow = steps if options is not PROCESSES else [toys.Halved(), SlowButForReference(tmp_path)]
    token, events = CancelToken(), []
    waiting_for = 3 if options is not PROCESSES else 1
    thread, when = cancel_when(token, lambda: began(tmp_path) >= waiting_for, 0.1)
    result = Pipeline(slow).run(ctx, cancel=token, on_event=events.append, **options)
    thread.join()
    spent = time.monotonic() - when[0]
    assert result.cancelled and spent < limit_s + 1.0, spent
    assert type(events[-1]).__name__ == "RunFailed" and events[-1].cancelled
    begun = began(tmp_path)
    time.sleep(0.3)
    assert began(tmp_path) == begun, "something went on"
    assert not computing() and no_folder_left()
    assert np.array_equal(ctx.get_data(), samples)
    again = Pipeline([toys.ZScore()]).run(ctx, **options)
    assert again.success


class SlowButForReference(toys.Sleeping):
    """Keeps the processor busy for 20 s, but for the reference channel."""

    def __init__(self, folder):
        self.seconds = 20.0
        self.folder = str(folder)

    def change(self, x, context):
        if context.get_channel_names()[0] == "0":
            return x
        self._note(context, "began")
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            pass
        return x


def test_cancelled_while_the_reference_channel_is_looked_at(ctx, tmp_path):
    token = CancelToken()
    thread, when = cancel_when(token, lambda: began(tmp_path) >= 1)
    step = toys.Sleeping(20.0, str(tmp_path))
    result = Pipeline([step]).run(ctx, cancel=token, **PROCESSES)
    thread.join()
    assert result.cancelled and time.monotonic() - when[0] < 2.0


def test_a_failure_stops_the_other_threads(ctx, tmp_path):
    """Nothing computes any more when run() has returned."""

    class Mixed(toys.Sleeping):
        def change(self, x, context):
            if context.get_channel_names() == ["1"]:
                time.sleep(0.05)
                raise ValueError("stop")
            return super().change(x, context)

    steps = [Mixed(0.2, str(tmp_path)), toys.Sleeping(0.2, str(tmp_path))]
    result = Pipeline(steps).run(ctx, mode="channel_sequential", backend="threading", n_jobs=3)
    assert not result.success and not result.cancelled
    begun = began(tmp_path)
    names = [t.name for t in threading.enumerate()]
    time.sleep(0.4)
    assert began(tmp_path) == begun, names
    assert len(list(tmp_path.glob("*-ended-*"))) == begun


def test_a_listener_that_raises_ends_the_run(ctx):
    def listen(event):
        if type(event).__name__ == "BatchDone":
            raise RuntimeError("listener")

    for options in (SERIAL, THREADS, PROCESSES):
        with pytest.raises(RuntimeError, match="listener"):
            Pipeline([toys.ZScore()]).run(ctx, on_event=listen, **options)
        assert no_folder_left()
        assert Pipeline([toys.ZScore()]).run(ctx, **options).success


def test_what_is_no_token(ctx):
    with pytest.raises(ValidationError, match="CancelToken"):
        Pipeline([toys.ZScore()]).run(ctx, cancel=True)


def test_token_of_a_parent():
    parent = CancelToken()
    child = CancelToken(parent)
    assert not child.wait(0.01)
    child.cancel()
    assert child.cancelled and not parent.cancelled
    other = CancelToken(parent)
    threading.Timer(0.1, parent.cancel).start()
    begin = time.monotonic()
    assert other.wait(60.0) and time.monotonic() - begin < 30.0
    with pytest.raises(RunCancelled):
        other.check()


# ---------------------------------------------------------------------- interrupts and kills
PROGRAM = """
    import signal, sys
    from facet_nb.core import Pipeline
    from tests.core import toys
    from tests.faults.test_cancel import SlowButForReference

    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
    ctx = toys.wide_context(6)
    backend, folder = sys.argv[1:]
    step = SlowButForReference(folder)
    step.seconds = 2.0 if backend == "threading" else 60.0
    try:
        Pipeline([step]).run(ctx, mode="parallel", backend=backend, n_jobs=2)
    except KeyboardInterrupt:
        ok = Pipeline([toys.ZScore()]).run(ctx, mode="parallel", backend=backend, n_jobs=2).success
        print("interrupted", ok, flush=True)
"""


def start(tmp_path, backend):
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(PROGRAM), encoding="utf-8")
    root = str(Path(__file__).resolve().parents[2])
    process = subprocess.Popen(
        [sys.executable, str(path), backend, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": root, "FACET_NB_TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not began(tmp_path):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.05)
    return process, psutil.Process(process.pid).children(recursive=True)


@pytest.mark.parametrize("backend", ["threading", "multiprocessing"])
def test_keyboard_interrupt(tmp_path, backend):
    process, children = start(tmp_path, backend)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert "interrupted True" in out, err
    _gone, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    assert not list(tmp_path.glob("facet_nb-*"))


def test_workers_end_when_their_parent_was_killed(tmp_path):
    process, children = start(tmp_path, "multiprocessing")
    workers = [c for c in children if c.is_running()]
    assert workers
    process.kill()
    process.communicate()
    _gone, alive = psutil.wait_procs(workers, timeout=8)
    busy = [c for c in alive if c.status() != psutil.STATUS_ZOMBIE]
    assert not busy
    left = list(tmp_path.glob("facet_nb-*"))
    assert len(left) == 1, "its samples stay until the next run sweeps them"
    from facet_nb.core.storage.scratch import sweep

    sweep(tmp_path)
    assert not list(tmp_path.glob("facet_nb-*"))


@pytest.mark.skipif(os.name != "posix", reason="parents are not told of elsewhere")
def test_a_worker_whose_parent_died_before_it_had_begun():
    code = (
        "import time; from facet_nb.core.backends.processes import watch_parent; "
        "watch_parent(2**22 + 1); time.sleep(60)"
    )
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run([sys.executable, "-c", code], env=environment, timeout=30)
    assert done.returncode == 1
