"""The settings of matplotlib that all figures have."""

from __future__ import annotations

from typing import Any

#: matplotlib settings of all figures.
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.axisbelow": True,
    "font.size": 9.0,
    "svg.fonttype": "path",
    "svg.hashsalt": "facet_nb",
}


def use_style(style: dict[Any, Any] = STYLE) -> Any:
    """Return a context in which matplotlib has these settings."""
    import matplotlib

    return matplotlib.rc_context(style)
