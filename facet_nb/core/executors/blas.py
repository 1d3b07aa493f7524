"""BLAS in one thread during runs: so that sums have one order, and workers one core each."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_owners = 0
_limits: Any = None


def _forget() -> None:
    """After a fork: runs of the parent's other threads are none of the child's."""
    global _lock, _owners, _limits
    _lock, _owners, _limits = threading.Lock(), 0, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit BLAS to one thread while any run is on; the last run to end restores it."""
    import threadpoolctl

    global _owners, _limits
    with _lock:
        _owners += 1
        if _owners == 1:
            with _control(threadpoolctl):
                _limits = threadpoolctl.threadpool_limits(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            _owners -= 1
            if _owners == 0:
                with _control(threadpoolctl):
                    _limits.restore_original_limits()
                _limits = None


@contextmanager
def _control(threadpoolctl: Any) -> Iterator[None]:
    """Let this thread set a limit, and any other one the next.

    From 3.7 on, threadpoolctl lets only the first thread that set a limit change it: the thread of
    a panel could neither limit BLAS after a run in a cell, nor restore what a cell had limited.
    """
    controller = getattr(threadpoolctl, "OpenBLASController", None)
    clear = getattr(controller, "clear_controlling_thread", lambda force: None)
    clear(force=True)
    try:
        yield
    finally:
        clear(force=True)
