"""Plotting backends: results can be plotted without importing :mod:`facet_nb.plots` in core.

As in pandas, each name stands for a module that is imported when the first figure is drawn. The
page about a run is made by :mod:`facet_nb.report` in the same way.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from facet_nb.core.errors import ValidationError

#: Modules with the ``plot_…`` functions, by the name of the backend. This is the only place below
#: :mod:`facet_nb.plots` that names it, so that the import graph has no circle.
_BACKENDS = {"matplotlib": "facet_nb.plots"}
_REPORT = "facet_nb.report"


def draw(function: str, *arguments: Any, backend: str = "matplotlib", **options: Any) -> Any:
    """Return the figure that a function of the plotting backend draws.

    Raises
    ------
    ValidationError
        If there is no such backend.
    """
    if backend not in _BACKENDS:
        raise ValidationError(f"unknown plotting backend {backend!r}: use {', '.join(_BACKENDS)}.")
    return getattr(import_module(_BACKENDS[backend]), function)(*arguments, **options)


def write_report(result: Any, path: Any = None) -> Any:
    """Return the page about a result; see :func:`facet_nb.report.make_report`."""
    return import_module(_REPORT).make_report(result, path)


def write_study_report(rows: Any, headers: Any, path: Any = None) -> Any:
    """Return the page about a study; see :func:`facet_nb.report.make_study_report`."""
    return import_module(_REPORT).make_study_report(rows, headers, path)
