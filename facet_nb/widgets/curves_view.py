"""View of a growing benchmark table; a click on a point chooses its settings."""

from __future__ import annotations

import time
from typing import Any

import ipywidgets as w

from facet_nb.benchmark import BenchmarkTable, Configuration
from facet_nb.models.tune_model import TuneModel
from facet_nb.plots import tuning_picture, uses_widget_backend
from facet_nb.plots.tuning import find_height_in, find_point
from facet_nb.widgets.canvas import choose_width_in, make_canvas, resize
from facet_nb.widgets.fragments import write_text
from facet_nb.widgets.lazy_drawing import LazyDrawing

#: Interval between drawings during a benchmark, in s: one takes about 0.3 s of a core, which would
#: disturb a measurement.
PAUSE_S = 3.0


class CurvesView:
    """Shows the picture of a growing table.

    Parameters
    ----------
    model : TuneModel
        The benchmark.
    """

    def __init__(self, model: TuneModel) -> None:
        self.model = model
        self._width_in = choose_width_in(0)
        self.canvas: Any = None
        self.image, self.caption = w.HTML(), w.HTML()
        self.widget = w.VBox([self.image, self.caption]).add_class("fnb-curves")
        self._drawn: Any = None
        self._drawn_s = -1e9
        self.drawing = LazyDrawing(self._follow)
        # With the time as well: what came too early to be drawn is drawn later, without news.
        model.observe(self.refresh, ["state", "status", "chosen", "guess", "hidden", "elapsed_s"])
        self.refresh()

    def fit(self, panel_px: int) -> None:
        """Draw an interactive plot for a panel of this width, in pixels; images just scale."""
        self._width_in = choose_width_in(panel_px)
        if self.canvas is None:
            return
        if resize(self.canvas, self._width_in, find_height_in(self._width_in)):
            self._draw(self._choose_shown())

    def refresh(self, _change: Any = None) -> None:
        """Draw the table, or defer that until the tab is visible."""
        self.drawing.refresh()

    def _follow(self) -> None:
        """Draw changes, at a limited rate while runs are timed."""
        model = self.model
        shown = self._choose_shown()
        key = (shown, model.chosen, tuple(model.guess.items()), model.hidden)
        early = model.busy and time.monotonic() - self._drawn_s < PAUSE_S
        first = shown is not None and (self._drawn is None or self._drawn[0] is None)
        if self._is_drawn(key) or (early and not first):
            return
        self._drawn, self._drawn_s = key, time.monotonic()
        self.widget.layout.display = "none" if shown is None and not model.guess else ""
        if shown is not None or model.guess:
            self._draw(shown)

    def _is_drawn(self, key: tuple[Any, ...]) -> bool:
        """Whether this very table with the same choice is drawn already."""
        return self._drawn is not None and self._drawn[0] is key[0] and self._drawn[1:] == key[1:]

    def _choose_shown(self) -> BenchmarkTable | None:
        table = self.model.table
        if self.model.hidden or table is None:
            return None
        return table if any(p.n_repeats for p in table.points) else None

    def _draw(self, table: BenchmarkTable | None) -> None:
        options: dict[str, Any] = {"chosen": self.model.chosen, "guess": self.model.guess}
        if self.canvas is None and uses_widget_backend():
            self.canvas = make_canvas(tuning_picture(table, width_in=self._width_in, **options))
            self.canvas.mpl_connect("button_press_event", self._click)
            self.widget.children = [self.canvas, self.caption]
        elif self.canvas is not None:
            tuning_picture(table, self.canvas.figure, **options)
            self.canvas.draw_idle()
        if self.canvas is None:
            picture = tuning_picture(table, **options)
            self.image.value = picture.to_html()
            return
        text = write_text(self.canvas.figure.caption)
        self.caption.value = f"<figcaption>{text}</figcaption>"

    def _click(self, event: Any) -> None:
        if event.inaxes is None or self.model.table is None or self.model.hidden:
            return
        found = find_point(self.model.table, event.inaxes, event.x, event.y)
        if found is not None:
            self.model.choose(found)

    def list_points(self) -> list[tuple[str, Configuration]]:
        """Return label and configuration of each measured point."""
        table = self._choose_shown()
        return (
            [] if table is None else [(r.configuration.label, r.configuration) for r in table.rows]
        )
