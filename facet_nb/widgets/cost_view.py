"""Cost curves and the cost of a whole study as HTML; measured points are solid, others hollow."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from facet_nb.core.planning.modes.registry import list_modes
from facet_nb.models.cost_points import CostPoint, list_others, list_points
from facet_nb.models.session_states import write_duration
from facet_nb.models.study_scripts import TARGETS
from facet_nb.widgets.fragments import write_table, write_text
from facet_nb.widgets.studio_parts import list_timelines, write_button
from facet_nb.widgets.timeline_view import find_kind, round_up

if TYPE_CHECKING:
    from facet_nb.models.studio_model import StudioModel

#: Markers of modes, as paths around the origin: colour never stands alone.
_SHAPES = (
    "M-5,0A5,5 0 1,1 5,0A5,5 0 1,1 -5,0Z",
    "M-4.5,-4.5H4.5V4.5H-4.5Z",
    "M0,-5.5L5.5,4.5H-5.5Z",
    "M0,-6L5.5,0L0,6L-5.5,0Z",
)
_WORDS = {
    "measured": "measured in fresh processes",
    "quick": "a quick look",
    "run": "a run of yours",
    "expected": "not measured yet: what an even division would give",
}
_SLIDERS = {
    "files": ("files", 1, 200, 1),
    "channels": ("channels", 1, 256, 1),
    "minutes": ("minutes", 1, 120, 1),
    "cores": ("cores", 1, 64, 1),
    "memory_gb": ("memory (GB)", 1, 128, 1),
}
Pick = Callable[[CostPoint], float]


def write_tune(model: StudioModel) -> str:
    """Return verdict, curves, and the cost of a study."""
    charts = write_charts(model, model.chart)
    return _write_verdict(model) + charts + write_study(model) + write_machines(model)


def _write_verdict(model: StudioModel) -> str:
    quick, tune = model.quick, model.tune
    measured = tune.table is not None and bool(tune.table.points)
    verdict = tune.verdict if measured else quick.verdict
    second = "Hollow points are a first look in this process; they are no measurement."
    if quick.running:
        verdict = verdict or "Looking …"
        second = f"{quick.n_done} of {quick.n_planned} points, two workers before one is repeated."
    elif quick.error:
        verdict = quick.error
    elif not verdict:
        verdict = "How much faster are more workers, and what do they cost?"
        second = "Dotted points are what an even division of the work would give."
    elif measured and tune.origin:
        second = f"This table is of {tune.origin}: its points are not drawn among those of now."
        if tune.origin == "a stored table":
            second = "A stored table: its points were not measured now."
    elif measured:
        second = "Solid points were measured in fresh processes, with 95 % intervals."
    busy = quick.running or tune.busy
    buttons = (
        write_button("■ Stop", "cancel")
        if busy
        else write_button(
            "Quick look",
            "quick",
            css="" if quick.n_done else "fnb-primary",
            disabled=bool(model.run.blocked),
        )
        + write_button("Measure", "measure", disabled=bool(model.run.blocked))
    )
    best = _find_best(model)
    if best is not None and not busy:
        label = f"Use {best.n_jobs} workers, {best.mode}"
        buttons += write_button(label, "use", f"{best.mode}/{best.n_jobs}/1", css="fnb-primary")
    return (
        f'<section class="fnb-card fnb-say"><div><p class="fnb-verdict" role="status">'
        f'{write_text(verdict)}</p><p class="fnb-small">{write_text(second)}</p></div>'
        f"<p>{buttons}</p></section>"
    )


def _find_best(model: StudioModel) -> CostPoint | None:
    """Return the fastest measured setting if it is clearly faster than one worker."""
    solid = [p for p in list_points(model) if p.kind == "measured" and p.low > 1.0]
    return max(solid, key=lambda p: p.speedup, default=None)


# --------------------------------------------------------------------------------------- charts
def write_charts(model: StudioModel, large: str = "") -> str:
    """Return the charts of costs, with their points as a table.

    Parameters
    ----------
    model : StudioModel
        The session.
    large : str
        Name of the chart that is large, beside the others as buttons; empty for all in one row.
    """
    points = list_points(model)
    drawn = {name: (title, draw(model, points)) for name, (title, draw) in _DRAW.items()}
    figures = "".join(
        f'<figure class="fnb-card fnb-chart"><figcaption>{title}</figcaption>{picture}</figure>'
        for name, (title, picture) in drawn.items()
        if name == (large or name)
    )
    others = "".join(
        f'<button type="button" class="fnb-b fnb-thumb" data-act="chart" data-value="{name}">'
        f'<span>{title}</span><span class="fnb-chart" aria-hidden="true">'
        f"{_make_plain(picture)}</span></button>"
        for name, (title, picture) in drawn.items()
        if large and name != large
    )
    keys = "".join(
        f'<li><svg width="14" height="14" aria-hidden="true"><g transform="translate(7,7)">'
        f'<path class="{_name_class(mode.name)} fnb-solid" d="{_find_shape(mode.name)}"/></g></svg>'
        f"{write_text(mode.name)}</li>"
        for mode in list_modes()
    )
    marks = "solid: measured · hollow: quick look · dotted: not yet · ring: your run"
    thumbs = f'<div class="fnb-thumbs">{others}</div>' if others else ""
    css = "fnb-charts fnb-one-large" if large else "fnb-charts"
    return (
        f'{_write_colors()}<div class="{css}">{figures}{thumbs}</div><ul class="fnb-legend">{keys}'
        f"<li>{marks}</li></ul>{_write_points(points)}"
    )


def _name_class(mode: str) -> str:
    """Return the CSS class that gives the colour of a mode; a stored table may name any mode."""
    return "fnb-m-" + re.sub(r"\W", "-", mode)


def _find_shape(mode: str) -> str:
    """Return the marker of a mode; modes that are not registered here share the last one."""
    names = [known.name for known in list_modes()]
    return _SHAPES[names.index(mode) % len(_SHAPES) if mode in names else -1]


def _write_colors() -> str:
    """Return colours of modes, of which the style sheet overrides those that it knows."""
    rules = [f":where(.{_name_class(mode.name)}) {{ --m: {mode.color}; }}" for mode in list_modes()]
    return f"<style>{' '.join(rules)}</style>"


def _make_plain(picture: str) -> str:
    """Return a picture without buttons, as it lies in a button itself."""
    return re.sub(r' (role="(button|group)"|tabindex="0"|data-act="use")', "", picture)


def _draw_speedup(model: StudioModel, points: Sequence[CostPoint]) -> str:
    others = list_others(model)
    jobs = max([2, *(p.n_jobs for p in (*points, *others))])
    seen = [v for p in (*points, *others) for v in (p.speedup, p.high) if math.isfinite(v)]
    top = max([1.5, *seen, jobs])
    speed = _Axes((0.6, jobs + 0.4), (0, 1.08 * top), _list_workers(jobs), "workers (n_jobs)", "×")
    threads = [p for p in points if p.n_workers == 1]
    ideal = _write_segment(speed, (1, 1), (jobs, jobs), "fnb-ideal")
    chart = _write_chart("Speed-up", speed, threads, lambda p: p.n_jobs, lambda p: p.speedup)
    return f"{chart.removesuffix('</svg>')}{ideal}{_write_others(others, speed)}</svg>"


def _write_others(points: Sequence[CostPoint], axes: _Axes) -> str:
    """Draw the curves of other machines: each machine and mode a thin line with its name."""
    lines: dict[tuple[str, str], list[CostPoint]] = {}
    for p in sorted(points, key=lambda p: p.n_jobs):
        if p.n_workers == 1 and math.isfinite(p.speedup):
            lines.setdefault((p.machine, p.mode), []).append(p)
    drawn = ""
    for (machine, mode), found in lines.items():
        for one, two in pairwise(found):
            ends = (one.n_jobs, one.speedup), (two.n_jobs, two.speedup)
            drawn += _write_segment(axes, *ends, f"{_name_class(mode)} fnb-other")
        last = found[-1]
        x, y = axes.left(last.n_jobs), axes.down(last.speedup)
        name = write_text(f"{machine}, {mode}")
        drawn += (
            f'<circle class="fnb-other-mark" cx="{x:.1f}%" cy="{y:.1f}%" r="3"><title>{name}'
            f'</title></circle><text class="fnb-other-name" x="{x:.1f}%" y="{y:.1f}%" dx="-6" '
            f'dy="-6">{write_text(machine)}</text>'
        )
    return drawn


def _write_segment(
    axes: _Axes, one: tuple[float, float], two: tuple[float, float], css: str
) -> str:
    x = [axes.left(v[0]) for v in (one, two)]
    y = [axes.down(v[1]) for v in (one, two)]
    return (
        f'<line class="{css}" x1="{x[0]:.1f}%" y1="{y[0]:.1f}%" x2="{x[1]:.1f}%" y2="{y[1]:.1f}%"/>'
    )


def _draw_memory(_model: StudioModel, points: Sequence[CostPoint]) -> str:
    jobs = max([2, *(p.n_jobs for p in points)])
    memory = _Axes(
        (0.6, jobs + 0.4), (0, _find_most(points)), _list_workers(jobs), "workers (n_jobs)", " MB"
    )
    return _write_chart("Memory added", memory, points, lambda p: p.n_jobs, lambda p: p.added_mb)


def _draw_both(_model: StudioModel, points: Sequence[CostPoint]) -> str:
    """Draw time against memory; before any time is known, relative to that of one worker."""
    timed = [p for p in points if math.isfinite(p.time_s)]

    def pick(p: CostPoint) -> float:
        return p.time_s if timed else 1 / p.speedup

    known = [p for p in points if math.isfinite(p.added_mb) and math.isfinite(pick(p))]
    longest = max([0.02, *(pick(p) for p in known)])
    unit = " s" if timed else ""
    ticks = [(longest * k / 2, f"{longest * k / 2:.2g}{unit}") for k in range(3)]
    label = "time" if timed else "time, one worker = 1"
    axes = _Axes((0, 1.1 * longest), (0, _find_most(points)), ticks, label, " MB")
    return _write_chart("Time against memory", axes, known, pick, lambda p: p.added_mb)


def _list_workers(jobs: int) -> list[tuple[float, str]]:
    return [(float(n), str(n)) for n in range(1, jobs + 1) if jobs <= 8 or n in (1, jobs)]


def _find_most(points: Sequence[CostPoint]) -> float:
    """Return the top of an axis of memory, in MB."""
    return 1.15 * max([1.0, *(p.added_mb for p in points if math.isfinite(p.added_mb))])


def _draw_grid(model: StudioModel, points: Sequence[CostPoint]) -> str:
    """Draw outer against inner workers: the best speed-up of each pair."""
    cores = model.run.cores
    numbers = [n for n in range(1, cores + 1) if n in (1, 2, 3, 4, cores) or n % 4 == 0][-8:]
    rank = {"measured": 3, "quick": 2, "run": 1, "expected": 0}
    known: dict[tuple[int, int], CostPoint] = {}
    for p in sorted(points, key=lambda p: (rank[p.kind], p.speedup)):
        if math.isfinite(p.speedup):
            known[p.n_jobs, p.n_workers] = p
    cells, size = "", 100 / len(numbers)
    top = max([1.0, *(p.speedup for p in known.values()), float(cores)])
    for column, jobs in enumerate(numbers):
        for row, threads in enumerate(numbers):
            if jobs * threads > cores:
                continue
            point = known.get((jobs, threads)) or CostPoint(
                "expected", "channel_sequential", jobs, threads, speedup=float(jobs * threads)
            )
            css = {"measured": "solid", "quick": "hollow"}.get(point.kind, "dotted")
            text = f"{jobs} outer × {threads} inner: {point.speedup:.2f} times as fast as one, "
            text += _WORDS[point.kind]
            x, y = column * size, 100 - (row + 1) * size
            cells += (
                f'<svg class="fnb-cell-mark" x="{x:.1f}%" y="{y:.1f}%" width="{size:.1f}%" '
                f'height="{size:.1f}%" role="button" tabindex="0" aria-label="{write_text(text)}" '
                f'data-act="use" data-value="{write_text(point.mode)}/{jobs}/{threads}"><title>'
                f'{write_text(text)}</title><rect class="fnb-cell-{css}" x="2%" y="3%" width="96%" '
                f'height="94%" rx="4" style="--part:{point.speedup / top:.2f}"/>'
                f'<text x="50%" y="50%">{point.speedup:.1f} ×</text></svg>'
            )
    ticks = "".join(
        f'<text class="fnb-x" x="{(k + 0.5) * size:.1f}%" y="100%" dy="15">{n}</text>'
        f'<text class="fnb-y" x="-4" y="{100 - (k + 0.5) * size:.1f}%">{n}</text>'
        for k, n in enumerate(numbers)
    )
    axis = '<text class="fnb-x" x="100%" y="100%" dy="28" style="text-anchor:end">outer (n_jobs), '
    axis += "upward: inner (n_workers)</text>"
    return (
        '<svg role="group" aria-label="Outer against inner workers">'
        f'<g class="fnb-grid-lines">{ticks}{axis}</g>{cells}</svg>'
    )


def _draw_time(model: StudioModel, _points: Sequence[CostPoint]) -> str:
    """Draw where the time of all workers went, in each kept run, or in the plan before one."""
    timelines, note = list_timelines(model)
    longest = max([t.n_lanes * t.stop_s for t in timelines if t.stop_s], default=1.0)
    rows = ""
    for t in timelines:
        total_s = t.n_lanes * t.stop_s
        spent: dict[int, float] = {}
        for bar in t.bars:
            spent[bar.step] = spent.get(bar.step, 0.0) + bar.stop_s - bar.start_s
        parts = [(find_kind(t.steps, step), seconds) for step, seconds in sorted(spent.items())]
        parts.append(("kwait", max(0.0, total_s - sum(spent.values()))))
        bars = "".join(
            f'<i class="fnb-{kind}" style="width:{100 * seconds / longest:.2f}%"></i>'
            for kind, seconds in parts
        )
        planned = t.status == "planned"
        cost = note if planned else f"{write_duration(total_s)} of all workers"
        css = "fnb-where fnb-where-planned" if planned else "fnb-where"
        name = t.workers_text if planned else f"{t.number} {t.workers_text}"
        rows += (
            f'<span class="{css}"><span>{write_text(name)}</span>'
            f'<span class="fnb-where-bar">{bars}</span><small>{write_text(cost)}</small></span>'
        )
    return f'<span class="fnb-wheres">{rows}</span>'


_DRAW: dict[str, tuple[str, Callable[[StudioModel, Sequence[CostPoint]], str]]] = {
    "speedup": ("Speed-up", _draw_speedup),
    "memory": ("Memory added", _draw_memory),
    "both": ("Time against memory", _draw_both),
    "grid": ("Outer × inner", _draw_grid),
    "time": ("Where the time goes", _draw_time),
}


class _Axes:
    """Ranges and ticks of a chart; positions are percent of its width and height."""

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        ticks: Sequence[tuple[float, str]],
        label: str,
        unit: str,
    ) -> None:
        self.x, self.y, self.ticks, self.label, self.unit = x, y, ticks, label, unit

    def left(self, value: float) -> float:
        """Return the position from the left, in percent."""
        return 100 * (value - self.x[0]) / (self.x[1] - self.x[0])

    def down(self, value: float) -> float:
        """Return the position from the top, in percent."""
        return 100 - 100 * (value - self.y[0]) / (self.y[1] - self.y[0])


def _write_chart(title: str, axes: _Axes, points: Sequence[CostPoint], x: Pick, y: Pick) -> str:
    shown = [p for p in points if math.isfinite(x(p)) and math.isfinite(y(p))]
    grid, step = "", round_up(axes.y[1] / 5)
    for k in range(int(axes.y[1] / step) + 1):
        at = axes.down(k * step)
        grid += (
            f'<line x1="0" x2="100%" y1="{at:.1f}%" y2="{at:.1f}%"/>'
            f'<text class="fnb-y" x="-4" y="{at:.1f}%">{k * step:.4g}{axes.unit}</text>'
        )
    ticks = "".join(
        f'<text class="fnb-x" x="{axes.left(v):.1f}%" y="100%" dy="15">{write_text(text)}</text>'
        for v, text in axes.ticks
    )
    lines = (
        ""
        if title.startswith("Time")
        else "".join(
            _write_line(axes, [p for p in shown if p.mode == mode], mode, x, y)
            for mode in dict.fromkeys(p.mode for p in shown)
        )
    )
    marks = "".join(_write_mark(axes, p, x(p), y(p), title) for p in shown)
    label = write_text(f"{title} by {axes.label}: {len(shown)} points")
    return (
        f'<svg role="group" aria-label="{label}"><g class="fnb-grid-lines">{grid}{ticks}'
        f'<text class="fnb-x" x="100%" y="100%" dy="28" style="text-anchor:end">{axes.label}</text>'
        f"</g>{lines}{marks}</svg>"
    )


def _write_line(axes: _Axes, points: Sequence[CostPoint], mode: str, x: Pick, y: Pick) -> str:
    """Return the curve of a mode through its points, without those of own runs."""
    best = {p.n_jobs: p for p in points if p.kind != "run"}
    ordered = [best[n] for n in sorted(best)]
    pieces = ""
    for one, two in pairwise(ordered):
        css = "fnb-next-line" if "expected" in (one.kind, two.kind) else ""
        pieces += (
            f'<line class="{_name_class(mode)} fnb-curve {css}" x1="{axes.left(x(one)):.1f}%" '
            f'y1="{axes.down(y(one)):.1f}%" x2="{axes.left(x(two)):.1f}%" '
            f'y2="{axes.down(y(two)):.1f}%"/>'
        )
    return pieces


def _write_mark(axes: _Axes, point: CostPoint, x: float, y: float, title: str) -> str:
    css = {"measured": "solid", "quick": "hollow", "expected": "dotted", "run": "own"}[point.kind]
    mode, shape = _name_class(point.mode), _find_shape(point.mode)
    name = f"{point.mode}, {point.n_jobs} worker{'s' if point.n_jobs > 1 else ''}"
    took = "" if math.isnan(point.time_s) else f", {write_duration(point.time_s)}"
    gain = "" if math.isnan(point.speedup) else f", {point.speedup:.2f} times as fast as one"
    run = f"run {point.number}, " if point.number else ""
    text = write_text(f"{run}{name}{took}{gain}: {_WORDS[point.kind]}")
    value = write_text(f"{point.mode}/{point.n_jobs}/{point.n_workers}")
    ring = '<circle r="9" class="fnb-own-ring"/>' if point.kind == "run" else ""
    bar = ""
    if title == "Speed-up" and point.high > point.low:
        ends = (axes.down(point.high), axes.down(point.low))
        at = axes.left(x)
        bar = (
            f'<line class="{mode} fnb-curve" x1="{at:.1f}%" x2="{at:.1f}%" '
            f'y1="{ends[0]:.1f}%" y2="{ends[1]:.1f}%"/>'
        )
    return (
        f'{bar}<svg class="fnb-mark" x="{axes.left(x):.1f}%" y="{axes.down(y):.1f}%" role="button" '
        f'tabindex="0" aria-label="{text}" data-act="use" data-value="{value}"><title>{text}'
        f'</title>{ring}<path class="{mode} fnb-{css}" d="{shape}"/></svg>'
    )


def _write_points(points: Sequence[CostPoint]) -> str:
    def show(value: float, form: str) -> str:
        return "–" if math.isnan(value) else f"{value:{form}}"

    rows = [
        (
            f"{p.mode}, {p.n_jobs} × {p.n_workers}",
            _WORDS[p.kind] if not p.number else f"run {p.number}",
            show(p.time_s, ".3f"),
            show(p.speedup, ".2f"),
            f"{p.low:.2f} to {p.high:.2f}" if p.high > p.low else "–",
            show(p.added_mb, ".0f"),
        )
        for p in points
    ]
    heads = ["setting", "kind", "time (s)", "speed-up", "95 % interval", "memory (MB)"]
    return f"<details><summary>As a table</summary>{write_table('', heads, rows)}</details>"


# ------------------------------------------------------------------------------------- machines
def write_machines(model: StudioModel) -> str:
    """Return the tables of other machines, and how to add that of this one."""
    machines = model.machines
    lines = ""
    for found in machines.tables:
        environment = found.table.environment
        checked = " checked" if found.name in machines.shown else ""
        origin = "with the package" if found.shipped else "from the folder"
        modes = ", ".join(dict.fromkeys(p.configuration.mode for p in found.table.points))
        doubt = '<span class="fnb-limited">▲ measured while others used it</span>'
        lines += (
            f'<li><label><input type="checkbox" data-act="machine" name="{write_text(found.name)}"'
            f"{checked}> <b>{write_text(found.name)}</b></label> <span>"
            f"{write_text(environment.label)}; {len(found.table.points)} settings: {modes}; "
            f"{origin}"
            f"</span>{doubt if found.table.warnings else ''}"
            f"{write_button('Replay', 'machine_replay', found.name)}</li>"
        )
    n = sum(found.shipped for found in machines.tables)
    notes = "".join(f'<li class="fnb-limited">{write_text(note)}</li>' for note in machines.notes)
    return (
        '<details class="fnb-card fnb-machines"><summary>Other machines</summary>'
        f'<ul>{lines}{notes}</ul><p><label>Folder of a class <input type="text" class="fnb-name" '
        f'data-act="machines_folder" name="folder" value="{write_text(machines.folder)}"></label> '
        "Each computer saves its table there; new ones appear while you watch.</p>"
        f'<p class="fnb-small">{n} really measured machine{"" if n == 1 else "s"} came with the '
        "package; tables of others are not there yet. What was not measured is not shown. To send "
        "yours in: measure the example in <i>Measure in fresh processes</i>, save it as JSON, and "
        "add the file to <code>facet_nb/benchmark/machines</code> in a pull request, or attach it "
        "to an issue.</p></details>"
    )


# ---------------------------------------------------------------------------------------- study
def write_study(model: StudioModel) -> str:
    """Return sliders for a study, with its time and memory."""
    study = model.study
    sliders = "".join(
        f'<label><span>{label} <b>{getattr(study, name):g}</b></span><input type="range" '
        f'data-act="study" name="{name}" min="{low}" max="{high}" step="{step}" '
        f'value="{getattr(study, name):g}" aria-label="{label}"></label>'
        for name, (label, low, high, step) in _SLIDERS.items()
    )
    targets = "".join(
        f'<button type="button" class="fnb-b" role="radio" data-act="study_target" '
        f'data-value="{name}" aria-checked="{str(name == study.target).lower()}" '
        f'tabindex="{0 if name == study.target else -1}">{target.label}</button>'
        for name, target in TARGETS.items()
    )
    found = study.estimate()
    if found is None:
        said = "<p>Run the chain once, or press <i>Quick look</i>: the estimate follows.</p>"
    else:
        memory = f"{found.peak_bytes / 1e9:.1f} GB at most, {found.in_flight} at once"
        low, high = write_duration(found.low_s), write_duration(found.high_s)
        warning = (
            ""
            if found.fits
            else '<p class="fnb-limited">One recording does not fit into this memory at once: the '
            "script works in files.</p>"
        )
        said = (
            f'<p class="fnb-big">about {write_duration(found.time_s)}</p><p>{low} to {high}, '
            f'{memory}</p>{warning}<p class="fnb-small">{write_text(found.basis)}</p>'
        )
    return (
        '<section class="fnb-card fnb-study"><div><h3>What if it were a whole study?</h3>'
        f'<div class="fnb-sliders">{sliders}</div><p class="fnb-targets">'
        f'<span class="fnb-seg" role="radiogroup" aria-label="Script">{targets}</span></p></div>'
        f'<div class="fnb-study-said">{said}'
        f"{write_button('Make the script', 'study_script')}</div></section>"
    )
