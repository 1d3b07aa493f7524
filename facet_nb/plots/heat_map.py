"""Heat map of outer and inner workers."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from facet_nb.benchmark import BenchmarkTable, SummaryRow
from facet_nb.plots import palette
from facet_nb.plots import picture as pic

Value = Literal["wall_s", "peak_mb"]
#: Space for a letter and for a line, in points.
_LETTER, _LINE = 4.6, 11.0
_NAMES = {"wall_s": "wall time (s)", "peak_mb": "peak memory (MB)"}


def draw_heat_map(rows: list[SummaryRow], ax: Any, value: Value = "wall_s") -> Any:
    """Draw the best configuration of each number of workers as a cell into `ax`; return `ax`."""
    cells = _find_cells(rows, value)
    if not cells:
        return palette.write_message(ax, "No configuration was measured.")
    outer = sorted({o for o, _ in cells})
    inner = sorted({i for _, i in cells})
    grid = np.full((len(inner), len(outer)), np.nan)
    for (o, i), (number, _) in cells.items():
        grid[inner.index(i), outer.index(o)] = number
    image = ax.imshow(grid, cmap="cividis_r", aspect="auto", origin="lower")
    ax.patch.set_alpha(0.0)
    box = ax.get_window_extent()
    width, height = (72 / ax.figure.dpi * n for n in (box.width, box.height))
    width, height = width / len(outer), height / len(inner)
    for (o, i), (number, row) in cells.items():
        ax.text(
            outer.index(o),
            inner.index(i),
            _describe_cell(number, row, width, height),
            ha="center",
            va="center",
            fontsize=8,
            color=_find_contrast(image.cmap(image.norm(number))),
            parse_math=False,
        )
    ax.set_xticks(range(len(outer)), [str(o) for o in outer])
    ax.set_yticks(range(len(inner)), [str(i) for i in inner])
    ax.grid(visible=False)
    ax.set_xlabel("outer workers, n_jobs (number)")
    ax.set_ylabel("inner threads,\nn_workers (number)")
    ax.figure.colorbar(image, ax=ax, label=_NAMES[value])
    return ax


def plot_heat_map(table: BenchmarkTable, value: Value = "wall_s") -> pic.Picture:
    """Plot wall time or peak memory against the numbers of outer and inner workers.

    Each cell shows the best mode and backend for its numbers of workers.

    Parameters
    ----------
    table : BenchmarkTable
        Measurements.
    value : {"wall_s", "peak_mb"}
        The quantity to show.

    Returns
    -------
    Picture
        A figure with a caption.
    """
    rows = [r for r in table.rows if not r.machine]
    cells = _find_cells(rows, value)
    n_rows = len({i for _, i in cells})
    picture = pic.make_picture(8.0, 1.5 + 0.7 * max(1, n_rows))
    (ax,) = pic.add_axes(picture)
    draw_heat_map(rows, ax, value)
    if not cells:
        picture.caption = "No configuration has been measured yet."
        return picture
    (o, i), (number, row) = min(cells.items(), key=lambda cell: cell[1][0])
    picture.caption = (
        f"The lowest {_NAMES[value].partition(' (')[0]}, {_show(number)} "
        f"{_NAMES[value].partition('(')[2].rstrip(')')}, is with n_jobs={o} and n_workers={i}: "
        f"{row.configuration.label}."
    )
    palette.note_noise(picture, table)
    return picture


def _find_cells(
    rows: list[SummaryRow], value: Value
) -> dict[tuple[int, int], tuple[float, SummaryRow]]:
    cells: dict[tuple[int, int], tuple[float, SummaryRow]] = {}
    for row in rows:
        number = _read(row, value)
        key = (row.configuration.n_jobs, row.configuration.n_workers)
        if row.point.usable and number == number and number < cells.get(key, (np.inf,))[0]:
            cells[key] = (number, row)
    return cells


def _read(row: SummaryRow, value: Value) -> float:
    if value == "wall_s":
        return row.wall_s
    return float("nan") if row.point.memory is None else row.point.memory.peak_mb


def _describe_cell(number: float, row: SummaryRow, width: float, height: float) -> str:
    """Return the value of a cell, with its name if it fits into the size in points."""
    name = palette.shorten(row.configuration)
    letters = int(0.9 * width / _LETTER)
    lines = textwrap.wrap(name, letters, break_long_words=False) if letters > 0 else [name]
    fits = max(map(len, lines)) <= letters and (1 + len(lines)) * _LINE < height
    return "\n".join([_show(number), *(lines if fits else [])])


def _find_contrast(color: Sequence[float]) -> str:
    """Return black or white, whichever has more contrast to an sRGB colour (WCAG 2.1)."""
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color[:3]]
    luminance = sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), parts, strict=True))
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"


def _show(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"
