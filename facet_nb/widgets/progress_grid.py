"""Progress of a run as a table of steps × channels."""

from __future__ import annotations

from dataclasses import dataclass

from facet_nb.core.events import RunState
from facet_nb.widgets.fragments import write_duration, write_text

#: Largest number of columns; more channels share columns.
MOST_COLUMNS = 40

_EVERYTHING = "all channels"


@dataclass(frozen=True)
class FailedStep:
    """Where a run failed: index of the step, and the channel (or channels, separated by commas)."""

    index: int | None = None
    channel: str | None = None


def write_grid(state: RunState, failure: FailedStep | None = None) -> str:
    """Return the grid of a run, with a row for each step and a column for each channel.

    The row of a step that is not channel-wise is filled when the step is done.
    """
    if not state.steps:
        return ""
    channels = [c for c in state.channels if c != _EVERYTHING]
    columns = _share(channels)
    failure = failure or FailedStep()
    by_step: dict[int, set[str]] = {}
    for i, channel in state.cells:
        by_step.setdefault(i, set()).add(channel)
    rows = "".join(
        _write_row(state, i, name, columns, failure, by_step) for i, name in enumerate(state.steps)
    )
    return (
        '<table class="fnb-grid-table"><caption>Steps and channels: a filled cell is done</caption>'
        f"<thead><tr><th></th><th>channels</th><th>time</th>{_write_heads(columns)}</tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _share(channels: list[str]) -> list[list[str]]:
    """Return the channels of each column."""
    size = -(-len(channels) // MOST_COLUMNS) or 1
    return [channels[i : i + size] for i in range(0, len(channels), size)]


def _write_heads(columns: list[list[str]]) -> str:
    if any(len(column) > 1 for column in columns):
        text = f"{columns[0][0]} … {columns[-1][-1]} ({len(columns[0])} channels in a cell)"
        return f'<th class="fnb-shared" colspan="{len(columns)}">{write_text(text)}</th>'
    return "".join(
        f'<th class="fnb-upright"><span>{write_text(column[0])}</span></th>' for column in columns
    )


def _write_row(
    state: RunState,
    index: int,
    name: str,
    columns: list[list[str]],
    failure: FailedStep,
    by_step: dict[int, set[str]],
) -> str:
    n_channels = sum(len(column) for column in columns)
    whole = index in state.steps_done or (index, _EVERYTHING) in state.cells
    through = _find_through(state, index, by_step)
    done = [len(c) if whole else sum(channel in through for channel in c) for c in columns]
    failed = _failed_columns(index, columns, failure)
    cells = "".join(
        _write_cell(n, len(column), number in failed)
        for number, (n, column) in enumerate(zip(done, columns, strict=True))
    )
    busy = index in state.stage_steps and state.status == "running"
    css = "fnb-row-failed" if failure.index == index else "fnb-row-busy" if busy else ""
    count = ("done" if whole else "") if not n_channels else f"{sum(done)} of {n_channels}"
    wall_s = state.step_wall_s[index]
    took = write_duration(wall_s) if wall_s else ""
    return (
        f'<tr class="{css}"><th scope="row">{index + 1}. {write_text(name)}</th>'
        f"<td>{count}</td><td>{took}</td>{cells}</tr>"
    )


def _find_through(state: RunState, index: int, by_step: dict[int, set[str]]) -> set[str]:
    """Return the channels that have finished a step.

    A channel that has finished a later step of the stage has finished this one as well: of fused
    steps, only one reports a time.
    """
    later = [i for i in state.stage_steps if i >= index] if index in state.stage_steps else [index]
    return set().union(*(by_step.get(i, set()) for i in later))


def _failed_columns(index: int, columns: list[list[str]], failure: FailedStep) -> set[int]:
    if failure.index != index or not failure.channel:
        return set()
    names = set(failure.channel.split(", ")) | {failure.channel}
    return {i for i, column in enumerate(columns) if names & set(column)}


def _write_cell(n_done: int, size: int, failed: bool) -> str:
    if failed:
        return '<td class="fnb-cell fnb-cell-failed">×</td>'
    if n_done == size:
        return '<td class="fnb-cell fnb-cell-done"></td>'
    if n_done:
        return '<td class="fnb-cell fnb-cell-part"></td>'
    return '<td class="fnb-cell"></td>'
