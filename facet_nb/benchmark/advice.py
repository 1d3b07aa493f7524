"""Advice: the recommended configuration and the evidence for it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from facet_nb.benchmark.measurement import Configuration

#: Words for the basis of a number.
_BASES = {"measured": "measured", "probe": "predicted from a probe", "forecast": "forecast"}


@dataclass(frozen=True)
class Advice:
    """A recommended configuration, with predictions and evidence.

    Attributes
    ----------
    mode, backend : str
        How the pipeline runs, and where batches run.
    n_jobs, n_workers, batch_size : int
        Outer workers, inner threads, channels in one batch.
    predicted_wall_s : float
        Predicted wall time of the run, in s.
    predicted_peak_mb : float
        Predicted peak memory of the run with its workers and the recording, in MB.
    wall_interval_s, peak_interval_mb : tuple (low, high)
        Intervals of the two predictions.
    runner_up : Configuration | None
        The second-best configuration.
    reason : str
        The reason, in one sentence.
    evidence : tuple of str
        One line for each candidate.
    code : str
        The call that runs the pipeline like this.
    basis : {"measured", "probe", "forecast"}
        Where the time comes from: a table of measurements, a short probe, or the forecasts of the
        plan alone.
    clear : bool
        Whether it is distinguishable from the runner-up; if not, the simpler one was chosen.
    peak_basis : {"measured", "forecast"}
        Where the memory comes from: measurements, or the forecast of the plan.
    """

    mode: str
    backend: str
    n_jobs: int
    n_workers: int
    batch_size: int
    predicted_wall_s: float
    predicted_peak_mb: float
    wall_interval_s: tuple[float, float]
    peak_interval_mb: tuple[float, float]
    runner_up: Configuration | None
    reason: str
    evidence: tuple[str, ...]
    code: str
    basis: Literal["measured", "probe", "forecast"] = "measured"
    clear: bool = True
    peak_basis: Literal["measured", "forecast"] = "forecast"

    @property
    def configuration(self) -> Configuration:
        """The recommended configuration."""
        return Configuration(self.mode, self.backend, self.n_jobs, self.n_workers, self.batch_size)

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments for ``Pipeline.run``."""
        return self.configuration.settings

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Intervals of the predictions, by name."""
        return {
            "predicted_wall_s": self.wall_interval_s,
            "predicted_peak_mb": self.peak_interval_mb,
        }

    def __str__(self) -> str:
        lines = [f"{self.configuration.label} — {self.reason}"]
        low, high = self.wall_interval_s
        lines.append(
            f"time: {self.predicted_wall_s:.2f} s ({low:.2f} to {high:.2f} s), {_BASES[self.basis]}"
        )
        low, high = self.peak_interval_mb
        size = f"{self.predicted_peak_mb:.0f} MB ({low:.0f} to {high:.0f} MB)"
        lines.append(f"memory: {size}, {_BASES[self.peak_basis]}")
        if self.runner_up is not None:
            lines.append(f"runner-up: {self.runner_up.label}")
        lines += [f"- {line}" for line in self.evidence]
        return "\n".join([*lines, self.code])

    def _repr_html_(self) -> str:
        evidence = "".join(f"<li>{escape(line)}</li>" for line in self.evidence)
        runner_up = "" if self.runner_up is None else f"; next: {self.runner_up.label}"
        return (
            f"<div><p><b>{escape(self.configuration.label)}</b> — {escape(self.reason)}</p>"
            f"<p>{self.predicted_wall_s:.2f} s ({_BASES[self.basis]}), "
            f"{self.predicted_peak_mb:.0f} MB ({_BASES[self.peak_basis]}){escape(runner_up)}</p>"
            f"<ul>{evidence}</ul>"
            f"<pre>{escape(self.code)}</pre></div>"
        )
