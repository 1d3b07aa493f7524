"""Finding widgets in a panel."""

from __future__ import annotations

from typing import Any


def list_widgets(widget: Any) -> list:
    """Return a widget and all below it."""
    found = [widget]
    for child in getattr(widget, "children", ()):
        found += list_widgets(child)
    return found


def find(panel: Any, css: str) -> Any:
    """Return the one widget with a class."""
    named = [w for w in list_widgets(panel) if css in getattr(w, "_dom_classes", ())]
    (found,) = {id(w): w for w in named}.values()  # one widget may be shown twice
    return found


def all_html(panel: Any) -> str:
    """Return the text of all HTML in a panel."""
    found = list_widgets(panel)
    written = [w.html for w in found if type(w).__name__ == "LiveHtml"]
    return "".join([*written, *(w.value for w in found if type(w).__name__ == "HTML")])
