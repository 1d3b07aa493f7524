"""A token that asks a run to stop."""

from __future__ import annotations

import threading

from facet_nb.core.errors import RunCancelled


class CancelToken:
    """Asks a run to stop; may be shared by threads, and serves one run.

    Examples
    --------
    >>> token = CancelToken()
    >>> token.cancel()
    >>> token.cancelled
    True
    """

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask for the stop."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked."""
        return self._event.is_set()

    def is_set(self) -> bool:
        """Whether somebody asked (as :class:`threading.Event` names it)."""
        return self.cancelled

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until somebody asks, at most `timeout` seconds."""
        return self._event.wait(timeout)

    def check(self) -> None:
        """Raise :class:`RunCancelled` if somebody asked."""
        if self.cancelled:
            raise RunCancelled("the run was cancelled; the context you gave is unchanged.")
