"""Which settings a benchmark tries, for how long, and what it is to look for."""

from __future__ import annotations

from typing import Any

from traitlets import Bool, Enum, Float, HasTraits, Int, Tuple, default

from facet_nb.benchmark import Configuration
from facet_nb.benchmark.grid import list_compared_modes, list_configurations, list_levels
from facet_nb.core.planning.cost_model import GOALS
from facet_nb.models.run_model import RunModel

#: Start of a process with the package in it, in s.
_START_S = 1.5


class TuneSettings(HasTraits):
    """What to measure.

    Parameters
    ----------
    run : RunModel
        Chain and recording; what runs took tells how long a benchmark will take.

    Attributes
    ----------
    modes, n_jobs, n_workers, backends, batch_sizes : tuple
        What to combine.
    repeats : int | None
        Timed runs of each; None for as many as it takes.
    time_budget_s : float
        Time after which no more is measured, in s.
    memory : bool
        Whether to measure memory, too.
    goal : {"fastest", "smallest", "balanced"}
        What the advice is to look for.
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
        """Return what will be measured.

        Raises
        ------
        PlanError
            If a range cannot be used.
        """
        ranges = {name: getattr(self, name) for name in self.RANGES}
        return list_configurations(self.run.pipeline, **ranges)

    def predict_time_s(self) -> float | None:
        """Return about how long it will take, in s; None if nothing has run yet."""
        known = [r.wall_s for r in self.run.records]
        if not known:
            return None
        # A warm-up in a fresh process, three timed runs or as many as are asked for, and one of
        # which the memory is watched; each process imports the package first.
        runs = (self.repeats or 3) + 1 + self.memory
        starts_s = (1 + self.memory) * _START_S
        return min(self.time_budget_s, len(self.configurations()) * (runs * known[-1] + starts_s))
