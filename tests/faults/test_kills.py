"""Processes that are killed from outside: a worker loses nothing, an export leaves no half file."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from facet_nb.core import Pipeline
from facet_nb.io import load
from tests.core import toys
from tests.faults import programs
from tests.io.conftest import make_recording

PROCESSES = {"mode": "parallel", "backend": "multiprocessing", "n_jobs": 2}


class Telling(toys.Sleeping):
    """Tells which process it is in, but on the reference channel."""

    def change(self, x, context):
        if context.get_channel_names()[0] != "0":
            super().change(x, context)
        return 2.0 * x


def kill_first(folder: Path) -> threading.Thread:
    """Kill the worker that first tells of itself, in the middle of its task."""

    def work():
        programs.wait_until(lambda: any(folder.glob("*-began-*")))
        first = min(folder.glob("*-began-*"), key=lambda path: path.stat().st_mtime)
        os.kill(int(first.name.rpartition("-")[2]), signal.SIGKILL)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_killed_worker(tmp_path):
    """Its batch runs again; batches that had ended do not."""
    ctx = toys.wide_context(8)
    events = []
    thread = kill_first(tmp_path)
    steps = [Telling(0.3, str(tmp_path))]
    result = Pipeline(steps).run(ctx, on_event=events.append, raise_on_error=True, **PROCESSES)
    thread.join()
    assert np.array_equal(result.get_raw().get_data(), 2.0 * ctx.get_data())
    batches = [e.batch for e in events if type(e).__name__ == "BatchDone" and e.batch >= 0]
    assert sorted(batches) == list(range(8))
    began = len(list(tmp_path.glob("*-began-*")))
    assert began <= 7 + 2, "only what the two workers were at may run again"


EXPORTS = """
    import logging, os, sys
    from pathlib import Path
    from facet_nb.core import ProcessingContext
    from facet_nb.io import export
    from tests.io.conftest import make_recording

    logging.disable()  # nobody reads what it says while it runs
    contexts = [ProcessingContext(make_recording(n_times=20_000, seed=s)) for s in (1, 2)]

    def write(path):
        export(contexts[0], path)
        print(os.getpid(), flush=True)
        while True:
            for context in reversed(contexts):
                export(context, path)

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            write(Path(line.strip()))
        os.waitpid(child, 0)
"""


@pytest.mark.slow
@pytest.mark.fault("workers and programs that are killed", fails="lost")
def test_25_kills_while_files_are_written(tmp_path, count_fault):
    """A file under its name is whole: one of the two recordings, or (BrainVision) none yet."""
    wanted = [make_recording(n_times=20_000, seed=s).get_data() for s in (1, 2)]
    pause, found = random.Random(0), []
    process = programs.start(EXPORTS, tmp_path, stdin=subprocess.PIPE)
    for i in range(25):
        path = tmp_path / f"{i}" / f"out{SUFFIXES[i % 5]}"
        process.stdin.write(f"{path}\n")
        process.stdin.flush()
        child = int(process.stdout.readline())
        time.sleep(pause.uniform(0.0, 0.25))
        os.kill(child, signal.SIGKILL)
        programs.wait_until(lambda child=child: not psutil.pid_exists(child))
        found.append(look(path, wanted))
        assert found[-1] != "broken"
        count_fault()
    process.communicate(timeout=60)
    assert found.count("none") <= found.count("first") + found.count("second")
    assert {"first", "second"} <= set(found), "some kills came after an export, some before"


SUFFIXES = (".edf", ".bdf", ".vhdr", ".fif", ".set")


def look(path: Path, wanted: list[np.ndarray]) -> str:
    """Say which recording a killed export left under the name of its file."""
    if not path.exists():
        return "none" if path.suffix == ".vhdr" else "broken"
    data = load(path).get_data()
    same = [np.allclose(data, w, atol=1e-6) for w in wanted]
    return {(True, False): "first", (False, True): "second"}.get(tuple(same), "broken")


def test_a_killed_program_leaves_nothing_for_the_next(tmp_path):
    """Its samples in files, and loky's semaphores, go with the next run."""
    process = programs.start(LONG, tmp_path, tmp_path)
    programs.wait_until(lambda: any(tmp_path.glob("*-began-*")))
    os.killpg(process.pid, signal.SIGKILL)  # as a forced restart of a kernel does
    process.communicate()
    assert list(tmp_path.glob(f"facet_nb-*-{process.pid}-*"))
    left = f"sem.loky-{process.pid}-*"
    assert list(Path("/dev/shm").glob(left)) or not Path("/dev/shm").is_dir()
    told = programs.run(SHORT, tmp_path)
    assert told.split() == ["True"]
    assert not list(tmp_path.glob("facet_nb-*"))
    assert not list(Path("/dev/shm").glob(left))
    assert not list(Path("/dev/shm").glob(f"*joblib*_{process.pid}_*"))


LONG = """
    import sys
    from facet_nb.core import Pipeline
    from tests.core import toys
    from tests.faults.test_kills import Telling

    Pipeline([Telling(60, sys.argv[1])]).run(toys.wide_context(6), mode="parallel", n_jobs=2)
"""
SHORT = """
    from facet_nb.core import Pipeline
    from tests.core import toys

    print(Pipeline([toys.ZScore()]).run(toys.wide_context(3), mode="parallel", n_jobs=2).success)
"""
