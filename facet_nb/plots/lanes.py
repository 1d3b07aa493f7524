"""Plot the timeline of workers: computing and waiting."""

from __future__ import annotations

from typing import Any

from facet_nb.benchmark import RunTrace
from facet_nb.plots import palette
from facet_nb.plots import picture as pic


def draw_lanes(trace: RunTrace, ax: Any) -> Any:
    """Draw the batches of each worker, and steps on all channels, into `ax`; return `ax`."""
    names = list(dict.fromkeys(b.worker for stage in trace.stages for b in stage.batches))
    places = {name: i for i, name in enumerate(names or ["one worker"])}
    for stage in trace.stages:
        if not stage.batches:  # one worker computes while the others wait
            ax.barh(0, stage.wall_s, 0.7, left=stage.start_s, color=pic.EXTRA, hatch="//")
        for batch in stage.batches:
            y = places[batch.worker]
            ax.barh(y, batch.compute_s, 0.7, left=batch.start_s, color=pic.AFTER, edgecolor="w")
            moved_s = batch.stop_s - batch.start_s - batch.compute_s
            left = batch.start_s + batch.compute_s
            ax.barh(y, moved_s, 0.35, left=left, color=palette.COLORS[4])
    ax.set_yticks(list(places.values()), list(places))
    ax.invert_yaxis()
    ax.set_xlim(0.0, trace.wall_s)
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("time (s)")
    return ax


def plot_lanes(trace: RunTrace, *, note: str = "") -> pic.Picture:
    """Plot what each worker did in a run, over time.

    Parameters
    ----------
    trace : RunTrace
        A run.
    note : str
        Word across the plot, such as ``"constructed"`` for a run that was not measured.

    Returns
    -------
    Picture
        A figure with a caption.
    """
    workers = {b.worker for stage in trace.stages for b in stage.batches}
    picture = pic.make_picture(9.0, 1.2 + 0.22 * max(1, len(workers)))
    (ax,) = pic.add_axes(picture)
    draw_lanes(trace, ax)
    busy_s = sum(b.compute_s for stage in trace.stages for b in stage.batches)
    area_s = trace.wall_s * max(1, len(workers))
    picture.caption = (
        f"Timeline of {len(workers)} workers over {trace.wall_s:.2f} s: blue, a batch is computed; "
        "orange, its samples are moved; hatched, a step on all channels runs on one worker; white, "
        f"nobody computes. Batches fill {busy_s / area_s:.0%} of the area."
    )
    if note:
        ax.text(0.5, 0.5, note, transform=ax.transAxes, ha="center", va="center", fontsize=26,
                alpha=0.25, rotation=8)  # fmt: skip
        picture.caption = f"{note.capitalize()}. {picture.caption}"
    return picture
