"""Colours and remarks that figures of measurements share."""

from __future__ import annotations

from typing import Any

from facet_nb.benchmark import BenchmarkTable, Configuration
from facet_nb.plots import picture as pic

#: Okabe and Ito's colours; series also differ in marker and line.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#595959")
MARKERS = "osD^vPX"
GREY = "#8c8c8c"

_MODES = {"serial": "serial", "channel_sequential": "sequential", "parallel": "parallel"}
_KINDS = {"threading": "thr", "multiprocessing": "proc"}


def shorten_way(label: str) -> str:
    """Return the label of a scaling curve in fewer letters."""
    return label.replace("channel_sequential", "sequential").replace("multiprocessing", "processes")


def shorten(configuration: Configuration) -> str:
    """Return a label that fits beside a point: ``sequential 4 thr``."""
    c = configuration
    parts = [_MODES.get(c.mode, c.mode)]
    if c.n_jobs > 1:
        parts.append(f"{c.n_jobs} {_KINDS.get(c.backend, c.backend)}")
    if c.n_workers > 1:
        parts.append(f"× {c.n_workers} inner")
    if c.batch_size > 1:
        parts.append(f"by {c.batch_size}")
    return " ".join(parts)


def say(ax: Any, text: str) -> Any:
    """Write into empty axes why there is nothing to see; return `ax`."""
    ax.set_axis_off()
    ax.text(
        0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes, color=ink(ax), alpha=0.75
    )
    return ax


def ink(ax: Any) -> Any:
    """Return the colour of lines and texts that name no series: black, unless the style is dark."""
    return ax.xaxis.label.get_color()


def note_noise(picture: pic.Picture, table: BenchmarkTable) -> None:
    """Say above the figure, and in its caption, that the machine was busy."""
    if table.noise is None or not table.noise.busy:
        return
    text = "⚠ the machine was busy"
    picture.suptitle(text, x=0.01, ha="left", fontsize=8, color=pic.BEFORE)
    picture.caption += " The machine was busy while this was measured."


def add_legend(picture: pic.Picture, *arguments: Any, title: str = "") -> None:
    """Put a legend beside the axes; its texts are text, never formulas."""
    legend = picture.legend(
        *arguments, title=title, loc="outside right upper", frameon=False, alignment="left"
    )
    for text in (*legend.get_texts(), legend.get_title()):
        text.set_parse_math(False)
