"""Plot a benchmark in one picture: speed-up, time and memory, workers, memory over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facet_nb.benchmark import BenchmarkTable, Configuration, SummaryRow
from facet_nb.benchmark.curves import find_curves
from facet_nb.plots import palette
from facet_nb.plots import picture as pic
from facet_nb.plots.heat_map import draw_heat_map
from facet_nb.plots.memory import draw_memory
from facet_nb.plots.pareto import draw_pareto
from facet_nb.plots.scaling import draw_scaling, find_shift
from facet_nb.plots.style import use_style

#: Width from which the axes are in two columns, in inches; below it, texts would overlap.
SIDE_BY_SIDE_IN = 6.4
#: Largest distance of a click from the point that it selects, in pixels.
REACH_PX = 40.0


def tuning_picture(
    table: BenchmarkTable | None,
    picture: pic.Picture | None = None,
    *,
    chosen: Configuration | None = None,
    guess: Mapping[int, float] | None = None,
    width_in: float = 9.0,
) -> pic.Picture:
    """Return the picture of a table, complete or not; a given picture is cleared and reused.

    Parameters
    ----------
    table : BenchmarkTable | None
        Measurements; None to show the guess only.
    picture : Picture | None
        A picture to be cleared and reused.
    chosen : Configuration | None
        The point to mark, whose memory is shown over time.
    guess : mapping | None
        Expected speed-up by number of workers.
    width_in : float
        Width of a new picture, in inches.

    Returns
    -------
    Picture
        A figure with a caption.
    """
    picture = picture or pic.make_picture(width_in, find_height_in(width_in))
    picture.clear()
    n_columns = 2 if picture.get_figwidth() >= SIDE_BY_SIDE_IN else 1
    with use_style():
        axes = dict(zip(_KINDS, picture.subplots(4 // n_columns, n_columns).ravel(), strict=True))
    rows = [] if table is None else [row for row in table.rows if not row.machine]
    draw_scaling([] if table is None else find_curves(table), axes["scaling"])
    if guess:
        _draw_guess(guess, axes["scaling"])
    if axes["scaling"].get_legend_handles_labels()[0]:
        axes["scaling"].legend(fontsize=7, frameon=False)
    draw_pareto(rows, axes["pareto"], names=True)
    draw_heat_map(rows, axes["map"])
    row = _choose_memory(rows, chosen)
    if row is None or row.point.memory is None:
        palette.write_message(axes["memory"], "Memory over time is shown after the memory runs.")
    else:
        draw_memory(row.point.memory, axes["memory"])
        axes["memory"].set_title(
            palette.shorten(row.configuration), loc="left", fontsize=9, parse_math=False
        )
    for kind, ax in axes.items():
        ax.set_gid(kind)
    _shorten_labels(axes)
    if chosen is not None and table is not None:
        _mark(table, chosen, axes)
    picture.caption = _write_caption(rows, chosen)
    return picture


def find_height_in(width_in: float) -> float:
    """Return the height of a picture of this width, in inches."""
    return 0.78 * width_in if width_in >= SIDE_BY_SIDE_IN else 4 * 2.4


_KINDS = ("scaling", "pareto", "map", "memory")


def find_point(
    table: BenchmarkTable, ax: Any, x_px: float, y_px: float, reach_px: float = REACH_PX
) -> Configuration | None:
    """Return the configuration whose point in `ax` is nearest to a position on the canvas.

    Parameters
    ----------
    table : BenchmarkTable
        The table that is drawn.
    ax : matplotlib.axes.Axes
        Axes of :func:`tuning_picture`.
    x_px, y_px : float
        The position, in pixels from the lower left corner of the canvas.
    reach_px : float
        Largest distance of a point, in pixels; cells of the map have no limit.

    Returns
    -------
    Configuration | None
        None if no point is near.
    """
    found: tuple[float, Configuration | None] = (float("inf"), None)
    for x, y, configuration in place_points(table, str(ax.get_gid())):
        there = ax.transData.transform((x, y))
        distance = float(((there[0] - x_px) ** 2 + (there[1] - y_px) ** 2) ** 0.5)
        if distance < found[0]:
            found = (distance, configuration)
    near = ax.get_gid() == "map" or found[0] <= reach_px
    return found[1] if near else None


def place_points(table: BenchmarkTable, kind: str) -> list[tuple[float, float, Configuration]]:
    """Return the points of a table in data coordinates of the axes `kind`.

    Axes other than ``"scaling"``, ``"pareto"`` and ``"map"`` have no points.
    """
    rows = [row for row in table.rows if not row.machine and row.point.usable]
    if kind == "pareto":
        return [
            (row.wall_s, row.point.memory.peak_mb, row.configuration)
            for row in rows
            if row.point.memory is not None
        ]
    if kind == "scaling":
        curves = find_curves(table)
        return [
            (row.configuration.workers * find_shift(i, len(curves)), s.value, row.configuration)
            for i, curve in enumerate(curves)
            for row, s in zip(curve.rows, curve.speedups, strict=True)
        ]
    return _place_cells(rows) if kind == "map" else []


def _place_cells(rows: list[SummaryRow]) -> list[tuple[float, float, Configuration]]:
    """Return the best configuration of each cell of the map."""
    outer = sorted({row.configuration.n_jobs for row in rows})
    inner = sorted({row.configuration.n_workers for row in rows})
    best: dict[tuple[int, int], SummaryRow] = {}
    for row in rows:
        key = (row.configuration.n_jobs, row.configuration.n_workers)
        if key not in best or row.wall_s < best[key].wall_s:
            best[key] = row
    return [
        (float(outer.index(o)), float(inner.index(i)), row.configuration)
        for (o, i), row in best.items()
    ]


def _choose_memory(rows: list[SummaryRow], chosen: Configuration | None) -> SummaryRow | None:
    """Return the chosen row if its memory was measured, otherwise the fastest such row."""
    watched = [row for row in rows if row.point.memory is not None and row.point.memory.processes]
    named = [row for row in watched if row.configuration == chosen]
    return next(iter(named or sorted(watched, key=lambda row: row.wall_s)), None)


def _shorten_labels(axes: Mapping[str, Any]) -> None:
    """Shorten the labels: each of the four axes has half the width of a figure."""
    axes["scaling"].set_xlabel("workers, outer × inner")
    axes["scaling"].set_ylabel("speed-up (× best serial)")
    axes["pareto"].set_xlabel("wall time, median ± IQR/2 (s)")
    axes["map"].set_xlabel("outer workers, n_jobs")
    axes["map"].set_ylabel("inner threads, n_workers")


def _draw_guess(guess: Mapping[int, float], ax: Any) -> None:
    if not ax.axison:  # nothing has been measured: remove the message that says so
        for text in list(ax.texts):
            text.remove()
        ax.set_axis_on()
        ax.set_xlabel("workers (number)")
        ax.set_ylabel("speed-up")
    workers = sorted(guess)
    values = [guess[p] for p in workers]
    ax.plot(workers, values, "x--", color=pic.EXTRA, linewidth=1.2, label="guess")


def _mark(table: BenchmarkTable, chosen: Configuration, axes: Mapping[str, Any]) -> None:
    for kind in ("scaling", "pareto"):
        for x, y, configuration in place_points(table, kind):
            if configuration == chosen:
                ring = {
                    "markerfacecolor": "none",
                    "markeredgecolor": palette.text_color(axes[kind]),
                    "markersize": 13,
                }
                axes[kind].plot([x], [y], "o", **ring)


def _write_caption(rows: list[SummaryRow], chosen: Configuration | None) -> str:
    usable = [row for row in rows if row.point.usable]
    if not usable:
        return "No run has been timed yet."
    best = min(usable, key=lambda row: row.wall_s)
    runs = sum(row.point.n_repeats for row in usable)
    text = (
        f"{len(usable)} configurations, {runs} runs; the shortest median time is "
        f"{best.wall_s:.2f} s, of {best.configuration.label}."
    )
    return text if chosen is None else f"{text} Chosen: {chosen.label}."
