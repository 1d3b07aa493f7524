"""Measure the load by other programs, which makes times doubtful."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from facet_nb.benchmark import process_usage

#: In one probe each core hashes so many blocks of 1 MiB, for about 15 ms; hashing releases the GIL.
_PROBE_BLOCKS = 16
#: Limits beyond which the machine counts as busy.
MAX_PRESSURE, MIN_PROBE_SHARE, MAX_OTHERS = 0.25, 0.85, 0.20
#: The time of shorter runs is mostly overhead and chance, in s.
MIN_TIME_S = 0.05


@dataclass(frozen=True)
class Noise:
    """Load by other programs while runs were timed.

    Attributes
    ----------
    pressure : float | None
        Share of the time in which a process waited for a core during a probe (pressure stall
        information); None where the system does not report it.
    probe_share : float
        CPU time that a fixed load on all cores received, divided by its demand; 1 on an idle
        machine.
    probe_spread : float
        Duration of the longest probe divided by the median duration.
    other_cores : float
        Mean number of cores that other processes used while runs were timed.
    n_probes : int
        Number of probes, interleaved with the runs.
    """

    pressure: float | None = None
    probe_share: float = 1.0
    probe_spread: float = 1.0
    other_cores: float = 0.0
    n_probes: int = 0

    @property
    def busy(self) -> bool:
        """Whether other programs use a considerable part of the machine."""
        pressed = self.pressure is not None and self.pressure > MAX_PRESSURE
        return pressed or self.probe_share < MIN_PROBE_SHARE or self.other_cores > MAX_OTHERS

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings for the table."""
        if not self.busy:
            return ()
        found = [f"other programs kept {self.other_cores:.1f} cores busy"]
        found.append(f"a probe on all cores got {self.probe_share:.0%} of them")
        if self.pressure is not None:
            found.append(f"processes waited for a core {self.pressure:.0%} of the probe's time")
        return (f"The machine is busy: {', '.join(found)}. Close them and measure again.",)


@dataclass(frozen=True)
class LoadProbe:
    """One fixed load on all cores: wall and CPU time, in s, and the share of waiting."""

    wall_s: float
    cpu_s: float
    pressure: float | None


class LoadGauge:
    """Measures the load by other programs during many timed runs.

    Parameters
    ----------
    cores : int
        Number of cores that may be used.
    """

    def __init__(self, cores: int) -> None:
        self.cores = cores
        self.probes: list[LoadProbe] = []
        self.others_s = self.watched_s = 0.0

    def probe(self) -> None:
        """Load all cores for a moment; to be called between runs."""
        self.probes.append(run_probe(self.cores))

    def watch(self, pid: int) -> _Watch:
        """Return a context manager for a run of the process tree of `pid`."""
        return _Watch(self, pid)

    def result(self) -> Noise:
        """Return the load over all runs so far."""
        others = max(0.0, self.others_s / self.watched_s) if self.watched_s else 0.0
        return summarise_probes(self.probes, self.cores, others)


class _Watch:
    """Measures the CPU time of processes outside a tree during a run."""

    def __init__(self, gauge: LoadGauge, pid: int) -> None:
        self.gauge, self.pid = gauge, pid
        self.other_cores = 0.0

    def __enter__(self) -> _Watch:
        self._begin = (time.perf_counter(), self._read_others_s())
        return self

    def __exit__(self, *error: object) -> None:
        wall_s = time.perf_counter() - self._begin[0]
        others_s = max(0.0, self._read_others_s() - self._begin[1])
        self.gauge.watched_s += wall_s
        self.gauge.others_s += others_s
        self.other_cores = others_s / wall_s if wall_s > 0 else 0.0

    def _read_others_s(self) -> float:
        own = process_usage.read_cpu_s(self.pid)
        own += 0.0 if self.pid == os.getpid() else time.process_time()
        return process_usage.read_busy_s() - own


def run_probe(cores: int) -> LoadProbe:
    """Load `cores` cores with the same work for about 15 ms."""
    threads = [threading.Thread(target=_work, daemon=True) for _ in range(cores)]
    waited_s, begin, cpu = read_pressure_s(), time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall_s, cpu_s = time.perf_counter() - begin, time.process_time() - cpu
    now_s = read_pressure_s()
    pressure = None if waited_s is None or now_s is None else (now_s - waited_s) / wall_s
    return LoadProbe(wall_s, cpu_s, pressure)


def summarise_probes(probes: Sequence[LoadProbe], cores: int, other_cores: float) -> Noise:
    """Return the load that probes and `other_cores` show."""
    import numpy as np

    if not probes:
        return Noise(other_cores=round(other_cores, 3))
    walls = [p.wall_s for p in probes]
    waits = [min(1.0, p.pressure) for p in probes if p.pressure is not None]
    shares = [min(1.0, p.cpu_s / (p.wall_s * cores)) for p in probes]
    return Noise(
        pressure=round(float(np.mean(waits)), 4) if waits else None,
        probe_share=round(float(np.median(shares)), 4),
        probe_spread=round(max(walls) / float(np.median(walls)), 3),
        other_cores=round(other_cores, 3),
        n_probes=len(probes),
    )


def read_pressure_s() -> float | None:
    """Return the time that processes have waited for a core since boot, in s; None if unknown."""
    for line in process_usage.read_text("pressure/cpu").splitlines():
        if line.startswith("some"):
            return int(line.rpartition("total=")[2]) / 1e6
    return None


def _work() -> None:
    digest, block = hashlib.sha256(), bytes(1 << 20)
    for _ in range(_PROBE_BLOCKS):
        digest.update(block)
