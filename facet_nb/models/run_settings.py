"""Settings of a run, with its plan, its forecast and its code."""

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
    """A chain, a recording and settings, with their plan, forecast and code.

    Parameters
    ----------
    pipeline : Pipeline
        The chain.
    source : ProcessingContext | mne.io.BaseRaw | str | pathlib.Path | Simulation | None
        The recording; see :func:`facet_nb.models.as_context`.
    cores : int | None
        Number of cores to use; None for all that this process may use.
    **settings
        ``mode``, ``n_jobs``, ``n_workers``, ``backend``, ``batch_size``, ``memory_budget``.

    Attributes
    ----------
    pipeline, source : object
        Chain and recording; a change applies to the next run.
    blocked : str
        Why no run can be started; empty if one can.
    mode, backend : str
        Names of a registered mode and backend; see :meth:`Pipeline.run`.
    n_jobs, n_workers : int
        Outer workers and inner threads, 1 to `cores`; negative numbers count from `cores`.
    batch_size : int
        Channels in one batch; 0 for ``"auto"``, as many as are fast and as memory allows.
    memory_budget : str
        Largest memory of a run, such as ``"1.5 GB"``; empty for no limit.
    records : tuple of RunRecord
        Times of earlier runs.
    """

    pipeline = Instance(Pipeline)
    source = AnyTrait()
    blocked = Unicode("")

    # Not traitlets' Enum: it would fix the names at import, and miss what is registered later.
    mode = Unicode("channel_sequential")
    backend = Unicode()
    n_jobs = Int(1)
    n_workers = Int(1)
    batch_size = Int(0, min=0)
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
        if settings.get("batch_size") == "auto":
            settings["batch_size"] = 0
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
                f"{name}={value} is not valid: this process may use {self.cores} cores, so use "
                f"1 to {self.cores}, or -1 for all of them."
            )
        return resolved

    @observe("source")
    def _forget_context(self, _change: Any) -> None:
        self._context = None

    def take_source(self, source: Any, context: ProcessingContext) -> None:
        """Set the recording; `context` is its loaded content."""
        self.source = source
        self._context = context

    # --------------------------------------------------------------------------------- settings
    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of :meth:`Pipeline.run`, with a memory budget only if there is one."""
        values = {name: getattr(self, name) for name in self.SETTINGS}
        values["batch_size"] = self.batch_size or "auto"
        if not self.memory_budget.strip():
            del values["memory_budget"]
        return values

    def plan(self) -> Plan:
        """Return the plan of the pipeline with these settings.

        Raises
        ------
        PlanError
            If the settings are not valid.
        """
        return self._plan(with_forecast=bool(self.memory_budget.strip()))

    def _plan(self, with_forecast: bool) -> Plan:
        """Return the plan; with a forecast, it is made for the recording."""
        settings, context = self.settings, self._context
        if context is None or not context.has_raw():
            settings.pop("memory_budget", None)  # it can be applied to a known recording only
            return self.pipeline.plan(**settings)
        return self.pipeline.plan(context if with_forecast else None, **settings)

    def code(self) -> str:
        """Return Python code that does the same as a run with these settings."""
        note = f"# The chain on screen cannot run: {self.blocked}\n" if self.blocked else ""
        return note + write_code(self.pipeline, self.source, self.settings)

    def forecast(self) -> TimeForecast:
        """Predict time and memory of a run.

        Raises
        ------
        PlanError
            If the settings are not valid.
        """
        plan, steps = self._plan(with_forecast=True), [repr(p) for p in self.pipeline]
        memory = None if plan.forecast is None else int(plan.forecast.peak_bytes)
        if self._context is None or not self._context.has_raw():
            return TimeForecast(None, None, "the recording has not been loaded yet")
        raw = self._context.get_raw()
        shape = (len(raw.ch_names), int(raw.n_times))
        time_s, basis = predict_time(plan, steps, shape, self.records)
        return TimeForecast(time_s, memory, basis)
