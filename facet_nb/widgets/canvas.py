"""Interactive plots that fit the width of their panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facet_nb.plots import Picture

#: Pixels per inch on the screen, and pixels of the borders and scroll bars of a tab.
_PX_PER_IN, _BORDERS_PX = 100.0, 60
_LEAST_IN, _USUAL_IN, _MOST_IN = 3.5, 7.0, 9.0


def make_canvas(picture: Picture) -> Any:
    """Return an interactive canvas of a picture, as a widget."""
    from ipympl.backend_nbagg import Canvas, FigureManager

    canvas = Canvas(picture)
    FigureManager(canvas, 0)
    canvas.header_visible = False
    canvas.footer_visible = False
    return canvas


def choose_width_in(panel_px: int) -> float:
    """Return the width of a plot, in inches, for a panel of this width; 0 means not yet known."""
    if not panel_px:
        return _USUAL_IN
    return min(max((panel_px - _BORDERS_PX) / _PX_PER_IN, _LEAST_IN), _MOST_IN)


def resize(canvas: Any, width_in: float, height_in: float) -> bool:
    """Resize and redraw the figure of a canvas; return whether its width has changed."""
    if abs(canvas.figure.get_figwidth() - width_in) < 0.02:
        return False
    canvas.figure.set_size_inches(width_in, height_in)
    canvas.draw_idle()
    return True
