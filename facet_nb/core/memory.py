"""Memory of this process and of the machine."""

from __future__ import annotations

import math
import mmap
import os
import re
from numbers import Real
from pathlib import Path
from typing import Any

from facet_nb.core.errors import FacetError, PlanError


def rss_bytes() -> int:
    """Return the resident memory of this process, in bytes."""
    # Every batch asks: reading one file is cheaper than importing psutil and building its objects.
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    # Windows has neither /proc nor os.sysconf.
    except (OSError, ValueError, AttributeError):
        psutil = find_psutil()
        return 0 if psutil is None else int(psutil.Process().memory_info().rss)


#: Memory of results that are gone, which is kept for the next ones; the system may take it back.
spare_pages: list[mmap.mmap] = []


def lasting_bytes() -> int:
    """Return the resident memory of this process without its `spare_pages`, in bytes."""
    return max(0, rss_bytes() - sum(map(len, spare_pages)))


def read_machine_memory() -> tuple[int, int]:
    """Return the memory of the machine and the part of it that is available, in bytes.

    On Linux from the kernel, elsewhere from psutil; without psutil, all memory counts as available.

    Raises
    ------
    FacetError
        If the size of the memory cannot be read.
    """
    try:
        text = Path("/proc/meminfo").read_text()
        sizes = dict(re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE))
        return 1024 * int(sizes["MemTotal"]), 1024 * int(sizes["MemAvailable"])
    except (OSError, KeyError):
        pass  # another operating system
    if (psutil := find_psutil()) is not None:
        memory = psutil.virtual_memory()
        return int(memory.total), int(memory.available)
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError, AttributeError) as error:
        raise FacetError(
            "the size of the memory cannot be read here without psutil: pip install psutil."
        ) from error
    return total, total


def find_psutil() -> Any:
    """Return psutil, or None if it is not installed: on Linux nothing here needs it."""
    try:
        import psutil
    except ImportError:
        return None
    return psutil


#: Files with the limit and the use of a container's memory: control groups v2, and v1.
_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}

_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def parse_bytes(size: Any, name: str = "memory_budget") -> int:
    """Return a size in bytes: a number, or text such as ``"1.5 GB"``, ``"800 MiB"``, ``"2G"``.

    Raises
    ------
    PlanError
        If it is not a valid size.
    """
    if isinstance(size, Real) and not isinstance(size, bool) and 0 < float(size) < math.inf:
        return int(float(size))
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?)\s*([kKMGT]?)(i?)[bB]?\s*", str(size))
    if not isinstance(size, str) or match is None or not float(match[1]):
        raise PlanError(
            f"{name}={size!r} is not a valid size: write '1.5 GB', '800 MB', '2 GiB', or a "
            "number of bytes."
        )
    unit = match[2].upper()
    return int(float(match[1]) * (_BINARY[unit] if match[3] and unit else _UNITS[unit]))


def describe_bytes(n_bytes: float) -> str:
    """Return a size as text that :func:`parse_bytes` accepts."""
    if n_bytes >= 1e9:
        return f"{n_bytes / 1e9:.2f} GB"
    return f"{n_bytes / 1e6:.0f} MB"


def find_available() -> tuple[int, str]:
    """Return the memory available to this process, in bytes, and what limits it.

    This is the least of: the machine's available memory, the rest of the container's limit, and
    ``MEM_LIMIT`` (Binder) minus the resident memory of this process.
    """
    limits = [(read_machine_memory()[1], "the machine's")]
    # A container may use less than the machine has, and is ended by the kernel if it takes more.
    for limit, used in _GROUPS:
        most, now = _read(limit), _read(used)
        if most is not None and now is not None:
            limits.append((max(0, most - now), "the container's"))
    text = os.environ.get("MEM_LIMIT", "")
    if text.strip().isdigit():
        limits.append((max(0, int(text) - lasting_bytes()), "MEM_LIMIT's"))
    return min(limits, key=lambda limit: limit[0])


def _read(path: str) -> int | None:
    try:
        text = Path(path).read_text().strip()
    except OSError:  # another operating system, or no container: no limit
        return None
    # Without a limit, groups v2 say "max", and v1 state a size that no machine has.
    return int(text) if text.isdigit() else None
