"""Colours, labels and notes of figures of measurements."""

from __future__ import annotations

from typing import Any

from facet_nb.benchmark import BenchmarkTable, Configuration
from facet_nb.benchmark.curves import ScalingCurve, name_curve
from facet_nb.benchmark.measurement import find_backend, find_mode
from facet_nb.plots import picture as pic

#: Okabe and Ito's colours; series also differ in marker and line.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#595959")
MARKERS = "osD^vPX"
GREY = "#8c8c8c"
#: Least difference of a line from the background, in its red, green or blue component (0 to 1).
_LEAST_CONTRAST = 0.4


def choose_color(configuration: Configuration) -> str:
    """Return the colour of the backend where several jobs run, else that of the mode."""
    c = configuration
    return find_backend(c.backend).color if c.n_jobs > 1 else find_mode(c.mode).color


def find_visible(color: str, ax: Any) -> Any:
    """Return `color`, or the colour of texts if `color` is hardly visible on the background."""
    from matplotlib.colors import to_rgb

    color_rgb, paper_rgb = to_rgb(color), to_rgb(ax.figure.get_facecolor())
    apart = max(abs(c - p) for c, p in zip(color_rgb, paper_rgb, strict=True))
    return color if apart > _LEAST_CONTRAST else text_color(ax)


def shorten_mode(mode: str) -> str:
    """Return the short name of a mode."""
    return find_mode(mode).short_label or mode


def label_curve(curve: ScalingCurve) -> str:
    """Return the short name of a scaling curve, such as ``sequential, threads``."""
    c = curve.configuration
    return name_curve(c, shorten_mode(c.mode))


def shorten(configuration: Configuration) -> str:
    """Return a label that fits beside a point, such as ``sequential 4 thr``."""
    c = configuration
    parts = [shorten_mode(c.mode)]
    if c.n_jobs > 1:
        parts.append(f"{c.n_jobs} {find_backend(c.backend).short_label or c.backend}")
    if c.n_workers > 1:
        parts.append(f"× {c.n_workers} inner")
    if c.batch_size > 1:
        parts.append(f"by {c.batch_size}")
    return " ".join(parts)


def write_message(ax: Any, text: str) -> Any:
    """Write into empty axes why they are empty; return `ax`."""
    ax.set_axis_off()
    ax.text(
        0.5,
        0.5,
        text,
        ha="center",
        va="center",
        transform=ax.transAxes,
        color=text_color(ax),
        alpha=0.75,
    )
    return ax


def text_color(ax: Any) -> Any:
    """Return the colour of texts, and of lines that belong to no series: white in dark styles."""
    return ax.xaxis.label.get_color()


def note_noise(picture: pic.Picture, table: BenchmarkTable) -> None:
    """Note above the figure and in its caption if the machine was busy."""
    if table.noise is None or not table.noise.busy:
        return
    text = "⚠ the machine was busy"
    picture.suptitle(text, x=0.01, ha="left", fontsize=8, color=pic.BEFORE)
    picture.caption += " The machine was busy while this was measured."


def add_legend(picture: pic.Picture, *arguments: Any, title: str = "") -> None:
    """Add a legend beside the axes, whose texts are never parsed as formulas."""
    legend = picture.legend(
        *arguments, title=title, loc="outside right upper", frameon=False, alignment="left"
    )
    for text in (*legend.get_texts(), legend.get_title()):
        text.set_parse_math(False)
