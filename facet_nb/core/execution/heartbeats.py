"""Which step each task is at, and since when: written by tasks, read by whoever watches them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from facet_nb.core.storage.array_store import Store
from facet_nb.core.storage.arrays import ArrayRef, FileArray, RamArray

_IDLE, _ENDED = -1.0, -2.0


@dataclass(frozen=True)
class HeartbeatTable:
    """A table with a row for each task: its step (position in the stage), and when it began.

    Attributes
    ----------
    table : ArrayRef
        Shape (n_tasks, 2): step, or -1 before and -2 after the task; beginning in s, by the clock
        of the task's machine.
    """

    table: ArrayRef

    @classmethod
    def of(cls, n: int) -> HeartbeatTable:
        """Return a table of `n` tasks in this process's memory."""
        heartbeats = cls(RamArray(np.empty((n, 2))))
        heartbeats.wipe()
        return heartbeats

    @classmethod
    def far(cls, store: Store, n: int) -> HeartbeatTable:
        """Return a table of `n` tasks of other processes, in a file."""
        heartbeats = cls(store.make_table(n))
        heartbeats.wipe()
        return heartbeats

    def begin(self, task: int) -> None:
        """Note that `task` begins."""
        row = _open(self.table)[task]
        row[1] = time.monotonic()
        row[0] = 0.0

    def move(self, task: int, position: int) -> None:
        """Note that `task` is at step `position`."""
        _open(self.table)[task, 0] = position

    def end(self, task: int) -> None:
        """Note that `task` has ended."""
        _open(self.table)[task, 0] = _ENDED

    def wipe(self) -> None:
        """Forget everything."""
        self.table.open()[...] = _IDLE

    def read(self) -> np.ndarray:
        """Return the table as it is now."""
        return np.array(self.table.open())

    def find_running(self, tasks: Iterable[int]) -> dict[int, int]:
        """Return those of `tasks` that were begun and have not ended, with their steps."""
        at = self.read()[:, 0]
        return {i: int(at[i]) for i in tasks if at[i] >= 0}


def _open(table: ArrayRef) -> np.ndarray:
    """Return a table; that of a file stays mapped: a task notes each of its steps."""
    return _map(table) if isinstance(table, FileArray) else table.open()


@lru_cache(maxsize=2)
def _map(table: FileArray) -> np.ndarray:
    return table.open()
