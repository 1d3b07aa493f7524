"""Saved results: their settings, their cost, and tables that compare them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from facet_nb.core import Pipeline, PipelineResult, ProcessingContext
from facet_nb.core.recording import load_array

if TYPE_CHECKING:
    from facet_nb.evaluation.chains import ChainComparison


#: Scores of :func:`facet_nb.compare` in the table: name of the row and number format.
_SCORES = {
    "rms_uv": ("RMS (µV)", ".1f"),
    "slice_off_db": ("off at slice harmonics (dB)", ".1f"),
}

_SNR, _NOTHING = "SNR against truth (dB)", "–"

_BEFORE = "before"


@dataclass(frozen=True, eq=False)
class SavedResult:
    """A result that is kept for comparison.

    Attributes
    ----------
    label : str
        Name of the result.
    pipeline : Pipeline
        The chain.
    settings : dict
        Arguments of :meth:`Pipeline.run`.
    before : ProcessingContext
        The input.
    result : PipelineResult
        The result.
    snr_before_db, snr_db : float | None
        Agreement with the truth before and after the run, median over channels, in dB; None if
        unknown.
    forecast_bytes : int | None
        Predicted memory of the run itself, without libraries; None if unknown.
    report : ChainComparison | None
        Scores from :func:`facet_nb.compare`; None until they are known.
    note : str
        Why there are no scores.
    badge : str
        Whether it is identical to the serial result.
    difference_uv : float | None
        Largest difference from the serial result, in µV; None if it was not compared.
    automatic : bool
        Whether it was kept automatically, and may be removed when memory is needed.
    """

    label: str
    pipeline: Pipeline
    settings: dict[str, Any]
    before: ProcessingContext
    result: PipelineResult
    snr_before_db: float | None = None
    snr_db: float | None = None
    forecast_bytes: int | None = None
    report: ChainComparison | None = None
    note: str = ""
    badge: str = ""
    difference_uv: float | None = None
    automatic: bool = False

    @property
    def context(self) -> ProcessingContext:
        """The corrected recording."""
        return self.result.get_context()

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps with their arguments."""
        return tuple(repr(p) for p in self.pipeline)

    @property
    def is_serial(self) -> bool:
        """Whether it is a serial result, with which others are compared."""
        plan = self.result.plan
        return plan is not None and plan.mode == "serial"

    @property
    def is_same(self) -> bool:
        """Whether it is bit-identical to the serial result."""
        return self.is_serial or (self.badge.startswith("identical") and self.difference_uv == 0)

    @property
    def difference(self) -> str:
        """How many of all samples differ from the serial result, as text; empty if not known."""
        if not self.is_same:
            return self.badge
        size = f"{load_array(self.context.get_raw()).size:,}".replace(",", " ")
        return f"0 of {size} samples differ"

    def rows(self) -> dict[str, str]:
        """Return its known values as text, by name with unit."""
        forecast_mb = None if self.forecast_bytes is None else self.forecast_bytes / 1e6
        cells = {
            "chain": write_chain(self.pipeline),
            "settings": describe_settings(self.settings),
            "time (s)": f"{self.result.execution_time:.2f}",
            "CPU (s)": f"{sum(self.result.state.step_cpu_s):.2f}",
            "memory, forecast (MB)": _write(forecast_mb, ".1f"),
        }
        scores = {} if self.report is None else self.report.chains[0].scores
        for key, (name, digits) in _SCORES.items():
            cells[name] = _write(scores.get(key), digits)
        cells[_SNR] = _write(self.snr_db, ".1f")
        cells["difference to serial (µV)"] = _write(self.difference_uv, ".3g")
        cells["samples"] = self.difference if self.is_same and not self.is_serial else _NOTHING
        cells["same bits as serial?"] = f"✓ {self.badge}" if self.is_same else self.badge
        return cells

    def rows_before(self) -> dict[str, str]:
        """Return the same values for the uncorrected recording."""
        scores = {} if self.report is None else self.report.before.scores
        cells = {name: _write(scores.get(key), form) for key, (name, form) in _SCORES.items()}
        return cells | {_SNR: _write(self.snr_before_db, ".1f")}


def make_table(entries: Sequence[SavedResult]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return heads and rows of a table with one column for each result.

    If all results have the same recording, a column with the uncorrected recording comes first.
    Rows without values are omitted, as are the chains if they are equal, and the settings if the
    labels contain them.
    """
    if not entries:
        return [], []
    columns = [(entry.label, entry.rows()) for entry in entries]
    names = list(columns[0][1])
    if all(entry.before is entries[0].before for entry in entries):
        columns.insert(0, (_BEFORE, entries[0].rows_before()))
    if len({entry.steps for entry in entries}) == 1:
        names.remove("chain")
    if all(e.label.partition(". ")[2] == describe_settings(e.settings) for e in entries):
        names.remove("settings")
    rows = [(name, *(cells.get(name, "") for _, cells in columns)) for name in names]
    rows = [row for row in rows if set(row[1:]) - {_NOTHING, ""}]
    return ["", *(label for label, _ in columns)], rows


def write_chain(pipeline: Pipeline) -> str:
    """Return the names of the steps in one line."""
    return " → ".join(p.name for p in pipeline)


def describe_settings(settings: dict[str, Any]) -> str:
    """Return the mode and the settings that differ from their default, as text."""
    words = [str(settings.get("mode", ""))]
    for name in ("n_jobs", "n_workers", "batch_size"):
        if settings.get(name, 1) not in (1, "auto"):
            words.append(f"{name}={settings[name]}")
    if settings.get("n_jobs", 1) != 1:
        words.append(str(settings.get("backend")))
    return ", ".join(words)


def judge(entry: SavedResult, entries: Sequence[SavedResult]) -> tuple[str, float | None]:
    """Compare with the serial result of the same chain, or with the first one if there is none."""
    if entry.is_serial:
        return "serial", 0.0
    alike = [e for e in entries if e is not entry and e.steps == entry.steps]
    same = [e for e in alike if e.before is entry.before]
    serial = [e for e in same if e.is_serial]
    if serial:
        return compare_samples(entry, serial[0], "serial")
    if same:
        return compare_samples(entry, same[0], same[0].label)[0], None
    return "not comparable: another recording" if alike else "not compared yet", None


def compare_samples(entry: SavedResult, other: SavedResult, name: str) -> tuple[str, float | None]:
    """Return whether two results are identical, and their largest difference, in µV."""
    ours, theirs = (load_array(e.context.get_raw()) for e in (entry, other))
    if ours.shape != theirs.shape:
        return f"differs from {name} in shape", None
    if np.array_equal(ours, theirs, equal_nan=True):
        return f"identical to {name}", 0.0
    with np.errstate(invalid="ignore"):
        most_uv = 1e6 * float(np.nanmax(np.abs(ours - theirs)))
        n = int(np.count_nonzero((ours != theirs) & ~(np.isnan(ours) & np.isnan(theirs))))
    where = f"{n:,} of {ours.size:,} samples".replace(",", " ")
    return f"differs from {name} by up to {most_uv:.3g} µV in {where}", most_uv


def _write(value: float | None, digits: str) -> str:
    return _NOTHING if value is None or not np.isfinite(value) else format(value, digits)
