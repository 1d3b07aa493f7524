"""Plot the time of each step of a run."""

from __future__ import annotations

from typing import Any

import numpy as np

from facet_nb.core.events import RunState
from facet_nb.plots import picture as pic


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
