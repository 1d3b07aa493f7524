"""Panel that compares kept results."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as w

from facet_nb.core.errors import FacetError
from facet_nb.models.compare_model import CompareModel
from facet_nb.models.run_model import RunModel
from facet_nb.plots import Sketch, sketch_chains, sketch_side_by_side
from facet_nb.widgets.controls import make_button, make_control, make_number, make_row
from facet_nb.widgets.fragments import write_error, write_scrolling, write_table, write_text
from facet_nb.widgets.panel import Panel

_ONE, _ALL = "one channel", "all channels"


class ComparePanel(Panel):
    """Keeps results of runs and shows them side by side.

    Parameters
    ----------
    run : RunModel | None
        The runs whose results can be kept; None if results are only added by ``model.keep(…)``.
    model : CompareModel | None
        The model of another panel.
    nested : bool
        Whether the panel is part of another one.

    Attributes
    ----------
    model : CompareModel
        The kept results.

    Examples
    --------
    >>> from facet_nb import CommonReference, Pipeline
    >>> from facet_nb.datasets import example
    >>> from facet_nb.models import RunModel
    >>> from facet_nb.widgets import ComparePanel
    >>> run = RunModel(Pipeline([CommonReference()]), example(), mode="serial")
    >>> panel = ComparePanel(run)
    >>> _ = run.run()
    >>> panel.keep()
    >>> panel.model.entries[0].badge
    'serial'
    """

    def __init__(
        self,
        run: RunModel | None = None,
        model: CompareModel | None = None,
        *,
        nested: bool = False,
    ) -> None:
        self.model = CompareModel() if model is None else model
        self.run = run
        self.name = make_control(
            w.Text, "Name", "fnb-kept-name", width="300px", placeholder="from its settings"
        )
        self.keep_button = make_button("Keep the last result", "fnb-keep", self.keep, width="180px")
        make_choice = partial(make_control, w.Dropdown)
        self.which = make_choice("Result", "fnb-kept", width="300px")
        self.remove_button = make_button("Remove", "fnb-remove-kept", self._remove, width="100px")
        self.check_button = make_button(
            "Check the last against serial", "fnb-check", self._check, width="230px"
        )
        self.check_button.tooltip = "Run its chain serially and compare bit by bit"
        self.channel = make_choice("Channel", "fnb-compare-channel", width="220px")
        self.what = make_choice("Show", "fnb-compare-what", width="210px", options=[_ONE, _ALL])
        self.begin_s, self.span_s = make_number("From (s)", 0.5), make_number("Length (s)", 0.5)
        self.begin_s.value, self.span_s.value = 4.0, 5.0
        self.said, self.table = w.HTML(), w.HTML().add_class("fnb-compare-table")
        self.image = w.HTML().add_class("fnb-compare-plot")
        self.looking = make_row([self.what, self.channel, self.begin_s, self.span_s])
        self.managing = make_row([self.which, self.remove_button, self.check_button])
        first = make_row([self.name, self.keep_button])
        parts = [first, self.said, self.table, self.managing, self.looking, self.image]
        super().__init__(parts, nested=nested)
        self.add_class("fnb-compare")
        self.follow(self.model)
        self._busy = False
        self._observe()
        self._show()

    # ----------------------------------------------------------------------------------- public
    def keep(self) -> None:
        """Keep the last result, under the entered name."""
        if self.run is None:
            raise FacetError("the panel has no run: use model.keep(run).")
        run = self.run
        self._try(lambda: self.model.keep(run, self.name.value.strip()))
        self.name.value = ""

    def stop(self) -> bool:
        """Cancel a check; return whether there was one."""
        busy = self.model.status == "checking"
        self.model.cancel()
        return busy

    def to_html(self) -> str:
        """Return table and picture as plain HTML."""
        return self.table.value + self.image.value

    def summary(self) -> str:
        """Return the kept results in one line."""
        found = [f"{e.label}: {e.badge}" for e in self.model.entries]
        return "; ".join(found) or "No result is kept yet."

    # ------------------------------------------------------------------------------------ inner
    def _observe(self) -> None:
        self.model.observe(self._show, ["entries", "status", "error"])
        self.model.observe(self.refresh_report, "entries")
        if self.run is not None:
            self.run.observe(self._show_buttons, ["status", "result"])
        for control in (self.what, self.channel, self.begin_s, self.span_s):
            control.observe(self._draw, "value")

    def _show(self, _change: Any = None) -> None:
        model = self.model
        self.table.value = _write_table(model)
        if model.status == "checking":
            self.said.value = '<span role="status">Running the chain serially …</span>'
        else:
            self.said.value = write_error("Not possible", model.error, "") if model.error else ""
        self._fill()
        self._show_buttons()
        self._draw()

    def _fill(self) -> None:
        model = self.model
        self._busy = True
        try:
            options = [(e.label, i) for i, e in enumerate(model.entries)]
            if tuple(self.which.options) != tuple(options):
                self.which.options = options
                self.which.index = len(options) - 1 if options else None
            if self.channel.options != model.channels:
                chosen = self.channel.value
                self.channel.options = model.channels
                known = chosen in model.channels
                self.channel.value = chosen if known else next(iter(model.channels), None)
        finally:
            self._busy = False
        for part in (self.managing, self.looking, self.image):
            part.layout.display = "" if model.entries else "none"

    def _show_buttons(self, _change: Any = None) -> None:
        run, model = self.run, self.model
        self.keep_button.disabled = run is None or run.result is None or not run.result.success
        checking = model.status == "checking"
        self.check_button.disabled = checking or (run is not None and run.running)
        self.remove_button.disabled = checking

    def _draw(self, _change: Any = None) -> None:
        if self._busy or not self.model.entries:
            return
        for control in (self.channel, self.begin_s, self.span_s):
            control.layout.display = "" if self.what.value == _ONE else "none"
        try:
            self.image.value = self._sketch().to_html()
        except FacetError as error:
            self.image.value = write_error("Nothing to show", str(error), "")

    def _sketch(self) -> Sketch:
        if self.what.value == _ALL:
            comparison = self.model.comparison()
            if comparison is None:
                why = "; ".join(self.model.notes) or "they are being computed"
                raise FacetError(f"spectra of all channels are not available: {why}.")
            return sketch_chains(comparison)
        contexts = {e.label: e.context for e in self.model.entries}
        begin_s = self.begin_s.value
        return sketch_side_by_side(
            contexts, self.channel.value, begin_s, begin_s + self.span_s.value
        )

    def _remove(self) -> None:
        if self.which.value is not None:
            self.model.remove(self.which.value)

    def _check(self) -> None:
        self._try(self.model.check)

    def _try(self, act: Callable[[], Any]) -> None:
        try:
            act()
        except FacetError as error:
            self.said.value = write_error("Not possible", str(error), "")


def _write_table(model: CompareModel) -> str:
    """Return a table with one column for each result."""
    if not model.entries:
        return '<p class="fnb-quiet">No result is kept yet: run the chain, and keep its result.</p>'
    heads, rows = model.table()
    title = f"Kept results: {len(model.entries)}, {model.memory_bytes / 1e6:.1f} MB"
    if model.chain:
        title += f", of {model.chain}"
    table = write_table(title, heads, rows, "fnb-table fnb-compare-rows")
    notes = "".join(f'<p class="fnb-quiet">{write_text(note)}</p>' for note in model.notes)
    return write_scrolling("Kept results", table) + notes
