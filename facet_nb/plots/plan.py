"""Plot a plan: how channels are split over workers, pass the steps of a stage, and are merged."""

from __future__ import annotations

from typing import Any

from facet_nb.core.planning.plan import Plan, Stage
from facet_nb.plots import picture as pic

#: Most workers that are drawn side by side; the caption gives the number of the others.
_MOST_LANES = 4
_GAP, _BOX, _BAR = 0.14, 0.3, 0.26
_GLOBAL, _LANE, _EDGE = "#E8E8E8", "#D6E9F5", "#595959"


def plot_plan(plan: Plan, *, width_in: float = 7.5) -> pic.Picture:
    """Plot the stages of a plan from top to bottom, with the workers of a stage side by side.

    Parameters
    ----------
    plan : Plan
        Result of ``pipeline.plan(…)``.
    width_in : float
        Width, in inches.

    Returns
    -------
    Picture
        The figure; its caption says the same in words.
    """
    height_in = sum(_measure(stage) for stage in plan.stages) + _GAP
    picture = pic.make_picture(width_in, height_in)
    picture.set_layout_engine("none")  # the axes fill the picture, in inches
    ax = picture.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set(xlim=(0.0, width_in), ylim=(height_in, 0.0))
    ax.set_axis_off()
    top = _GAP
    for number, stage in enumerate(plan.stages, 1):
        top = draw_stage(stage, ax, top, number)
    picture.caption = describe_plan(plan)
    return picture


def describe_plan(plan: Plan) -> str:
    """Return the caption: one sentence for each stage."""
    parts = [
        f"Stage {number}, {_describe(stage)}: {', '.join(stage.names)}."
        for number, stage in enumerate(plan.stages, 1)
    ]
    return " ".join([f"A run with mode={plan.mode}.", *parts])


def draw_stage(stage: Stage, ax: Any, top: float, number: int) -> float:
    """Draw one stage into `ax`, whose units are inches, below `top`; return its lower end."""
    left, right = 0.2, ax.get_xlim()[1] - 0.2
    ax.text(left, top + 0.1, f"{number}. {_describe(stage)}", va="center", fontweight="bold")
    top += 0.25
    if stage.kind == "global":
        return _draw_boxes(stage.names, ax, (left, right), top, _GLOBAL) + _GAP
    lanes = min(stage.n_jobs, _MOST_LANES)
    width = (right - left - _GAP * (lanes - 1)) / lanes
    begin = _draw_bar(f"split: {_describe_batches(stage)}", ax, (left, right), top)
    end = begin
    for lane in range(lanes):
        place = (left + lane * (width + _GAP), left + lane * (width + _GAP) + width)
        middle = sum(place) / 2
        _draw_arrow(ax, middle, begin, begin + _GAP)
        end = _draw_boxes(stage.names, ax, place, begin + _GAP, _LANE)
        _draw_arrow(ax, middle, end, end + _GAP)
    more = stage.n_jobs - lanes
    merged = "merge: rows go to their places" + (f" ({more} more workers)" if more else "")
    return _draw_bar(merged, ax, (left, right), end + _GAP) + _GAP


def _measure(stage: Stage) -> float:
    """Return the height of a stage, in inches."""
    boxes = len(stage.names) * (_BOX + _GAP) - _GAP
    return 0.25 + boxes + _GAP + (0.0 if stage.kind == "global" else 2 * _BAR + 2 * _GAP)


def _describe(stage: Stage) -> str:
    if stage.kind == "global":
        return "all channels at once"
    inner = f", {stage.n_workers} inner threads each" if stage.n_workers > 1 else ""
    workers = "1 worker" if stage.n_jobs == 1 else f"{stage.n_jobs} workers ({stage.backend})"
    return f"batch by batch over {workers}{inner}"


def _describe_batches(stage: Stage) -> str:
    if stage.batch_size == 0:
        size = "batches of channels"
    else:
        size = "one channel" if stage.batch_size == 1 else f"{stage.batch_size} channels"
        size = f"{size} in each batch"
    chunk = stage.chunk_duration_s
    return size if chunk is None else f"{size}, in chunks of {chunk:g} s"


def _draw_boxes(
    names: tuple[str, ...], ax: Any, place: tuple[float, float], top: float, color: str
) -> float:
    """Draw one box below the other; return the lower end of the last."""
    for i, name in enumerate(names):
        if i:
            _draw_arrow(ax, sum(place) / 2, top, top + _GAP)
            top += _GAP
        _draw_box(name, ax, place, (top, _BOX), color)
        top += _BOX
    return top


def _draw_bar(text: str, ax: Any, place: tuple[float, float], top: float) -> float:
    _draw_box(text, ax, place, (top, _BAR), "white")
    return top + _BAR


def _draw_box(
    text: str, ax: Any, place: tuple[float, float], span: tuple[float, float], color: str
) -> None:
    """Draw a box that is `place` wide and at `span` (top, height), with `text` in its middle."""
    from matplotlib.patches import Rectangle

    (left, right), (top, height) = place, span
    style: dict[str, Any] = {"facecolor": color, "edgecolor": _EDGE, "linewidth": 0.8}
    ax.add_patch(Rectangle((left, top), right - left, height, **style))
    # Long names have a smaller font: about 14 characters per inch at 8 points.
    size = min(8.0, 8.0 * 14.0 * (right - left) / max(len(text), 1))
    ax.text((left + right) / 2, top + height / 2, text, ha="center", va="center", fontsize=size)


def _draw_arrow(ax: Any, x: float, begin: float, end: float) -> None:
    style = {"arrowstyle": "-|>", "color": _EDGE, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", (x, end), (x, begin), arrowprops=style)
