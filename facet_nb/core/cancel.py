"""Cancellation tokens."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass

from facet_nb.core.errors import RunCancelled

#: Interval at which a waiting token polls its parent, in s.
_STEP_S = 0.05


class CancelToken:
    """Token that cancels a run; may be shared by threads, and serves one run.

    Parameters
    ----------
    parent : CancelToken | None
        A token whose cancellation also cancels this one (but not the other way round).

    Examples
    --------
    >>> token = CancelToken()
    >>> token.cancel()
    >>> token.cancelled
    True
    """

    def __init__(self, parent: CancelToken | None = None) -> None:
        self._event = threading.Event()
        self._parent = parent

    def cancel(self) -> None:
        """Request cancellation."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether cancellation was requested."""
        return self._event.is_set() or (self._parent is not None and self._parent.cancelled)

    def is_set(self) -> bool:
        """Whether cancellation was requested (the name that :class:`threading.Event` uses)."""
        return self.cancelled

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until cancellation is requested, for at most `timeout` seconds; return whether."""
        if self._parent is None:
            return self._event.wait(timeout)
        # An event cannot wait for two things: the parent is polled.
        end = None if timeout is None else time.monotonic() + timeout
        while not self.cancelled:
            left = _STEP_S if end is None else end - time.monotonic()
            if left <= 0:
                return False
            self._event.wait(min(left, _STEP_S))
        return True

    def check(self) -> None:
        """Raise :class:`RunCancelled` if cancellation was requested."""
        if self.cancelled:
            raise RunCancelled("the run was cancelled; the context you gave is unchanged.")


# A file, because other processes and the workers of a cluster share no event with the run.
@dataclass(frozen=True)
class FileToken:
    """Token for tasks in other processes: they stop once its file is gone.

    Attributes
    ----------
    path : str
        A file that the run deletes when it ends.
    """

    path: str

    def check(self) -> None:
        """Raise :class:`RunCancelled` if the file is gone."""
        if not os.path.exists(self.path):
            raise RunCancelled("the run that started this task has ended.")
