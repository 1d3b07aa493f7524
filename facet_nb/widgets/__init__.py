"""Panels for notebooks: thin views over :mod:`facet_nb.models`.

The only package that imports ipywidgets and IPython, which come with the ``lab`` extra.
"""

from __future__ import annotations

from facet_nb.widgets.control_panel import ControlPanel
from facet_nb.widgets.pump import Pump

__all__ = ["ControlPanel", "Pump"]
