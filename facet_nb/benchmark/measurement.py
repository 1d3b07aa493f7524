"""Measurements of one configuration: immutable data."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from facet_nb.core.backends.base import Backend
from facet_nb.core.backends.registry import list_backends
from facet_nb.core.planning.modes.base import Mode
from facet_nb.core.planning.modes.registry import list_modes

#: One megabyte in bytes, as everywhere in this package.
MB = 1e6


@dataclass(frozen=True)
class Configuration:
    """One way to run a pipeline: the arguments of :meth:`facet_nb.Pipeline.run`.

    Attributes
    ----------
    mode : str
        How the pipeline runs: the name of a registered mode.
    backend : str
        Where batches run: the name of a registered backend.
    n_jobs, n_workers, batch_size : int
        Outer workers, inner threads, channels in one batch.
    """

    mode: str = "serial"
    backend: str = "serial"
    n_jobs: int = 1
    n_workers: int = 1
    batch_size: int = 1

    @property
    def workers(self) -> int:
        """Outer times inner workers: the number of cores that it can use."""
        return self.n_jobs * self.n_workers

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments for ``Pipeline.run``."""
        return asdict(self)

    @property
    def study_settings(self) -> dict[str, Any]:
        """Arguments for ``Pipeline.map``: as many recordings at once as this run has workers.

        One worker says nothing about recordings at once: then their number is left out. So are mode
        and batch size where the mode does not join steps: each recording has one job, for which
        such modes are the same, and the default of a study needs less memory.
        """
        chosen: dict[str, Any] = {}
        if find_mode(self.mode).joins is not Mode.joins:
            chosen["mode"] = self.mode
            chosen |= {"batch_size": self.batch_size} if self.batch_size else {}
        if self.workers > 1:
            # Inner threads are threads, wherever their batch ran.
            backend = self.backend if self.n_jobs > 1 else "threading"
            chosen |= {"n_jobs": self.workers, "backend": backend}
        return chosen

    @property
    def label(self) -> str:
        """Readable name, such as ``"channel_sequential, 4 threads"``."""
        parts = [self.mode]
        if self.n_jobs > 1:
            parts.append(f"{self.n_jobs} {label_workers(self.backend)}")
        if self.n_workers > 1:
            parts.append(f"{self.n_workers} inner threads")
        if self.batch_size > 1:
            parts.append(f"batches of {self.batch_size}")
        return ", ".join(parts)

    @property
    def complexity(self) -> tuple[int, ...]:
        """Sort key, the simplest configuration first: fewer workers, threads before processes."""
        # Workers first: of equally fast configurations, the one with fewer leaves cores to others.
        backend, mode = find_backend(self.backend).rank, find_mode(self.mode).rank
        return (self.workers, backend, self.n_workers, mode, self.batch_size)


def find_mode(name: str) -> type[Mode]:
    """Return a registered mode; the base class for a name that is not registered here.

    A stored table may come from an installation with other modes and backends.
    """
    return next((mode for mode in list_modes() if mode.name == name), Mode)


def find_backend(name: str) -> type[Backend]:
    """Return a registered backend; the base class for a name that is not registered here."""
    return next((backend for backend in list_backends() if backend.name == name), Backend)


def label_workers(backend: str) -> str:
    """Return what the workers of a backend are called, e.g. ``"processes"``."""
    return find_backend(backend).label or f"{backend} workers"


def with_one_job(mode: str, n_workers: int = 1, batch_size: int = 1) -> Configuration:
    """Return the simplest configuration that runs like `mode` with one job.

    A mode that never joins steps into one stage differs from ``"serial"`` only by its jobs.
    """
    if find_mode(mode).joins is Mode.joins:
        return Configuration(n_workers=n_workers)
    return Configuration(mode, n_workers=n_workers, batch_size=batch_size)


@dataclass(frozen=True)
class BenchmarkInput:
    """The chain and the recording of a benchmark; a table holds points of one input.

    Attributes
    ----------
    n_channels, n_times : int
        Shape of the recording.
    sfreq : float
        Sampling rate, in Hz.
    steps : tuple of str
        The chain: the text of each step, with its parameters.
    pipeline : str
        Name of the chain.
    source : str
        Description of the recording.
    """

    n_channels: int
    n_times: int
    sfreq: float
    steps: tuple[str, ...]
    pipeline: str = "Pipeline"
    source: str = "recording"

    @property
    def id(self) -> str:
        """Short hash of the chain and of the size of the recording."""
        return make_id([self.n_channels, self.n_times, self.sfreq, list(self.steps)])

    @property
    def size_mb(self) -> float:
        """Size of the recording in memory as float64, in MB."""
        return 8 * self.n_channels * self.n_times / MB


@dataclass(frozen=True)
class Band:
    """Time span of a stage, in s from the start of the run."""

    label: str
    start_s: float
    stop_s: float


@dataclass(frozen=True)
class ProcessTimeline:
    """Memory of one process over time.

    Attributes
    ----------
    name : str
        ``"main"``, ``"worker 1"``, ….
    times_s, rss_mb : tuple of float
        Resident memory, in MB, at times in s from the start of the run.
    pss_times_s, pss_mb, uss_mb : tuple of float
        Proportional and unshared memory, in MB; read less often, as reading them takes time.
    hwm_mb : float
        Largest resident memory, in MB; exact where the system records it.
    """

    name: str
    times_s: tuple[float, ...] = ()
    rss_mb: tuple[float, ...] = ()
    pss_times_s: tuple[float, ...] = ()
    pss_mb: tuple[float, ...] = ()
    uss_mb: tuple[float, ...] = ()
    hwm_mb: float = 0.0


