"""A token that asks a run to stop."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass

from facet_nb.core.errors import RunCancelled

#: How often a token looks at its parent while it waits.
_STEP_S = 0.05


class CancelToken:
    """Asks a run to stop; may be shared by threads, and serves one run.

    Parameters
    ----------
    parent : CancelToken | None
        A token that counts for this one, too (but not the other way round).

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
        """Ask for the stop."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked."""
        return self._event.is_set() or (self._parent is not None and self._parent.cancelled)

    def is_set(self) -> bool:
        """Whether somebody asked (as :class:`threading.Event` names it)."""
        return self.cancelled

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until somebody asks, at most `timeout` seconds."""
        if self._parent is None:
            return self._event.wait(timeout)
        end = None if timeout is None else time.monotonic() + timeout
        while not self.cancelled:
            left = _STEP_S if end is None else end - time.monotonic()
            if left <= 0:
                return False
            self._event.wait(min(left, _STEP_S))
        return True

    def check(self) -> None:
        """Raise :class:`RunCancelled` if somebody asked."""
        if self.cancelled:
            raise RunCancelled("the run was cancelled; the context you gave is unchanged.")


@dataclass(frozen=True)
class FileToken:
    """Asks tasks of other processes to stop: a file that is there as long as the run is.

    Attributes
    ----------
    path : str
        The file.
    """

    path: str

    def check(self) -> None:
        """Raise :class:`RunCancelled` if the file is gone."""
        if not os.path.exists(self.path):
            raise RunCancelled("the run that wanted this is over.")
