"""Settings of a benchmark: ranges, time budget and goal."""

from __future__ import annotations

from typing import Any

from traitlets import Bool, Enum, Float, HasTraits, Int, Tuple, default

from facet_nb.benchmark import Configuration
from facet_nb.benchmark.grid import list_compared_modes, list_configurations, list_levels
from facet_nb.core.planning.cost_model import GOALS
from facet_nb.models.run_model import RunModel

#: Time to start a process and import the package, in s.
_START_S = 1.5


class TuneSettings(HasTraits):
    """Ranges and options of a benchmark.

    Parameters
    ----------
    run : RunModel
        Chain and recording; times of its runs are used to predict the time of a benchmark.

    Attributes
    ----------
    modes, n_jobs, n_workers, backends, batch_sizes : tuple
        The settings to combine.
    repeats : int | None
        Timed runs of each configuration; None for as many as give narrow intervals.
    time_budget_s : float
        Time budget, in s.
    memory : bool
        Whether to measure memory as well.
    goal : {"fastest", "smallest", "balanced"}
        Goal of the advice.
    """

    modes = Tuple()
    n_jobs = Tuple()
    n_workers = Tuple((1,))
    backends = Tuple(("threading",))
    batch_sizes = Tuple((1,))
    repeats = Int(None, allow_none=True)
    time_budget_s = Float(60.0)
    memory = Bool(True)
    goal = Enum(GOALS, "balanced")

    RANGES = ("modes", "n_jobs", "n_workers", "backends", "batch_sizes")

    def __init__(self, run: RunModel) -> None:
        super().__init__(n_jobs=tuple(list_levels(run.cores)))
        self.run = run

    @default("modes")
    def _list_modes(self) -> tuple[str, ...]:
        return tuple(list_compared_modes())

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of :func:`facet_nb.benchmark.benchmark`."""
        values = {name: getattr(self, name) for name in self.RANGES}
        return {
            **values,
            "repeats": self.repeats,
            "time_budget_s": self.time_budget_s,
            "memory": self.memory,
        }

    def configurations(self) -> tuple[Configuration, ...]:
        """Return the configurations to measure.

        Raises
        ------
        PlanError
            If a range is not valid.
        """
        ranges = {name: getattr(self, name) for name in self.RANGES}
        return list_configurations(self.run.pipeline, **ranges)

    def predict_time_s(self) -> float | None:
        """Return the approximate duration of the benchmark, in s; None before the first run."""
        known = [r.wall_s for r in self.run.records]
        if not known:
            return None
        # A warm-up in a fresh process, the timed runs (at least three), and a run for memory in
        # another process; each process imports the package first.
        runs = (self.repeats or 3) + 1 + self.memory
        starts_s = (1 + self.memory) * _START_S
        return min(self.time_budget_s, len(self.configurations()) * (runs * known[-1] + starts_s))
