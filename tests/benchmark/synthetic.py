"""An executor with known costs: it runs nothing, and says exactly how long everything took."""

from __future__ import annotations

from dataclasses import dataclass

from facet_nb.benchmark.measurement import BatchTime, RunTrace, StageTrace


@dataclass(frozen=True)
class Costs:
    """What a run costs, in s."""

    batches_s: tuple[float, ...] = (1.0,) * 8
    prepare_s: float = 0.0
    serial_s: float = 0.0
    startup_s: float = 0.0
    dispatch_s: float = 0.0
    transfer_s: float = 0.0
    contention: float = 1.0
    outside_s: float = 0.0


def run(costs: Costs, n_jobs: int = 1) -> RunTrace:
    """Return the trace of a serial step followed by batches over `n_jobs` workers."""
    half_s = costs.outside_s / 2
    stages = []
    if costs.serial_s:
        single = BatchTime("worker 0", half_s, half_s + costs.serial_s, costs.serial_s)
        stages.append(
            StageTrace("global", ("global",), half_s, half_s + costs.serial_s, 0.0,
                       (costs.serial_s,), (costs.serial_s,), (single,))
        )  # fmt: skip
    start_s = half_s + costs.serial_s
    begin_s = start_s + costs.prepare_s + costs.startup_s
    free = {f"worker {k}": begin_s for k in range(1, n_jobs + 1)}
    batches = []
    for cost in costs.batches_s:
        worker = min(free, key=lambda name: free[name])
        first = free[worker] == begin_s
        began_s = free[worker] + (0.0 if first else costs.dispatch_s)
        compute_s = cost * (costs.contention if n_jobs > 1 else 1.0)
        free[worker] = began_s + compute_s + costs.transfer_s
        batches.append(BatchTime(worker, began_s, free[worker], compute_s))
    stop_s = max(free.values())
    compute_s = sum(b.compute_s for b in batches)
    stages.append(
        StageTrace(
            kind="channel_wise",
            names=("filter",),
            start_s=start_s,
            stop_s=stop_s,
            prepare_s=costs.prepare_s,
            step_wall_s=(compute_s + costs.prepare_s,),
            step_cpu_s=(compute_s,),
            batches=tuple(batches),
            n_jobs=n_jobs,
            step_prepare_s=(costs.prepare_s,),
            splits=True,
        )
    )
    return RunTrace(stop_s + half_s, tuple(stages))
