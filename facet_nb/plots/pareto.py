"""Plot time against memory, with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facet_nb.benchmark import BenchmarkTable, SummaryRow
from facet_nb.plots import palette
from facet_nb.plots import picture as pic
from facet_nb.plots.labels import write_labels


def find_front(rows: Sequence[SummaryRow]) -> list[SummaryRow]:
    """Return the configurations that no other one beats in both time and memory, fastest first."""
    measured = [r for r in rows if r.point.usable and r.point.memory is not None]
    front: list[SummaryRow] = []
    for row in sorted(measured, key=lambda r: (r.wall_s, _memory_mb(r))):
        if not front or _memory_mb(row) < _memory_mb(front[-1]):
            front.append(row)
    return front


def draw_pareto(
    rows: Sequence[SummaryRow], ax: Any, budget_mb: float | None = None, *, names: bool = False
) -> Any:
    """Draw time against memory into `ax`, dominated points in grey; return `ax`.

    All points are numbered, for a key beside the axes; with `names`, the front has names instead.
    """
    front = find_front(rows)
    if not front:
        return palette.write_message(ax, "No configuration has both time and memory measured.")
    others = _list_others(rows, front)
    for group, color, z in ((others, palette.GREY, 2), (front, pic.AFTER, 3)):
        if not group:
            continue
        x, y = [r.wall_s for r in group], [_memory_mb(r) for r in group]
        spread = [r.wall_iqr_s / 2 for r in group]
        ax.errorbar(x, y, xerr=spread, fmt="o", color=color, capsize=2, zorder=z, markersize=6)
    ax.plot(
        [r.wall_s for r in front],
        [_memory_mb(r) for r in front],
        drawstyle="steps-post",
        color=pic.AFTER,
        linewidth=1.0,
    )
    if budget_mb is not None:
        ax.axhline(budget_mb, color=pic.BEFORE, linestyle="--", linewidth=1.0)
        text = f"budget {budget_mb:.0f} MB"
        place = {"transform": ax.get_yaxis_transform(), "ha": "left", "va": "bottom"}
        ax.text(0.01, budget_mb, text, color=pic.BEFORE, fontsize=8, **place)
    rows = [*front, *others]
    top = max(*map(_memory_mb, rows), 0.0 if budget_mb is None else budget_mb)
    ax.set_ylim(0, 1.15 * top)
    ax.set_xlim(0, 1.1 * max(r.wall_s + r.wall_iqr_s / 2 for r in rows))
    ax.set_xlabel("wall time, median ± half the IQR (s)")
    ax.set_ylabel("peak memory (MB)")
    _label_points(rows, len(front), ax, names)
    return ax


def plot_pareto(table: BenchmarkTable, *, budget_mb: float | None = None) -> pic.Picture:
    """Plot time against memory; configurations that are beaten in both are grey.

    Parameters
    ----------
    table : BenchmarkTable
        Measurements.
    budget_mb : float | None
        Available memory, in MB, to be marked.

    Returns
    -------
    Picture
        A figure with a caption.
    """
    rows = [r for r in table.rows if not r.machine]
    front = find_front(rows)
    picture = pic.make_picture(9.0, 4.2)
    (ax,) = pic.add_axes(picture)
    draw_pareto(rows, ax, budget_mb)
    if not front:
        picture.caption = "No configuration has both time and memory measured yet."
        return picture
    key = "\n".join(
        f"{i}  {palette.shorten(r.configuration)}"
        for i, r in enumerate([*front, *_list_others(rows, front)], 1)
    )
    palette.add_legend(picture, [], [], title=key)
    quick, small = front[0], front[-1]
    text = f"Fastest: {quick.configuration.label}, {quick.wall_s:.2f} s and "
    text += f"{_memory_mb(quick):.0f} MB"
    if small is not quick:
        text += f"; smallest: {small.configuration.label}, {small.wall_s:.2f} s and "
        text += f"{_memory_mb(small):.0f} MB"
    n, unknown = len(_list_others(rows, front)), sum(r.point.memory is None for r in rows)
    beaten = f"{n} other{'s are' if n > 1 else ' is'} beaten in both time and memory"
    picture.caption = f"{text}; {beaten}." if n else f"{text}."
    if unknown:
        picture.caption += f" The memory of {unknown} was not measured."
    palette.note_noise(picture, table)
    return picture


def _list_others(rows: Sequence[SummaryRow], front: list[SummaryRow]) -> list[SummaryRow]:
    return [r for r in rows if r.point.usable and r.point.memory is not None and r not in front]


def _label_points(rows: Sequence[SummaryRow], n_front: int, ax: Any, names: bool) -> None:
    points = [(row.wall_s, _memory_mb(row)) for row in rows]
    if names:
        texts = [palette.shorten(row.configuration) for row in rows[:n_front]]
        write_labels(ax, points[:n_front], texts, avoid=points[n_front:])
        return
    numbers = [str(i) for i in range(1, len(rows) + 1)]
    for label in write_labels(ax, points, numbers):
        on_front = int(label.get_text().partition(",")[0]) <= n_front
        label.set_fontweight("bold" if on_front else "normal")


def _memory_mb(row: SummaryRow) -> float:
    assert row.point.memory is not None
    return row.point.memory.peak_mb
