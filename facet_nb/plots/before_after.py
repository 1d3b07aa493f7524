"""Plot one channel before and after a run, and the removed part."""

from __future__ import annotations

from typing import Any

from facet_nb.core import ProcessingContext
from facet_nb.plots import picture as pic
from facet_nb.plots.comparison import Comparison, Trace, compare
from facet_nb.plots.sketch import Curve, Sketch, SketchRow


def draw_trace(trace: Trace, ax: Any, *, color: str, label: str) -> Any:
    """Draw a trace into `ax`, in µV over s, as its envelope if it is long; return `ax`."""
    curve = Curve(trace.times_s, 1e6 * trace.values_v, color, label)
    return pic.draw_row(SketchRow((curve,), "µV"), ax)


def plot_before_after(
    context: ProcessingContext,
    channel: str | int | None = None,
    tmin_s: float | None = None,
    tmax_s: float | None = None,
    *,
    removed: str = "auto",
) -> pic.Picture:
    """Plot one channel before and after a run, and the removed part, each on its own scale.

    Parameters
    ----------
    context : ProcessingContext
        Result of a run.
    channel : str | int | None
        Name or position; None for the first good data channel.
    tmin_s, tmax_s : float | None
        Start and end, in s from the start of the original recording. By default 5 s, starting
        1 s before the first trigger.
    removed : {"auto", "difference", "noise"}
        What to show as the removed part; see :func:`facet_nb.plots.compare`.

    Returns
    -------
    Picture
        A figure with a caption.

    Raises
    ------
    ValidationError
        If there is no such channel, or no samples between `tmin_s` and `tmax_s`.
    """
    return picture_of(compare(context, channel, tmin_s, tmax_s, removed=removed))


def picture_of(
    comparison: Comparison, picture: pic.Picture | None = None, *, width_in: float = 9.0
) -> pic.Picture:
    """Return the picture of a comparison; a given picture is cleared and reused."""
    sketch = sketch_signal(comparison)
    return pic.render(sketch, picture, (width_in, 0.9 + 1.35 * len(sketch.rows)))


def sketch_signal(comparison: Comparison) -> Sketch:
    """Return the same figure as SVG, which takes a few milliseconds."""
    rows = [
        ("before", comparison.before, pic.BEFORE),
        ("after", comparison.after, pic.AFTER),
        (comparison.label, comparison.removed, pic.REMOVED),
    ]
    shown = [(label, trace, color) for label, trace, color in rows if trace is not None]
    parts = tuple(
        SketchRow(
            (Curve(trace.times_s, 1e6 * trace.values_v, color, label),),
            "µV",
            "time (s)" if i == len(shown) else "",
        )
        for i, (label, trace, color) in enumerate(shown, 1)
    )
    return Sketch(f"Channel {comparison.channel}", parts, comparison.caption)
