"""Memory and CPU time of processes: from the kernel on Linux, from psutil elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from facet_nb.benchmark.measurement import MB

_PROC = "/proc"
#: Descriptions of the main memory figure, with and without PSS.
EXACT = "PSS and VmHWM of the Linux kernel"
COARSE = "resident memory (psutil): shared pages count once for each process"


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
    """Return the ids of a process and its descendants, parents first."""
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
    """Return the CPU time of a process and its descendants, with ended ones, in s."""
    import psutil

    total = 0.0
    for pid in list_tree(root):
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:  # it has just ended
            continue
        total += times.user + times.system
        total += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return total


def _list_children(pid: int) -> list[int] | None:
    """Return the children of a process; None if it has ended."""
    try:
        threads = os.listdir(f"{_PROC}/{pid}/task")
    except OSError:
        return None
    texts = (_read(f"{_PROC}/{pid}/task/{thread}/children") for thread in threads)
    return [int(word) for text in texts for word in text.split()]


def _list_by_psutil(root: int) -> list[int]:
    import psutil

    try:
        return [root, *(p.pid for p in psutil.Process(root).children(recursive=True))]
    except psutil.Error:
        return []


def _ask_psutil(pid: int, peak: bool = False) -> float | None:
    import psutil

    try:
        info = psutil.Process(pid).memory_info()
    except psutil.Error:
        return None
    return float(getattr(info, "peak_wset", info.rss) if peak else info.rss) / MB


def _ask_unshared(pid: int) -> Shares | None:
    import psutil

    try:
        info = psutil.Process(pid).memory_full_info()
    except psutil.Error:  # it has ended, or belongs to another user
        return None
    uss = getattr(info, "uss", None)
    return None if uss is None else Shares(None, float(uss) / MB)


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
