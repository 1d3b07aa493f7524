"""Panel that shows the channels of a recording, before and after correction."""

from __future__ import annotations

from typing import Any

import ipywidgets as w

from facet_nb.models.signal_model import SignalModel
from facet_nb.models.sources import as_context
from facet_nb.widgets.controls import make_button
from facet_nb.widgets.fragments import write_table
from facet_nb.widgets.lazy_drawing import LazyDrawing
from facet_nb.widgets.panel import Panel
from facet_nb.widgets.signal_svg import WIDTH, write_signal

_SPANS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 300.0)
_SCALES = (0.0, *(m * 10.0**e for e in range(5) for m in (1, 2, 5)))
_LABEL = {"description_width": "initial"}
#: Widths of the borders, of the list of channels, and least width of a picture beside it, in px.
_BORDERS_PX, _LIST_PX, _LEAST_BESIDE_PX = 60, 158, 380


class SignalView(Panel):
    """Scrolls through a recording, with the corrected recording drawn over it.

    Parameters
    ----------
    recording : ProcessingContext | mne.io.BaseRaw | path | Simulation | SignalModel
        The recording.
    corrected : ProcessingContext | None
        The corrected recording.
    nested : bool
        Whether the view is part of another panel.

    Attributes
    ----------
    model : SignalModel
        State of the view: channels, window and scale.

    Examples
    --------
    >>> from facet_nb.datasets import example
    >>> from facet_nb.widgets import SignalView
    >>> view = SignalView(example())
    >>> view.model.begin_s = 4.0
    >>> view.summary()
    'recording: 6 channels from 4.00 to 9.00 s, 20000 µV from one to the next, 63 triggers.'
    """

    def __init__(self, recording: Any, corrected: Any = None, *, nested: bool = False) -> None:
        if isinstance(recording, SignalModel):
            self.model = recording
        else:
            self.model = SignalModel()
            self.model.set_recording(as_context(recording))
            self.model.set_corrected(corrected)
        self.channels = w.SelectMultiple(
            description="Channels", rows=8, layout=w.Layout(width="150px"), style=_LABEL
        )
        self.channels.add_class("fnb-signal-channels")
        self.begin = w.BoundedFloatText(
            description="From (s)",
            min=0,
            max=1,
            step=0.5,
            layout=w.Layout(width="150px"),
            style=_LABEL,
        )
        self.slider = w.FloatSlider(
            min=0.0,
            max=1.0,
            step=0.1,
            readout=False,
            continuous_update=False,
            layout=w.Layout(width="200px"),
        )
        self.slider.tooltip = "Start of the window"
        self.span = _choice("Length", [(f"{s:g} s", s) for s in _SPANS])
        scales = [("automatic" if s == 0 else f"{s:g} µV", s) for s in _SCALES]
        self.scale = _choice("Scale", scales)
        self.shown = _choice("Show", ["both", "recording", "corrected"])
        self.back = make_button(
            "Back", act=lambda: self.model.scroll(-0.8), icon="chevron-left", width="100px"
        )
        self.forth = make_button(
            "Forward", act=lambda: self.model.scroll(0.8), icon="chevron-right", width="100px"
        )
        self.picture, self.table = w.HTML(), w.HTML()
        self.picture.add_class("fnb-signal-plot")
        self._filling, self._width_px = False, float(WIDTH)
        self.drawing = LazyDrawing(self._draw)
        self._connect()
        row = w.HBox([self.back, self.forth, self.begin, self.slider])
        more = w.HBox([self.span, self.scale, self.shown])
        body = w.HBox([self.channels, w.VBox([self.picture, self.table])])
        for box, css in ((row, "fnb-row"), (more, "fnb-row"), (body, "fnb-signal-body")):
            box.add_class(css)
        super().__init__([row, more, body], nested=nested)
        self.add_class("fnb-signal-view")
        self.refresh()

    # ----------------------------------------------------------------------------------- public
    def refresh(self, _change: Any = None) -> None:
        """Draw the model, or defer that until the tab is visible."""
        self.drawing.refresh()

    def _draw(self) -> None:
        model = self.model
        self._filling = True
        try:
            with self.hold_trait_notifications():
                self._fill()
        finally:
            self._filling = False
        window = model.window() if model.names else None
        self.picture.value = "" if window is None else write_signal(window, self._width_px)
        heads = ["channel", *(f"{layer.label} (µV)" for layer in (window.layers if window else ()))]
        rows = window.rows() if window else []
        table = write_table("Peak to peak in this window", heads, rows) if rows else ""
        self.table.value = (
            f"<details><summary>As a table</summary>{table}</details>" if table else ""
        )

    def to_html(self) -> str:
        """Return picture and table as plain HTML."""
        return self.picture.value + self.table.value

    def summary(self) -> str:
        """Return a description of the view, in one sentence."""
        return self.model.window().caption if self.model.names else "no recording"

    def fit_plots(self, width_px: int) -> None:
        """Draw for a panel of this width, in pixels, so that names are readable."""
        room_px = max(300, width_px - _BORDERS_PX)
        beside_px = room_px - _LIST_PX
        self._width_px = float(beside_px if beside_px >= _LEAST_BESIDE_PX else room_px)
        self.refresh()

    # ------------------------------------------------------------------------------------ inner
    def _fill(self) -> None:
        model = self.model
        if self.channels.options != model.names:
            self.channels.options = model.names
        self.channels.value = model.channels
        last_s = max(0.1, round(model.duration_s, 1))
        for control in (self.begin, self.slider):
            control.max = last_s
            control.value = round(model.begin_s, 3)
        self.span.value = min(_SPANS, key=lambda s: abs(s - model.span_s))
        self.scale.value = min(_SCALES, key=lambda s: abs(s - model.scale_uv))
        self.shown.value = model.shown
        self.shown.layout.display = "" if model.has_corrected else "none"

    def _connect(self) -> None:
        pairs = [
            (self.begin, "begin_s"),
            (self.slider, "begin_s"),
            (self.span, "span_s"),
            (self.scale, "scale_uv"),
            (self.shown, "shown"),
            (self.channels, "channels"),
        ]
        for control, name in pairs:
            control.observe(lambda change, name=name: self._choose(name, change["new"]), "value")
        names = ["channels", "begin_s", "span_s", "scale_uv", "shown", "names"]
        self.model.observe(self.refresh, names)

    def _choose(self, name: str, value: Any) -> None:
        if not self._filling:
            setattr(self.model, name, value)


def _choice(label: str, options: Any) -> w.Dropdown:
    return w.Dropdown(
        description=label, options=options, layout=w.Layout(width="170px"), style=_LABEL
    )
