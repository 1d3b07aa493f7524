"""What shall run, on what, and how; and what that means before anything runs."""

from __future__ import annotations

from typing import Any

from traitlets import (
    Any as AnyTrait,
)
from traitlets import (
    HasTraits,
    Instance,
    Int,
    TraitError,
    Tuple,
    Unicode,
    default,
    observe,
    validate,
)

from facet_nb.core import Pipeline, Plan, ProcessingContext
from facet_nb.core.backends.registry import count_cores, list_backend_names
from facet_nb.core.errors import ValidationError
from facet_nb.core.planning.modes.registry import list_mode_names
from facet_nb.core.processor import ArrayProcessor
from facet_nb.models.codegen import write_code
from facet_nb.models.time_forecast import TimeForecast, predict_time


class RunSettings(HasTraits):
    """A chain, a recording and settings: their plan, their forecast, and their code.

    Parameters
    ----------
    pipeline : Pipeline
        What to run.
    source : ProcessingContext | mne.io.BaseRaw | str | pathlib.Path | Simulation | None
        What to run it on; see :func:`facet_nb.models.as_context`.
    cores : int | None
        Cores that may be used; None for all that this process may use.
    **settings
        ``mode``, ``n_jobs``, ``n_workers``, ``backend``, ``batch_size``, ``memory_budget``.

    Attributes
    ----------
    pipeline, source : object
        What to run, and what on; a change counts from the next run on.
    blocked : str
        Why nothing can be run now; empty if it can.
    mode, backend : str
        How the pipeline shall run; see :meth:`Pipeline.run`.
    n_jobs, n_workers : int
        Outer workers and inner threads, 1 to `cores`; negative numbers count from `cores`.
    batch_size : int
        Channels in one batch.
    memory_budget : str
        The most memory that a run may use, such as ``"1.5 GB"``; empty for no limit.
    records : tuple of RunRecord
        What runs before this one took.
    """

    pipeline = Instance(Pipeline)
    source = AnyTrait()
    blocked = Unicode("")

    # Not traitlets' Enum: it would fix the names at import, and miss what is registered later.
    mode = Unicode("channel_sequential")
    backend = Unicode()
    n_jobs = Int(1)
    n_workers = Int(1)
    batch_size = Int(1, min=1)
    memory_budget = Unicode("")
    records = Tuple()

    SETTINGS = ("mode", "n_jobs", "n_workers", "backend", "batch_size", "memory_budget")

    def __init__(
        self, pipeline: Pipeline, source: Any = None, *, cores: int | None = None, **settings: Any
    ) -> None:
        unknown = sorted(set(settings) - set(self.SETTINGS))
        if unknown:
            raise ValidationError(
                f"unknown setting {', '.join(unknown)}: use {', '.join(self.SETTINGS)}."
            )
        self.cores = count_cores() if cores is None else cores
        self._context: ProcessingContext | None = None
        super().__init__(pipeline=pipeline, source=source, **settings)

    @default("backend")
    def _default_backend(self) -> str:
        ours = all(isinstance(p, ArrayProcessor) for p in self.pipeline if p.channel_wise)
        return "threading" if ours else "multiprocessing"

    @validate("mode", "backend")
    def _check_name(self, proposal: Any) -> str:
        value, name = proposal["value"], proposal["trait"].name
        known = list_mode_names() if name == "mode" else list_backend_names()
        if value not in known:
            raise TraitError(f"unknown {name} {value!r}: use one of {', '.join(known)}.")
        return value

    @validate("n_jobs", "n_workers")
    def _check_workers(self, proposal: Any) -> int:
        value, name = proposal["value"], proposal["trait"].name
        resolved = value if value > 0 else self.cores + 1 + value
        if value == 0 or not 1 <= resolved <= self.cores:
            raise TraitError(
                f"{name}={value} is not possible: this process may use {self.cores} cores, so "
                f"use 1 to {self.cores}, or -1 for all of them."
            )
        return resolved

    @observe("source")
    def _forget_context(self, _change: Any) -> None:
        self._context = None

    def take_source(self, source: Any, context: ProcessingContext) -> None:
        """Work on `source` from now on; `context` is what was loaded of it."""
        self.source = source
        self._context = context

    # --------------------------------------------------------------------------------- settings
    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of :meth:`Pipeline.run`; a budget only if there is one."""
        values = {name: getattr(self, name) for name in self.SETTINGS}
        if not self.memory_budget.strip():
            del values["memory_budget"]
        return values

    def plan(self) -> Plan:
        """Return what the settings make of the pipeline.

        Raises
        ------
        PlanError
            If they cannot be used.
        """
        return self._plan(looks=bool(self.memory_budget.strip()))

    def _plan(self, looks: bool) -> Plan:
        """Return the plan; `looks` at the recording, so that it says what it needs."""
        settings, context = self.settings, self._context
        if context is None or not context.has_raw():
            settings.pop("memory_budget", None)  # what it leaves room for is not known yet
            return self.pipeline.plan(**settings)
        return self.pipeline.plan(context if looks else None, **settings)

    def code(self) -> str:
        """Return the Python that does the same as a run with these settings."""
        note = f"# What is on screen cannot run: {self.blocked}\n" if self.blocked else ""
        return note + write_code(self.pipeline, self.source, self.settings)

    def forecast(self) -> TimeForecast:
        """Return what a run will take: time and memory.

        Raises
        ------
        PlanError
            If the settings cannot be used.
        """
        plan, steps = self._plan(looks=True), [repr(p) for p in self.pipeline]
        memory = None if plan.forecast is None else int(plan.forecast.peak_bytes)
        if self._context is None or not self._context.has_raw():
            return TimeForecast(None, None, "the recording has not been loaded yet")
        raw = self._context.get_raw()
        shape = (len(raw.ch_names), int(raw.n_times))
        time_s, basis = predict_time(plan, steps, shape, self.records)
        return TimeForecast(time_s, memory, basis)
