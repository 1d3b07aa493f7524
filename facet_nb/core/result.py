"""What a run gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import FacetError
from facet_nb.core.events import RunState
from facet_nb.core.planning.plan import Plan
from facet_nb.core.plotting import draw

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class PipelineResult:
    """Outcome of :meth:`Pipeline.run`.

    Attributes
    ----------
    context : ProcessingContext | None
        The context after the last step; None if the run failed.
    success : bool
        Whether all steps ran.
    error : Exception | None
        What went wrong.
    execution_time : float
        Wall time, in s.
    failed_processor : str | None
        Name of the step that failed.
    failed_processor_index : int | None
        Its position.
    state : RunState
        All that the run's events told.
    plan : Plan | None
        How it ran.
    cancelled : bool
        Whether it was cancelled.
    """

    context: ProcessingContext | None
    success: bool = True
    error: Exception | None = None
    execution_time: float = 0.0
    failed_processor: str | None = None
    failed_processor_index: int | None = None
    state: RunState = field(default_factory=RunState)
    plan: Plan | None = None
    cancelled: bool = False

    def get_context(self) -> ProcessingContext:
        """Return the context, or raise what went wrong."""
        if self.context is None:
            raise self.error or FacetError("the run left no context.")
        return self.context

    def get_raw(self) -> Any:
        """Return the corrected recording."""
        return self.get_context().get_raw()

    @property
    def raw(self) -> Any:
        """The corrected recording (``mne.io.BaseRaw``); of a failed run its error is raised."""
        return self.get_raw()

    def get_history(self) -> list:
        """Return the steps that were applied."""
        return self.get_context().get_history()

    def was_successful(self) -> bool:
        """Whether all steps ran."""
        return self.success

    def release_raw(self) -> None:
        """Forget the samples (metadata, metrics and history stay)."""
        if self.context is None:
            return
        lean = ProcessingContext(None, metadata=self.context.metadata)
        lean._history = self.context._history
        self.context = lean

    # -------------------------------------------------------------------------- metrics
    @property
    def metrics(self) -> dict[str, Any]:
        """What evaluation steps found."""
        if self.context is None:
            return {}
        return self.context.metadata.custom.get("metrics", {})

    def metric(self, name: str, default: Any = None) -> Any:
        """Return one metric."""
        return self.metrics.get(name, default)

    @property
    def metrics_df(self) -> pd.DataFrame:
        """Single-number metrics as a table with columns ``metric`` and ``value``."""
        import pandas as pd

        rows = [(k, float(v)) for k, v in self.metrics.items() if isinstance(v, Real)]
        return pd.DataFrame(rows, columns=["metric", "value"])

    @property
    def step_times(self) -> pd.DataFrame:
        """Measured times as a table: ``step, wall_s, cpu_s``, summed over batches.

        With several workers the times of one step overlap: their sum may exceed the run's.
        """
        import pandas as pd

        state = self.state
        return pd.DataFrame(
            {"step": state.steps, "wall_s": state.step_wall_s, "cpu_s": state.step_cpu_s}
        )

    # -------------------------------------------------------------------------- showing
    def summary(self) -> str:
        """Return the outcome as text."""
        lines = [self._headline()]
        for name, wall, cpu in zip(
            self.state.steps, self.state.step_wall_s, self.state.step_cpu_s, strict=True
        ):
            lines.append(f"  {name:<28}{wall:>9.3f} s wall{cpu:>9.3f} s CPU")
        for name, value in self.metrics.items():
            if isinstance(value, Real):
                lines.append(f"  {name:<28}{value:>12.4g}")
        return "\n".join([*lines, *self._remarks()])

    def print_summary(self) -> None:
        """Print the outcome, measured step times, and metrics."""
        print(self.summary())

    def print_metrics(self) -> None:
        """Print the metrics."""
        table = self.metrics_df
        print(table.to_string(index=False) if len(table) else "no metrics: add an evaluation step")

    def plot(self, **kwargs: Any) -> Any:
        """Plot before, after and residual of one channel; see ``facet_nb.plots``."""
        return draw("plot_before_after", self.get_context(), **kwargs)

    def _headline(self) -> str:
        how = "" if self.plan is None else f" ({self.plan.mode}, n_jobs={self.plan.n_jobs})"
        if self.success:
            return f"done in {self.execution_time:.2f} s{how}"
        word = "cancelled" if self.cancelled else "failed"
        return f"{word} after {self.execution_time:.2f} s{how}: {self.error}"

    def _remarks(self) -> list[str]:
        """Return what a reader of the result must know, one a line."""
        bads = (
            []
            if self.context is None or not self.context.has_raw()
            else self.get_raw().info["bads"]
        )
        remarks = [f"  bad channels, left as they are: {', '.join(bads)}"] if bads else []
        n = self.state.batches_restored
        if n:
            remarks.append(f"  from the checkpoint, not computed now: {n} batches")
        return remarks

    def __repr__(self) -> str:
        return f"<PipelineResult | {self._headline()}>"

    def _repr_html_(self) -> str:
        caption = ";".join([self._headline(), *self._remarks()]).replace("  ", " ")
        total = float(np.sum(self.state.step_wall_s)) or 1.0
        rows = "".join(
            f"<tr><td style='text-align:left'>{escape(n)}</td><td>{w:.3f}</td><td>{c:.3f}</td>"
            f"<td>{100 * w / total:.0f} %</td></tr>"
            for n, w, c in zip(
                self.state.steps, self.state.step_wall_s, self.state.step_cpu_s, strict=True
            )
        )
        metrics = "".join(
            f"<tr><td style='text-align:left'>{escape(str(k))}</td>"
            f"<td colspan='3'>{v:.4g}</td></tr>"
            for k, v in self.metrics.items()
            if isinstance(v, Real)
        )
        return (
            f"<table><caption style='text-align:left'>{escape(caption)}</caption><thead>"
            "<tr><th>step</th><th>wall (s)</th><th>CPU (s)</th><th>share</th></tr></thead>"
            f"<tbody>{rows}{metrics}</tbody></table>"
        )
