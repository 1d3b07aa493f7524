"""Controls as all panels make them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as w


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
        What is on it.
    css : str
        Its class, for styles and tests.
    act : callable | None
        What a click does.
    width : str | None
        Its width, ``"100px"`` say; ipywidgets' own by default.
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


def make_row(children: Sequence[w.Widget]) -> w.HBox:
    """Return controls in a row, which breaks where the window is narrow."""
    row = w.HBox(children)
    row.add_class("fnb-row")
    return row


def of_width(size: str) -> w.Layout:
    """Return the layout of a control of this width."""
    return w.Layout(width=size)
