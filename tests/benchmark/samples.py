"""Points and tables made by hand, with known figures."""

from __future__ import annotations

from facet_nb.benchmark import (
    BenchmarkInput,
    BenchmarkPoint,
    BenchmarkTable,
    Configuration,
    Environment,
)
from facet_nb.benchmark.measurement import Band, MemoryUse, ProcessTimeline

ENVIRONMENT = Environment(
    processor="Abacus 3000",
    architecture="x86_64",
    system="Linux 6.1",
    cores=8,
    cores_allowed=4,
    cpu_limit_cores=4.0,
    memory_mb=16000.0,
    memory_limit_mb=8000.0,
    python="3.11.9",
    packages=(("facet-nb", "0.1.0"), ("numpy", "2.0.0")),
    blas="openblas 0.3",
    temporary_folder="ext4",
)
SUBJECT = BenchmarkInput(
    32, 300_000, 5000.0, ("HighPassFilter(1.0)", "AASCorrection(30)"), "AAS", "sim"
)
SERIAL = Configuration()
THREADS = {n: Configuration("channel_sequential", "threading", n) for n in (2, 4, 8)}


def make_memory(peak_mb: float = 300.0) -> MemoryUse:
    timeline = ProcessTimeline(
        "main",
        (0.0, 0.5, 1.0),
        (200.0, 300.0, 250.0),
        (0.0, 0.5),
        (190.0, 290.0),
        (150.0, 250.0),
        310.0,
    )
    return MemoryUse(
        peak_pss_mb=peak_mb,
        peak_hwm_mb=peak_mb + 20,
        peak_rss_mb=peak_mb + 10,
        peak_uss_mb=peak_mb - 40,
        base_mb=190.0,
        method="PSS of /proc/PID/smaps_rollup, VmHWM",
        sampler_cpu_share=0.012,
        n_samples=2,
        processes=(timeline,),
        bands=(Band("filter → average", 0.1, 0.9),),
    )


def make_point(configuration=SERIAL, wall_s=(2.0, 2.1, 1.9), **changes) -> BenchmarkPoint:
    values = {
        "configuration": configuration,
        "environment_id": ENVIRONMENT.id,
        "subject_id": SUBJECT.id,
        "wall_s": tuple(wall_s),
        "cpu_s": tuple(wall_s),
        "blocks": tuple(range(len(wall_s))),
        "cold_start_s": 1.5,
        "memory": make_memory(),
        "max_abs_diff_v": 0.0,
    }
    return BenchmarkPoint(**{**values, **changes})


def make_table(*points: BenchmarkPoint) -> BenchmarkTable:
    table = BenchmarkTable(ENVIRONMENT, SUBJECT)
    for point in points or (make_point(), make_point(THREADS[2], (1.05, 1.1, 1.0))):
        table = table.append(point)
    return table
