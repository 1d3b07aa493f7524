"""Plot lost time by cause, and the time of each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facet_nb.benchmark import BenchmarkTable, Configuration, SummaryRow
from facet_nb.benchmark.curves import find_waterfall
from facet_nb.benchmark.waterfall import Waterfall
from facet_nb.core.errors import ValidationError
from facet_nb.core.events import RunState
from facet_nb.plots import palette
from facet_nb.plots import picture as pic


def draw_waterfall(fall: Waterfall, ax: Any) -> Any:
    """Draw ideal, lost and measured time as a waterfall into `ax`; return `ax`."""
    names = ["ideal", *(name for name, _ in fall.lost.parts), "measured"]
    level, edges = fall.ideal_s, [0.0]
    heights, bottoms, colors = [fall.ideal_s], [0.0], [pic.EXTRA]
    for _, seconds in fall.lost.parts:
        heights.append(seconds)
        bottoms.append(level)
        colors.append(pic.BEFORE if seconds >= 0 else "#56B4E9")
        edges.append(level)
        level += seconds
    heights.append(fall.measured_s)
    bottoms.append(0.0)
    colors.append(pic.AFTER)
    x = np.arange(len(names))
    ax.bar(x, heights, 0.62, bottom=bottoms, color=colors)
    tops = [b + h for b, h in zip(bottoms, heights, strict=True)]
    for i in range(len(names) - 1):
        ax.plot([i + 0.31, i + 1.31], [tops[i]] * 2, color=palette.text_color(ax), linewidth=0.8)
    span = max(*tops, *bottoms)
    for i, (bottom, height) in enumerate(zip(bottoms, heights, strict=True)):
        ax.text(
            i,
            max(bottom, bottom + height) + 0.015 * span,
            _show(height, signed=0 < i < len(names) - 1),
            ha="center",
            va="bottom",
            fontsize=8,
        )
    ax.set_ylim(min(0.0, *tops) * 1.1, 1.12 * span)
    ax.set_xticks(x, names)
    ax.grid(visible=False, axis="x")
    ax.set_ylabel("wall time (s)")
    return ax


def plot_waterfall(
    table: BenchmarkTable, configuration: Configuration | None = None
) -> pic.Picture:
    """Plot where a run with several workers loses time.

    Parameters
    ----------
    table : BenchmarkTable
        Measurements.
    configuration : Configuration | None
        The run to show; None for the fastest one with several workers.

    Returns
    -------
    Picture
        A figure with a caption.
    """
    picture = pic.make_picture(9.0, 3.6)
    (ax,) = pic.add_axes(picture)
    row = _choose(table, configuration)
    try:
        if row is None:
            raise ValidationError("No run with several workers was measured.")
        fall = find_waterfall(table, row)
    except ValidationError as error:
        palette.write_message(ax, str(error))
        picture.caption = str(error)
        return picture
    draw_waterfall(fall, ax)
    ax.set_title(fall.label, loc="left", parse_math=False)
    name, seconds = max(fall.lost.parts, key=lambda part: part[1])
    picture.caption = (
        f"{fall.label}: {fall.measured_s:.2f} s instead of the ideal {fall.ideal_s:.2f} s on "
        f"{fall.workers} workers; the largest loss is {name}, {seconds:.2f} s."
    )
    palette.note_noise(picture, table)
    return picture


def draw_step_bars(rows: Sequence[SummaryRow], ax: Any) -> Any:
    """Draw the time of each step, summed over batches, of several runs into `ax`; return `ax`."""
    traced = [r for r in rows if r.point.trace is not None and r.point.trace.stages]
    if not traced:
        return palette.write_message(ax, "No run was timed.")
    names = _list_steps(traced[0])
    height = 0.8 / len(traced)
    for i, row in enumerate(traced):
        assert row.point.trace is not None
        walls = [w for stage in row.point.trace.stages for w in stage.step_wall_s]
        ax.barh(
            np.arange(len(walls)) - 0.4 + (i + 0.5) * height,
            walls,
            0.9 * height,
            color=palette.COLORS[i % len(palette.COLORS)],
            label=palette.shorten(row.configuration),
        )
    labels = [f"{k}. {name}" for k, name in enumerate(names, 1)]
    ax.set_yticks(np.arange(len(names)), labels, parse_math=False)
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("time, summed over batches (s)")
    return ax


def plot_step_bars(table: BenchmarkTable, most: int = 4) -> pic.Picture:
    """Plot the time of each step in the fastest runs.

    The times of concurrent workers are added up: a bar that is longer than in the serial run shows
    that workers slow each other down.

    Parameters
    ----------
    table : BenchmarkTable
        Measurements.
    most : int
        Largest number of runs; the base is always shown.

    Returns
    -------
    Picture
        A figure with a caption.
    """
    usable = [r for r in table.rows if r.point.usable and r.point.trace and not r.machine]
    chosen = sorted(usable, key=lambda r: (r.verdict != "base", r.wall_s))[:most]
    n_steps = len(_list_steps(chosen[0])) if chosen else 1
    picture = pic.make_picture(9.0, 1.3 + (0.16 + 0.12 * len(chosen)) * max(2, n_steps))
    (ax,) = pic.add_axes(picture)
    draw_step_bars(chosen, ax)
    if not chosen:
        picture.caption = "No run has been timed yet."
        return picture
    palette.add_legend(picture)
    trace = chosen[0].point.trace
    assert trace is not None
    walls = [w for stage in trace.stages for w in stage.step_wall_s]
    longest = int(np.argmax(walls))
    share = walls[longest] / sum(walls) if sum(walls) else 0.0
    picture.caption = (
        f"In {chosen[0].configuration.label}, {_list_steps(chosen[0])[longest]} takes {share:.0%} "
        f"of the time of all {n_steps} steps."
    )
    palette.note_noise(picture, table)
    return picture


def _list_steps(row: SummaryRow) -> list[str]:
    trace = row.point.trace
    return [] if trace is None else [name for stage in trace.stages for name in stage.names]


def _choose(table: BenchmarkTable, configuration: Configuration | None) -> SummaryRow | None:
    if configuration is not None:
        return table.find(configuration)
    rows = [r for r in table.rows if r.point.usable and not r.machine]
    several = [r for r in rows if r.configuration.workers > 1]
    return min(several, key=lambda r: r.wall_s, default=None)


def _show(seconds: float, signed: bool) -> str:
    digits = 3 if abs(seconds) < 1 else 2
    text = f"{seconds:+.{digits}f}" if signed else f"{seconds:.{digits}f}"
    return text.replace("-", "−")


def draw_step_times(state: RunState, ax: Any) -> Any:
    """Draw wall and CPU time of each step, in s, as bars into `ax`; return `ax`."""
    rows = np.arange(len(state.steps))
    ax.barh(rows - 0.2, state.step_wall_s, 0.38, color=pic.AFTER, label="wall")
    ax.barh(rows + 0.2, state.step_cpu_s, 0.38, color=pic.BEFORE, label="CPU")
    ax.set_yticks(rows)
    names = [f"{i}. {name}" for i, name in enumerate(state.steps, 1)]
    ax.set_yticklabels(names, parse_math=False)
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("time, summed over batches (s)")
    return ax


def plot_step_times(state: RunState) -> pic.Picture:
    """Plot the measured time of each step.

    With several workers the times of a step overlap, so that the sum exceeds the time of the run.

    Parameters
    ----------
    state : RunState
        State after the run: ``result.state``.

    Returns
    -------
    Picture
        A figure with a caption.
    """
    picture = pic.make_picture(9.0, 1.2 + 0.38 * max(1, len(state.steps)))
    (ax,) = pic.add_axes(picture)
    draw_step_times(state, ax)
    picture.legend(loc="outside upper right", ncols=2, frameon=False)
    total_s = sum(state.step_wall_s)
    if not state.steps:
        picture.caption = "No step has run yet."
        return picture
    longest = int(np.argmax(state.step_wall_s))
    share = 100.0 * state.step_wall_s[longest] / total_s if total_s else 0.0
    picture.caption = (
        f"Measured time of {len(state.steps)} steps: {total_s:.2f} s in all, {share:.0f} % of it "
        f"in {state.steps[longest]}."
    )
    return picture
