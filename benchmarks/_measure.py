"""Measuring one run in a fresh process: CPU time from within, memory from outside.

Needs the standard library and psutil only, so that other packages' environments can import it.
The two sides talk over pipes: the child loads its data, says that it is ready, waits for a word,
runs, reports, and waits again while its memory is looked at.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import psutil

SAMPLE_S = 0.02
_SIGN = "@@measure "


# --------------------------------------------------------------------------------- in the child
def cpu_times_s() -> tuple[float, float]:
    """Return user and system CPU seconds of this process and its descendants, ended ones too."""
    user = system = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        user += times.user + times.children_user
        system += times.system + times.children_system
    return user, system


def serve(load: Callable[[], Any], run: Callable[[Any], Any], keep: Callable[[Any], dict]) -> None:
    """Load, run and report when the parent asks for it.

    Parameters
    ----------
    load : callable
        Makes what `run` works on; reported apart.
    run : callable
        The run that is measured.
    keep : callable
        Called with the run's result after the measurement; its answer goes into the report.
    """
    begin_cpu, begin = sum(cpu_times_s()), time.perf_counter()
    subject = load()
    wall = time.perf_counter() - begin
    loading = {"load_cpu_s": sum(cpu_times_s()) - begin_cpu, "load_wall_s": wall}
    _reset_peak()
    _say(loading)
    sys.stdin.readline()
    before, begin = cpu_times_s(), time.perf_counter()
    result = run(subject)
    wall, after = time.perf_counter() - begin, cpu_times_s()
    system = after[1] - before[1]
    _say({"cpu_s": sum(after) - sum(before), "system_s": system, "wall_s": wall})
    sys.stdin.readline()
    _say(keep(result))


def _say(message: dict) -> None:
    print(_SIGN + json.dumps(message), flush=True)


def _reset_peak() -> None:
    """Reset the kernel's record of peak memory."""
    Path("/proc/self/clear_refs").write_text("5")


# -------------------------------------------------------------------------------- in the parent
@dataclass
class Sample:
    """Measurements of one run.

    Attributes
    ----------
    cpu_s, system_s, wall_s : float
        Of the run: CPU seconds of all processes together, the system's part of them, wall time.
    load_cpu_s, load_wall_s : float
        Of loading the recording (and importing the package), not part of the above.
    hwm_mb : float
        Sum of each process's own peak (VmHWM) during the run, in MB: an upper bound.
    pss_mb : float | None
        Peak of the summed PSS of all processes, in MB; only of runs that were watched.
    base_mb : float | None
        Summed PSS before the run, in MB: interpreter, libraries and recording.
    extra : dict
        What the child kept.
    """

    cpu_s: float
    system_s: float
    wall_s: float
    load_cpu_s: float
    load_wall_s: float
    hwm_mb: float
    pss_mb: float | None = None
    base_mb: float | None = None
    extra: dict = field(default_factory=dict)


def measure(command: Sequence[str], *, watch_pss: bool, timeout_s: float = 1800.0) -> Sample:
    """Start `command`, whose program calls :func:`serve`, and measure its run.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    watch_pss : bool
        Whether to sample PSS, every 20 ms or as fast as it goes. It costs the run some time: take
        CPU seconds from other runs.
    timeout_s : float
        Time after which the child is ended.
    """
    child = subprocess.Popen(
        list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    timer = threading.Timer(timeout_s, child.kill)
    timer.start()
    try:
        loading = _listen(child)
        watcher = _Watcher(child.pid, watch_pss)
        base = watcher.pss_mb()
        with watcher:
            _answer(child)
            report = _listen(child)
        _answer(child)
        extra = _listen(child)
        child.wait()
    finally:
        timer.cancel()
        _end(child)
    peak = watcher.peak_pss_mb if watch_pss else None
    hwm = sum(watcher.hwm_mb.values())
    return Sample(**report, **loading, hwm_mb=hwm, pss_mb=peak, base_mb=base, extra=extra)


def _listen(child: subprocess.Popen) -> dict:
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith(_SIGN):
            return json.loads(line[len(_SIGN) :])
    raise RuntimeError(f"the measured program ended with code {child.wait()} before its report")


def _answer(child: subprocess.Popen) -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def _end(child: subprocess.Popen) -> None:
    if child.poll() is None:
        child.kill()
        child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()


class _Watcher(threading.Thread):
    """Samples the memory of a process tree during a run."""

    def __init__(self, pid: int, watch_pss: bool) -> None:
        super().__init__(daemon=True)
        self.root = psutil.Process(pid)
        self.watch_pss = watch_pss
        self.peak_pss_mb = 0.0
        self.hwm_mb: dict[int, float] = {}
        self._done = threading.Event()

    def __enter__(self) -> _Watcher:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self.join()
        self._look()

    def run(self) -> None:
        while not self._done.wait(SAMPLE_S):
            self._look()

    def pss_mb(self) -> float:
        """Return the summed PSS of the tree now, in MB."""
        return sum(_read_mb(f"/proc/{pid}/smaps_rollup", "Pss:") for pid in self._pids())

    def _pids(self) -> list[int]:
        try:
            return [self.root.pid, *(p.pid for p in self.root.children(recursive=True))]
        except psutil.NoSuchProcess:
            return []

    def _look(self) -> None:
        for pid in self._pids():
            peak = _read_mb(f"/proc/{pid}/status", "VmHWM:")
            self.hwm_mb[pid] = max(peak, self.hwm_mb.get(pid, 0.0))
        if self.watch_pss:
            self.peak_pss_mb = max(self.peak_pss_mb, self.pss_mb())


def _read_mb(path: str, key: str) -> float:
    """Return one entry (given in kB) of a file of /proc, in MB; 0 if the process has ended."""
    try:
        for line in Path(path).read_text().splitlines():
            if line.startswith(key):
                return float(line.split()[1]) * 1024 / 1e6
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0.0
    return 0.0


# ------------------------------------------------------------------------------------ statistics
def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Return median, minimum and maximum."""
    return median(values), min(values), max(values)


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Return ratios within blocks: the n-th run of one over the n-th run of the other."""
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


# ----------------------------------------------------------------------------------- environment
def describe_machine() -> dict[str, Any]:
    """Return processor, cores and memory; nothing that names the machine."""
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores_usable": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def describe_packages(names: Sequence[str]) -> dict[str, str]:
    """Return versions of Python and packages of this environment; absent ones are left out."""
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def describe_commit(folder: Path) -> str | None:
    """Return the commit of `folder`, with a plus if files differ; None without git."""
    answers = []
    for arguments in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "-uno"]):
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return None
        answers.append(done.stdout.strip())
    return answers[0] + ("+" if answers[1] else "")
