"""Constructed runs: worker timelines that lose time by one known cause, for exercises.

Nothing here was measured. Tables of measurements hold no constructed runs.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from facet_nb.core.errors import ValidationError

if TYPE_CHECKING:
    from facet_nb.benchmark.measurement import BatchTime, RunTrace
    from facet_nb.benchmark.waterfall import Waterfall

#: Causes of lost time, and the setting that helps.
CAUSES = {
    "serial steps": "n_workers",
    "start-up": "threads",
    "dispatch": "larger batches",
    "transfer": "threads",
    "imbalance": "smaller batches",
    "contention": "fewer workers",
}


@dataclass(frozen=True)
class ConstructedRun:
    """A model of one run with several workers.

    Attributes
    ----------
    workers : int
        Number of outer workers.
    durations_s : tuple of float
        Computing time of each batch alone, in s, in order.
    serial_s : float
        Steps before the batches that run on one worker, in s.
    startup_s, dispatch_s, transfer_s : float
        Until a worker has its first batch; between two batches of a worker; reading and writing of
        each batch; in s.
    slowdown : float
        Relative slowdown of each batch, for the square of the number of further workers: they wait
        for the same memory and the same cores.
    """

    workers: int
    durations_s: tuple[float, ...]
    serial_s: float = 0.05
    startup_s: float = 0.01
    dispatch_s: float = 0.002
    transfer_s: float = 0.002
    slowdown: float = 0.0

    @property
    def base(self) -> RunTrace:
        """The serial run that it is compared with."""
        alone = replace(self, workers=1, startup_s=0.0, dispatch_s=0.0, transfer_s=0.0)
        return alone.trace

    @property
    def trace(self) -> RunTrace:
        """Its timeline: each batch goes to the first free worker."""
        from facet_nb.benchmark.measurement import RunTrace, StageTrace

        batches = self._place()
        stop_s = max(batch.stop_s for batch in batches)
        serial = StageTrace(
            "global", ("a step on all channels",), 0.0, self.serial_s, 0.0, (self.serial_s,)
        )
        parallel = StageTrace(
            "channel_wise",
            ("a step on each channel",),
            self.serial_s,
            stop_s,
            step_wall_s=(sum(batch.compute_s for batch in batches),),
            batches=batches,
            n_jobs=self.workers,
            splits=True,
        )
        return RunTrace(stop_s, (serial, parallel))

    @property
    def waterfall(self) -> Waterfall:
        """Where the time beyond the ideal went."""
        from facet_nb.benchmark.waterfall import split_lost_time

        return split_lost_time(self.base, self.trace, self.workers, label="constructed")

    @property
    def lost_s(self) -> float:
        """Wall time beyond the serial run's divided by the number of workers, in s."""
        return self.trace.wall_s - self.base.wall_s / self.workers

    def change(self, setting: str) -> ConstructedRun:
        """Return the run with another setting, in this model.

        Parameters
        ----------
        setting : str
            ``"threads"`` (instead of processes: no start-up, no transfer), ``"n_workers"`` (inner
            threads share the steps before the batches), ``"larger batches"`` or ``"smaller
            batches"`` (twice or half the size) or ``"fewer workers"`` (half as many). There are no
            more cores for more workers.

        Raises
        ------
        ValidationError
            If there is no such setting.
        """
        durations = self.durations_s
        pairs = [durations[i : i + 2] for i in range(0, len(durations), 2)]
        changes: dict[str, dict] = {
            "threads": {"startup_s": 0.0, "transfer_s": 0.0},
            "n_workers": {"serial_s": self.serial_s / self.workers},
            "larger batches": {
                "durations_s": tuple(map(sum, pairs)),
                "transfer_s": 2 * self.transfer_s,
            },
            "smaller batches": {
                "durations_s": tuple(d / 2 for d in durations for _ in range(2)),
                "transfer_s": self.transfer_s / 2,
            },
            "fewer workers": {"workers": max(1, self.workers // 2)},
        }
        if setting not in changes:
            raise ValidationError(f"there is no setting {setting!r}: use one of {list(changes)}.")
        return replace(self, **changes[setting])

    def recovers(self, setting: str) -> float:
        """Return the share of the lost time that another setting recovers, in this model."""
        gained_s = self.trace.wall_s - self.change(setting).trace.wall_s
        return gained_s / self.lost_s

    def _place(self) -> tuple[BatchTime, ...]:
        from facet_nb.benchmark.measurement import BatchTime

        begin_s = self.serial_s + self.startup_s
        n = min(self.workers, len(self.durations_s))
        free = [(begin_s, k) for k in range(n)]
        stretch = 1.0 + self.slowdown * (n - 1) ** 2
        batches = []
        for alone_s in self.durations_s:
            start_s, worker = free[0]
            compute_s = stretch * alone_s
            stop_s = start_s + compute_s + self.transfer_s
            heapq.heapreplace(free, (stop_s + self.dispatch_s, worker))
            batches.append(BatchTime(f"worker {worker + 1}", start_s, stop_s, compute_s))
        return tuple(batches)


def construct(cause: str, salt: int = 0) -> ConstructedRun:
    """Return a run that loses most of its time by one cause.

    Parameters
    ----------
    cause : str
        A key of :data:`CAUSES`.
    salt : int
        Chooses the size of the run.

    Raises
    ------
    ValidationError
        If there is no such cause.
    """
    if cause not in CAUSES:
        raise ValidationError(f"there is no cause {cause!r}: use one of {', '.join(CAUSES)}.")
    draw = random.Random(f"{cause} {salt}")
    workers = draw.choice([4, 6, 8])
    scale_s = draw.uniform(0.5, 2.0)  # of the computing time of a worker
    rounds = 4
    unit_s = scale_s / rounds
    usual = {
        "workers": workers,
        "durations_s": (unit_s,) * (rounds * workers),
        "serial_s": 0.02 * scale_s,
        "startup_s": 0.01 * scale_s,
        "dispatch_s": 0.002 * scale_s,
        "transfer_s": 0.002 * scale_s,
    }
    much = draw.uniform(0.5, 0.9)  # time lost by the cause, in computing times of a worker
    special: dict[str, dict] = {
        "serial steps": {"serial_s": much * scale_s},
        "start-up": {"startup_s": much * scale_s},
        "dispatch": {
            "durations_s": (unit_s / 8,) * (8 * rounds * workers),
            "dispatch_s": much * scale_s / (8 * rounds),
            "transfer_s": 0.0005 * scale_s,
        },
        "transfer": {"transfer_s": much * unit_s},
        "imbalance": {"durations_s": (scale_s,) * (workers + 1)},
        "contention": {"slowdown": (4 + much) / (workers - 1) ** 2},
    }
    return ConstructedRun(**{**usual, **special[cause]})
