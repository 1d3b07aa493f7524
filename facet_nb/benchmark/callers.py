"""Tables of one chain for different callers: which of them gain from which workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facet_nb.benchmark import laws, stats
from facet_nb.benchmark.events import BenchmarkEvent
from facet_nb.benchmark.grid import list_levels
from facet_nb.benchmark.inputs import find_input
from facet_nb.benchmark.measurement import Configuration
from facet_nb.benchmark.session import benchmark
from facet_nb.benchmark.summary import SummaryRow
from facet_nb.benchmark.table import BenchmarkTable
from facet_nb.benchmark.whatif import ask_what_if
from facet_nb.core import Pipeline, ProcessingContext
from facet_nb.core.errors import ValidationError
from facet_nb.core.storage.originals import TEXT, check_kind_of_file

#: Cores of the machines for which times are predicted.
PREDICTED_CORES = (8, 24)
#: Mode in which batches of channels are distributed over outer workers.
_OUTER = "channel_sequential"
#: Share of the memory of the fastest configuration that a memory-limited batch may use.
_MEMORY_SHARE = 0.5
_NOTHING = "–"


@dataclass(frozen=True)
class Outlook:
    """Predicted times of one configuration on machines with more cores.

    Attributes
    ----------
    wall_s : tuple of float
        Predicted wall time for each of :data:`PREDICTED_CORES`, in s; empty if it is not known.
    error : float | None
        Largest relative error at numbers of workers that were held out; None if none could be.
    basis : str
        What the prediction assumes.
    """

    wall_s: tuple[float, ...]
    error: float | None
    basis: str


@dataclass(frozen=True)
class Posture:
    """A way to call a chain, with the configuration that suits it best of those measured.

    Attributes
    ----------
    name, need : str
        The caller, and its requirement.
    row : SummaryRow | None
        The configuration, measured; None if none was.
    outlook : Outlook
        Its predicted times with more cores.
    """

    name: str
    need: str
    row: SummaryRow | None
    outlook: Outlook


@dataclass(frozen=True)
class CallerTables:
    """Measurements of a chain on a whole recording and on a window of it, by caller.

    Attributes
    ----------
    whole, window : BenchmarkTable
        Measurements of outer and inner workers on the recording, and on a window of it.
    window_s : float
        Length of the window, in s.
    """

    whole: BenchmarkTable
    window: BenchmarkTable
    window_s: float

    def postures(self) -> tuple[Posture, ...]:
        """Return the four callers with the configurations that suit them."""
        one_caller = [r for r in _list_usable(self.window) if r.configuration.n_jobs == 1]
        all_windows, all_rows = _list_usable(self.window), _list_usable(self.whole)
        rows = (
            ("a viewer", "one window at a time", self.window, _find_fastest(one_caller)),
            ("streaming", "window after window", self.window, _find_fastest(all_windows)),
            (
                "memory-limited batch",
                f"at most {_MEMORY_SHARE:.0%} of the fastest one's memory",
                self.whole,
                _find_frugal(all_rows),
            ),
            ("default", "run() without settings", self.whole, self.whole.find(Configuration())),
        )
        return tuple(
            Posture(
                name, need, row, _predict(table, row, more_outer=name != "memory-limited batch")
            )
            for name, need, table, row in rows
        )

    def __str__(self) -> str:
        return "\n".join(_write(self))

    def to_json(self, path: str | Path | None = None) -> str:
        """Return both tables as JSON text; also write it to `path` if given."""
        tables = {name: json.loads(getattr(self, name).to_json()) for name in ("whole", "window")}
        text = json.dumps({**tables, "window_s": self.window_s}, ensure_ascii=False)
        if path is not None:
            check_kind_of_file(path, TEXT)
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    @classmethod
    def from_json(cls, path: str | Path) -> CallerTables:
        """Read tables that :meth:`to_json` wrote.

        Raises
        ------
        ValidationError
            If the file holds something else.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            whole, window = (json.dumps(content[name]) for name in ("whole", "window"))
            window_s = float(content["window_s"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValidationError(
                f"{path} holds no tables by caller ({error!r}): use a file from to_json(path)."
            ) from error
        return cls(BenchmarkTable.from_json(whole), BenchmarkTable.from_json(window), window_s)


def measure_callers(
    pipeline: Pipeline,
    context: ProcessingContext,
    *,
    window_s: float = 10.0,
    cores: int | None = None,
    time_budget_s: float = 120.0,
    repeats: int | None = None,
    memory: bool = True,
    on_event: Callable[[BenchmarkEvent], None] | None = None,
    cancel: Any = None,
) -> CallerTables:
    """Measure a chain as different callers run it: viewer, stream, batches, and single runs.

    Two benchmarks (:func:`benchmark`) of serial and channel-sequential runs, each with 1, 2, 4, …
    outer and inner threads: one of the whole recording, and one of a window from its middle.

    Parameters
    ----------
    pipeline : Pipeline
        The chain.
    context : ProcessingContext
        The recording.
    window_s : float
        Length of the window, in s; at most that of the recording.
    cores : int | None
        Largest number of workers; None for all cores that this process may use.
    time_budget_s : float
        Time budget of both benchmarks together, in s.
    repeats : int | None
        Timed runs of each configuration; None for as many as give narrow intervals.
    memory : bool
        Whether to measure memory as well.
    on_event : callable | None
        Called with each event of both benchmarks.
    cancel : CancelToken | threading.Event | None
        Cancels the measurement when it is set.

    Returns
    -------
    CallerTables
        Both tables; ``print`` shows them.

    Raises
    ------
    ValidationError
        If `window_s` is not a positive number.
    """
    if isinstance(window_s, bool) or not window_s > 0:
        raise ValidationError(f"window_s={window_s!r} must be a number above 0, in s.")
    from facet_nb.preprocessing import Crop  # lazy: it imports all preprocessing steps

    find_input(pipeline, context)  # reports faults of the chain before the recording is cut
    last_s = float(context.get_raw().times[-1])
    window_s = min(float(window_s), last_s)
    start_s = (last_s - window_s) / 2
    window = Crop(tmin=start_s, tmax=start_s + window_s).execute(context)
    levels = list_levels(cores)
    tables = [
        benchmark(
            pipeline,
            source,
            modes=("serial", _OUTER),
            backends="threading",
            n_jobs=levels,
            n_workers=levels,
            repeats=repeats,
            time_budget_s=time_budget_s / 2,
            memory=memory,
            on_event=on_event,
            cancel=cancel,
        )
        for source in (context, window)
    ]
    return CallerTables(tables[0], tables[1], window_s)


# -------------------------------------------------------------------------------------- figures
def list_step_times(table: BenchmarkTable, *, end_to_end: bool) -> dict[str, dict[int, float]]:
    """Return the time of each step by the number of inner threads, in s, from serial runs.

    Parameters
    ----------
    table : BenchmarkTable
        Measurements of serial runs, in which each step is a stage of its own.
    end_to_end : bool
        Whether to count reading and writing samples and the planning of the stage as well; if not,
        the step's own computation alone.
    """
    found: dict[str, dict[int, float]] = {}
    for row in _list_usable(table):
        c = row.configuration
        if (c.mode, c.n_jobs, c.batch_size) != ("serial", 1, 1) or row.point.trace is None:
            continue
        for stage in row.point.trace.stages:
            times_s = (stage.wall_s,) if end_to_end else stage.step_wall_s
            names = (" → ".join(stage.names),) if end_to_end else stage.names
            for name, time_s in zip(names, times_s, strict=True):
                found.setdefault(name, {})[c.n_workers] = time_s
    return found


def list_grid(table: BenchmarkTable) -> list[SummaryRow]:
    """Return the rows with outer × inner workers of one mode, few outer workers first."""
    rows = [
        r
        for r in _list_usable(table)
        if (r.configuration.mode, r.configuration.batch_size) == (_OUTER, 1)
    ]
    return sorted(rows, key=lambda r: (r.configuration.n_jobs, r.configuration.n_workers))


def find_own_mb(row: SummaryRow) -> float | None:
    """Return the memory of a run above interpreter, libraries and recording, in MB, as measured."""
    memory = row.point.memory
    return None if memory is None else max(0.0, memory.peak_mb - memory.base_mb)


def predict_inner(table: BenchmarkTable, row: SummaryRow) -> Outlook:
    """Predict more inner threads from those measured, by the serial share of Karp and Flatt.

    The share holds what does not divide: serial work and, as far as it was measured, the memory's
    bandwidth. Each measured number of threads is also predicted from the others.
    """
    c = row.configuration
    alike = {
        r.configuration.n_workers: r.wall_s
        for r in _list_usable(table)
        if (r.configuration.mode, r.configuration.n_jobs, r.configuration.batch_size)
        == (c.mode, c.n_jobs, c.batch_size)
    }
    one_s = alike.pop(1, None)
    if one_s is None or not alike:
        return Outlook((), None, "one number of threads only")
    shares = {n: laws.find_serial_share(one_s / wall_s, n) for n, wall_s in alike.items()}

    def predict(workers: int, counts: Sequence[int]) -> float:
        share = min(1.0, max(0.0, stats.estimate_centre([shares[n] for n in counts])))
        return one_s / float(laws.amdahl(np.float64(workers), share))  # type: ignore[arg-type]

    errors = [
        abs(predict(n, [m for m in shares if m != n]) / wall_s - 1.0)
        for n, wall_s in alike.items()
        if len(shares) > 1
    ]
    cores = [max(1, n // c.n_jobs) for n in PREDICTED_CORES]
    walls = tuple(predict(n, list(shares)) for n in cores)
    return Outlook(walls, max(errors, default=None), "serial share of inner threads")


def _predict(table: BenchmarkTable, row: SummaryRow | None, more_outer: bool) -> Outlook:
    """Return the outlook of a configuration that takes all cores.

    More outer workers need more memory: without `more_outer`, only inner threads are added.
    """
    if row is None:
        return Outlook((), None, "not measured")
    c = row.configuration
    if c == Configuration():
        return Outlook((row.wall_s,) * len(PREDICTED_CORES), None, "one worker uses one core")
    if c.n_jobs == 1 or not more_outer:
        return predict_inner(table, row)
    try:
        found = ask_what_if(
            table, c.mode, workers=PREDICTED_CORES, batch_size=c.batch_size, backend=c.backend
        )
    except ValidationError:  # one worker was not measured
        return Outlook((), None, "its batches alone were not measured")
    basis = f"outer workers, each further one slows batches by {found.slowdown:.1%}"
    return Outlook(found.wall_s, found.worst_error, basis)


def _list_usable(table: BenchmarkTable) -> list[SummaryRow]:
    return [r for r in table.rows if r.point.usable and not r.machine]


def _find_fastest(rows: Sequence[SummaryRow]) -> SummaryRow | None:
    return min(rows, key=lambda r: (r.wall_s, r.configuration.complexity), default=None)


def _find_frugal(rows: Sequence[SummaryRow]) -> SummaryRow | None:
    """Return the fastest row within a share of the fastest one's memory; else the smallest."""
    known = [(mb, r) for r in rows if (mb := find_own_mb(r)) is not None]
    fastest = _find_fastest([r for _, r in known])
    if fastest is None:
        return None
    limit_mb = _MEMORY_SHARE * (find_own_mb(fastest) or 0.0)
    within = _find_fastest([r for mb, r in known if mb <= limit_mb])
    return within or min(known, key=lambda pair: pair[0])[1]


# ----------------------------------------------------------------------------------------- text
def _write(tables: CallerTables) -> Iterator[str]:
    """Yield the lines of all tables, in Markdown."""
    whole, window = tables.whole, tables.window
    yield f"{whole.subject.pipeline} on {whole.subject.source}; {whole.environment.label}"
    for title, end_to_end in (
        ("Components: computation of each step, 1 to N inner threads", False),
        ("Stages: each step from input to output, 1 to N inner threads", True),
    ):
        yield from _write_table(title, *_make_step_table(whole, end_to_end))
    yield from _write_table("Outer × inner workers", *_make_grid_table(whole))
    yield from _write_table("Interaction: inner threads beside outer workers", *_make_gain(whole))
    yield from _write_table(
        f"By caller (windows of {tables.window_s:g} s)", *_make_posture_table(tables)
    )
    for text in dict.fromkeys((*whole.remarks, *window.remarks)):
        yield f"! {text}"


Table = tuple[list[str], list[list[str]]]


def _make_step_table(table: BenchmarkTable, end_to_end: bool) -> Table:
    times = list_step_times(table, end_to_end=end_to_end)
    levels = sorted({n for by_count in times.values() for n in by_count})
    heads = ["step", *(f"{n} (s)" for n in levels), "speed-up"]
    rows = []
    for name, by_count in times.items():
        cells = [_show(by_count.get(n), ".3f") for n in levels]
        gain = by_count[1] / by_count[levels[-1]] if {1, levels[-1]} <= set(by_count) else None
        rows.append([name, *cells, _show(gain, ".2f")])
    return heads, rows


def _make_grid_table(table: BenchmarkTable) -> Table:
    grid = list_grid(table)
    best_s = min((r.wall_s for r in grid), default=float("nan"))
    sizes = [find_own_mb(r) for r in grid]
    most_mb = max((mb for mb in sizes if mb is not None), default=0.0)
    heads = ["outer", "inner", "time (s)", "% of best", "memory (MB)", "share of memory"]
    rows = []
    for row, mb in zip(grid, sizes, strict=True):
        c = row.configuration
        share = None if mb is None or not most_mb else mb / most_mb
        rows.append(
            [
                *(str(c.n_jobs), str(c.n_workers), _show(row.wall_s, ".3f")),
                *(_show(best_s / row.wall_s, ".0%"), _show(mb, ".1f"), _show(share, ".0%")),
            ]
        )
    return heads, rows


def _make_gain(table: BenchmarkTable) -> Table:
    """Return what inner threads gain at each number of outer workers, with its interval."""
    grid = list_grid(table)
    alone = {r.configuration.n_jobs: r for r in grid if r.configuration.n_workers == 1}
    rows = []
    for row in grid:
        c = row.configuration
        base = alone.get(c.n_jobs)
        if c.n_workers == 1 or base is None:
            continue
        a, b = base.point, row.point
        found = stats.compare(a.wall_s, b.wall_s, a.blocks, b.blocks)
        s = found.ratio
        interval = f" ({s.low:.2f}–{s.high:.2f})" if s.high > s.low else ""
        cells = [str(c.n_jobs), f"1 → {c.n_workers}", _show(s.value, ".2f") + interval]
        rows.append([*cells, found.verdict])
    return ["outer", "inner", "speed-up (95 %)", "verdict"], rows


def _make_posture_table(tables: CallerTables) -> Table:
    heads = ["caller", "what counts", "settings", "time (s)", "memory (MB)"]
    heads += [f"{n} cores, predicted (s)" for n in PREDICTED_CORES]
    heads += ["error, held out", "prediction by"]
    rows = []
    for posture in tables.postures():
        row, outlook = posture.row, posture.outlook
        walls = [_show(s, ".3f") for s in outlook.wall_s] or [_NOTHING] * len(PREDICTED_CORES)
        rows.append(
            [
                posture.name,
                posture.need,
                "not measured" if row is None else row.configuration.label,
                _show(None if row is None else row.wall_s, ".3f"),
                _show(None if row is None else find_own_mb(row), ".1f"),
                *walls,
                "not checked" if outlook.error is None else f"±{outlook.error:.0%}",
                outlook.basis,
            ]
        )
    return heads, rows


def _write_table(title: str, heads: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield from ("", title, "")
    if not rows:
        yield "not measured"
        return
    for cells in (heads, ["---"] * len(heads), *rows):
        yield f"| {' | '.join(cells)} |"


def _show(value: float | None, form: str) -> str:
    return _NOTHING if value is None or value != value else format(value, form)
