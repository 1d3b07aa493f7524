"""Which cell of the notebook made a panel: running the cell again ends what the old one does."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any, Protocol

from IPython import get_ipython


class Closeable(Protocol):
    """Something with work that can be ended."""

    def retire(self) -> bool:
        """End all work and the views; return whether there was work."""


@dataclass
class _Made:
    """Panels of one execution of one cell."""

    execution: str
    panels: list[weakref.ref[Any]] = field(default_factory=list)


_BY_CELL: dict[str, _Made] = {}


def register(panel: Closeable) -> bool:
    """Enter a new panel; retire those that an earlier execution of the same cell has made.

    Returns
    -------
    bool
        Whether a run was cancelled by that.
    """
    cell, execution = find_cell()
    if not cell:
        return False
    made = _BY_CELL.get(cell)
    stopped = False
    if made is None or made.execution != execution:
        old = [] if made is None else [ref() for ref in made.panels]
        for panel_before in old:  # each of them, not only up to the first that was busy
            stopped |= panel_before is not None and panel_before.retire()
        made = _BY_CELL[cell] = _Made(execution)
    made.panels.append(weakref.ref(panel))
    return stopped


def find_cell() -> tuple[str, str]:
    """Return the identity of the cell that runs, and of this execution of it; empty elsewhere."""
    shell = get_ipython()
    kernel = getattr(shell, "kernel", None)
    if kernel is None or not hasattr(kernel, "get_parent"):
        return "", ""
    parent = kernel.get_parent() or {}
    cell = (parent.get("metadata") or {}).get("cellId", "")
    return str(cell or ""), str((parent.get("header") or {}).get("msg_id", ""))
