"""Panels for notebooks: thin views of :mod:`facet_nb.models`.

This is the only package that imports ipywidgets and IPython, which come with the ``lab`` extra.
"""

from __future__ import annotations

from facet_nb.core.errors import check_extra

check_extra("lab", "ipywidgets", "anywidget", "IPython", "matplotlib")

from facet_nb.widgets.batch_panel import BatchPanel
from facet_nb.widgets.chain_editor import ChainEditor
from facet_nb.widgets.compare_panel import ComparePanel
from facet_nb.widgets.control_panel import ControlPanel
from facet_nb.widgets.pump import Pump
from facet_nb.widgets.run_panel import RunPanel
from facet_nb.widgets.signal_view import SignalView
from facet_nb.widgets.studio import Studio
from facet_nb.widgets.tune_panel import TunePanel

__all__ = [
    "BatchPanel",
    "ChainEditor",
    "ComparePanel",
    "ControlPanel",
    "Pump",
    "RunPanel",
    "SignalView",
    "Studio",
    "TunePanel",
]
