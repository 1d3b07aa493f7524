"""Controls that all panels use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import ipywidgets as w

from facet_nb.core.errors import FacetError
from facet_nb.widgets.fragments import write_error, write_text

Control = TypeVar("Control")

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


def make_control(
    kind: Callable[..., Control],
    label: str,
    css: str = "",
    *,
    width: str,
    label_width: str = "80px",
    **options: Any,
) -> Control:
    """Return a control with a label beside it.

    Parameters
    ----------
    kind : callable
        Its class in ipywidgets.
    label : str
        The label.
    css : str
        CSS class, for styles and tests.
    width, label_width : str
        Width of both together, and of the label, such as ``"220px"``.
    **options
        Further arguments of the class.
    """
    style = {"description_width": label_width}
    control: Any = kind(description=label, style=style, layout=of_width(width), **options)
    if css:
        control.add_class(css)
    return control


def make_number(label: str, step: float) -> w.BoundedFloatText:
    """Return a box for a number of seconds, from 0 on."""
    return make_control(w.BoundedFloatText, label, width="170px", min=0.0, max=1e6, step=step)


def make_progress(css: str) -> w.FloatProgress:
    """Return a progress bar from 0 to 1."""
    return make_control(w.FloatProgress, "Progress", css, width="420px", min=0.0, max=1.0)


def make_row(children: Sequence[w.Widget]) -> w.HBox:
    """Return a row of controls, which wraps in a narrow window."""
    row = w.HBox(children)
    row.add_class("fnb-row")
    return row


def of_width(size: str) -> w.Layout:
    """Return a layout of this width."""
    return w.Layout(width=size)


def attempt(said: w.HTML, act: Callable[[], Any], done: str = "", refused: str = "") -> None:
    """Do what a control asks for, and show how it went.

    Parameters
    ----------
    said : ipywidgets.HTML
        Shows the text that `act` returns, or else `done`; or the error.
    act : callable
        What to do.
    done : str
        Text after success; empty for none.
    refused : str
        Heading of an error; "Not possible" by default.
    """
    try:
        found = act()
    except (FacetError, OSError) as error:
        said.value = write_error(refused or "Not possible", str(error), "")
        return
    text = found if isinstance(found, str) else done
    said.value = f'<span role="status">{write_text(text)}</span>' if text else ""


def close_parts(*widgets: w.Widget) -> None:
    """Close widgets with all that they are made of: children, layouts, styles.

    ipywidgets closes none of these: they stay in the kernel, and in the page's state.
    """
    for widget in list_parts(*widgets):
        widget.close()


def list_parts(*widgets: w.Widget) -> list[w.Widget]:
    """Return widgets with all that they are made of, in no particular order."""
    found: dict[int, w.Widget] = {}
    waiting: list[Any] = list(widgets)
    while waiting:
        item = waiting.pop()
        if isinstance(item, (list, tuple)):
            waiting.extend(item)
        elif isinstance(item, w.Widget) and id(item) not in found:
            found[id(item)] = item
            waiting.extend(item._trait_values.values())
    return list(found.values())
