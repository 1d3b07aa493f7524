"""A busy machine is told from a quiet one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from facet_nb.benchmark.machine_load import (
    LoadGauge,
    LoadProbe,
    Noise,
    run_probe,
    summarise_probes,
)
from facet_nb.core.backends.registry import count_cores

#: A probe of two cores that nobody disturbs: 40 ms of work in 20 ms.
QUIET = LoadProbe(0.020, 0.0399, 0.01)


def test_a_quiet_machine_is_not_flagged():
    found = summarise_probes([QUIET] * 5, 2, other_cores=0.05)
    assert not found.busy and found.warnings == () and found.n_probes == 5
    assert not Noise().busy


@pytest.mark.parametrize(
    ("probes", "other_cores", "word"),
    [
        ([LoadProbe(0.040, 0.040, 0.02)] * 5, 0.0, "got 50%"),  # half of what it asked for
        ([LoadProbe(0.020, 0.0399, 0.6)] * 5, 0.0, "60%"),
        ([QUIET] * 5, 1.5, "1.5 cores"),
    ],
)
def test_each_sign_of_a_busy_machine_is_flagged(probes, other_cores, word):
    found = summarise_probes(probes, 2, other_cores)
    assert found.busy and "machine is busy" in found.warnings[0] and word in found.warnings[0]


def test_systems_without_pressure_information():
    found = summarise_probes([LoadProbe(0.02, 0.04, None)] * 3, 2, 0.0)
    assert found.pressure is None and not found.busy


def start_burners(n: int) -> list[int]:
    """Start programs that use a core each, and are nobody's children here; return their pids."""
    burn = "import os, time\nend = time.monotonic() + 20\nwhile time.monotonic() < end: pass"
    start = (
        "import subprocess, sys\n"
        f"for _ in range({n}):\n"
        f"    print(subprocess.Popen([sys.executable, '-c', {burn!r}], stdout=-3, stderr=-3).pid)\n"
    )
    done = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, check=True)
    return [int(pid) for pid in done.stdout.split()]


def test_a_load_generator_beside_it_is_flagged():
    cores = count_cores()
    burners = start_burners(cores)
    try:
        time.sleep(0.3)
        gauge = LoadGauge(cores)
        for _ in range(5):
            gauge.probe()
            with gauge.watch(os.getpid()) as watch:
                time.sleep(0.2)
        found = gauge.result()
    finally:
        for pid in burners:
            os.kill(pid, signal.SIGKILL)
    assert found.busy and found.warnings
    assert found.other_cores > 0.4 * cores and watch.other_cores > 0.1 * cores
    assert found.probe_share < 0.85 or (found.pressure or 0.0) > 0.25


def test_own_work_is_nobody_elses():
    gauge = LoadGauge(1)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    with gauge.watch(os.getpid()):
        while time.process_time() - cpu_s < 0.3:
            pass
    own_cores = 0.3 / (time.perf_counter() - wall_s)
    assert gauge.result().other_cores < os.cpu_count() - own_cores + 0.2


def test_own_work_is_counted_once(monkeypatch):
    """Half of the time that the system was busy is this process's; the rest is others'."""
    from facet_nb.benchmark import process_usage

    monkeypatch.setattr(process_usage, "read_cpu_s", lambda pid: next(own))
    monkeypatch.setattr(process_usage, "read_busy_s", lambda: next(busy))
    own, busy = iter([10.0, 11.0]), iter([100.0, 102.0])
    gauge = LoadGauge(2)
    with gauge.watch(os.getpid()):
        pass
    assert gauge.others_s == pytest.approx(1.0)


def test_a_probe_takes_a_moment():
    found = run_probe(1)
    assert 0.001 < found.cpu_s < 0.5 and found.wall_s >= 0.5 * found.cpu_s
