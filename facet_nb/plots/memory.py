"""Plot the memory of a run over time, by process."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from facet_nb.benchmark import BenchmarkPoint, MemoryUse
from facet_nb.benchmark.measurement import ProcessTimeline
from facet_nb.benchmark.memory import estimate_pss
from facet_nb.plots import palette
from facet_nb.plots import picture as pic

#: Processes with a band of their own; the others are summed up.
_SHOWN = 6


def draw_memory(memory: MemoryUse, ax: Any) -> Any:
    """Draw the stacked memory of the processes and the stages into `ax`; return `ax`."""
    if not memory.processes:
        return palette.write_message(ax, "Memory was not measured.")
    exact = memory.peak_pss_mb is not None
    times_s, rows, labels = _stack(memory, exact)
    colors = [palette.COLORS[i % len(palette.COLORS)] for i in range(len(rows))]
    ax.stackplot(times_s, rows, colors=colors, labels=labels, alpha=0.75, linewidth=0)
    ax.axhline(memory.peak_hwm_mb, color=palette.text_color(ax), linestyle="--", linewidth=1.0)
    top = 1.28 * max(memory.peak_hwm_mb, memory.peak_mb)
    ax.set_ylim(0, top)
    ax.text(
        times_s[-1],
        memory.peak_hwm_mb,
        f"sum of exact peaks {memory.peak_hwm_mb:.0f} MB",
        ha="right",
        va="bottom",
        fontsize=8,
    )
    ax.axhline(memory.base_mb, color=palette.text_color(ax), linestyle=":", linewidth=1.2)
    ax.text(
        times_s[-1],
        memory.base_mb - 0.01 * top,
        f"before the run {memory.base_mb:.0f} MB",
        ha="right",
        va="top",
        fontsize=8,
    )
    if exact:
        times, rows, _ = _stack(memory, exact=False)
        ax.plot(
            times,
            np.sum(rows, axis=0),
            color=palette.text_color(ax),
            linewidth=0.8,
            label="resident, in all",
        )
    _draw_bands(memory, ax, top)
    ax.set_xlim(times_s[0], times_s[-1])
    ax.set_xlabel("time (s)")
    ax.set_ylabel(f"memory, {'PSS' if exact else 'resident'} (MB)")
    return ax


def plot_memory(point: BenchmarkPoint) -> pic.Picture:
    """Plot the memory of a run of one configuration over time.

    Parameters
    ----------
    point : BenchmarkPoint
        A measured point, such as ``table.rows[0].point``.

    Returns
    -------
    Picture
        A figure with a caption.
    """
    picture = pic.make_picture(9.0, 3.4)
    (ax,) = pic.add_axes(picture)
    memory = point.memory
    if memory is None or not memory.processes:
        palette.write_message(ax, "Memory was not measured.")
        picture.caption = f"The memory of {point.configuration.label} was not measured."
        return picture
    draw_memory(memory, ax)
    ax.set_title(point.configuration.label, loc="left", parse_math=False)
    handles, labels = ax.get_legend_handles_labels()
    palette.add_legend(picture, handles, labels, title=_list_bands(memory))
    n = len(memory.processes)
    kind = "proportional memory" if memory.peak_pss_mb is not None else "resident memory"
    picture.caption = (
        f"{point.configuration.label}: at most {memory.peak_mb:.0f} MB of {kind} in {n} "
        f"process{'es' if n > 1 else ''} at once, {memory.base_mb:.0f} MB of it before the run; "
        f"the processes' own peaks add up to {memory.peak_hwm_mb:.0f} MB."
    )
    return picture


def _stack(memory: MemoryUse, exact: bool) -> tuple[np.ndarray, list[np.ndarray], list[str]]:
    """Return common times, a row for each process that is shown, and the names of the rows."""
    series = [_series(p, exact) for p in memory.processes]
    times = np.unique(np.concatenate([t for t, _ in series]))
    rows = [np.interp(times, t, y, left=0.0, right=0.0) for t, y in series if len(t)]
    names = [p.name for p, (t, _) in zip(memory.processes, series, strict=True) if len(t)]
    order = np.argsort([-row.max() for row in rows], kind="stable")
    rows, names = [rows[i] for i in order], [names[i] for i in order]
    if len(rows) > _SHOWN:
        names = [*names[: _SHOWN - 1], f"{len(rows) - _SHOWN + 1} others"]
        rows = [*rows[: _SHOWN - 1], np.sum(rows[_SHOWN - 1 :], axis=0)]
    return times, rows, names


def _series(process: ProcessTimeline, exact: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the times and the memory of a process."""
    times, rss = np.array(process.times_s), np.array(process.rss_mb)
    if not exact:
        return times, rss
    return times, estimate_pss(times, rss, process.pss_times_s, process.pss_mb)


def _draw_bands(memory: MemoryUse, ax: Any, top: float) -> None:
    """Shade every other stage and number all stages."""
    for i, band in enumerate(memory.bands):
        if i % 2 == 0:
            ax.axvspan(
                band.start_s, band.stop_s, color=palette.text_color(ax), alpha=0.06, linewidth=0
            )
    for i, band in enumerate(memory.bands, 1):
        if band.stop_s - band.start_s > 0.02 * _duration_s(memory):
            middle_s = (band.start_s + band.stop_s) / 2
            ax.text(middle_s, 0.985 * top, str(i), ha="center", va="top", fontsize=8)


def _duration_s(memory: MemoryUse) -> float:
    return max((p.times_s[-1] for p in memory.processes if p.times_s), default=1.0) or 1.0


def _list_bands(memory: MemoryUse) -> str:
    """Return the numbered names of the stages, for the legend."""
    lines = []
    for i, band in enumerate(memory.bands, 1):
        lines += textwrap.wrap(f"{i}  {band.label.replace('_', ' ')}", 30, subsequent_indent="    ")
    return "\n".join(lines)
