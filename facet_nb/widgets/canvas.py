"""Interactive plots that are as wide as there is room for."""

from __future__ import annotations

from typing import Any

from facet_nb.plots import Picture

#: Pixels of an inch on the screen, and what borders and scroll bars of a tab take away.
_PX_PER_IN, _BORDERS_PX = 100.0, 60
_LEAST_IN, _USUAL_IN, _MOST_IN = 3.5, 7.0, 9.0


def make_canvas(picture: Picture) -> Any:
    """Return an interactive canvas of a picture, to be put into a box."""
    from ipympl.backend_nbagg import Canvas, FigureManager

    canvas = Canvas(picture)
    FigureManager(canvas, 0)
    canvas.header_visible = False
    canvas.footer_visible = False
    return canvas


def choose_width_in(panel_px: int) -> float:
    """Return how wide a plot shall be in a panel of this width, in inches; 0 is not known yet."""
    if not panel_px:
        return _USUAL_IN
    return min(max((panel_px - _BORDERS_PX) / _PX_PER_IN, _LEAST_IN), _MOST_IN)


def resize(canvas: Any, width_in: float, height_in: float) -> bool:
    """Give the figure of a canvas another size, and draw it again; return whether it had to be."""
    if abs(canvas.figure.get_figwidth() - width_in) < 0.02:
        return False
    canvas.figure.set_size_inches(width_in, height_in)
    canvas.draw_idle()
    return True
