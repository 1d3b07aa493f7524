"""The door to plots: results draw themselves without importing what draws.

As pandas has plotting backends, a name stands for a module that is imported when a plot is asked
for. This table is the only place below :mod:`facet_nb.plots` that names it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from facet_nb.core.errors import ValidationError

#: Modules with the ``plot_…`` functions, by the name of what draws.
_BACKENDS = {"matplotlib": "facet_nb.plots"}


def draw(function: str, *arguments: Any, backend: str = "matplotlib", **options: Any) -> Any:
    """Return the figure of ``function(*arguments, **options)``, a function of the backend.

    Raises
    ------
    ValidationError
        If there is no such backend.
    """
    if backend not in _BACKENDS:
        raise ValidationError(f"unknown plotting backend {backend!r}: use {', '.join(_BACKENDS)}.")
    return getattr(import_module(_BACKENDS[backend]), function)(*arguments, **options)
