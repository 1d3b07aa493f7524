"""Base of all panels: style, event pump, and the HTML in a saved notebook."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from importlib import resources
from typing import Any

import ipywidgets as w
from IPython.display import DisplayHandle, display

from facet_nb.widgets import rerun_guard
from facet_nb.widgets.controls import close_parts
from facet_nb.widgets.fragments import write_text
from facet_nb.widgets.pump import TICK_S, Pump

#: Text in place of the live panel on pages without a kernel.
_STATIC_TEXT = "The panel works while the notebook runs. Its last result:"
# The handles of ipywidgets' sliders have no name for screen readers: set it from their tooltip as
# soon as they exist. Pages that forbid such handlers keep them without a name.
_NAMING = (
    "const root = this.closest('.fnb-panel');"
    "const name = () => { root.querySelectorAll('.noUi-handle:not([aria-label])').forEach(h => {"
    "const label = h.closest('.jupyter-widgets').querySelector('.widget-label[title]');"
    "if (label) h.setAttribute('aria-label', label.title); });"
    "root.querySelectorAll('.jupyter-matplotlib-canvas-div').forEach(d => { d.tabIndex = -1; }); };"
    "name(); new MutationObserver(name).observe(root, {childList: true, subtree: true});"
)
# An interactive plot captures the Tab key, which would trap keyboard users. The list of points
# offers the same as its clicks, so that Tab may skip and leave the plot.
_PASSING = (
    "root.addEventListener('keydown', e => { if (e.key === 'Tab' && "
    "e.target.closest('.jupyter-matplotlib-canvas-div')) e.stopPropagation(); }, true);"
)
# Keys that are pressed in the panel are the panel's. Notebook 7 looks at all keys first, and its
# own "r" makes raw text of the cell, and takes the panel away. Keys with Ctrl stay the notebook's.
_KEEPING = (
    "const keep = e => { if (!root.isConnected) window.removeEventListener('keydown', keep, true);"
    "else if (root.contains(e.target)) e.target.toggleAttribute('data-lm-suppress-shortcuts',"
    "!(e.ctrlKey || e.metaKey || e.altKey)); };"
    "window.addEventListener('keydown', keep, true);"
)
# Plots fit the panel: the page reports the width of the panel once it has not changed for 0.3 s.
_MEASURING = (
    "let later; const tell = () => { const box = root.querySelector('.fnb-width input');"
    "if (!box && root.isConnected) later = setTimeout(tell, 300);"
    "if (!box || !root.clientWidth || +box.value === root.clientWidth) return;"
    "box.value = root.clientWidth; box.dispatchEvent(new Event('change', {bubbles: true})); };"
    "new ResizeObserver(() => { clearTimeout(later); later = setTimeout(tell, 300); })"
    ".observe(root);"
)
_STOPPED = "This cell was run again: the run of its previous panel was cancelled."
# Shown by the style sheet when the page has lost the kernel, as no code can run then.
_LOST = (
    "The kernel of this panel was restarted or has ended, and all work of the panel with it. "
    "Run the cell again to get a working panel."
)


class Panel(w.VBox):
    """A panel whose state is stored as plain HTML in the saved notebook.

    Parameters
    ----------
    children : sequence of Widget
        Its content.
    nested : bool
        Whether it is part of another panel, which then provides style and report.
    """

    #: The style sheets of the panel.
    css_files: tuple[str, ...] = ("panel.css",)

    def __init__(self, children: Sequence[w.Widget], *, nested: bool = False) -> None:
        self._handles: deque[DisplayHandle] = deque(maxlen=8)
        self.pumps: list[Pump] = []
        if nested:
            super().__init__(list(children))
            return
        style, notice = w.HTML(), w.HTML()
        lost = w.HTML(f'<p role="status">{write_text(_LOST)}</p>')
        self.width = w.BoundedIntText(
            description="Width of the page (px)",
            min=0,
            max=100_000,
            layout=w.Layout(display="none"),
        )
        self.width.tooltip = "Width of the panel in pixels, set by the page"
        self.width.add_class("fnb-width")
        self.width.observe(self._fit, "value")
        super().__init__([style, lost, notice, self.width, *children])
        self.add_class("fnb-panel").add_class(self._live_class)
        notice.add_class("fnb-notice")
        lost.add_class("fnb-lost")
        notice.layout.display = "none"
        style.layout.display = "none"
        css = "".join(read_css(name) for name in self.css_files)
        script = _NAMING + _PASSING + _KEEPING + _MEASURING
        style.value = f'<style onload="{script}">{css}{self._hiding_rule}</style>'
        if rerun_guard.register(self):
            notice.value = f'<p role="status">{write_text(_STOPPED)}</p>'
            notice.layout.display = ""

    def follow(self, *models: Any, tick_s: float = TICK_S) -> None:
        """Drain models on the kernel's event loop; each model has one pump for all panels."""
        for model in models:
            if model.on_news is None:
                pump = Pump(model.drain, tick_s=tick_s)
                model.on_news = pump.wake
                self.pumps.append(pump)
                pump.wake()  # there may be news already

    # ---------------------------------------------------------------- overridden by subclasses
    def to_html(self) -> str:
        """Return the state of the panel as plain HTML, for the saved notebook."""
        return ""

    def summary(self) -> str:
        """Return the state of the panel in one line of text."""
        return repr(self)

    def stop(self) -> bool:
        """Cancel all work; return whether there was any."""
        return False

    def close_spares(self) -> None:
        """Close widgets that the panel keeps, but does not show."""

    def fit_plots(self, width_px: int) -> None:
        """Draw plots for a panel of this width, in pixels; nested panels draw their own."""

    # ------------------------------------------------------------------------------- displaying
    def retire(self) -> bool:
        """Cancel all work and close all views, after the panel's cell has been run again."""
        stopped = self.stop()
        for widget in _list_all(self):
            if isinstance(widget, Panel):
                widget.close_spares()
        close_parts(self)
        return stopped

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        return {**(data or {}), **self._report_bundle()}

    def _ipython_display_(self) -> None:
        # Two outputs: updating the output of the live view would take the focus from it.
        bundle = super()._repr_mimebundle_()
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        display({**(data or {}), "text/plain": _STATIC_TEXT}, raw=True)
        handle = display(self._report_bundle(), raw=True, display_id=True)
        if handle is not None:
            self._handles.append(handle)

    def _fit(self, change: Any) -> None:
        for widget in _list_all(self):
            if isinstance(widget, Panel):
                widget.fit_plots(change["new"])

    def refresh_report(self, _change: Any = None) -> None:
        """Update the HTML in the saved notebook."""
        for handle in self._handles:
            handle.update(self._report_bundle(), raw=True)

    def _report_bundle(self) -> dict[str, str]:
        html = f'<div class="fnb-report {self._report_class}">{self._write_report()}</div>'
        return {"text/html": html, "text/plain": self.summary()}

    def _write_report(self) -> str:
        """Return the HTML for the saved notebook."""
        return self.to_html()

    @property
    def _report_class(self) -> str:
        return f"fnb-report-{self.model_id}"

    @property
    def _hiding_rule(self) -> str:
        # On a page without a kernel, such as an exported one, the report replaces the panel.
        css, live = self._report_class, f".{self._live_class}:not(.jupyter-widgets-disconnected)"
        hidden = f":is(.{css}, .jp-OutputArea-child:has(.{css}))"
        return f"body:has({live}) {hidden} {{ display: none !important; }}"

    @property
    def _live_class(self) -> str:
        return f"fnb-live-{self.model_id}"


def _list_all(widget: w.Widget) -> list[w.Widget]:
    found = [widget]
    for child in getattr(widget, "children", ()):
        found += _list_all(child)
    return found


def read_css(name: str) -> str:
    """Return a style sheet of this folder."""
    return resources.files("facet_nb.widgets").joinpath(name).read_text(encoding="utf-8")
