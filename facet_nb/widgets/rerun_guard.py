"""Retire the panels of a notebook cell when the cell is run again."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any, Protocol

from IPython import get_ipython


class Closeable(Protocol):
    """An object whose work can be cancelled."""

    def retire(self) -> bool:
        """Cancel all work and close the views; return whether there was work."""


@dataclass
class _Made:
    """Panels created in one execution of a cell."""

    execution: str
    panels: list[weakref.ref[Any]] = field(default_factory=list)


_BY_CELL: dict[str, _Made] = {}


def register(panel: Closeable) -> bool:
    """Register a new panel, and retire the panels of an earlier execution of its cell.

    Returns
    -------
    bool
        Whether this cancelled a run.
    """
    cell, execution = find_cell()
    if not cell:
        return False
    made = _BY_CELL.get(cell)
    stopped = False
    if made is None or made.execution != execution:
        old = [] if made is None else [ref() for ref in made.panels]
        for panel_before in old:  # no any(): it would stop at the first panel with a run
            stopped |= panel_before is not None and panel_before.retire()
        made = _BY_CELL[cell] = _Made(execution)
    made.panels.append(weakref.ref(panel))
    return stopped


def find_cell() -> tuple[str, str]:
    """Return the ids of the current cell and of its execution; empty outside a notebook."""
    shell = get_ipython()
    kernel = getattr(shell, "kernel", None)
    if kernel is None or not hasattr(kernel, "get_parent"):
        return "", ""
    parent = kernel.get_parent() or {}
    cell = (parent.get("metadata") or {}).get("cellId", "")
    return str(cell or ""), str((parent.get("header") or {}).get("msg_id", ""))
