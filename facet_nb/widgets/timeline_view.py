"""Timelines of runs as HTML: lanes are workers, bars are steps, hatching is waiting."""

from __future__ import annotations

from collections.abc import Sequence

from facet_nb.models.session_states import write_duration
from facet_nb.models.timeline import Bar, Timeline, merge_bars
from facet_nb.widgets.fragments import write_table, write_text

#: Most bars of one picture: more could not be distinguished at its width.
_MOST = 400
#: Most bars of a picture that is sent several times a second.
_MOST_LIVE = 120
#: Height that all lanes of a picture share, in pixels, and the largest of one lane.
_LANES_PX, _LANE_PX = 88, 22


def write_timelines(timelines: Sequence[Timeline], note: str = "") -> str:
    """Return timelines on one clock, one below the other.

    Parameters
    ----------
    timelines : sequence of Timeline
        The timelines; those that are planned are drawn as such.
    note : str
        A remark on a forecast.

    Returns
    -------
    str
        HTML with SVG, which needs the style sheet of the studio.
    """
    if not timelines:
        return ""
    end_s = max(t.stop_s for t in timelines) or 1.0
    rows = "".join(_write_row(t, end_s, len(timelines), note) for t in timelines)
    planned = all(t.status == "planned" for t in timelines)
    axis = "" if planned and not note.startswith("about") else _write_axis(end_s)
    return f'<div class="fnb-tl">{rows}{axis}</div>{_write_table(timelines, planned)}'


def write_legend(timelines: Sequence[Timeline]) -> str:
    """Return the colours of the steps, as HTML."""
    kinds: dict[str, str] = {}
    for timeline in timelines:
        for index, name in enumerate(timeline.steps):
            kinds.setdefault(name, find_kind(timeline.steps, index))
    keys = "".join(
        f'<li><i class="fnb-key fnb-{kind}"></i>{write_text(name.replace("_", " "))}</li>'
        for name, kind in list(kinds.items())[:6]
    )
    return f'<ul class="fnb-legend">{keys}<li><i class="fnb-key fnb-kwait"></i>waiting</li></ul>'


def describe_timeline(timeline: Timeline) -> str:
    """Return what a timeline shows, in one sentence."""
    lanes = f"{timeline.n_lanes} worker{'' if timeline.n_lanes == 1 else 's'}"
    if timeline.status == "planned":
        return f"Forecast: {timeline.workers_text}, {lanes}, {len(timeline.bars)} pieces of work."
    idle_s = max(0.0, timeline.n_lanes * timeline.stop_s - timeline.busy_s)
    added = timeline.added_mb
    memory = "" if added is None else f", {added:.0f} MB of memory added"
    return (
        f"Run {timeline.number}: {timeline.workers_text}, {lanes}, "
        f"{write_duration(timeline.stop_s)}, of all lanes {write_duration(timeline.busy_s)} busy "
        f"and {write_duration(idle_s)} waiting{memory}."
    )


def write_added(mb: float) -> str:
    """Return the memory that a run has added, as text."""
    return f"+{mb:.0f} MB" if mb >= 0.5 else "under 1 MB added"


def _write_row(timeline: Timeline, end_s: float, n_rows: int, note: str) -> str:
    lane = max(3.0, min(_LANE_PX, _LANES_PX / n_rows / max(1, timeline.n_lanes)))
    height = lane * timeline.n_lanes
    planned = timeline.status == "planned"
    most = _MOST_LIVE if timeline.status == "running" else _MOST
    bars = merge_bars(timeline.bars, most) if len(timeline.bars) > most else timeline.bars
    last = bars[-1] if bars and timeline.status == "failed" else None
    drawn = "".join(_write_bar(timeline, bar, end_s, lane, bar is last) for bar in bars)
    key = f"fnb-wait-{timeline.number}-{n_rows}"
    width = 100 * timeline.stop_s / end_s
    waiting = (
        ""
        if planned
        else f'<defs><pattern id="{key}" width="6" height="6" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><rect width="2" height="6" class="fnb-kwait"/></pattern>'
        f'</defs><rect width="{width:.2f}%" height="{height:.0f}" fill="url(#{key})"/>'
    )
    title = timeline.workers_text if planned else f"{timeline.number} {timeline.workers_text}"
    lanes = f"{timeline.n_lanes} worker{'' if timeline.n_lanes == 1 else 's'}"
    added = timeline.added_mb
    cost = note if planned else write_duration(timeline.stop_s)
    grown = "" if planned or added is None else write_added(added)
    css = f"fnb-tl-row fnb-tl-{timeline.status}"
    name = write_text(title).replace("_", "_<wbr>")
    label = write_text(describe_timeline(timeline))
    return (
        f'<div class="{css}"><div class="fnb-tl-head"><b>{name}</b>'
        f'<span>{lanes}</span></div><div class="fnb-tl-pic">'
        f'<svg height="{height:.0f}" role="img" aria-label="{label}">{waiting}{drawn}</svg>'
        f"{_write_memory(timeline, end_s, n_rows)}</div>"
        f'<div class="fnb-tl-cost"><b>{write_text(cost)}</b><span>{grown}</span></div></div>'
    )


