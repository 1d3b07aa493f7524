"""What is dear to draw is drawn when somebody looks at its tab."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as w


class LazyDrawing:
    """Draws at once what is seen, and later what is not.

    Parameters
    ----------
    draw : callable
        Draws things as they are now.
    """

    def __init__(self, draw: Callable[[], Any]) -> None:
        self._draw = draw
        self._seen, self._stale = True, False

    def refresh(self, _change: Any = None) -> None:
        """Draw, or remember to do so as soon as it is seen."""
        self._stale = not self._seen
        if self._seen:
            self._draw()

    def set_visible(self, seen: bool) -> None:
        """Say whether somebody looks from now on."""
        self._seen = seen
        if seen and self._stale:
            self.refresh()


def follow_tabs(tabs: w.Tab, drawings: dict[str, LazyDrawing]) -> None:
    """Let each drawing know, by the title of its tab, whether it is seen."""

    def turn(_change: Any = None) -> None:
        index = tabs.selected_index
        title = None if index is None else tabs.titles[index]
        for name, drawing in drawings.items():
            drawing.set_visible(name == title)

    tabs.observe(turn, "selected_index")
    turn()
