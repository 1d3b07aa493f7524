"""Memory and CPU time of processes: from the kernel on Linux, from psutil elsewhere.

Without psutil, other systems tell nothing: :func:`can_measure` says so.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facet_nb.benchmark.measurement import MB
from facet_nb.core.memory import find_psutil

_PROC = "/proc"
#: Descriptions of the main memory figure, with and without PSS.
EXACT = "PSS and VmHWM of the Linux kernel"
COARSE = "resident memory (psutil): shared pages count once for each process"
#: What is shown in place of a figure that this system tells through psutil only.
NOT_MEASURED = "not measured: install psutil"


def can_measure() -> bool:
    """Whether memory and CPU time of other processes can be read here."""
    return os.path.exists(f"{_PROC}/self/stat") or find_psutil() is not None


def counts_pss() -> bool:
    """Whether this system reports proportional memory (PSS)."""
    return os.path.exists(f"{_PROC}/self/smaps_rollup")


@dataclass(frozen=True)
class Shares:
    """Proportional and unshared memory of one process, in MB; None where not reported."""

    pss_mb: float | None
    uss_mb: float


def read_shares(pid: int) -> Shares | None:
    """Return PSS and USS of a process; None if it has ended or the system reports neither.

    macOS and Windows report USS only.
    """
    # The kernel's own sum over all mappings: adding up smaps would take much longer.
    text = _read(f"{_PROC}/{pid}/smaps_rollup")
    if not text:
        return None if os.path.exists(f"{_PROC}/self") else _ask_unshared(pid)
    pss = uss = 0.0
    for line in text.splitlines():
        if line.startswith("Pss:"):
            pss = _kilobytes(line)
        elif line.startswith("Private_"):
            uss += _kilobytes(line)
    return Shares(pss, uss)


def read_rss_mb(pid: int) -> float | None:
    """Return the resident memory of a process, in MB; None if it has ended."""
    text = _read(f"{_PROC}/{pid}/statm")
    if text:
        return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE") / MB
    return None if os.path.exists(f"{_PROC}/self") else _ask_psutil(pid)


def read_peak_mb(pid: int) -> float | None:
    """Return the largest resident memory of a process so far, in MB; None if it has ended.

    On Linux the peak counts from the last :func:`reset_peak`, on Windows from the start of the
    process; elsewhere the current size is returned.
    """
    for line in _read(f"{_PROC}/{pid}/status").splitlines():
        if line.startswith("VmHWM:"):
            return _kilobytes(line)
    return None if os.path.exists(f"{_PROC}/self") else _ask_psutil(pid, peak=True)


def reset_peak(pid: int) -> bool:
    """Reset the kernel's record of a process's peak; return whether that was possible."""
    try:
        Path(f"{_PROC}/{pid}/clear_refs").write_text("5")
    except OSError:  # not Linux, or the process has ended
        return False
    return True


def list_tree(root: int) -> list[int]:
    """Return the ids of a process and its descendants, parents first; at least itself."""
    if not os.path.exists(f"{_PROC}/self/task/{os.getpid()}/children"):
        return _list_by_psutil(root)
    # Not psutil's children(): it lists all processes of the machine, which takes milliseconds.
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop(0)
        children = _list_children(pid)
        if children is not None:
            found.append(pid)
            waiting += children
    return found


def read_cpu_s(root: int) -> float:
    """Return the CPU time of a process and its descendants, with ended ones, in s.

    NaN where it cannot be measured.
    """
    if not can_measure():
        return float("nan")
    found = (read_times(pid) for pid in list_tree(root))
    return sum(times.own_s + times.ended_s for times in found if times is not None)


@dataclass(frozen=True)
class ProcessTimes:
    """Times of one process, in s.

    Attributes
    ----------
    own_s : float
        CPU time of the process.
    ended_s : float
        CPU time of its children that have ended; 0 where it is not reported.
    began : float
        When it started, by a clock of the system's choice: tells it from a later process with the
        same id.
    """

    own_s: float
    ended_s: float
    began: float


def read_times(pid: int) -> ProcessTimes | None:
    """Return the times of a process; None if it has ended."""
    text = _read(f"{_PROC}/{pid}/stat")
    if text:
        # The name, in parentheses, may contain blanks: numbers are counted from behind it.
        numbers = [float(word) for word in text.rpartition(")")[2].split()[1:]]
        user, system, ended_user, ended_system = (n / _ticks_per_s() for n in numbers[10:14])
        return ProcessTimes(user + system, ended_user + ended_system, numbers[18])
    return None if os.path.exists(f"{_PROC}/self") else _ask(pid, _read_psutil_times)


def _read_psutil_times(process: Any) -> ProcessTimes:
    times = process.cpu_times()
    ended = (getattr(times, f"children_{kind}", 0.0) for kind in ("user", "system"))
    return ProcessTimes(times.user + times.system, sum(ended), process.create_time())


def kill(pid: int, began: float) -> None:
    """Kill a process if it still runs; `began` tells it from a later one with the same id."""
    times = read_times(pid)
    if times is not None and times.began == began:
        with suppress(ProcessLookupError, PermissionError):  # it has ended by itself
            os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))


def read_busy_s() -> float:
    """Return the CPU time of all processes since boot, in s; NaN where it cannot be measured."""
    line = _read(f"{_PROC}/stat").partition("\n")[0].split()
    if line[:1] == ["cpu"]:
        ticks = [float(word) for word in line[1:9]]
        # Without idle time and waiting for disks; the ninth and tenth field are guest time, which
        # user time includes.
        return (sum(ticks) - sum(ticks[3:5])) / _ticks_per_s()
    psutil = find_psutil()
    if psutil is None:
        return float("nan")
    times = psutil.cpu_times()
    return float(sum(times[:8]) - times.idle - getattr(times, "iowait", 0.0))


def _ticks_per_s() -> int:
    return os.sysconf("SC_CLK_TCK")


def _list_children(pid: int) -> list[int] | None:
    """Return the children of a process; None if it has ended."""
    try:
        threads = os.listdir(f"{_PROC}/{pid}/task")
    except OSError:
        return None
    texts = (_read(f"{_PROC}/{pid}/task/{thread}/children") for thread in threads)
    return [int(word) for text in texts for word in text.split()]


def _list_by_psutil(root: int) -> list[int]:
    if find_psutil() is None:
        return [root]
    return _ask(root, lambda p: [root, *(c.pid for c in p.children(recursive=True))]) or []


def _ask_psutil(pid: int, peak: bool = False) -> float | None:
    info = _ask(pid, lambda process: process.memory_info())
    if info is None:
        return None
    return float(getattr(info, "peak_wset", info.rss) if peak else info.rss) / MB


def _ask_unshared(pid: int) -> Shares | None:
    uss = getattr(_ask(pid, lambda process: process.memory_full_info()), "uss", None)
    return None if uss is None else Shares(None, float(uss) / MB)


def _ask(pid: int, read: Callable[[Any], Any]) -> Any:
    """Return what psutil tells; None if the process has ended, is another user's, or without it."""
    psutil = find_psutil()
    if psutil is None:
        return None
    try:
        return read(psutil.Process(pid))
    except psutil.Error:
        return None


def _kilobytes(line: str) -> float:
    """Return an entry of /proc, in units of 1024 bytes, in MB."""
    return int(line.split()[1]) * 1024 / MB


def read_text(name: str) -> str:
    """Return the text of a file in /proc, such as ``pressure/cpu``; empty if there is none."""
    return _read(f"{_PROC}/{name}")


def _read(path: str) -> str:
    """Return the text of a kernel file; empty if it does not exist (the process has ended)."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read().decode(errors="replace")
    except OSError:
        return ""
