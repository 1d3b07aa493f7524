"""Plans: the stages into which a mode divides a pipeline.

A stage is *global* (all channels at once, in this process) or *channel-wise* (batch by batch). The
plan gives a reason for each stage.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from html import escape
from typing import Any, Literal

from facet_nb.core.findings import Finding
from facet_nb.core.planning.fusion import NO_FUSIONS, Fusions
from facet_nb.core.plotting import draw


@dataclass(frozen=True)
class Stage:
    """Consecutive steps that run together.

    Attributes
    ----------
    kind : {"global", "channel_wise"}
        All channels at once, or batch by batch.
    steps : tuple of int
        Positions of the steps in the pipeline.
    names : tuple of str
        Their names.
    n_jobs : int
        Batches in flight at once.
    n_workers : int
        Inner threads for one batch.
    batch_size : int
        Channels in one batch; 0 if that is open, or for a global stage.
    backend : str
        The backend that runs batches.
    reason : str
        Why the stage runs in this way.
    dtype : {"float64", "float32"}
        Precision of the samples between its steps.
    chunk_duration_s : float | None
        Length of the chunks of time in which a batch runs, in s; None for the whole length.
    """

    kind: Literal["global", "channel_wise"]
    steps: tuple[int, ...]
    names: tuple[str, ...]
    n_jobs: int
    n_workers: int
    batch_size: int
    backend: str
    reason: str
    dtype: str = "float64"
    chunk_duration_s: float | None = None

    def count_chunk(self, sfreq: float) -> int:
        """Return the number of samples of a chunk; 0 for the whole length."""
        seconds = self.chunk_duration_s
        return 0 if seconds is None else max(1, round(seconds * sfreq))


@dataclass(frozen=True)
class Plan:
    """Stages of a run.

    Attributes
    ----------
    mode, backend : str
        How the pipeline runs.
    n_jobs, n_workers, batch_size : int
        Outer workers, inner threads, channels in one batch; 0 for ``"auto"``, which is settled
        when the recording is known.
    stages : tuple of Stage
        The stages in order.
    reason : str
        Why this mode was chosen (for ``mode="auto"``).
    fusions : Fusions
        Steps that run as one, and why others do not.
    spill : bool
        Whether loaded samples and all results stay in files.
    forecast : MemoryForecast | None
        Predicted memory and scratch space, if the recording is known.
    findings : tuple of Finding
        What differs from what was asked for.
    kernels : KernelChoice | None
        The compiled kernels that the run uses, if the recording is known.
    """

    mode: str
    backend: str
    n_jobs: int
    n_workers: int
    batch_size: int
    stages: tuple[Stage, ...]
    reason: str = ""
    fusions: Fusions = NO_FUSIONS
    spill: bool = False
    forecast: Any = None
    findings: tuple[Finding, ...] = ()
    kernels: Any = None

    def to_advice(self) -> dict[str, Any]:
        """Return the choice of ``mode="auto"``, and its reason, for the history."""
        names = ("mode", "backend", "n_jobs", "n_workers", "batch_size", "spill", "reason")
        peak = {} if self.forecast is None else {"forecast_bytes": self.forecast.peak_bytes}
        return {**{name: getattr(self, name) for name in names}, **peak}

    def to_dict(self) -> dict[str, Any]:
        """Return the choice and the stages as plain Python values."""
        return {**self.to_advice(), "stages": [asdict(stage) for stage in self.stages]}

    def plot(self, **options: Any) -> Any:
        """Draw how channels are split, processed and merged; see :func:`facet_nb.plots.plot_plan`.

        Returns
        -------
        facet_nb.plots.Picture
            A figure that notebooks display, with a caption.
        """
        return draw("plot_plan", self, **options)

    def __str__(self) -> str:
        head = (
            f"mode={self.mode}, backend={self.backend}, n_jobs={self.n_jobs}, "
            f"n_workers={self.n_workers}, batch_size={self.batch_size or 'auto'}"
        )
        lines = [head + (f" — {self.reason}" if self.reason else "")]
        if self.forecast is not None:
            lines.append(str(self.forecast))
        for i, stage in enumerate(self.stages, 1):
            lines.append(f"{i}. {stage.kind:<12} {' → '.join(stage.names)}")
            lines.append(f"   {stage.reason}")
            if self.forecast is not None:
                lines.append(f"   {self.forecast.stages[i - 1]}")
        if self.kernels is not None:
            lines.append(str(self.kernels))
        return "\n".join([*lines, *self.fusions.refused, *map(str, self.findings)])

    def _repr_html_(self) -> str:
        forecast = self.forecast
        needs = [] if forecast is None else [escape(str(f)) for f in forecast.stages]
        rows = "".join(
            f"<tr><td>{i}</td><td>{s.kind.replace('_', '-')}</td>"
            f"<td style='text-align:left'>{escape(' → '.join(s.names))}</td>"
            f"<td>{s.n_jobs}</td><td style='text-align:left'>{escape(s.reason)}</td>"
            f"{_cell(needs[i - 1] if needs else None)}</tr>"
            for i, s in enumerate(self.stages, 1)
        )
        head = f"{self.mode} · {self.backend} · n_jobs={self.n_jobs} · n_workers={self.n_workers}"
        return (
            f"<table><caption style='text-align:left'><b>Plan</b> {escape(head)}"
            f"{' — ' + escape(self.reason) if self.reason else ''}"
            f"{'' if forecast is None else '<br>' + escape(str(forecast))}</caption>"
            "<thead><tr><th>#</th><th>stage</th><th>steps</th><th>jobs</th><th>why</th>"
            f"{'<th>memory</th>' if needs else ''}</tr></thead>"
            f"<tbody>{rows}</tbody></table>"
            + ("" if self.kernels is None else f"<p>{escape(str(self.kernels))}</p>")
            + "".join(
                f"<p>{escape(line)}</p>"
                for line in [*self.fusions.refused, *map(str, self.findings)]
            )
        )


def _cell(text: str | None) -> str:
    return "" if text is None else f"<td style='text-align:left'>{text}</td>"