@dataclass(frozen=True)
class MemoryUse:
    """Memory of a run and all its processes.

    Attributes
    ----------
    peak_pss_mb : float | None
        Largest sum of proportional memory (PSS) at one moment: shared pages count once. It is
        sampled, hence a lower bound; None where the system does not report PSS.
    peak_hwm_mb : float
        Sum of the exact peaks of all processes: an upper bound.
    peak_rss_mb, peak_uss_mb : float
        Largest sums of resident and of unshared memory at one moment.
    base_mb : float
        Memory before the run: interpreter, libraries and recording (PSS, or RSS without PSS).
    method : str
        How the memory was measured.
    sampler_cpu_share : float
        CPU time of the sampler divided by the wall time of the run; the times of the run do not
        include it.
    n_samples : int
        Number of readings of PSS.
    processes : tuple of ProcessTimeline
        Memory of each process over time.
    bands : tuple of Band
        The stages of the run.
    """

    peak_pss_mb: float | None
    peak_hwm_mb: float
    peak_rss_mb: float
    peak_uss_mb: float = 0.0
    base_mb: float = 0.0
    method: str = ""
    sampler_cpu_share: float = 0.0
    n_samples: int = 0
    processes: tuple[ProcessTimeline, ...] = ()
    bands: tuple[Band, ...] = ()

    @property
    def peak_mb(self) -> float:
        """The main figure, in MB: peak PSS, or peak RSS where PSS is not reported."""
        return self.peak_rss_mb if self.peak_pss_mb is None else self.peak_pss_mb


@dataclass(frozen=True)
class BatchTime:
    """One batch of a run.

    Attributes
    ----------
    worker : str
        The worker (process and thread) that ran it.
    start_s, stop_s : float
        When it started and ended in its worker, in s from the start of the run.
    compute_s, cpu_s : float
        Wall and CPU time inside its steps, in s; the rest is transfer.
    """

    worker: str
    start_s: float
    stop_s: float
    compute_s: float
    cpu_s: float = 0.0


@dataclass(frozen=True)
class StageTrace:
    """One stage of a run.

    Attributes
    ----------
    kind : {"global", "channel_wise"}
        All channels at once, or batch by batch.
    names : tuple of str
        Names of its steps.
    start_s, stop_s : float
        When it started and ended, in s from the start of the run.
    prepare_s : float
        Time to prepare all steps before the batches, in s.
    step_wall_s, step_cpu_s : tuple of float
        Measured time of each step, summed over batches, with its preparation, in s.
    batches : tuple of BatchTime
        Its batches.
    n_jobs : int
        Number of batches in flight at once.
    step_prepare_s : tuple of float
        Part of each step's wall time that its preparation took, in s.
    splits : bool
        Whether its batches may run concurrently.
    """

    kind: str
    names: tuple[str, ...]
    start_s: float
    stop_s: float
    prepare_s: float = 0.0
    step_wall_s: tuple[float, ...] = ()
    step_cpu_s: tuple[float, ...] = ()
    batches: tuple[BatchTime, ...] = ()
    n_jobs: int = 1
    step_prepare_s: tuple[float, ...] = ()
    splits: bool = False

    @property
    def wall_s(self) -> float:
        """Wall time of the stage, in s."""
        return self.stop_s - self.start_s


@dataclass(frozen=True)
class RunTrace:
    """Where the time of a run went; a point keeps the run with the median wall time."""

    wall_s: float
    stages: tuple[StageTrace, ...] = ()


@dataclass(frozen=True)
class BenchmarkPoint:
    """The measurements of one configuration on one recording.

    Attributes
    ----------
    configuration : Configuration
        The configuration.
    environment_id, subject_id : str
        Hashes of the machine, and of chain and recording.
    wall_s, cpu_s : tuple of float
        Wall time of each repeat, and CPU time of all its processes, in s.
    blocks : tuple of int
        Block of runs of each repeat; ratios are taken within a block.
    cold_start_s : float | None
        Additional time of the first run in a fresh process (imports, workers, compilation), in s.
    memory : MemoryUse | None
        Memory of a separate run in a fresh process.
    max_abs_diff_v : float | None
        Largest difference from the serial result, in V; infinite if the shapes differ.
    trace : RunTrace | None
        Trace of the run with the median wall time.
    warnings : tuple of str
        Why the figures are doubtful, e.g. a busy machine or a short run.
    error : str | None
        Why it could not run.
    machine : str
        Label of the machine in a merged table.
    """

    configuration: Configuration
    environment_id: str
    subject_id: str
    wall_s: tuple[float, ...] = ()
    cpu_s: tuple[float, ...] = ()
    blocks: tuple[int, ...] = ()
    cold_start_s: float | None = None
    memory: MemoryUse | None = None
    max_abs_diff_v: float | None = None
    trace: RunTrace | None = None
    warnings: tuple[str, ...] = field(default=())
    error: str | None = None
    machine: str = ""

    @property
    def n_repeats(self) -> int:
        """Number of timed runs."""
        return len(self.wall_s)

    @property
    def differs(self) -> bool:
        """Whether the result differs from the serial one in any bit."""
        return self.max_abs_diff_v is not None and self.max_abs_diff_v != 0.0

    @property
    def usable(self) -> bool:
        """Whether it ran and gave the serial result: only such points are recommended."""
        return self.error is None and not self.differs and self.n_repeats > 0


def make_id(values: Any) -> str:
    """Return a short hash of JSON values."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
