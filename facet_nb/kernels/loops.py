"""Small loops, compiled where numba is present.

numba is imported when a loop is first needed, not before: importing the package stays quick, and
workers that need no loop stay small.
"""

from __future__ import annotations

from collections.abc import Callable

from facet_nb.kernels.rows import find_compiled


def load(name: str, twin: Callable) -> Callable:
    """Return the compiled loop `name`, or its `twin` in numpy."""
    return find_compiled("compiled", name) or twin
