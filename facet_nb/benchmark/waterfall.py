"""Lost time: the difference between ideal and measured time, by cause."""

from __future__ import annotations

from dataclasses import dataclass, fields

from facet_nb.benchmark.measurement import RunTrace, StageTrace
from facet_nb.core.errors import ValidationError


@dataclass(frozen=True)
class LostTime:
    """Wall time of a run beyond perfect scaling of the best serial run, by cause.

    The parts add up to the difference. A part is negative if the run loses less than its share of
    the serial run's loss.

    Attributes
    ----------
    serial_steps_s : float
        Steps and preparation that run on one worker while the others wait, in s.
    startup_s : float
        From the start of a stage until each worker has its first batch, in s.
    dispatch_s : float
        Between batches, between stages, and in the parent process, in s.
    transfer_s : float
        Reading and writing of samples in the workers, in s.
    imbalance_s : float
        Workers waiting for the last one to end, in s.
    contention_s : float
        Steps taking longer than in the serial run, as workers share memory and cores, in s.
    """

    serial_steps_s: float = 0.0
    startup_s: float = 0.0
    dispatch_s: float = 0.0
    transfer_s: float = 0.0
    imbalance_s: float = 0.0
    contention_s: float = 0.0

    @property
    def parts(self) -> tuple[tuple[str, float], ...]:
        """Readable names, and times in s."""
        return tuple((_NAMES[f.name], getattr(self, f.name)) for f in fields(self))


_NAMES = {
    "serial_steps_s": "serial steps",
    "startup_s": "start-up",
    "dispatch_s": "dispatch",
    "transfer_s": "transfer",
    "imbalance_s": "imbalance",
    "contention_s": "contention",
}


@dataclass(frozen=True)
class Waterfall:
    """Ideal, lost and measured wall time of a run.

    Attributes
    ----------
    workers : int
        Outer times inner workers.
    ideal_s : float
        Wall time of the best serial run divided by the number of workers, in s.
    lost : LostTime
        The difference, by cause.
    measured_s : float
        Wall time of the run, in s.
    label : str
        Name of the configuration.
    """

    workers: int
    ideal_s: float
    lost: LostTime
    measured_s: float
    label: str = ""


@dataclass
class _Sums:
    """Wall time of one run by use; in parallel stages, the mean over outer workers."""

    serial_s: float = 0.0
    startup_s: float = 0.0
    dispatch_s: float = 0.0
    transfer_s: float = 0.0
    imbalance_s: float = 0.0
    compute_s: float = 0.0


def split_lost_time(
    base: RunTrace, trace: RunTrace, n_jobs: int, n_workers: int = 1, label: str = ""
) -> Waterfall:
    """Split the lost time of a run by cause.

    Parameters
    ----------
    base : RunTrace
        The best serial run.
    trace : RunTrace
        A run of the same chain with more workers.
    n_jobs, n_workers : int
        Its outer and inner workers.
    label : str
        Name of the configuration.

    Returns
    -------
    Waterfall
        Ideal, parts and measured time.

    Raises
    ------
    ValidationError
        If the traces belong to different chains.
    """
    steps = [name for stage in trace.stages for name in stage.names]
    if steps != [name for stage in base.stages for name in stage.names]:
        raise ValidationError("the traces belong to different chains: compare runs of one chain.")
    workers = n_jobs * n_workers
    sums = _add_up(trace, n_jobs)
    compute_s, serial_s = _split_base(base, trace)
    overhead_s = base.wall_s - compute_s - serial_s
    lost = LostTime(
        serial_steps_s=sums.serial_s - serial_s / workers,
        startup_s=sums.startup_s,
        dispatch_s=sums.dispatch_s - overhead_s / workers,
        transfer_s=sums.transfer_s,
        imbalance_s=sums.imbalance_s,
        contention_s=sums.compute_s - compute_s / workers,
    )
    return Waterfall(workers, base.wall_s / workers, lost, trace.wall_s, label)


def _add_up(trace: RunTrace, n_jobs: int) -> _Sums:
    sums = _Sums(dispatch_s=trace.wall_s - sum(stage.wall_s for stage in trace.stages))
    for stage in trace.stages:
        if _is_split(stage):
            _add_split(sums, stage, n_jobs)
        else:
            steps_s = sum(stage.step_wall_s)
            sums.serial_s += steps_s
            sums.dispatch_s += stage.wall_s - steps_s
    return sums


def _add_split(sums: _Sums, stage: StageTrace, n_jobs: int) -> None:
    """Add a parallel stage: assign its whole area, workers × time, to the causes."""
    by_worker: dict[str, list] = {}
    for batch in sorted(stage.batches, key=lambda b: b.start_s):
        by_worker.setdefault(batch.worker, []).append(batch)
    # There are more workers than jobs if one was replaced, and fewer if some had no batch.
    n = max(n_jobs, len(by_worker))
    # The end of the preparation is a sum of durations: the first batch may have started before it.
    begin = min(stage.start_s + stage.prepare_s, min(b.start_s for b in stage.batches))
    end = max(b.stop_s for b in stage.batches)
    sums.serial_s += begin - stage.start_s
    sums.dispatch_s += stage.stop_s - end
    sums.imbalance_s += (n - len(by_worker)) * (end - begin) / n
    for batches in by_worker.values():
        busy_s = sum(b.stop_s - b.start_s for b in batches)
        compute_s = sum(b.compute_s for b in batches)
        span_s = batches[-1].stop_s - batches[0].start_s
        sums.startup_s += (batches[0].start_s - begin) / n
        sums.dispatch_s += (span_s - busy_s) / n
        sums.transfer_s += (busy_s - compute_s) / n
        sums.compute_s += compute_s / n
        sums.imbalance_s += (end - batches[-1].stop_s) / n


def _is_split(stage: StageTrace) -> bool:
    return stage.n_jobs > 1 and len(stage.batches) > 1


def _split_base(base: RunTrace, trace: RunTrace) -> tuple[float, float]:
    """Return the base's time in the parts that `trace` runs in parallel, and in the others."""
    split = [_is_split(stage) for stage in trace.stages for _ in stage.names]
    walls = [w for stage in base.stages for w in stage.step_wall_s]
    prepares = [
        w for stage in base.stages for w in (stage.step_prepare_s or (0.0,) * len(stage.names))
    ]
    compute_s = serial_s = 0.0
    for is_split, wall_s, prepare_s in zip(split, walls, prepares, strict=True):
        compute_s += (wall_s - prepare_s) if is_split else 0.0
        serial_s += prepare_s if is_split else wall_s
    return compute_s, serial_s
