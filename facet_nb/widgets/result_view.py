"""View of a result: before and after, metrics and times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as w
import numpy as np

from facet_nb.core.errors import FacetError
from facet_nb.core.findings import Finding
from facet_nb.core.result import write_metric
from facet_nb.models import RunModel
from facet_nb.plots import (
    Comparison,
    Sketch,
    compare,
    list_channels,
    picture_of,
    sketch_signal,
    sketch_spectrum,
    spectrum_of,
    uses_widget_backend,
)
from facet_nb.widgets.canvas import choose_width_in, make_canvas, resize
from facet_nb.widgets.controls import make_control, make_number, make_row
from facet_nb.widgets.fragments import write_error, write_table, write_text

if TYPE_CHECKING:
    from facet_nb.plots import Picture


class ResultView:
    """Shows the result of a run; hidden until there is one.

    The picture is interactive if matplotlib draws in widgets (``%matplotlib widget``). Otherwise it
    is a sketch, as matplotlib would take more time than everything else in the panel. It is drawn
    in the thread that sets the model's traits.

    Parameters
    ----------
    model : RunModel
        The model of the run.

    Attributes
    ----------
    comparison : Comparison | None
        Data of the picture.
    sketch : Sketch | None
        The picture as a sketch.
    """

    def __init__(self, model: RunModel) -> None:
        self.model = model
        self.comparison: Comparison | None = None
        self.sketch: Sketch | None = None
        self.channel = make_control(w.Dropdown, "Channel", "fnb-channel", width="230px")
        self.begin_s, self.span_s = make_number("From (s)", 0.5), make_number("Length (s)", 1.0)
        kinds = ["signal", "spectrum"]
        self.what = make_control(w.Dropdown, "Show", "fnb-what", width="190px", options=kinds)
        self.image, self.steps = w.HTML(), w.HTML()
        self.metrics = w.HTML().add_class("fnb-metrics")
        self.findings = w.HTML().add_class("fnb-findings")
        self.canvas: Any = None
        self._width_in = choose_width_in(0)
        controls = make_row([self.what, self.channel, self.begin_s, self.span_s])
        self.plot = w.VBox([self.image]).add_class("fnb-plot")
        self.widget = w.VBox([self.findings, controls, self.plot, self.metrics, self.steps])
        self.widget.layout.display = "none"
        self._filling = False
        for control in (self.what, self.channel, self.begin_s, self.span_s):
            control.observe(self._choose, "value")
        model.observe(self._show, "result")
        self._show()

    def fit(self, panel_px: int) -> None:
        """Draw an interactive plot for a panel of this width, in pixels; images just scale."""
        self._width_in = choose_width_in(panel_px)
        if self.canvas is not None:
            resize(self.canvas, self._width_in, self.canvas.figure.get_figheight())

    def _show(self, _change: Any = None) -> None:
        result = self.model.result
        if result is None or result.context is None or not result.context.has_raw():
            self._clear()
            return
        self._fill_controls(result.context)
        self.widget.layout.display = ""
        self._draw()
        self.steps.value = write_step_times(result.state)
        self.findings.value = write_findings(result.findings)

    def _clear(self) -> None:
        self.widget.layout.display = "none"
        self.comparison = self.sketch = None
        self.image.value = self.metrics.value = self.steps.value = self.findings.value = ""

    def _fill_controls(self, context: Any) -> None:
        """Offer the channels of the result, and keep the chosen one if it still exists."""
        names = list_channels(context.get_raw())
        chosen = self.channel.value
        first = compare(context).after.times_s
        self._filling = True
        try:
            if list(self.channel.options) != names:
                self.channel.options = names
            self.channel.value = chosen if chosen in names else names[0]
            if chosen is None:
                self.begin_s.value = round(float(first[0]), 1)
                self.span_s.value = round(float(first[-1] - first[0]), 1) or 0.1
        finally:
            self._filling = False

    def _choose(self, _change: Any) -> None:
        result = self.model.result
        if not self._filling and result is not None and result.context is not None:
            self._draw()

    def _draw(self) -> None:
        assert self.model.result is not None  # checked by the callers
        context = self.model.result.get_context()
        begin_s, span_s = self.begin_s.value, self.span_s.value
        try:
            self.comparison = compare(context, self.channel.value, begin_s, begin_s + span_s)
        except FacetError as error:
            self.image.value = write_error("Nothing to show", str(error), "")
            return
        self.metrics.value = write_metrics(self.model, self.comparison)
        self.sketch = self._sketch(self.comparison)
        if self.canvas is None and uses_widget_backend():
            self.canvas = make_canvas(self._paint(self.comparison, width_in=self._width_in))
            self.plot.children = [self.canvas, self.image]
        elif self.canvas is not None:
            self._paint(self.comparison, self.canvas.figure)
            self.canvas.draw_idle()
        if self.canvas is None:
            self.image.value = self.sketch.to_html()
            return
        self.image.value = f"<figcaption>{write_text(self.sketch.caption)}</figcaption>"

    @property
    def _shows_spectrum(self) -> bool:
        return self.what.value == "spectrum"

    def _sketch(self, comparison: Comparison) -> Sketch:
        return (sketch_spectrum if self._shows_spectrum else sketch_signal)(comparison)

    def _paint(self, *args: Any, **kwargs: Any) -> Picture:
        return (spectrum_of if self._shows_spectrum else picture_of)(*args, **kwargs)


def write_metrics(model: RunModel, comparison: Comparison | None) -> str:
    """Return tables of amplitudes, of the SNR against the truth and of metrics, as HTML."""
    tables = []
    if comparison is not None:
        rows = [(name, f"{rms:.2f}", f"{ptp:.1f}") for name, rms, ptp in comparison.rows()]
        caption = f"Channel {comparison.channel}, within the picture"
        tables.append(write_table(caption, ["", "RMS (µV)", "peak to peak (µV)"], rows))
    if model.truth is not None:
        spreads = [
            ("before", *_spread(model.truth.before_db)),
            ("after", *_spread(model.truth.after_db)),
        ]
        caption = f"SNR against the truth, 0.5–70 Hz, {len(model.truth.after_db)} channels (dB)"
        tables.append(write_table(caption, ["", "median", "lowest", "highest"], spreads))
    metrics = {} if model.result is None else model.result.metrics
    found = [(k, write_metric(k, v)) for k, v in metrics.items() if isinstance(v, (int, float))]
    if found:
        tables.append(write_table("Metrics of the pipeline", ["", "value"], found))
    return "".join(tables)


def write_findings(findings: Sequence[Finding]) -> str:
    """Return findings as a list in HTML, with role and label for screen readers."""
    rows = "".join(
        f"<li><b>{write_text(f.severity)}</b>: {write_text(str(f).partition(': ')[2])}</li>"
        for f in findings
    )
    return f'<ul aria-label="Findings">{rows}</ul>' if rows else ""


def write_step_times(state: Any) -> str:
    """Return the measured times of the steps, collapsed."""
    rows = [
        (f"{i}. {name}", f"{wall:.3f}", f"{cpu:.3f}")
        for i, (name, wall, cpu) in enumerate(
            zip(state.steps, state.step_wall_s, state.step_cpu_s, strict=True), 1
        )
    ]
    caption = "Measured, summed over batches: with several workers times overlap"
    table = write_table(caption, ["step", "wall (s)", "CPU (s)"], rows)
    memory = ""
    if state.peak_rss_bytes:
        size = f"{state.peak_rss_bytes / 1e6:.0f} MB"
        memory = f"<p>Peak memory of one process (resident, including all libraries): {size}</p>"
    return f"<details><summary>Time of each step</summary>{table}{memory}</details>"


def _spread(values_db: np.ndarray) -> tuple[str, str, str]:
    low, middle, high = np.min(values_db), np.median(values_db), np.max(values_db)
    return f"{middle:.1f}", f"{low:.1f}", f"{high:.1f}"
