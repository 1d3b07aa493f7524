"""Controls that all panels use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as w

#: What the numbers mean, by the name of the setting.
TOOLTIPS = {
    "n_jobs": "Batches in flight at once",
    "n_workers": "Threads inside one batch",
    "batch_size": "Channels in one batch; 0: as many as are fast and as memory allows",
}


def make_button(
    label: str,
    css: str = "",
    act: Callable[[], Any] | None = None,
    *,
    width: str | None = None,
    icon: str = "",
    style: str = "",
    tooltip: str | None = None,
) -> w.Button:
    """Return a button.

    Parameters
    ----------
    label : str
        Text on the button.
    css : str
        CSS class, for styles and tests.
    act : callable | None
        Called on a click.
    width : str | None
        Width, such as ``"100px"``; None for the default of ipywidgets.
    icon, style, tooltip
        As for :class:`ipywidgets.Button`.
    """
    button = w.Button(description=label, icon=icon, button_style=style, tooltip=tooltip)
    if width is not None:
        button.layout.width = width
    if css:
        button.add_class(css)
    if act is not None:
        button.on_click(lambda _button: act())
    return button


def make_number(label: str, step: float) -> w.BoundedFloatText:
    """Return a box for a number of seconds, from 0 on."""
    return w.BoundedFloatText(
        min=0.0,
        max=1e6,
        step=step,
        description=label,
        style={"description_width": "80px"},
        layout=of_width("170px"),
    )


def make_row(children: Sequence[w.Widget]) -> w.HBox:
    """Return a row of controls, which wraps in a narrow window."""
    row = w.HBox(children)
    row.add_class("fnb-row")
    return row


def of_width(size: str) -> w.Layout:
    """Return a layout of this width."""
    return w.Layout(width=size)
