"""Defer expensive drawing until the tab is visible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class LazyDrawing:
    """Draws immediately while visible, and otherwise when it becomes visible.

    Parameters
    ----------
    draw : callable
        Draws the current state.
    """

    def __init__(self, draw: Callable[[], Any]) -> None:
        self._draw = draw
        self._visible, self._stale = True, False

    def refresh(self, _change: Any = None) -> None:
        """Draw, or mark the drawing as outdated while it is not visible."""
        self._stale = not self._visible
        if self._visible:
            self._draw()

    def set_visible(self, visible: bool) -> None:
        """Set whether the drawing is visible; an outdated one is drawn then."""
        self._visible = visible
        if visible and self._stale:
            self.refresh()
