"""What a plan says of memory is what the process tree then needs, within a quarter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import mne
import numpy as np
import psutil
import pytest

from facet_nb import CommonReference, Crop, DownSample, Resample
from facet_nb.core import Pipeline
from facet_nb.core.planning import memory_forecast
from facet_nb.core.planning.memory_forecast import shape_after
from facet_nb.core.recording import Shape
from facet_nb.io import export, load
from tests.core import measured_run, toys

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

MODES = {
    "serial": {"mode": "serial"},
    "threads": {"mode": "parallel", "backend": "threading", "n_jobs": 2},
    "processes": {"mode": "channel_sequential", "n_jobs": 2},
}
SHAPES = {"few": (4, 2000.0, 20.0), "many": (32, 1000.0, 20.0), "long": (4, 2000.0, 100.0)}


class Child:
    """A measured run, and the memory of its process tree."""

    def __init__(self, **settings):
        program = str(Path(measured_run.__file__))
        command = [sys.executable, program, json.dumps(settings)]
        pipe = subprocess.PIPE
        here = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, bufsize=1, env=here
        )
        self.told = self._listen()
        self.peak = 0.0
        self._answer()
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        self.told |= self._listen()
        self.done = True
        watcher.join()
        self._answer()
        self.process.wait()

    done = False

    def _listen(self):
        return json.loads(self.process.stdout.readline())

    def _answer(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def _watch(self):
        while not self.done:
            self.peak = max(self.peak, tree_bytes(self.process.pid))
            time.sleep(0.01)
        self.peak = max(self.peak, high_water_bytes(self.process.pid))


def tree_bytes(pid):
    """Private memory of a process and its children, and the most that one of them shares."""
    private = shared = 0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        try:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:]
        except (FileNotFoundError, ProcessLookupError):
            continue
        sizes = {k: int(v.split()[0]) * 1024 for k, v in (line.split(":") for line in lines)}
        private += sizes["Private_Clean"] + sizes["Private_Dirty"]
        shared = max(shared, sizes["Shared_Clean"] + sizes["Shared_Dirty"])
    return private + shared


def high_water_bytes(pid):
    """The kernel's own record of a process's peak: no sample can miss it."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", MODES)
def test_the_forecast_is_within_a_quarter_of_the_peak(mode, shape):
    child = Child(shape=SHAPES[shape], run=MODES[mode])
    assert child.told["done"]
    assert child.told["forecast"] == pytest.approx(child.peak, rel=0.25)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["vhdr"])
def test_a_run_from_file_to_file_keeps_to_its_budget(tmp_path, suffix, monkeypatch):
    """16 channels at 2 kHz for 100 s: 26 MB as float64, 256 MB upsampled."""
    monkeypatch.setenv("FACET_NB_TMPDIR", str(tmp_path))
    context = measured_run.make_context(16, 2000.0, 100.0)
    raw = context.get_raw()
    onsets = context.get_triggers() / 2000.0
    raw.set_annotations(mne.Annotations(onsets, 0.0, "Stimulus/S  1"))
    source, target = str(tmp_path / f"in_raw.{suffix}"), str(tmp_path / f"out_raw.{suffix}")
    export(context, source)
    loaded = measured_run.make_pipeline(source)
    options = {"mode": "channel_sequential", "batch_size": 1}
    whole = Child(source=source, target=target, run=options)
    budget = whole.told["forecast"] - 25_000_000
    small = Child(source=source, target=target, run={**options, "memory_budget": budget})
    assert small.told["spill"] and not whole.told["spill"]
    assert small.peak <= budget * 1.02, "libraries are not the same to the last page"
    assert small.told["forecast"] == pytest.approx(small.peak, rel=0.25)
    export(loaded.run(show_progress=False).get_context(), tmp_path / f"expected_raw.{suffix}")
    expected = load(tmp_path / f"expected_raw.{suffix}").get_data()
    np.testing.assert_array_equal(load(target).get_data(), expected)
    assert not list(tmp_path.glob("facet_nb-*")), "scratch files are gone"


def test_shapes_after_steps():
    shape = Shape(3, 3, 5000, 500.0)
    assert shape_after(DownSample(5), shape) == Shape(3, 3, 1000, 100.0)
    assert shape_after(Resample(400.0), shape) == Shape(3, 3, 4000, 400.0)
    assert shape_after(Crop(1.0, 2.0), shape) == Shape(3, 3, 501, 500.0)
    assert shape_after(Crop(1.0, 200.0), shape) == shape, "the run itself says what is wrong"
    assert shape_after(CommonReference(), shape) == shape_after(toys.ZScore(), shape) == shape


def test_what_is_not_loaded_yet_counts(monkeypatch):
    ctx = toys.make_context()
    monkeypatch.setattr(memory_forecast, "lasting_bytes", lambda: 100_000_000)
    monkeypatch.setattr(memory_forecast, "pending_libraries", lambda: 0)
    before = Pipeline([toys.Halved()]).plan(ctx).forecast.peak_bytes
    monkeypatch.setattr(memory_forecast, "pending_libraries", lambda: 50_000_000)
    after = Pipeline([toys.Halved()]).plan(ctx).forecast.peak_bytes
    assert after - before == 50_000_000
    far = Pipeline([toys.Halved()]).plan(ctx, mode="parallel", n_jobs=2).forecast
    assert far.stages[0].workers_bytes > 0 and "workers" in str(far.stages[0])
