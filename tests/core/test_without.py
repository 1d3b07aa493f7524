"""The engine without what a system may lack: numba, psutil, pandas, threads, child processes."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from facet_nb.core import Pipeline
from facet_nb.pipelines import CHAINS
from facet_nb.preprocessing import CommonReference
from tests.contract.recordings import make_context

#: What a kernel within a browser has not: packages with compiled parts of their own, threads,
#: child processes. Whoever tries gets an error.
BROWSER = """
import _thread, os, subprocess, sys, threading

class Hide:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in ("numba", "llvmlite", "pandas", "psutil")
        return None if hidden else self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Hide, sys.meta_path)

def refuse(*args, **options):
    raise RuntimeError("this system has neither threads nor child processes")

threading.Thread.start = _thread.start_new_thread = refuse
subprocess.Popen.__init__ = refuse
for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system"):
    setattr(os, name, refuse)
import multiprocessing.process
multiprocessing.process.BaseProcess.start = refuse
"""
RUN = """
import sys
import numpy as np
from facet_nb.pipelines import CHAINS
from tests.contract.recordings import make_context
pipeline = CHAINS[sys.argv[1]](r"Stimulus")
print(pipeline.plan(make_context(), mode="serial"))
options = dict(raise_on_error=True, show_progress=False)
several = ({}, {"mode": "serial"}, {"mode": "channel_sequential", "batch_size": "auto"})
runs = [pipeline.run(make_context(), **settings, **options) for settings in several]
np.save(sys.argv[2], [run.get_raw().get_data() for run in runs])
print(sorted({"numba", "llvmlite", "pandas", "psutil"} & set(sys.modules)))
for table in ("step_times", "metrics_df"):
    try:
        getattr(runs[0], table)
    except Exception as error:
        print(error)
"""


@pytest.mark.parametrize("chain", CHAINS)
def test_serial_runs_need_neither_threads_nor_processes(chain, project_root, tmp_path):
    """Every mode gives the same bits there; other kernels differ by rounding at most."""
    command = [sys.executable, "-c", BROWSER + RUN, chain, str(tmp_path / "runs.npy")]
    done = subprocess.run(command, cwd=project_root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded, *told = done.stdout.splitlines()[-3:]
    assert loaded == "[]" and all("'facet-nb[tables]'" in text for text in told)
    runs = np.load(tmp_path / "runs.npy")
    assert np.array_equal(runs[0], runs[1]) and np.array_equal(runs[0], runs[2])
    pipeline = CHAINS[chain](r"Stimulus")
    raw = pipeline.run(make_context(), raise_on_error=True, show_progress=False).get_raw()
    np.testing.assert_allclose(runs[0], raw.get_data(), rtol=0, atol=1e-12)  # 1e-6 µV


@pytest.mark.parametrize(
    "act",
    [
        "threading.Thread(target=print).start()",
        "subprocess.run(['true'])",
        "multiprocessing.Process(target=print).start()",
        "os.fork()",
        "import psutil",
        "import numba",
        "import pandas",
    ],
)
def test_what_is_blocked_is_blocked(act):
    """The test above would prove nothing if the blocks did not hold."""
    script = f"{BROWSER}\nimport multiprocessing\n{act}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1 and ("neither" in done.stderr or "ModuleNotFound" in done.stderr)


MEASURE = """
from facet_nb.benchmark import advise, benchmark
from facet_nb.core import Pipeline
from facet_nb.models import RunModel
from facet_nb.preprocessing import CommonReference
from tests.contract.recordings import make_context

pipeline, context = Pipeline([CommonReference()]), make_context()
settings = dict(modes="channel_sequential", backends="threading", n_jobs=2)
# Within a minute, a busy machine may have measured no memory: the budget was spent.
table = benchmark(pipeline, context, repeats=1, time_budget_s=3600, **settings)
for point in table:
    assert point.error is None and point.wall_s[0] > 0 and point.cpu_s[0] > 0, point
    assert point.memory is not None and point.memory.peak_mb > 20, point
assert advise(pipeline, context, table=table).basis == "measured"
run = RunModel(pipeline, context, mode="serial")
assert run.run().success and run.samples[0].rss_bytes > 1e7 and run.unmeasured == ""
import sys
assert "psutil" not in sys.modules or sys.modules["psutil"] is None
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="elsewhere psutil is needed")
def test_benchmark_and_panels_measure_without_psutil(project_root, tmp_path):
    """The processes that are measured do not find it either."""
    (tmp_path / "psutil.py").write_text("raise ImportError('psutil is blocked')\n")
    paths = os.pathsep.join([str(tmp_path), str(project_root)])
    done = subprocess.run(
        [sys.executable, "-c", MEASURE],
        cwd=project_root,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="elsewhere psutil is needed")
def test_a_later_process_with_the_same_id_is_spared(monkeypatch):
    from facet_nb.benchmark import process_usage

    monkeypatch.setattr(process_usage, "find_psutil", lambda: None)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        began = process_usage.read_times(child.pid).began
        process_usage.kill(child.pid, began - 1.0)
        assert child.poll() is None
        process_usage.kill(child.pid, began)
        assert child.wait(10) == -9 and process_usage.read_times(child.pid) is None
        process_usage.kill(child.pid, began)  # it has ended: nothing to do
    finally:
        child.kill()
        child.stdin.close()
        child.wait()


@pytest.fixture
def blind(monkeypatch):
    """A system that tells nothing without psutil, which is not installed."""
    from facet_nb.benchmark import process_usage

    monkeypatch.setattr(process_usage, "_PROC", "/nowhere")
    monkeypatch.setattr(process_usage, "find_psutil", lambda: None)


def test_what_is_not_measured_is_said_so(blind):
    from facet_nb.benchmark import process_usage
    from facet_nb.models import RunModel
    from tests.benchmark.test_session import run_fakes, steady

    assert process_usage.read_rss_mb(os.getpid()) is None
    assert process_usage.read_cpu_s(os.getpid()) != process_usage.read_cpu_s(os.getpid())
    table, _, journal = run_fakes(steady)
    assert any("not measured: install psutil" in text for text in table.remarks)
    assert all(p.memory is None for p in table) and "memory" not in {kind for kind, *_ in journal}
    run = RunModel(Pipeline([CommonReference()]), make_context(), mode="serial")
    run.run()
    assert run.samples == () and run.unmeasured == "not measured: install psutil"
