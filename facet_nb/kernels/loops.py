"""Small loops, compiled where numba is present.

numba is imported when a loop is first needed, not before: importing the package stays quick, and
workers that need no loop stay small.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any


@lru_cache(maxsize=1)
def _compiled() -> Any:
    """Return the module of compiled loops, or None where numba is missing."""
    try:
        return import_module("facet_nb.kernels.compiled")
    except ImportError:
        return None


def load(name: str, twin: Callable) -> Callable:
    """Return the compiled loop `name`, or its `twin` in numpy."""
    return getattr(_compiled(), name, twin)
