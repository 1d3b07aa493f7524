"""Heartbeats: each task records its current step and start time; the watchdog reads them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from facet_nb.core.storage.arrays import ArrayRef, FileArray, RamArray

_IDLE, _ENDED = -1.0, -2.0


@dataclass(frozen=True)
class HeartbeatTable:
    """A table with one row for each task: its step (position in the stage) and its start time.

    Attributes
    ----------
    table : ArrayRef
        Shape (n_tasks, 2): step (-1 before, -2 after the task), and start time in s, by the clock
        of the machine that the task runs on.
    """

    table: ArrayRef

    @classmethod
    def of(cls, n: int) -> HeartbeatTable:
        """Return a table of `n` tasks in this process's memory."""
        heartbeats = cls(RamArray(np.empty((n, 2))))
        heartbeats.wipe()
        return heartbeats

    @classmethod
    def in_file(cls, ref: ArrayRef) -> HeartbeatTable:
        """Return a table in a file, shape (n_tasks, 2), that other processes map."""
        heartbeats = cls(ref)
        heartbeats.wipe()
        return heartbeats

    def begin(self, task: int) -> None:
        """Record that `task` starts."""
        row = _open(self.table)[task]
        # The time first: the watchdog reads without a lock, and looks at it once the step is set.
        row[1] = time.monotonic()
        row[0] = 0.0

    def move(self, task: int, position: int) -> None:
        """Record that `task` is at step `position`."""
        _open(self.table)[task, 0] = position

    def end(self, task: int) -> None:
        """Record that `task` has ended."""
        _open(self.table)[task, 0] = _ENDED

    def wipe(self) -> None:
        """Reset all rows."""
        self.table.open()[...] = _IDLE

    def read(self) -> np.ndarray:
        """Return a copy of the table."""
        # A copy: tasks go on writing to the table.
        return np.array(self.table.open())

    def find_running(self, tasks: Iterable[int]) -> dict[int, int]:
        """Return those of `tasks` that are running, with their current steps."""
        at = self.read()[:, 0]
        return {i: int(at[i]) for i in tasks if at[i] >= 0}


def _open(table: ArrayRef) -> np.ndarray:
    # A table in a file stays mapped: opening it for each step of each batch would be slow.
    return _map(table) if isinstance(table, FileArray) else table.open()


_map = lru_cache(maxsize=2)(FileArray.open)
