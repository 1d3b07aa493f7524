"""Figures: functions over data and axes, without pyplot and its state.

The only package that imports matplotlib, which comes with the ``lab`` extra. ``plot_…`` functions
return a :class:`Picture`, a matplotlib figure that notebooks show; ``draw_…`` functions take data
and an ``ax`` and return the ``ax``.
"""

from __future__ import annotations

from facet_nb.plots.before_after import draw_trace, picture_of, plot_before_after
from facet_nb.plots.chains import plot_chains
from facet_nb.plots.comparison import Comparison, Trace, compare, list_channels
from facet_nb.plots.picture import Picture, uses_widget_backend
from facet_nb.plots.recording import plot_channels
from facet_nb.plots.spectra import draw_spectrum, plot_psd, spectrum_of
from facet_nb.plots.step_times import draw_step_times, plot_step_times

__all__ = [
    "Comparison",
    "Picture",
    "Trace",
    "compare",
    "draw_spectrum",
    "draw_step_times",
    "draw_trace",
    "list_channels",
    "picture_of",
    "plot_before_after",
    "plot_chains",
    "plot_channels",
    "plot_psd",
    "plot_step_times",
    "spectrum_of",
    "uses_widget_backend",
]
