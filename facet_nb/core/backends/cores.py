"""The number of cores that this process may use, counted without joblib.

joblib counts in the same way, but importing it takes 0.1 s of CPU time, which no run without worker
processes should pay.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

#: Where Linux tells the share of time that a container may use: quota and period, in µs.
_CGROUP = Path("/sys/fs/cgroup")

#: Windows waits for at most this number of processes.
_MAX_WINDOWS = 61


def count_allowed() -> int:
    """Return the number of cores that this process may use, at least 1.

    It is the least of the machine's, those of the process's affinity, the limit of a container, and
    the environment variable ``LOKY_MAX_CPU_COUNT``; 1 where ``JOBLIB_MULTIPROCESSING`` is 0.
    """
    if os.environ.get("JOBLIB_MULTIPROCESSING", "").strip() == "0":
        return 1
    machine = os.cpu_count() or 1
    if sys.platform == "win32":
        machine = min(machine, _MAX_WINDOWS)
    wanted = int(os.environ.get("LOKY_MAX_CPU_COUNT", machine))
    return max(1, min(machine, wanted, _count_affinity(machine), _count_quota(machine)))


def _count_affinity(machine: int) -> int:
    if not hasattr(os, "sched_getaffinity"):  # only Linux and a few others bind processes to cores
        return machine
    try:
        return len(os.sched_getaffinity(0))
    except (NotImplementedError, OSError):
        return machine


def _count_quota(machine: int) -> int:
    """Return the cores that a container's share of time amounts to."""
    of_both = _read(_CGROUP / "cpu.max")
    if len(of_both) != 2:  # the older version has a file for each
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        of_both = tuple(word for name in names for word in _read(_CGROUP / "cpu" / name))
    quota, period = of_both if len(of_both) == 2 else ("max", "")
    if quota == "max" or int(quota) <= 0 or int(period) <= 0:  # no limit
        return machine
    return math.ceil(int(quota) / int(period))


def _read(file: Path) -> tuple[str, ...]:
    try:
        return tuple(file.read_text().split())
    except OSError:  # not Linux, or the other version of these files
        return ()
