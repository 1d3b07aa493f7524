"""Rows of a table: statistics over the repeats of each configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from facet_nb.benchmark import stats
from facet_nb.benchmark.measurement import BenchmarkPoint, Configuration

_NAN = float("nan")


@dataclass(frozen=True)
class SummaryRow:
    """Statistics of one configuration.

    Attributes
    ----------
    point : BenchmarkPoint
        All repeats of the configuration, pooled.
    wall_s, wall_iqr_s, cpu_s : float
        Median and interquartile range of the wall time, and median CPU time, in s.
    speedup : Interval
        Speed-up over the best run with one worker, with its 95 % interval.
    verdict : str
        ``"base"``, ``"faster"``, ``"slower"``, ``"inconclusive"``, ``"different output"``,
        ``"failed"`` or ``"not measured"``.
    """

    point: BenchmarkPoint
    wall_s: float
    wall_iqr_s: float
    cpu_s: float
    speedup: stats.Interval
    verdict: str

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "mode",
        "backend",
        "n_jobs",
        "n_workers",
        "batch_size",
        "wall_s",
        "wall_iqr_s",
        "cpu_s",
        "cold_start_s",
        "speedup",
        "speedup_low",
        "speedup_high",
        "efficiency",
        "peak_pss_mb",
        "peak_hwm_mb",
        "peak_rss_mb",
        "max_abs_diff_v",
        "n_repeats",
        "verdict",
    )

    @property
    def configuration(self) -> Configuration:
        """The configuration."""
        return self.point.configuration

    @property
    def machine(self) -> str:
        """Label of the machine; empty for the table's own machine."""
        return self.point.machine

    @property
    def efficiency(self) -> float:
        """Speed-up divided by the number of workers."""
        return self.speedup.value / self.configuration.workers

    @property
    def values(self) -> list[Any]:
        """The values of the columns of :meth:`BenchmarkTable.to_frame`."""
        p, memory = self.point, self.point.memory
        peaks = [_NAN] * 3
        if memory is not None:
            pss = _NAN if memory.peak_pss_mb is None else memory.peak_pss_mb
            peaks = [pss, memory.peak_hwm_mb, memory.peak_rss_mb]
        c = p.configuration
        return [
            *(c.mode, c.backend, c.n_jobs, c.n_workers, c.batch_size),
            *(self.wall_s, self.wall_iqr_s, self.cpu_s),
            _NAN if p.cold_start_s is None else p.cold_start_s,
            *(self.speedup.value, self.speedup.low, self.speedup.high, self.efficiency),
            *peaks,
            _NAN if p.max_abs_diff_v is None else p.max_abs_diff_v,
            p.n_repeats,
            self.verdict,
        ]

    @property
    def texts(self) -> list[str]:
        """The columns as formatted text."""
        p, s = self.point, self.speedup
        memory = "–" if p.memory is None else f"{p.memory.peak_mb:.0f}"
        interval = f" ({s.low:.2f}–{s.high:.2f})" if s.high > s.low else ""
        return [
            p.configuration.label,
            _show(self.wall_s, ".3f"),
            _show(self.wall_iqr_s, ".3f"),
            _show(self.cpu_s, ".3f"),
            _show(p.cold_start_s, ".2f"),
            _show(s.value, ".2f") + interval,
            _show(self.efficiency, ".0%"),
            memory,
            _show(p.max_abs_diff_v, ".3g"),
            str(p.n_repeats),
            self.verdict,
        ]

    def describe(self) -> str:
        """Return the row as a sentence."""
        name, s = self.configuration.label, self.speedup
        if self.verdict == "failed":
            return f"{name}: failed ({self.point.error})"
        if self.verdict == "not measured":
            return f"{name}: not measured"
        took = f"{name}: {self.wall_s:.3f} s"
        if self.verdict == "different output":
            return f"{took}, but its result differs by up to {self.point.max_abs_diff_v:.3g} V"
        if self.verdict == "base":
            return f"{took}, the base of the comparison"
        if s.low != s.low:
            return f"{took}, inconclusive: too few repeats for an interval"
        between = f"{s.value:.2f} times as fast, {s.low:.2f} to {s.high:.2f}"
        if self.verdict == "inconclusive":
            return f"{took}, inconclusive: {between}"
        return f"{took}, {self.verdict}: {between}"


def make_rows(points: Sequence[BenchmarkPoint]) -> tuple[SummaryRow, ...]:
    """Return a row for each configuration of each machine, in the order of measurement."""
    pooled: dict[tuple[str, Configuration], BenchmarkPoint] = {}
    for point in points:
        key = (point.machine, point.configuration)
        pooled[key] = pool(pooled[key], point) if key in pooled else point
    bases = {name: _find_base(pooled, name) for name in {machine for machine, _ in pooled}}
    return tuple(_make_row(p, bases[machine]) for (machine, _), p in pooled.items())


def pool(first: BenchmarkPoint, then: BenchmarkPoint) -> BenchmarkPoint:
    """Merge two measurements of one configuration."""
    # The worse of both: a result that differed once is not trusted because it was equal later.
    differences = [d for d in (first.max_abs_diff_v, then.max_abs_diff_v) if d is not None]
    return replace(
        then,
        wall_s=first.wall_s + then.wall_s,
        cpu_s=first.cpu_s + then.cpu_s,
        blocks=first.blocks + then.blocks,
        cold_start_s=first.cold_start_s if then.cold_start_s is None else then.cold_start_s,
        memory=first.memory if then.memory is None else then.memory,
        max_abs_diff_v=max(differences) if differences else None,
        trace=first.trace if then.trace is None else then.trace,
        warnings=tuple(dict.fromkeys((*first.warnings, *then.warnings))),
        error=first.error if then.error is None else then.error,
    )


def _find_base(
    pooled: dict[tuple[str, Configuration], BenchmarkPoint], machine: str
) -> BenchmarkPoint | None:
    """Return the fastest point with one worker: the best serial run."""
    single = [
        p for (name, c), p in pooled.items() if name == machine and c.workers == 1 and p.usable
    ]
    return min(single, key=lambda p: stats.median_iqr(p.wall_s)[0], default=None)


def _make_row(point: BenchmarkPoint, base: BenchmarkPoint | None) -> SummaryRow:
    wall_s, iqr_s = stats.median_iqr(point.wall_s)
    cpu_s, _ = stats.median_iqr(point.cpu_s)
    nothing = stats.Interval(_NAN, _NAN, _NAN)
    if point.error is not None:
        return SummaryRow(point, wall_s, iqr_s, cpu_s, nothing, "failed")
    if base is None or not point.n_repeats:
        return SummaryRow(point, wall_s, iqr_s, cpu_s, nothing, "not measured")
    if point is base:
        return SummaryRow(point, wall_s, iqr_s, cpu_s, stats.Interval(1.0, 1.0, 1.0), "base")
    found = stats.compare(base.wall_s, point.wall_s, base.blocks, point.blocks)
    verdict = "different output" if point.differs else found.verdict
    return SummaryRow(point, wall_s, iqr_s, cpu_s, found.ratio, verdict)


def _show(value: float | None, form: str) -> str:
    """Return a number as text; a dash if it is missing."""
    return "–" if value is None or value != value else format(value, form)
