"""Tables of measurements: immutable, of one machine, stored as versioned JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facet_nb.benchmark.environment import Environment
from facet_nb.benchmark.json_values import from_plain, to_plain
from facet_nb.benchmark.machine_load import Noise
from facet_nb.benchmark.measurement import BenchmarkInput, BenchmarkPoint, Configuration
from facet_nb.benchmark.summary import SummaryRow, make_rows
from facet_nb.core.errors import ValidationError, check_extra
from facet_nb.core.limits import read_text
from facet_nb.core.storage.originals import TEXT, check_kind_of_file

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
_KIND = "facet_nb benchmark"

#: Largest file of a table; one of 10 000 runs has 20 MB.
_LARGEST_BYTES = 64 << 20


@dataclass(frozen=True)
class Machine:
    """An environment with its label, in a merged table."""

    label: str
    environment: Environment


@dataclass(frozen=True)
class BenchmarkTable:
    """Measured configurations of one chain on one recording on one machine.

    A table is immutable: methods that add points return a new table. Points of another machine are
    refused; :meth:`merge` combines several machines under labels.

    Attributes
    ----------
    environment : Environment
        The machine.
    subject : BenchmarkInput
        Chain and recording.
    points : tuple of BenchmarkPoint
        The measurements, in order.
    warnings : tuple of str
        Why all figures are doubtful.
    label : str
        Label of this machine.
    machines : tuple of Machine
        Other machines, in a merged table.
    noise : Noise | None
        Load by other programs while runs were timed.
    """

    environment: Environment
    subject: BenchmarkInput
    points: tuple[BenchmarkPoint, ...] = ()
    warnings: tuple[str, ...] = ()
    label: str = ""
    machines: tuple[Machine, ...] = ()
    noise: Noise | None = None

    # ---------------------------------------------------------------------------------- adding
    def append(self, point: BenchmarkPoint) -> BenchmarkTable:
        """Return a table with one more point.

        Raises
        ------
        ValidationError
            If the point comes from another machine, chain or recording.
        """
        self._check(point)
        return replace(self, points=(*self.points, point))

    def extend(self, other: BenchmarkTable) -> BenchmarkTable:
        """Return a table that also holds the points of `other`, measured later on this machine.

        The blocks of both stay separate: ratios are never taken between two sessions. Repeats of
        configurations that are in both tables are pooled.

        Raises
        ------
        ValidationError
            If `other` comes from another machine, chain or recording.
        """
        # New block numbers, so that a ratio never combines runs of different sessions.
        shift = 1 + max((b for p in self.points for b in p.blocks), default=-1)
        table = self
        for point in other.points:
            table = table.append(replace(point, blocks=tuple(b + shift for b in point.blocks)))
        warnings = tuple(dict.fromkeys((*self.warnings, *other.warnings)))
        return replace(table, warnings=warnings)

    def merge(self, other: BenchmarkTable, *, label: str) -> BenchmarkTable:
        """Return a table that also holds the points of another machine, under `label`.

        For comparing machines, e.g. those of a class: speed-ups are still taken within a machine.

        Parameters
        ----------
        other : BenchmarkTable
            A table of the same chain and size of recording, from another machine or session.
        label : str
            Label of the other machine; each label may occur once.

        Raises
        ------
        ValidationError
            If the label is empty or taken, or chain or recording differ.
        """
        if not label or label in {self.label, *(m.label for m in self.machines)}:
            raise ValidationError(f"label={label!r} is empty or in use: give each machine its own.")
        if other.machines:
            raise ValidationError("the other table is merged already: merge tables of one machine.")
        if other.subject.id != self.subject.id:
            raise ValidationError(_explain_subject(self.subject, other.subject))
        points = tuple(replace(p, machine=label) for p in other.points)
        machines = (*self.machines, Machine(label, other.environment))
        return replace(self, points=self.points + points, machines=machines)

    def _check(self, point: BenchmarkPoint) -> None:
        owners = {"": self.environment, **{m.label: m.environment for m in self.machines}}
        owner = owners.get(point.machine)
        if owner is None or point.environment_id != owner.id:
            raise ValidationError(
                "the point was measured on another machine or with other versions: its times "
                "cannot be compared with these. Keep machines apart with merge(other, label=…)."
            )
        if point.subject_id != self.subject.id:
            raise ValidationError(
                "the point belongs to another chain or recording: create a separate table for it."
            )

    # ---------------------------------------------------------------------------------- access
    def __len__(self) -> int:
        return len(self.points)

    def __iter__(self) -> Iterator[BenchmarkPoint]:
        return iter(self.points)

    @property
    def rows(self) -> tuple[SummaryRow, ...]:
        """Statistics of each configuration: medians, speed-ups with intervals, verdicts."""
        return make_rows(self.points)

    @property
    def base(self) -> SummaryRow | None:
        """The fastest configuration with one worker, with which the others are compared."""
        return next((r for r in self.rows if r.verdict == "base" and not r.machine), None)

    def find(self, configuration: Configuration) -> SummaryRow | None:
        """Return the row of a configuration; None if it was not measured."""
        return next(
            (r for r in self.rows if r.configuration == configuration and not r.machine), None
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a data frame with one row for each configuration.

        Its columns: ``mode, backend, n_jobs, n_workers, batch_size, wall_s, wall_iqr_s, cpu_s,
        cold_start_s, speedup, speedup_low, speedup_high, efficiency, peak_pss_mb, peak_hwm_mb,
        peak_rss_mb, max_abs_diff_v, n_repeats, verdict``; a merged table begins with ``machine``.
        """
        check_extra("tables", "pandas")
        import pandas as pd

        frame = pd.DataFrame([r.values for r in self.rows], columns=list(SummaryRow.COLUMNS))
        if self.machines:
            names = [r.machine or self.label or "this machine" for r in self.rows]
            frame.insert(0, "machine", names)
        return frame

    def to_csv(self, path: str | Path | None = None) -> str:
        """Return the data frame as CSV text; also write it to `path` if given."""
        text = self.to_frame().to_csv(index=False)
        if path is not None:
            check_kind_of_file(path, TEXT)
            Path(path).write_text(text, encoding="utf-8")
        return text

    # ----------------------------------------------------------------------------------- files
    def to_json(self, path: str | Path | None = None) -> str:
        """Return the table as JSON text; also write it to `path` if given."""
        content = {"kind": _KIND, "schema": SCHEMA, **to_plain(self)}
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1)
        if path is not None:
            check_kind_of_file(path, TEXT)
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    @classmethod
    def from_json(cls, source: str | Path) -> BenchmarkTable:
        """Read a table from a file or from JSON text. No code in it is executed.

        Raises
        ------
        ValidationError
            If it is not a table, or its schema is newer than this version supports.
        """
        content = _parse(source)
        if not isinstance(content, dict) or content.get("kind") != _KIND:
            raise ValidationError("not a benchmark table: use a file from table.to_json(path).")
        schema = content.get("schema")
        if not isinstance(schema, int) or not 1 <= schema <= SCHEMA:
            raise ValidationError(
                f"the table has schema {schema!r}, and this version reads up to {SCHEMA}: update "
                "facet-nb."
            )
        empty = from_plain(cls, {**content, "points": []})
        # append() checks that each point belongs to the machine and the input of the table.
        for entry in content.get("points", []):
            empty = empty.append(from_plain(BenchmarkPoint, entry))
        return empty

    # -------------------------------------------------------------------------------------- text
    def summary(self) -> str:
        """Return the table as text: one sentence for each configuration, and the warnings."""
        lines = [f"{self.subject.pipeline} on {self.subject.source}, {self.environment.label}"]
        lines += [f"- {row.describe()}" for row in self.rows]
        return "\n".join([*lines, *(f"! {text}" for text in self.remarks)])

    @property
    def remarks(self) -> tuple[str, ...]:
        """Why figures are doubtful: warnings of the table, then of single configurations."""
        of_points = (
            f"{r.configuration.label}: {text}" for r in self.rows for text in r.point.warnings
        )
        return (*self.warnings, *of_points)

    def __repr__(self) -> str:
        return f"<BenchmarkTable | {len(self.rows)} configurations, {self.environment.label}>"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(h)}</th>" for h in ("machine", *_HEADS)[not self.machines :])
        rows = "".join(self._write_row(row) for row in self.rows)
        notes = "".join(f"<p>⚠ {escape(text)}</p>" for text in self.remarks)
        return (
            f"<table><caption style='text-align:left'><b>{escape(self.subject.pipeline)}</b> on "
            f"{escape(self.subject.source)} — {escape(self.environment.label)}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{notes}"
        )

    def _write_row(self, row: SummaryRow) -> str:
        cells: Sequence[Any] = row.texts
        if self.machines:
            cells = (row.machine or self.label or "this machine", *cells)
        return "<tr>" + "".join(f"<td>{escape(str(c))}</td>" for c in cells) + "</tr>"


_HEADS = (
    "configuration",
    "wall time (s)",
    "IQR (s)",
    "CPU (s)",
    "cold start (s)",
    "speed-up (95 %)",
    "efficiency",
    "peak memory (MB)",
    "largest difference (V)",
    "repeats",
    "verdict",
)


def _parse(source: str | Path) -> Any:
    text = str(source)
    if not text.lstrip().startswith("{"):
        try:
            text = read_text(source, _LARGEST_BYTES)
        except (OSError, ValueError) as error:
            raise ValidationError(f"cannot read {source}: {error}.") from error
    try:
        return json.loads(text)
    except ValueError as error:  # not JSON, or a number of 5000 digits
        raise ValidationError(f"not a benchmark table: {error}.") from error
    except RecursionError as error:
        raise ValidationError("not a benchmark table: nested too deeply.") from error


def _explain_subject(ours: BenchmarkInput, theirs: BenchmarkInput) -> str:
    return (
        f"the other table is for {theirs.pipeline} on {theirs.n_channels} channels × "
        f"{theirs.n_times} samples, this one for {ours.pipeline} on {ours.n_channels} × "
        f"{ours.n_times}: only runs of the same chain on the same size can be compared."
    )
