"""Scaling curves: speed-up against the number of workers, from a table."""

from __future__ import annotations

from dataclasses import dataclass

from facet_nb.benchmark import laws, stats
from facet_nb.benchmark.laws import Fit
from facet_nb.benchmark.measurement import Configuration, label_workers
from facet_nb.benchmark.summary import SummaryRow
from facet_nb.benchmark.table import BenchmarkTable
from facet_nb.benchmark.waterfall import Waterfall, split_lost_time
from facet_nb.core.errors import ValidationError


@dataclass(frozen=True)
class ScalingCurve:
    """Speed-up of one mode and backend against the number of workers.

    Attributes
    ----------
    label : str
        Mode, and backend or inner threads.
    workers : tuple of int
        Numbers of workers, starting with 1.
    speedups : tuple of Interval
        Speed-up over the best serial run, with 95 % intervals.
    serial_shares : tuple of float
        Karp–Flatt's serial fraction for each number above 1.
    amdahl, usl : Fit | None
        Fitted laws, where enough numbers of workers were measured.
    remark : str
        Why a law is missing.
    rows : tuple of SummaryRow
        The rows of the table that the curve consists of.
    """

    label: str
    workers: tuple[int, ...]
    speedups: tuple[stats.Interval, ...]
    serial_shares: tuple[float, ...]
    amdahl: Fit | None
    usl: Fit | None
    remark: str
    rows: tuple[SummaryRow, ...]

    @property
    def configuration(self) -> Configuration:
        """The configuration with the most workers: its mode and backend are the curve's."""
        return self.rows[-1].configuration

    @property
    def efficiencies(self) -> tuple[float, ...]:
        """Speed-up divided by the number of workers."""
        return tuple(s.value / p for s, p in zip(self.speedups, self.workers, strict=True))


def find_curves(table: BenchmarkTable) -> tuple[ScalingCurve, ...]:
    """Return a curve for each mode and backend that was measured with several workers."""
    base = table.base
    if base is None:
        return ()
    groups: dict[str, list[SummaryRow]] = {}
    for row in table.rows:
        if row.point.usable and not row.machine and row.configuration.workers > 1:
            groups.setdefault(name_curve(row.configuration, row.configuration.mode), []).append(row)
    return tuple(_make_curve(label, base, rows) for label, rows in groups.items() if label)


def find_waterfall(table: BenchmarkTable, row: SummaryRow) -> Waterfall:
    """Return where a configuration loses time, compared with perfect scaling of the serial run.

    Raises
    ------
    ValidationError
        If it was not measured, or the table has no serial run.
    """
    base = table.base
    if base is None or base.point.trace is None or row.point.trace is None:
        raise ValidationError(
            "lost time needs a timed run of this configuration and a serial one: measure both."
        )
    c = row.configuration
    return split_lost_time(base.point.trace, row.point.trace, c.n_jobs, c.n_workers, c.label)


def name_curve(c: Configuration, mode: str) -> str:
    """Return the name of the curve that a configuration lies on; empty if it lies on none.

    Parameters
    ----------
    c : Configuration
        Several outer workers or several inner threads; one with both lies on no curve.
    mode : str
        What to call its mode.
    """
    batch = f", batches of {c.batch_size}" if c.batch_size > 1 else ""
    if c.n_workers == 1:
        return f"{mode}, {label_workers(c.backend)}{batch}"
    return f"{mode}, inner threads{batch}" if c.n_jobs == 1 else ""


def _make_curve(label: str, base: SummaryRow, rows: list[SummaryRow]) -> ScalingCurve:
    rows = sorted(rows, key=lambda r: r.configuration.workers)
    workers = (1, *(r.configuration.workers for r in rows))
    # Paired ratios rather than quotients of medians: the laws resample them for their intervals.
    samples = {1: [1.0]}
    for row in rows:
        p, b = row.point, base.point
        ratios = stats.pair_ratios(b.wall_s, p.wall_s, b.blocks, p.blocks)
        samples[row.configuration.workers] = list(ratios)
    amdahl, usl, remark = _fit_laws(samples)
    return ScalingCurve(
        label=label,
        workers=workers,
        speedups=(stats.Interval(1.0, 1.0, 1.0), *(r.speedup for r in rows)),
        serial_shares=tuple(
            laws.find_serial_share(r.speedup.value, r.configuration.workers) for r in rows
        ),
        amdahl=amdahl,
        usl=usl,
        remark=remark,
        rows=(base, *rows),
    )


def _fit_laws(samples: dict[int, list[float]]) -> tuple[Fit | None, Fit | None, str]:
    remarks = []
    fits: list[Fit | None] = []
    for fit in (laws.fit_amdahl, laws.fit_usl):
        try:
            fits.append(fit(samples))
        except ValidationError as error:
            fits.append(None)
            remarks.append(str(error))
    return fits[0], fits[1], remarks[0] if remarks else ""
