"""Figures: functions of data and axes, without pyplot and its state.

This is the only package that imports matplotlib, which comes with the ``lab`` extra. Functions
``plot_…`` return a :class:`Picture`, a matplotlib figure that notebooks display; functions
``draw_…`` take data and an ``ax`` and return the ``ax``; functions ``sketch_…`` return SVG.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facet_nb.core.errors import check_extra

check_extra("lab", "matplotlib")

from facet_nb.plots.before_after import (
    draw_trace,
    picture_of,
    plot_before_after,
    sketch_signal,
)
from facet_nb.plots.benchmark_report import write_benchmark_report
from facet_nb.plots.chains import plot_chains, sketch_chains
from facet_nb.plots.comparison import Comparison, Trace, compare, list_channels
from facet_nb.plots.heat_map import draw_heat_map, plot_heat_map
from facet_nb.plots.lanes import draw_lanes, plot_lanes
from facet_nb.plots.lost_time import (
    draw_step_bars,
    draw_step_times,
    draw_waterfall,
    plot_step_bars,
    plot_step_times,
    plot_waterfall,
)
from facet_nb.plots.memory import draw_memory, plot_memory
from facet_nb.plots.pareto import draw_pareto, plot_pareto
from facet_nb.plots.picture import uses_widget_backend
from facet_nb.plots.plan import draw_stage, plot_plan
from facet_nb.plots.recording import plot_channels
from facet_nb.plots.run_figures import (
    draw_density,
    draw_intervals,
    draw_locked,
    draw_stack,
    plot_topographies,
)
from facet_nb.plots.scaling import draw_scaling, plot_scaling
from facet_nb.plots.side_by_side import plot_side_by_side, sketch_side_by_side
from facet_nb.plots.sketch import Sketch
from facet_nb.plots.spectra import draw_spectrum, plot_psd, sketch_spectrum, spectrum_of
from facet_nb.plots.tuning import tuning_picture

if TYPE_CHECKING:
    from facet_nb.plots.figure import Picture

__all__ = [
    "Comparison",
    "Picture",
    "Sketch",
    "Trace",
    "compare",
    "draw_density",
    "draw_heat_map",
    "draw_intervals",
    "draw_lanes",
    "draw_locked",
    "draw_memory",
    "draw_pareto",
    "draw_stage",
    "draw_scaling",
    "draw_spectrum",
    "draw_stack",
    "draw_step_bars",
    "draw_step_times",
    "draw_trace",
    "draw_waterfall",
    "list_channels",
    "picture_of",
    "plot_before_after",
    "plot_chains",
    "plot_channels",
    "plot_heat_map",
    "plot_lanes",
    "plot_memory",
    "plot_pareto",
    "plot_plan",
    "plot_psd",
    "plot_scaling",
    "plot_step_bars",
    "plot_topographies",
    "plot_side_by_side",
    "plot_step_times",
    "plot_waterfall",
    "sketch_chains",
    "sketch_side_by_side",
    "sketch_signal",
    "sketch_spectrum",
    "spectrum_of",
    "tuning_picture",
    "uses_widget_backend",
    "write_benchmark_report",
]


def __getattr__(name: str) -> Any:
    """Return the class of pictures, whose module imports matplotlib."""
    if name == "Picture":
        from facet_nb.plots.figure import Picture

        return Picture
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
