"""One row per recording of a study: what happened to it, as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from typing import Any

import numpy as np

from facet_nb.core.context import ProcessingContext
from facet_nb.core.findings import Finding, find_worst
from facet_nb.core.metadata import ProcessingMetadata
from facet_nb.core.quality import Quality
from facet_nb.core.recording import data_picks
from facet_nb.core.result import PipelineResult
from facet_nb.kernels.pages import forget

#: States of a recording, the ones to look at first.
STATES = ("failed", "rejected", "cancelled", "done", "skipped")

#: Windows of the course of a result, and their length in s.
_WINDOWS, _WINDOW_S = 40, 1.0

_UNKNOWN = Quality("not measured", "the samples were not looked at.")


@dataclass(frozen=True)
class StudyRow:
    """What happened to one recording of a study.

    Attributes
    ----------
    index : int
        Position of the input.
    input : str
        Its path, or its position as text.
    state : {"done", "skipped", "rejected", "failed", "cancelled"}
        ``"skipped"``: its output existed (``skip_existing``). ``"rejected"``: it was corrected, but
        not accepted, and not written.
    output, report : str | None
        Files that were written.
    time_s : float
        Wall time, in s.
    peak_bytes : int
        Largest resident memory of its process, measured, in bytes; 0 if it is not known.
    forecast_bytes : int
        Memory that the run was predicted to need beside its libraries, in bytes; 0 if unknown.
    quality : Quality
        The quality of the result.
    findings : tuple of Finding
        What a person should know about it.
    error, error_type : str | None
        Message and class of the error that ended its run.
    metrics : dict of str to float
        Single-number metrics.
    course_uv : tuple of float
        RMS of the result in up to 40 windows of 1 s that are spread over it, median over channels,
        without linear drifts, in µV.
    key : str
        Fingerprint of input, chain and options: a row of another key is not resumed.
    attempts : int
        How often it was tried.
    finished : str
        When it was finished, in ISO format, UTC.
    resumed : bool
        Whether the row comes from an earlier call.
    """

    index: int
    input: str
    state: str
    output: str | None = None
    report: str | None = None
    time_s: float = 0.0
    peak_bytes: int = 0
    forecast_bytes: int = 0
    quality: Quality = _UNKNOWN
    findings: tuple[Finding, ...] = ()
    error: str | None = None
    error_type: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    course_uv: tuple[float, ...] = ()
    key: str = ""
    attempts: int = 1
    finished: str = ""
    resumed: bool = False

    @property
    def success(self) -> bool:
        """Whether there is a corrected recording."""
        return self.state in ("done", "skipped")

    @property
    def worst(self) -> str:
        """The highest severity of its findings; empty without one."""
        return find_worst(self.findings) or ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain Python values; JSON has no NaN, which become None."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        metrics = {k: v if math.isfinite(v) else None for k, v in self.metrics.items()}
        plain = {"metrics": metrics, "course_uv": list(self.course_uv)}
        found = [finding.to_dict() for finding in self.findings]
        return values | plain | {"findings": found, "quality": self.quality.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StudyRow:
        """Create a row from the output of :meth:`to_dict`; unknown fields are ignored."""
        known = {f.name for f in fields(cls)}
        kept = {k: v for k, v in values.items() if k in known}
        metrics = {k: math.nan if v is None else float(v) for k, v in kept["metrics"].items()}
        return cls(
            **kept
            | {
                "quality": Quality.from_dict(kept["quality"]),
                "findings": tuple(Finding.from_dict(f) for f in kept["findings"]),
                "metrics": metrics,
                "course_uv": tuple(float(v) for v in kept["course_uv"]),
            }
        )

    def to_result(self) -> PipelineResult:
        """Return a result without samples, with metrics and quality: of a row that was resumed."""
        custom = {"metrics": dict(self.metrics)} if self.metrics else {}
        lean = ProcessingContext(None, metadata=ProcessingMetadata(custom=custom))
        return PipelineResult(
            lean if self.success else None,
            success=self.success,
            execution_time=self.time_s,
            _quality=self.quality,
        )


def describe_result(row: StudyRow, result: PipelineResult) -> StudyRow:
    """Return `row` with what `result`, which still has its samples, says."""
    error = result.error
    codes = {finding.code for finding in result.findings}
    state = "done" if result.success else "failed"
    if result.cancelled:
        state = "cancelled"
    elif not result.success and "result_rejected" in codes:
        state = "rejected"
    numbers = {k: float(v) for k, v in result.metrics.items() if isinstance(v, Real)}
    return replace(
        row,
        state=state,
        output=row.output if result.success else None,
        time_s=result.execution_time,
        peak_bytes=int(result.state.peak_rss_bytes or 0),
        quality=result.quality,
        findings=result.findings,
        error=None if error is None else str(error),
        error_type=None if error is None else _name_error(error),
        metrics=numbers,
        course_uv=measure_course(result.context),
    )


def _name_error(error: BaseException) -> str:
    """Return the class of an error; of a step's error, that of its cause."""
    return getattr(error, "cause_type", None) or type(error.__cause__ or error).__name__


def measure_course(context: ProcessingContext | None) -> tuple[float, ...]:
    """Return the RMS of a recording over time; see :class:`StudyRow`."""
    if context is None or not context.has_raw():
        return ()
    raw: Any = context.get_raw()
    picks = data_picks(raw)
    n = min(raw.n_times, max(2, round(_WINDOW_S * float(raw.info["sfreq"]))))
    if not len(picks) or n < 2:
        return ()
    line = np.linspace(-1.0, 1.0, n)
    # Window by window: the result may be in a file that is larger than the memory.
    course = []
    for start in np.unique(np.linspace(0, raw.n_times - n, _WINDOWS).astype(int)):
        x = np.asarray(raw.get_data(picks, int(start), int(start) + n, verbose="error"))
        x = x - x.mean(axis=1, keepdims=True)
        x -= np.outer(x @ line / (line @ line), line)
        course.append(round(1e6 * float(np.median(x.std(axis=1))), 4))
        forget(raw._data if raw.preload else None)
    return tuple(course) if np.isfinite(course).all() else ()


def list_columns(row: StudyRow) -> dict[str, Any]:
    """Return the columns of a row for a table, with a column for each metric at the end."""
    columns = {
        "input": row.input,
        "success": row.success,
        "time_s": row.time_s,
        "output": row.output,
        "error": row.error,
        "findings": len(row.findings),
        "worst": row.worst,
        "quality": row.quality.verdict,
        "quality_sentence": row.quality.sentence,
        "state": row.state,
        "peak_bytes": row.peak_bytes,
        "forecast_bytes": row.forecast_bytes,
    }
    return columns | dict(row.metrics)
