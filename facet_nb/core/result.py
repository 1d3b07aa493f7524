"""The result of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.errors import FacetError, ValidationError, check_extra
from facet_nb.core.events import RunState
from facet_nb.core.findings import Finding, find_in_error, merge_findings
from facet_nb.core.planning.plan import Plan
from facet_nb.core.plotting import draw, write_report
from facet_nb.core.quality import Quality, find_quality

if TYPE_CHECKING:
    import mne
    import pandas as pd

    from facet_nb.core.metadata import ProcessingStep


#: Metrics that compare with time in which the scanner was silent.
_QUIET_METRICS = ("snr", "legacy_snr", "rms_residual")


def write_metric(name: str, value: float) -> str:
    """Return a metric as text; NaN as the reason why there is no value.

    Parameters
    ----------
    name : str
        Name of the metric.
    value : float
        Its value, in its own unit.
    """
    if value == value:
        return f"{value:.4g}"
    reason = ": no quiet time" if name in _QUIET_METRICS else ""
    return f"not measurable here{reason}"


@dataclass
class PipelineResult:
    """Outcome of :meth:`Pipeline.run`.

    Attributes
    ----------
    context : ProcessingContext | None
        The context after the last step; None if the run failed.
    success : bool
        Whether all steps have finished.
    error : Exception | None
        The error that ended the run.
    execution_time : float
        Wall time, in s.
    failed_processor : str | None
        Name of the step that failed.
    failed_processor_index : int | None
        Its position.
    state : RunState
        Final state of the run, from its events.
    plan : Plan | None
        The plan of the run.
    cancelled : bool
        Whether the run was cancelled.
    last_context : ProcessingContext | None
        If the run failed, the context after the last stage that was complete; its history lists
        the steps. None if the failed stage had begun to overwrite its samples.
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
    last_context: ProcessingContext | None = None
    _quality: Quality | None = field(default=None, repr=False)
    _released: bool = field(default=False, repr=False)

    def get_context(self) -> ProcessingContext:
        """Return the context, or raise the error of the run."""
        if self.context is None:
            raise self.error or FacetError("the result has no context.")
        return self.context

    def get_raw(self) -> mne.io.BaseRaw:
        """Return the corrected recording."""
        context = self.get_context()
        if self._released:
            raise ValidationError(
                "the samples were released (keep_raw=False): read the file that was written, or "
                "run with keep_raw=True."
            )
        return context.get_raw()

    @property
    def raw(self) -> mne.io.BaseRaw:
        """The corrected recording; raises the error of a failed run."""
        return self.get_raw()

    def to_data_frame(self, picks: Any = None, **kwargs: Any) -> pd.DataFrame:
        """Return the corrected samples as a table; see ``ProcessingContext.to_data_frame``."""
        self.get_raw()  # raises the error of a failed run
        table: pd.DataFrame = self.get_context().to_data_frame(picks, **kwargs)
        return table

    def get_history(self) -> list[ProcessingStep]:
        """Return the steps that were applied."""
        return self.get_context().get_history()

    def was_successful(self) -> bool:
        """Whether all steps have finished."""
        return self.success

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What a person should know: the most serious first, one for each code."""
        # Both: the history also has what was found before this run, and the state what planner and
        # executor found, and all that is known of a run that failed.
        known = () if self.context is None else self.context.get_findings()
        return merge_findings([*known, *self.state.findings, *find_in_error(self.error)])

    @property
    def quality(self) -> Quality:
        """How good the result is, judged without ground truth; calculated on the first access.

        See ``docs/quality.md``. Of a result that was not accepted it is the quality that it had.
        """
        if self._quality is None:
            rejected = any(f.code == "result_rejected" for f in find_in_error(self.error))
            self._quality = find_quality(self.last_context if rejected else self.context)
        return self._quality

    def release_raw(self) -> None:
        """Drop the samples; metadata, metrics, history and quality are kept."""
        if self.context is not None and self.context.has_raw():
            # Judged now, because it needs the samples.
            self._quality = self.quality
            self._released = True
        # It holds samples as well.
        self.last_context = None
        if self.context is None:
            return
        # A new one: noise and original recording of the old one keep samples alive as well.
        lean = ProcessingContext(None, metadata=self.context.metadata)
        lean._history = self.context._history
        self.context = lean

    # -------------------------------------------------------------------------- metrics
    @property
    def metrics(self) -> dict[str, Any]:
        """Metrics of the evaluation steps."""
        if self.context is None:
            return {}
        metrics: dict[str, Any] = self.context.metadata.custom.get("metrics", {})
        return metrics

    def metric(self, name: str, default: Any = None) -> Any:
        """Return one metric."""
        return self.metrics.get(name, default)

    @property
    def metrics_df(self) -> pd.DataFrame:
        """Single-number metrics as a table with columns ``metric`` and ``value``."""
        check_extra("tables", "pandas")
        import pandas as pd

        rows = [(k, float(v)) for k, v in self.metrics.items() if isinstance(v, Real)]
        return pd.DataFrame(rows, columns=["metric", "value"])

    @property
    def step_times(self) -> pd.DataFrame:
        """Measured times as a table: ``step, wall_s, cpu_s``, summed over batches.

        With several workers the batches overlap: the sum may exceed the duration of the run.
        """
        check_extra("tables", "pandas")
        import pandas as pd

        state = self.state
        return pd.DataFrame(
            {"step": state.steps, "wall_s": state.step_wall_s, "cpu_s": state.step_cpu_s}
        )

    # -------------------------------------------------------------------------- showing
    def summary(self, findings: bool = True) -> str:
        """Return the outcome as text, with or without its findings."""
        lines = [self._headline()]
        for name, wall, cpu in zip(
            self.state.steps, self.state.step_wall_s, self.state.step_cpu_s, strict=True
        ):
            lines.append(f"  {name:<28}{wall:>9.3f} s wall{cpu:>9.3f} s CPU")
        for name, value in self.metrics.items():
            if isinstance(value, Real):
                lines.append(f"  {name:<28}{write_metric(name, float(value)):>12}")
        told = [f"  {f}" for f in self.findings if findings]
        return "\n".join([*lines, *self._judge(), *self._remarks(), *told])

    def print_summary(self) -> None:
        """Print the outcome, measured step times, and metrics."""
        print(self.summary())

    def print_metrics(self) -> None:
        """Print the metrics."""
        table = self.metrics_df
        print(table.to_string(index=False) if len(table) else "no metrics: add an evaluation step")

    def plot(self, **kwargs: Any) -> Any:
        """Plot one channel before and after correction; see ``plots.plot_before_after``."""
        return draw("plot_before_after", self.get_context(), **kwargs)

    def report(self, path: Any = None) -> Any:
        """Return one self-contained page about the run, and write it if there is a `path`.

        Parameters
        ----------
        path : path | None
            The file, such as ``"report.html"``.

        Returns
        -------
        RunReport
            The page: a notebook shows it, ``save(path)`` writes it.

        Raises
        ------
        FacetError
            If it cannot be written, or matplotlib is missing.
        """
        return write_report(self, path)

    def _headline(self) -> str:
        how = "" if self.plan is None else f" ({self.plan.mode}, n_jobs={self.plan.n_jobs})"
        if self.success:
            return f"done in {self.execution_time:.2f} s{how}"
        word = "cancelled" if self.cancelled else "failed"
        return f"{word} after {self.execution_time:.2f} s{how}: {self.error}"

    def _remarks(self) -> list[str]:
        """Return remarks for the reader of the result, one per line."""
        has_raw = self.context is not None and self.context.has_raw()
        bads = self.get_raw().info["bads"] if has_raw else []
        # The finding names the same channels, with a remedy.
        told = any(finding.code == "channels_uncorrected" for finding in self.findings)
        remarks = [f"  bad channels, not corrected: {', '.join(bads)}"] if bads and not told else []
        n = self.state.batches_restored
        if n:
            remarks.append(f"  {n} batches were restored from the checkpoint, not computed")
        return remarks

    def _judge(self) -> list[str]:
        """Return the quality as a line; nothing if nothing was corrected."""
        return [f"  {self.quality}"] if self.success and self.quality.measures else []

    def _list_findings(self) -> str:
        """Return the findings as HTML; an empty text if there are none."""
        rows = "".join(
            f"<li><b>{escape(f.severity)}</b> {escape(str(f).partition(': ')[2])}</li>"
            for f in self.findings
        )
        return f"<ul style='text-align:left'>{rows}</ul>" if rows else ""

    def __repr__(self) -> str:
        return f"<PipelineResult | {self._headline()}>"

    def _repr_html_(self) -> str:
        caption = ";".join([self._headline(), *self._remarks()]).replace("  ", " ")
        # A run that failed at once has measured no time: the shares would be divisions by 0.
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
            f"<td colspan='3'>{escape(write_metric(k, float(v)))}</td></tr>"
            for k, v in self.metrics.items()
            if isinstance(v, Real)
        )
        return (
            f"<table><caption style='text-align:left'>{escape(caption)}</caption><thead>"
            "<tr><th>step</th><th>wall (s)</th><th>CPU (s)</th><th>share</th></tr></thead>"
            f"<tbody>{rows}{metrics}</tbody></table>"
            f"{''.join(map(escape, self._judge()))}{self._list_findings()}"
        )
