"""Cost curves and the question of a whole study as HTML: hollow is a first look, solid measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from facet_nb.models.cost_points import CostPoint, list_points
from facet_nb.models.session_states import write_duration
from facet_nb.models.study_scripts import TARGETS
from facet_nb.widgets.fragments import write_table, write_text
from facet_nb.widgets.studio_parts import write_button
from facet_nb.widgets.timeline_view import round_up

if TYPE_CHECKING:
    from facet_nb.models.studio_model import StudioModel

#: Markers of modes, as paths around the origin: colour never stands alone.
_SHAPES = {
    "serial": "M-5,0A5,5 0 1,1 5,0A5,5 0 1,1 -5,0Z",
    "channel_sequential": "M-4.5,-4.5H4.5V4.5H-4.5Z",
    "parallel": "M0,-5.5L5.5,4.5H-5.5Z",
}
_CSS = {"serial": "ser", "channel_sequential": "seq", "parallel": "par"}
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
    """Return verdict, curves, and what a study would take."""
    points = list_points(model)
    return _write_verdict(model) + write_charts(points) + write_study(model)


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
def write_charts(points: Sequence[CostPoint]) -> str:
    """Return speed-up, memory, and time against memory, with the points as a table."""
    jobs = max([2, *(p.n_jobs for p in points)])
    top = max([1.5, *(v for p in points for v in (p.speedup, p.high) if math.isfinite(v)), jobs])
    workers = [(float(n), str(n)) for n in range(1, jobs + 1) if jobs <= 8 or n in (1, jobs)]
    speed = _Axes((0.6, jobs + 0.4), (0, 1.08 * top), workers, "workers (n_jobs)", "×")
    threads = [p for p in points if p.n_workers == 1]
    charts = [_write_chart("Speed-up", speed, threads, lambda p: p.n_jobs, lambda p: p.speedup)]
    known = [p for p in points if math.isfinite(p.added_mb)]
    most = max([1.0, *(p.added_mb for p in known)])
    memory = _Axes((0.6, jobs + 0.4), (0, 1.15 * most), workers, "workers (n_jobs)", " MB")
    none = "Each run adds a point; <i>Measure</i> gives the peak of fresh processes."
    charts.append(
        _write_chart("Memory", memory, known, lambda p: p.n_jobs, lambda p: p.added_mb, none)
    )
    longest = max([0.1, *(p.time_s for p in known)])
    ticks = [(longest * k / 2, f"{longest * k / 2:.2g} s") for k in range(3)]
    both = _Axes((0, 1.1 * longest), (0, 1.15 * most), ticks, "time", " MB")
    charts.append(
        _write_chart(
            "Time against memory", both, known, lambda p: p.time_s, lambda p: p.added_mb, none
        )
    )
    keys = "".join(
        f'<li><svg width="14" height="14" aria-hidden="true"><g transform="translate(7,7)">'
        f'<path class="fnb-m-{_CSS[mode]} fnb-solid" d="{shape}"/></g></svg>{mode}</li>'
        for mode, shape in _SHAPES.items()
    )
    marks = "solid: measured · hollow: quick look · dotted: not yet · ring: your run"
    return (
        f'<div class="fnb-charts">{"".join(charts)}</div><ul class="fnb-legend">{keys}'
        f"<li>{marks}</li></ul>{_write_points(points)}"
    )


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


def _write_chart(
    title: str, axes: _Axes, points: Sequence[CostPoint], x: Pick, y: Pick, none: str = ""
) -> str:
    shown = [p for p in points if math.isfinite(x(p)) and math.isfinite(y(p))]
    if not shown:
        text = f'<figcaption>{title}</figcaption><p class="fnb-small">{none}</p>'
        return f'<figure class="fnb-card fnb-chart">{text}</figure>'
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
            _write_line(axes, [p for p in shown if p.mode == mode], mode, x, y) for mode in _SHAPES
        )
    )
    marks = "".join(_write_mark(axes, p, x(p), y(p), title) for p in shown)
    label = write_text(f"{title} by {axes.label}: {len(shown)} points")
    return (
        f'<figure class="fnb-card fnb-chart"><figcaption>{title}</figcaption>'
        f'<svg role="group" aria-label="{label}"><g class="fnb-grid-lines">{grid}{ticks}'
        f'<text class="fnb-x" x="100%" y="100%" dy="28" style="text-anchor:end">{axes.label}</text>'
        f"</g>{lines}{marks}</svg></figure>"
    )


def _write_line(axes: _Axes, points: Sequence[CostPoint], mode: str, x: Pick, y: Pick) -> str:
    """Return the curve of a mode through its points, without those of own runs."""
    best = {p.n_jobs: p for p in points if p.kind != "run"}
    ordered = [best[n] for n in sorted(best)]
    pieces = ""
    for one, two in pairwise(ordered):
        css = "fnb-next-line" if "expected" in (one.kind, two.kind) else ""
        pieces += (
            f'<line class="fnb-m-{_CSS[mode]} fnb-curve {css}" x1="{axes.left(x(one)):.1f}%" '
            f'y1="{axes.down(y(one)):.1f}%" x2="{axes.left(x(two)):.1f}%" '
            f'y2="{axes.down(y(two)):.1f}%"/>'
        )
    return pieces


def _write_mark(axes: _Axes, point: CostPoint, x: float, y: float, title: str) -> str:
    css = {"measured": "solid", "quick": "hollow", "expected": "dotted", "run": "own"}[point.kind]
    mode = _CSS.get(point.mode, "ser")
    shape = _SHAPES.get(point.mode, _SHAPES["serial"])
    name = f"{point.mode}, {point.n_jobs} worker{'s' if point.n_jobs > 1 else ''}"
    took = "" if math.isnan(point.time_s) else f", {write_duration(point.time_s)}"
    gain = "" if math.isnan(point.speedup) else f", {point.speedup:.2f} times as fast as one"
    run = f"run {point.number}, " if point.number else ""
    text = write_text(f"{run}{name}{took}{gain}: {_WORDS[point.kind]}")
    value = f"{point.mode}/{point.n_jobs}/{point.n_workers}"
    ring = '<circle r="9" class="fnb-own-ring"/>' if point.kind == "run" else ""
    bar = ""
    if title == "Speed-up" and point.high > point.low:
        ends = (axes.down(point.high), axes.down(point.low))
        at = axes.left(x)
        bar = (
            f'<line class="fnb-m-{mode} fnb-curve" x1="{at:.1f}%" x2="{at:.1f}%" '
            f'y1="{ends[0]:.1f}%" y2="{ends[1]:.1f}%"/>'
        )
    return (
        f'{bar}<svg class="fnb-mark" x="{axes.left(x):.1f}%" y="{axes.down(y):.1f}%" role="button" '
        f'tabindex="0" aria-label="{text}" data-act="use" data-value="{value}"><title>{text}'
        f'</title>{ring}<path class="fnb-m-{mode} fnb-{css}" d="{shape}"/></svg>'
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
