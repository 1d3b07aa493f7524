"""Pictures: matplotlib figures without pyplot state, with a notebook repr.

matplotlib is imported when something is drawn: a panel is there before.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from facet_nb.plots.envelope import thin
from facet_nb.plots.sketch import Sketch, SketchRow
from facet_nb.plots.style import use_style

if TYPE_CHECKING:
    from facet_nb.plots.figure import Picture

#: Okabe and Ito's colours, distinguishable with red-green colour blindness.
BEFORE, AFTER, REMOVED, EXTRA = "#D55E00", "#0072B2", "#595959", "#009E73"

#: Letters of a legend that fits beside the title.
_SHORT = 50


def make_picture(width_in: float = 9.0, height_in: float = 3.0) -> Picture:
    """Return an empty picture whose layout leaves space for labels and legends."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from facet_nb.plots.figure import Picture

    with use_style():
        picture = Picture(figsize=(width_in, height_in), layout="constrained")
        FigureCanvasAgg(picture)
    return picture


def add_axes(picture: Picture, n_rows: int = 1, *, share_x: bool = False) -> list[Any]:
    """Add axes in one column; return them from top to bottom."""
    with use_style():
        grid = picture.subplots(n_rows, 1, sharex=share_x, squeeze=False)
    return list(grid[:, 0])


def draw_row(row: SketchRow, ax: Any) -> Any:
    """Draw the curves of a row into `ax`, as their envelope if they are long; return `ax`."""
    for curve in row.curves:
        points = thin(curve.x, curve.y)
        (line,) = ax.plot(*points, color=curve.color, linewidth=0.9, label=curve.label)
        line.set_gid(f"trace-{curve.label}")
    if row.log:
        ax.set_yscale("log")
    ax.set_ylabel(row.y_label)
    ax.set_xlabel(row.x_label)
    ax.margins(x=0)
    return ax


def render(sketch: Sketch, picture: Picture | None, size_in: tuple[float, float]) -> Picture:
    """Return the figure of a sketch; a given picture is cleared and reused."""
    if picture is None:
        picture = make_picture(*size_in)
    picture.clear()
    axes = add_axes(picture, len(sketch.rows), share_x=not sketch.rows[0].x_label)
    named: dict[str, Any] = {}
    for ax, row in zip(axes, sketch.rows, strict=True):
        draw_row(row, ax)
        handles, labels = ax.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    axes[0].set_title(sketch.title, loc="left", parse_math=False)
    short = sum(map(len, named)) < _SHORT
    place = {"loc": "outside upper right", "ncols": max(1, len(named))}
    if not short:
        place = {"loc": "outside lower center", "ncols": 2}
    figure: Any = picture
    legend = figure.legend(list(named.values()), list(named), frameon=False, **place)
    for text in legend.get_texts():
        text.set_parse_math(False)
    picture.align_ylabels(axes)
    picture.caption = sketch.caption
    return picture


def uses_widget_backend() -> bool:
    """Whether matplotlib is set to draw in notebook widgets (``%matplotlib widget``)."""
    if "ipympl" not in sys.modules:
        return False
    import matplotlib

    # Not rcParams["backend"]: reading that would choose a backend if there is none yet.
    name = matplotlib.rcParams._get("backend")  # type: ignore[attr-defined]
    return isinstance(name, str) and name.lower() in ("widget", "ipympl", _IPYMPL)


_IPYMPL = "module://ipympl.backend_nbagg"