def _write_bar(timeline: Timeline, bar: Bar, end_s: float, lane: float, failed: bool) -> str:
    left, width = 100 * bar.start_s / end_s, 100 * (bar.stop_s - bar.start_s) / end_s
    kind = find_kind(timeline.steps, bar.step)
    known = 0 <= bar.step < len(timeline.steps)
    name = timeline.steps[bar.step] if known else "reading and writing"
    took = "" if timeline.status == "planned" else f", {1000 * (bar.stop_s - bar.start_s):.0f} ms"
    gap = 1.0 if lane >= 5 else 0.5
    text = ""
    if kind == "k3" and lane >= 14 and width > 8 and 0 < len(bar.label) <= 5:
        y = (bar.lane + 0.5) * lane
        text = f'<text x="{left + width / 2:.2f}%" y="{y:.1f}">{write_text(bar.label)}</text>'
    return (
        f'<rect class="fnb-{kind}{" fnb-broken" if failed else ""}" x="{left:.2f}%" '
        f'y="{bar.lane * lane + gap / 2:.1f}" width="{max(width, 0.15):.2f}%" '
        f'height="{lane - gap:.1f}"><title>{write_text(name)}: {write_text(bar.label)}{took}, '
        f"worker {bar.lane + 1}</title></rect>{text}"
    )


def _write_memory(timeline: Timeline, end_s: float, n_rows: int) -> str:
    """Return the curve of memory on the same clock; nothing if it was not measured."""
    points = [*timeline.memory_mb]
    if not timeline.added_mb:
        return ""
    points.append((timeline.stop_s, points[-1][1]))
    top = max(1.0, *(mb for _, mb in points))  # less than 1 MB stays low
    steps, before = [], 0.0
    for time_s, mb in sorted(points):
        x = 1000 * time_s / end_s
        steps += [f"{x:.1f},{100 - 96 * before / top:.1f}", f"{x:.1f},{100 - 96 * mb / top:.1f}"]
        before = mb
    height = max(12, 36 // n_rows)
    end = 1000 * timeline.stop_s / end_s
    return (
        f'<svg class="fnb-tl-memory" height="{height}" viewBox="0 0 1000 100" '
        f'preserveAspectRatio="none" aria-hidden="true"><polygon points="0,100 {" ".join(steps)} '
        f'{end:.1f},100"/></svg>'
    )


def _write_axis(end_s: float) -> str:
    step = round_up(end_s / 5)
    marks, k = [], 0
    while k * step <= end_s * 0.97:
        left = 100 * k * step / end_s
        marks.append(f'<span style="left:{left:.2f}%">{k * step:.4g} s</span>')
        k += 1
    return f'<div class="fnb-tl-axis" aria-hidden="true"><div>{"".join(marks)}</div></div>'


def _write_table(timelines: Sequence[Timeline], planned: bool) -> str:
    if planned:
        return ""
    rows = [
        (
            f"{t.number} {t.workers_text}",
            f"{t.stop_s:.3f}",
            f"{t.busy_s:.3f}",
            "–" if t.added_mb is None else f"{t.added_mb:.1f}",
        )
        for t in timelines
        if t.status != "planned"
    ]
    heads = ["run", "time (s)", "all lanes busy (s)", "memory added (MB)"]
    return f"<details><summary>As a table</summary>{write_table('', heads, rows)}</details>"


def find_kind(steps: Sequence[str], index: int) -> str:
    """Return the kind of a step, which gives its colour: k1 events … k4 later steps, kio files."""
    if not 0 <= index < len(steps):
        return "kio"
    corrects = ["correction" in name for name in steps]
    if corrects[index]:
        return "k3"
    if any(word in steps[index] for word in ("trigger", "detect", "align")):
        return "k1"
    return "k4" if any(corrects[:index]) or (not any(corrects) and index % 2) else "k2"


def round_up(value: float) -> float:
    """Return the smallest of 1, 2, 5, 10 … times a power of ten that is not below `value`."""
    step = 1e-4
    while True:
        for factor in (1, 2, 5):
            if factor * step >= value:
                return factor * step
        step *= 10
