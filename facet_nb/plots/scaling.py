"""Plot speed-up against the number of workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facet_nb.benchmark import BenchmarkTable
from facet_nb.benchmark.curves import ScalingCurve, find_curves
from facet_nb.benchmark.whatif import WhatIf, ask_what_if
from facet_nb.core.errors import ValidationError
from facet_nb.plots import palette
from facet_nb.plots import picture as pic


def draw_scaling(curves: Sequence[ScalingCurve], ax: Any, what_if: WhatIf | None = None) -> Any:
    """Draw speed-ups with 95 % intervals, the ideal line and what-if into `ax`; return `ax`."""
    if not curves:
        return palette.write_message(ax, "No configuration with several workers was measured.")
    most = max(max(curve.workers) for curve in curves)
    shown = most if what_if is None else max(most, min(4 * most, max(what_if.workers)))
    ideal = np.array([1, shown])
    ax.plot(ideal, ideal, ":", color=palette.GREY, linewidth=1.0, label="ideal")
    for i, curve in enumerate(curves):
        _draw_curve(curve, ax, i, len(curves))
    if what_if is not None:
        kept = [k for k, n in enumerate(what_if.workers) if n <= shown]
        x, y = ([values[k] for k in kept] for values in (what_if.workers, what_if.speedup))
        ax.plot(
            x, y, "--", color=palette.text_color(ax), linewidth=1.3, label=_label_what_if(what_if)
        )
    ax.set_xlabel("workers, outer × inner (number)")
    ax.set_ylabel("speed-up (times the best serial run)")
    lowest = min(s.low if s.low == s.low else s.value for c in curves for s in c.speedups)
    _scale(ax, shown, min(0.8, 0.85 * max(lowest, 0.2)))
    return ax


def plot_scaling(table: BenchmarkTable) -> pic.Picture:
    """Plot speed-up against the number of workers, for each mode and backend.

    The dotted line is ideal scaling. The dashed line is predicted: the speed-up that the recorded
    batches would allow on more workers, which slow each other down as measured; the legend shows
    its error at measured numbers of workers, each predicted from the others.

    Parameters
    ----------
    table : BenchmarkTable
        Measurements.

    Returns
    -------
    Picture
        A figure with a caption.
    """
    picture = pic.make_picture(8.0, 4.0)
    (ax,) = pic.add_axes(picture)
    curves = find_curves(table)
    what_if = _find_what_if(table)
    draw_scaling(curves, ax, what_if)
    if not curves:
        picture.caption = "No configuration with several workers was measured yet."
        return picture
    palette.add_legend(picture)
    picture.caption = _caption(curves, what_if)
    palette.note_noise(picture, table)
    return picture


def _scale(ax: Any, shown: int, bottom: float) -> None:
    """Make both axes logarithmic, so that ideal scaling is a straight line."""
    x = [n for n in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128) if n <= shown]
    y = [v for v in (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128) if bottom <= v <= 1.2 * shown]
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set_xticks(x, [str(n) for n in x])
    ax.set_yticks(y, [f"{v:g}" for v in y])
    ax.minorticks_off()
    ax.set_xlim(0.93, 1.1 * shown)
    ax.set_ylim(bottom, 1.15 * shown)


def find_shift(i: int, n_curves: int) -> float:
    """Return the factor that shifts a curve sideways, so that intervals do not overlap."""
    return 1.0 + 0.015 * (i - (n_curves - 1) / 2)


def _draw_curve(curve: ScalingCurve, ax: Any, i: int, n_curves: int) -> None:
    # Modes that share a backend share its colour: the markers tell them apart.
    color = palette.find_visible(palette.choose_color(curve.configuration), ax)
    x = np.array(curve.workers) * find_shift(i, n_curves)
    y = np.array([s.value for s in curve.speedups])
    low = np.array([s.low if s.low == s.low else s.value for s in curve.speedups])
    high = np.array([s.high if s.high == s.high else s.value for s in curve.speedups])
    marker = palette.MARKERS[i % len(palette.MARKERS)]
    ax.errorbar(
        x,
        y,
        yerr=np.maximum(0.0, [y - low, high - y]),
        fmt=f"{marker}-",
        color=color,
        capsize=3,
        markersize=5,
        linewidth=1.2,
        label=palette.label_curve(curve),
    )
    if curve.amdahl is not None:
        fine = np.linspace(1, max(curve.workers), 100)
        ax.plot(fine, curve.amdahl.predict(list(fine)), color=color, linewidth=0.8, alpha=0.5)


def _find_what_if(table: BenchmarkTable) -> WhatIf | None:
    try:
        return ask_what_if(table)
    except ValidationError:  # one worker was not measured: omit the dashed line
        return None


def _label_what_if(what_if: WhatIf) -> str:
    """Return its name, with the error of time at each number of workers that was held out."""
    errors = [
        f"{check.error:+.0%} at {check.configuration.n_jobs}".replace("-", "−")
        for check in what_if.checks
    ]
    lines = [", ".join(errors[i : i + 2]) for i in range(0, len(errors), 2)] or ["error unknown"]
    name = f"what if, {palette.shorten_mode(what_if.mode)}, predicted"
    if errors:
        lines[0] = f"held out: time off by {lines[0]}"
    return "\n".join([name, f"({lines[0]}", *lines[1:]]) + ")"


def _caption(curves: Sequence[ScalingCurve], what_if: WhatIf | None) -> str:
    best = max((row for c in curves for row in c.rows), key=lambda row: row.speedup.value)
    s, c = best.speedup, best.configuration
    text = f"The highest speed-up is {s.value:.2f}"
    if s.low == s.low:
        text += f" (95 % interval {s.low:.2f} to {s.high:.2f})"
    text += f", of {c.label}: {best.efficiency:.0%} of the ideal for {c.workers} worker"
    text += "." if c.workers == 1 else "s."
    if what_if is not None and what_if.speedup:
        text += (
            f" Its batches would allow at most {max(what_if.speedup):.1f} (predicted, up to "
            f"{max(what_if.workers)} workers)."
            if c.mode == what_if.mode
            else ""
        )
    return text
