"""Close widgets with all their parts."""

from __future__ import annotations

from typing import Any

import ipywidgets as w


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
