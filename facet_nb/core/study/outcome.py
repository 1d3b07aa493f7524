"""The results of a study."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facet_nb.core.errors import check_extra
from facet_nb.core.plotting import write_study_report
from facet_nb.core.result import PipelineResult
from facet_nb.core.study.rows import StudyRow, list_columns
from facet_nb.core.study.schedule import StudyPlan

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class BatchResult:
    """Results of :meth:`Pipeline.map`, in the order of the inputs.

    Attributes
    ----------
    inputs : tuple of str
        Path or position of each input.
    results : tuple of PipelineResult
        The result of each input.
    outputs : tuple of str or None
        The file that was written for each input, if any.
    rows : tuple of StudyRow
        State, quality, findings, time and memory of each input, as plain values.
    plan : StudyPlan | None
        Which of them ran at once.
    table : Path | None
        Folder of the table on disk.
    header : dict
        What all of them have in common: steps, options, versions.
    """

    inputs: tuple[str, ...]
    results: tuple[PipelineResult, ...]
    outputs: tuple[str | None, ...]
    rows: tuple[StudyRow, ...] = ()
    plan: StudyPlan | None = None
    table: Path | None = None
    header: dict[str, Any] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[PipelineResult]:
        return iter(self.results)

    def __getitem__(self, index: int) -> PipelineResult:
        return self.results[index]

    @property
    def summary_df(self) -> pd.DataFrame:
        """Table with a row per input.

        Its columns are ``input, success, time_s, output, error``, ``findings`` (their number),
        ``worst`` (their highest severity), ``quality`` (the verdict) with ``quality_sentence``,
        ``state``, ``peak_bytes``, ``forecast_bytes``, and the metrics.
        """
        check_extra("tables", "pandas")
        import pandas as pd

        rows = [list_columns(row) for row in self.rows]
        return pd.DataFrame(rows, columns=None if rows else ["input", "success", "time_s"])

    def summary(self) -> str:
        """Return the outcome as text."""
        good = sum(r.success for r in self.results)
        lines = [f"{good} of {len(self)} succeeded"]
        for row, result in zip(self.rows, self.results, strict=True):
            what = row.state if result.success else f"{row.state}: {result.error}"
            lines.append(f"  {row.input}: {what} ({row.time_s:.2f} s)")
            lines += [f"    {row.quality}"] if row.quality.measures else []
            lines += [f"    {finding}" for finding in row.findings]
        return "\n".join(lines)

    def print_summary(self) -> None:
        """Print the outcome."""
        print(self.summary())

    def report(self, path: str | Path | None = None) -> Any:
        """Return one page about all recordings, and write it if there is a `path`.

        Parameters
        ----------
        path : path | None
            The file, such as ``"study.html"``.

        Returns
        -------
        RunReport
            The page: a notebook shows it, ``save(path)`` writes it.
        """
        return write_study_report(self.rows, [self.header], path)

    def _repr_html_(self) -> str:
        return str(self.summary_df.to_html(index=False, escape=True))
