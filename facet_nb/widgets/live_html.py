"""HTML that the kernel writes, whose buttons and fields report to the kernel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

_HERE = Path(__file__).parent


class LiveHtml(anywidget.AnyWidget):
    """Shows HTML, and calls `act` when something in it is pressed or changed.

    The page replaces only what differs, so that focus and open details survive an update. An
    element with ``data-act`` reports a click or a change; ``data-value`` is its value, and
    ``data-key`` a key that presses it. Files that are chosen at ``data-upload`` or dropped on
    ``data-drop`` arrive as the actions ``upload_begin`` (names and sizes), ``upload_chunk`` (the
    name of the file, and bytes) for each piece, and ``upload_stop``; the page waits for each.

    Parameters
    ----------
    write : callable
        Returns the HTML; all texts in it are escaped.
    act : callable | None
        Called with the action, the name of the field, and the value; returns False if it failed.
    css : str
        Class of the widget.

    Attributes
    ----------
    html : str
        What is shown.
    """

    _esm = _HERE / "live_html.js"
    html = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        write: Callable[[], str],
        act: Callable[[str, str, Any], bool | None] | None = None,
        css: str = "",
    ) -> None:
        super().__init__(html=write())
        self._write, self._act = write, act
        if css:
            self.add_class(css)
        self.on_msg(self._receive)

    def refresh(self, _change: Any = None) -> None:
        """Write the HTML again."""
        self.html = self._write()

    def press(self, act: str, value: Any = "", name: str = "") -> bool:
        """Act as a click or a change on the page would; return whether it succeeded."""
        return self._act is not None and self._act(act, name, value) is not False

    def _receive(self, _widget: Any, message: Any, buffers: Any) -> None:
        if not isinstance(message, dict) or "act" not in message:
            return
        value = bytes(buffers[0]) if buffers else message.get("value", "")
        done = self.press(str(message["act"]), value, str(message.get("name", "")))
        if str(message["act"]).startswith("upload"):
            self.send({"kind": "answer", "done": done})
