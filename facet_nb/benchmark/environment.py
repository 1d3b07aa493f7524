"""The machine on which a table was measured."""

from __future__ import annotations

import os
import platform
import tempfile
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from facet_nb.benchmark.measurement import make_id

_PACKAGES = ("facet-nb", "numpy", "scipy", "mne", "joblib")


@dataclass(frozen=True)
class Environment:
    """Properties of a machine that affect times and memory; nothing identifies it or its user.

    Attributes
    ----------
    processor, architecture, system : str
        CPU model and architecture, and operating system.
    cores, cores_allowed : int
        Cores of the machine, and cores that this process may use.
    cpu_limit_cores, memory_limit_mb : float | None
        Limits of its container (cgroup); None without a limit.
    memory_mb : float
        Memory of the machine, in MB.
    python : str
        Python version.
    packages : tuple of (name, version)
        Versions of the numerical packages.
    blas : str
        BLAS library.
    temporary_folder : str
        File system of the folder in which workers share samples.
    """

    processor: str = "unknown"
    architecture: str = ""
    system: str = ""
    cores: int = 1
    cores_allowed: int = 1
    cpu_limit_cores: float | None = None
    memory_mb: float = 0.0
    memory_limit_mb: float | None = None
    python: str = ""
    packages: tuple[tuple[str, str], ...] = ()
    blas: str = ""
    temporary_folder: str = ""

    @property
    def id(self) -> str:
        """Short hash that is the same for the same machine and versions."""
        # Fields at their default do not count: a field that a later version adds keeps the hash.
        usual = asdict(Environment())
        return make_id({k: v for k, v in asdict(self).items() if v != usual[k]})

    @property
    def label(self) -> str:
        """Description in one line."""
        return (
            f"{self.processor}, {self.cores_allowed} of {self.cores} cores, "
            f"{self.usable_memory_mb / 1e3:.1f} GB, {self.system}, Python {self.python}"
        )

    @property
    def usable_memory_mb(self) -> float:
        """Largest memory that a run may use, in MB."""
        limit = self.memory_limit_mb
        return self.memory_mb if limit is None else min(limit, self.memory_mb)

    @classmethod
    def of_this_machine(cls) -> Environment:
        """Return the environment of this process."""
        from facet_nb.core.backends.registry import count_cores
        from facet_nb.core.memory import read_machine_memory

        return cls(
            processor=_read_processor(),
            architecture=platform.machine(),
            system=f"{platform.system()} {platform.release().split('-')[0]}",
            cores=os.cpu_count() or 1,
            cores_allowed=count_cores(),
            cpu_limit_cores=read_cpu_limit(),
            memory_mb=round(read_machine_memory()[0] / 1e6, 1),
            memory_limit_mb=read_memory_limit_mb(),
            python=platform.python_version(),
            packages=_list_packages(),
            blas=_describe_blas(),
            temporary_folder=describe_folder(tempfile.gettempdir()),
        )


def read_memory_limit_mb() -> float | None:
    """Return the memory limit of the container, in MB; None without a limit."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        text = _read(f"/sys/fs/cgroup/{name}")
        # Version 1 of control groups writes a number near 2**63 for "no limit", version 2 "max".
        if text.isdigit() and int(text) < 1 << 60:
            return round(int(text) / 1e6, 1)
    text = os.environ.get("MEM_LIMIT", "")  # Binder sets it, in bytes
    return round(int(text) / 1e6, 1) if text.isdigit() else None


def read_cpu_limit() -> float | None:
    """Return the CPU limit of the container, in cores; None without a limit."""
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").partition(" ")
    if not quota:
        quota = _read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
        period = _read("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
    if quota.isdigit() and period.isdigit() and int(period):
        return round(int(quota) / int(period), 2)
    return None


def describe_folder(folder: str) -> str:
    """Return the file system that `folder` is on, such as ``"ext4"`` or ``"tmpfs"``."""
    best, kind = "", "unknown"
    path = os.path.realpath(folder)
    for line in _read("/proc/mounts").splitlines():
        _, place, system, *_ = line.split(" ")
        # Mounts are nested: the longest one that contains the folder is its own.
        inside = path == place or path.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= len(best):
            best, kind = place, system
    return kind


def _read_processor() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def _list_packages() -> tuple[tuple[str, str], ...]:
    found = []
    for name in _PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return tuple(found)


def _describe_blas() -> str:
    import numpy as np  # noqa: F401  (threadpoolctl lists loaded libraries only)
    import threadpoolctl

    found = {
        f"{info['internal_api']} {info.get('version') or ''}".strip()
        for info in threadpoolctl.threadpool_info()
        if info["user_api"] == "blas"
    }
    return ", ".join(sorted(found)) or "unknown"


def _read(path: str) -> str:
    """Return the text of a system file; empty if there is no such file."""
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""
