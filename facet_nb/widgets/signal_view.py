"""Panel that shows the channels of a recording, before and after correction."""

from __future__ import annotations

from typing import Any

import ipywidgets as w

from facet_nb.models.signal_model import SignalModel
from facet_nb.models.sources import as_context
from facet_nb.models.truth import find_truth
from facet_nb.widgets.controls import make_control
from facet_nb.widgets.fragments import write_table
from facet_nb.widgets.lazy_drawing import LazyDrawing
from facet_nb.widgets.panel import Panel
from facet_nb.widgets.signal_canvas import SignalCanvas
from facet_nb.widgets.signal_svg import WIDTH, write_signal

#: Position of the handle between the recording and the corrected one, for each choice of the model.
_WIPES = {"both": 0.46, "recording": 1.0, "corrected": 0.0}
#: Views without a handle.
_WHOLE = ("removed", "difference")


class SignalView(Panel):
    """Pans and zooms through a recording, with a handle between before and after.

    The recording may be a lazy one (:meth:`facet_nb.Pipeline.lazy`), or a file: only what is
    looked at is read and computed. Keys, with the focus on the picture: arrows scroll through time
    and channels, ``+`` and ``-`` change the amplitude, ``[`` and ``]`` the time shown, Space swaps
    before and after, ``A`` chooses the amplitude, ``T`` shows the truth, ``D`` the difference of
    two results.

    Parameters
    ----------
    recording : ProcessingContext | mne.io.BaseRaw | path | Simulation | SignalModel
        The recording; of a simulation, the truth can be shown as well.
    corrected : ProcessingContext | mne.io.BaseRaw | None
        The corrected recording.
    nested : bool
        Whether the view is part of another panel.

    Attributes
    ----------
    model : SignalModel
        State of the view: channels, window and scale.
    canvas : SignalCanvas
        The picture, which the page draws.

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
            self.model.set_recording(as_context(recording), find_truth(recording))
            self.model.set_corrected(None if corrected is None else as_context(corrected))
        self.channels = make_control(
            w.SelectMultiple,
            "Channels",
            "fnb-signal-channels",
            width="150px",
            label_width="initial",
            rows=8,
        )
        self.canvas, self.table = SignalCanvas(), w.HTML()
        self.canvas.add_class("fnb-signal-plot")
        self._filling = False
        self._shown: Any = None
        self._drawn = False  # whether the page has drawn these recordings, and thus computed them
        self.drawing = LazyDrawing(self._draw)
        self.channels.observe(lambda change: self._choose(channels=change["new"]), "value")
        self.canvas.observe(lambda change: self._follow(change["new"]), "view")
        self.canvas.observe(self._complete, "n_drawn")
        names = ["channels", "begin_s", "span_s", "scale_uv", "shown", "with_truth", "names"]
        self.model.observe(self.refresh, [*names, "difference"])
        body = w.HBox([self.channels, w.VBox([self.canvas, self.table])]).add_class(
            "fnb-signal-body"
        )
        super().__init__([body], nested=nested)
        self.add_class("fnb-signal-view")
        self.refresh()

    # ----------------------------------------------------------------------------------- public
    def refresh(self, _change: Any = None) -> None:
        """Show the model, or defer that until the tab is visible."""
        if self._shown != self.model.recordings():
            self._shown, self._drawn = None, False
            self.canvas.release()  # a hidden tab would keep earlier recordings in memory
        self.drawing.refresh()

    def to_html(self) -> str:
        """Return picture and table as plain HTML."""
        return self._write_static(computed=True)

    def summary(self) -> str:
        """Return a description of the view, in one sentence."""
        if not self.model.names:
            return "no recording"
        return self.model.window(computed=self._drawn).caption

    # ------------------------------------------------------------------------------------ inner
    def _write_report(self) -> str:
        return self._write_static(computed=self._drawn)

    def _write_static(self, computed: bool) -> str:
        if not self.model.names:
            return ""
        picture = write_signal(self.model.window(computed=computed), float(WIDTH))
        return picture + self._write_table(computed)

    def _draw(self) -> None:
        model = self.model
        self._filling = True
        try:
            if self.channels.options != model.names:
                self.channels.options = model.names
            self.channels.value = model.channels
            self._show_recordings()
            self._show_window()
            self.canvas.difference = list(self.model.difference)
        finally:
            self._filling = False
        self.table.value = self._write_table(computed=False)

    def _complete(self, _change: Any = None) -> None:
        """Update table and saved picture, once the page has drawn and thus computed the samples."""
        if self.model.takes_long:
            self.table.value = self._write_table()
            first, self._drawn = not self._drawn, True
            if first:
                self.refresh_report()

    def _show_recordings(self) -> None:
        """Give the canvas the recordings of the model, unless it has them."""
        key = self.model.recordings()
        if self._shown == key:
            return
        self._shown = key
        model = self.model
        self.canvas.show(model.names, model.tiled(), model.markers_s(), model.list_findings())

    def _show_window(self) -> None:
        model, view = self.model, dict(self.canvas.view)
        wipe = view.get("wipe", _WIPES["both"])
        what = model.shown if model.shown in _WHOLE else "signal"
        if what == "signal" and _name_side(wipe) != model.shown:
            wipe = _WIPES[model.shown]
        scales = list(view.get("scale_uv", (0.0, 0.0)))
        side = _find_side(what, wipe, model.has_corrected)
        scales[side] = model.scale_uv
        self.canvas.view = {
            "begin_s": model.begin_s,
            "span_s": model.span_s,
            "channels": [model.names.index(name) for name in model.channels],
            "scale_uv": scales,
            "wipe": wipe,
            "what": what,
            "truth": model.with_truth,
        }

    def _follow(self, view: dict[str, Any]) -> None:
        """Apply the view of the page to the model."""
        if self._filling or not view:
            return
        names, what = self.model.names, view.get("what", "signal")
        side = _find_side(what, view["wipe"], self.model.has_corrected)
        shown = self.model.shown
        if what != "signal":
            shown = what
        elif self.model.has_corrected or shown in _WHOLE:
            shown = _name_side(view["wipe"])
        self._choose(
            begin_s=float(view["begin_s"]),
            span_s=float(view["span_s"]),
            channels=tuple(names[i] for i in view["channels"] if i < len(names)),
            shown=shown,
            with_truth=bool(view.get("truth")),
            scale_uv=float(view["scale_uv"][side]),
        )

    def _choose(self, **values: Any) -> None:
        if self._filling:
            return
        with self.model.hold_trait_notifications():
            for name, value in values.items():
                setattr(self.model, name, value)

    def _write_table(self, computed: bool = True) -> str:
        """Return the table; `computed` as in :meth:`SignalModel.window`."""
        if not self.model.names:
            return ""
        window = self.model.window(computed=computed)
        heads = ["channel", *(f"{layer.label} (µV)" for layer in window.layers)]
        table = write_table("Peak to peak in this window", heads, window.rows())
        return f"<details><summary>As a table</summary>{table}</details>"


def _find_side(what: str, wipe: float, has_corrected: bool) -> int:
    """Return to which signal the model's scale belongs: 0 recording, 1 corrected one."""
    if what != "signal":
        return int(what == "difference")
    return int(has_corrected and wipe < 0.98)


def _name_side(wipe: float) -> str:
    """Return which recordings a position of the handle shows."""
    return "recording" if wipe > 0.98 else "corrected" if wipe < 0.02 else "both"
