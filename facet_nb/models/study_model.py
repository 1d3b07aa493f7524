"""Model of the cost of a whole study: sliders, predicted time and memory, and its script."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from traitlets import Enum, Float, HasTraits, Instance, Int

from facet_nb.core.errors import FacetError
from facet_nb.models.quick_look import QuickLook
from facet_nb.models.run_model import RunModel
from facet_nb.models.study_scripts import TARGETS, StudyShape, write_target
from facet_nb.models.tune_model import TuneModel

#: Memory of libraries in one process, in bytes: that of a run without samples.
_LIBRARIES = 200_000_000
#: Relative half widths of the interval by origin, and its increase beyond the tried workers.
_SPREAD = {"measured": 0.10, "quick": 0.25, "run": 0.35}
_BEYOND = 0.20


@dataclass(frozen=True)
class StudyEstimate:
    """Predicted time and memory of a study.

    Attributes
    ----------
    low_s, time_s, high_s : float
        Time with its interval, in s.
    peak_bytes : int
        Memory of all recordings in flight, in bytes.
    in_flight : int
        Recordings that run at once.
    basis : str
        What the estimate rests on.
    fits : bool
        Whether one recording fits into the memory.
    """

    low_s: float
    time_s: float
    high_s: float
    peak_bytes: int
    in_flight: int
    basis: str
    fits: bool


class StudyModel(HasTraits):
    """A study of many recordings like the one on screen.

    Parameters
    ----------
    run : RunModel
        Chain, recording and runs.
    tune : TuneModel
        Measurements.
    quick : QuickLook
        The quick look.

    Attributes
    ----------
    files, channels, cores : int
        Recordings, channels of each, and cores of the machine.
    minutes, memory_gb : float
        Length of each recording, in minutes, and memory of the machine, in GB.
    target : {"batch", "slurm", "dask", "python"}
        Kind of the script.
    """

    files = Int(20, min=1, max=500)
    channels = Int(32, min=1, max=256)
    minutes = Float(20.0, min=0.5, max=240.0)
    cores = Int(4, min=1, max=64)
    memory_gb = Float(16.0, min=1.0, max=256.0)
    target = Enum(tuple(TARGETS), next(iter(TARGETS)))
    run = Instance(RunModel)
    tune = Instance(TuneModel)
    quick = Instance(QuickLook)

    SLIDERS = ("files", "channels", "minutes", "cores", "memory_gb")

    def __init__(self, run: RunModel, tune: TuneModel, quick: QuickLook) -> None:
        super().__init__(run=run, tune=tune, quick=quick, cores=min(64, run.cores))

    def estimate(self) -> StudyEstimate | None:
        """Return time and memory of the study; None before anything has run.

        The time of one worker grows with channels and length. Workers slow each other down as the
        largest measured number of them did; each recording in flight has one.
        """
        known = self._find_base()
        own = self._forecast_bytes()
        if known is None or own is None:
            return None
        base_s, kind = float(known[0]), known[1]
        shape = self._shape()
        size = self.channels * self.minutes * 60 / (shape[0] * shape[1])
        own_bytes = own * size
        room = self.memory_gb * 1e9 - _LIBRARIES
        most = int(room // (own_bytes + _LIBRARIES))
        in_flight = max(1, min(self.cores, self.files, most))
        slowdown, largest = self._fit_slowdown()
        one_s = base_s * size * (1 + slowdown * (in_flight - 1))
        time_s = math.ceil(self.files / in_flight) * one_s
        beyond = in_flight > largest
        spread = _SPREAD[kind] + (_BEYOND if beyond else 0.0)
        words = {"measured": "measured here", "quick": "a quick look", "run": "one run"}
        basis = f"from {words[kind]}" + (
            f"; {in_flight} at once is beyond the {largest} that were tried" if beyond else ""
        )
        peak = round(in_flight * own_bytes + (in_flight + 1) * _LIBRARIES)
        low_s, high_s = time_s * (1 - spread), time_s * (1 + spread)
        return StudyEstimate(low_s, time_s, high_s, peak, in_flight, basis, most >= 1)

    def script(self) -> str:
        """Return a script that corrects all recordings of a folder with these settings.

        Raises
        ------
        FacetError
            If a step cannot be written down.
        """
        found = self.estimate()
        if found is None:
            shape = StudyShape(self.files, min(self.cores, self.files), self.memory_gb)
        else:
            rounds = math.ceil(self.files / found.in_flight)
            one_gb = (found.peak_bytes - _LIBRARIES) / found.in_flight / 1e9
            shape = StudyShape(
                self.files, found.in_flight, self.memory_gb, one_gb, found.high_s / rounds
            )
        return write_target(self.target, self.run.pipeline, shape)

    # ------------------------------------------------------------------------------------ inner
    def _shape(self) -> tuple[int, float]:
        """Return channels and length in s of the recording on screen."""
        raw: Any = self.run.load_context().get_raw()
        return len(raw.ch_names), raw.n_times / float(raw.info["sfreq"])

    def _find_base(self) -> tuple[float, str] | None:
        """Return the time of one worker on the recording on screen, in s, and its origin."""
        table = self.tune.table
        if table is not None and table.base is not None:
            return table.base.wall_s, "measured"
        base_s = next((p.base_s for p in self.quick.points if p.base_s), 0.0)
        if base_s:
            return base_s, "quick"
        if self.run.records:
            return max(sum(self.run.records[-1].step_cpu_s), 1e-9), "run"
        return None

    def _fit_slowdown(self) -> tuple[float, int]:
        """Return how much one worker slows each other one down, and the most that were tried."""
        best: dict[int, float] = {}
        for point in self.quick.points:
            if point.wall_s and point.base_s:
                best[point.n_jobs] = max(best.get(point.n_jobs, 0.0), point.speedup)
        if self.tune.table is not None:
            for row in self.tune.table.rows:
                if not row.machine and row.point.usable:
                    best[row.configuration.workers] = row.speedup.value
        largest = max(best, default=1)
        if largest < 2:
            return 0.0, 1
        return max(0.0, (largest / max(best[largest], 1e-9) - 1) / (largest - 1)), largest

    def _forecast_bytes(self) -> int | None:
        """Return the memory of one run on the recording on screen, without libraries, in bytes."""
        context = self.run.load_context()
        if not context.has_raw():
            return None
        try:
            plan = self.run.pipeline.plan(context, mode="channel_sequential", backend="threading")
        except FacetError:
            return None
        return None if plan.forecast is None else int(plan.forecast.own_bytes)
