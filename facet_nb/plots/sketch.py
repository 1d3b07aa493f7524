"""Sketches: curves as SVG text, without matplotlib.

A panel shows a sketch when a run ends: it takes a few milliseconds, where matplotlib takes 130.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape

import numpy as np

from facet_nb.plots.envelope import thin

WIDTH = 900
_LEFT, _RIGHT, _TOP, _GAP, _AXIS = 76, 14, 34, 14, 42
#: Bins of the envelope, of two points each: peaks are preserved, and a bin is 1.3 pixels wide.
_BINS = 600
#: Approximate width of a letter, in pixels.
_LETTER = 8
_FONT = "font-family:'DejaVu Sans',Verdana,Arial,sans-serif;font-size:13px"
#: Characters that XML does not allow; channel names may contain them.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")


@dataclass(frozen=True, eq=False)
class Curve:
    """A line.

    Attributes
    ----------
    x, y : ndarray, shape (n_points,)
        Its points; points that are not finite are omitted.
    color : str
        CSS colour.
    label : str
        Name in the legend.
    dash : str
        Lengths of dashes and gaps, in pixels, so that a coinciding curve shows in the gaps.
    """

    x: np.ndarray
    y: np.ndarray
    color: str
    label: str
    dash: str = ""


@dataclass(frozen=True, eq=False)
class SketchRow:
    """Curves on one pair of axes.

    Attributes
    ----------
    curves : tuple of Curve
        The lines, in drawing order.
    y_label : str
        Label of the vertical axis.
    x_label : str
        Label of the horizontal axis; empty if a later row has it.
    log : bool
        Whether the vertical scale is logarithmic.
    height : int
        Height, in pixels.
    """

    curves: tuple[Curve, ...]
    y_label: str
    x_label: str = ""
    log: bool = False
    height: int = 116


@dataclass(frozen=True, eq=False)
class Sketch:
    """Rows of curves with a title, a legend and a caption.

    Attributes
    ----------
    title : str
        Title above the rows.
    rows : tuple of SketchRow
        Rows from top to bottom.
    caption : str
        Description of the figure, in one sentence.
    """

    title: str
    rows: tuple[SketchRow, ...]
    caption: str

    def to_svg(self) -> str:
        """Return the figure as SVG text."""
        legend, n_lines = _write_legend(self.title, self.rows)
        parts, top = [], _TOP + 18 * n_lines
        for row in self.rows:
            parts.append(_write_row(row, top))
            top += row.height + (_AXIS if row.x_label else _GAP)
        text = f'<text x="{_LEFT}" y="20">{write_text(self.title)}</text>'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" '
            f'viewBox="0 0 {WIDTH} {top}" style="{_FONT}">'
            f'<rect width="{WIDTH}" height="{top}" fill="#fff"/>'
            f"{text}{legend}{''.join(parts)}</svg>"
        )

    def to_html(self) -> str:
        """Return the figure as a self-contained HTML ``<figure>`` with its caption."""
        return self._html

    @cached_property
    def _html(self) -> str:
        return write_figure(self.to_svg(), self.caption)


def write_figure(svg: str, caption: str) -> str:
    """Return SVG text with its caption as a self-contained HTML ``<figure>``."""
    data, text = base64.b64encode(svg.encode()).decode(), escape(caption, quote=True)
    return (
        f'<figure style="margin:0"><img alt="{text}" style="max-width:100%;background:#fff"'
        f' src="data:image/svg+xml;base64,{data}"><figcaption>{text}</figcaption></figure>'
    )


def write_text(text: str) -> str:
    """Return a text as XML."""
    return escape(_FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text), quote=True)


def choose_ticks(low: float, high: float, most: int) -> list[float]:
    """Return about `most` round numbers, or fewer, from `low` to `high`."""
    span = max(high - low, 1e-12)
    step = 10.0 ** np.floor(np.log10(span / most))
    step *= next(m for m in (1, 2, 5, 10) if span / (m * step) <= most)
    first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
    # Adding zero turns a negative zero into a positive one.
    return [float(f"{k * step:.10g}") + 0.0 for k in np.arange(first, last + 1)]


@dataclass(frozen=True)
class _Scale:
    """Linear map from values to pixels: `low` is mapped to `start`, `high` to `stop`."""

    low: float
    high: float
    start: float
    stop: float

    def place(self, values: np.ndarray) -> np.ndarray:
        part = (np.asarray(values, dtype=float) - self.low) / (self.high - self.low)
        return self.start + part * (self.stop - self.start)


def _write_row(row: SketchRow, top: float) -> str:
    bottom = top + row.height
    curves = [_shorten(curve, row.log) for curve in row.curves]
    x_scale = _scale([x for x, _ in curves], 0.0, _LEFT, WIDTH - _RIGHT)
    y_scale = _scale([y for _, y in curves], 0.05, bottom, top)
    lines = "".join(
        f'<polyline points="{_write_points(x_scale.place(x), y_scale.place(y))}" '
        f'fill="none" stroke="{escape(curve.color)}" stroke-linejoin="round"'
        f"{_write_dash(curve)}/>"
        for curve, (x, y) in zip(row.curves, curves, strict=True)
    )
    middle = (top + bottom) / 2
    label = (
        f'<text transform="translate(14 {middle:g}) rotate(-90)" text-anchor="middle">'
        f"{write_text(row.y_label)}</text>"
    )
    frame = f'<path d="M{_LEFT},{top}V{bottom}H{WIDTH - _RIGHT}" fill="none" stroke="#333"/>'
    x_axis = _write_x_axis(row.x_label, x_scale, top, bottom)
    return x_axis + _write_y_axis(row.log, y_scale) + lines + frame + label


def _shorten(curve: Curve, log: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the points to draw."""
    x, y = np.asarray(curve.x, dtype=float), np.asarray(curve.y, dtype=float)
    if log:
        with np.errstate(divide="ignore", invalid="ignore"):
            y = np.log10(y)
    good = np.isfinite(x) & np.isfinite(y)
    if not good.all():
        x, y = x[good], y[good]
    return thin(x, y, _BINS)


def _scale(values: Sequence[np.ndarray], margin: float, start: float, stop: float) -> _Scale:
    filled = [v for v in values if len(v)]
    low = min((float(v.min()) for v in filled), default=0.0)
    high = max((float(v.max()) for v in filled), default=1.0)
    if not low < high:
        low, high = low - 1.0, high + 1.0
    room = margin * (high - low)
    return _Scale(low - room, high + room, start, stop)


def _write_points(x: np.ndarray, y: np.ndarray) -> str:
    flat = np.empty(2 * len(x))
    flat[::2], flat[1::2] = x, y
    return ("%.1f,%.1f " * len(x)) % tuple(flat.tolist())


def _write_x_axis(label: str, scale: _Scale, top: float, bottom: float) -> str:
    ticks = choose_ticks(scale.low, scale.high, 9)
    places = scale.place(np.array(ticks)).tolist()
    lines = "".join(f"M{x:.1f},{top}V{bottom}" for x in places)
    grid = f'<path d="{lines}" stroke="#ddd"/>'
    if not label:
        return grid
    numbers = "".join(
        f'<text x="{x:.1f}" y="{bottom + 17}">{_write_number(tick)}</text>'
        for tick, x in zip(ticks, places, strict=True)
    )
    name = (
        f'<text x="{(_LEFT + WIDTH - _RIGHT) / 2:g}" y="{bottom + 35}">{write_text(label)}</text>'
    )
    return f'{grid}<g text-anchor="middle">{numbers}{name}</g>'


def _write_y_axis(log: bool, scale: _Scale) -> str:
    ticks = choose_ticks(scale.low, scale.high, 6)
    if log:  # ticks at whole decades only
        ticks = sorted({float(round(tick)) for tick in ticks})
        ticks = [tick for tick in ticks if scale.low <= tick <= scale.high]
    write = _write_power if log else _write_number
    places = scale.place(np.array(ticks)).tolist()
    lines = "".join(f"M{_LEFT},{y:.1f}H{WIDTH - _RIGHT}" for y in places)
    numbers = "".join(
        f'<text x="{_LEFT - 7}" y="{y + 4.5:.1f}">{write(tick)}</text>'
        for tick, y in zip(ticks, places, strict=True)
    )
    return f'<path d="{lines}" stroke="#ddd"/><g text-anchor="end">{numbers}</g>'


def _write_number(value: float) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")


def _write_power(exponent: float) -> str:
    size = str(int(exponent)).replace("-", "\N{MINUS SIGN}")
    return f'10<tspan dy="-5" font-size="9">{size}</tspan>'


def _write_dash(curve: Curve) -> str:
    return f' stroke-dasharray="{escape(curve.dash)}"' if curve.dash else ""


def _write_legend(title: str, rows: Sequence[SketchRow]) -> tuple[str, int]:
    """Return the names of the curves, each once, and their number of lines below the title."""
    named = {curve.label: curve.color for row in rows for curve in row.curves}
    keys = [
        f'<tspan fill="{escape(color)}">\N{BLACK RECTANGLE}</tspan> {write_text(label)}'
        for label, color in named.items()
    ]
    widths = [_LETTER * (len(label) + 4) for label in named]
    room = WIDTH - _LEFT - _RIGHT
    if sum(widths) + _LETTER * len(title) < room:
        return _write_keys(keys, WIDTH - _RIGHT, 20, "end"), 0
    lines: list[list[str]] = []
    taken = room
    for key, width in zip(keys, widths, strict=True):
        if taken + width > room:
            lines.append([])
            taken = 0
        lines[-1].append(key)
        taken += width
    return "".join(_write_keys(ks, _LEFT, 40 + 18 * i, "start") for i, ks in enumerate(lines)), len(
        lines
    )


def _write_keys(keys: Sequence[str], x: int, y: int, anchor: str) -> str:
    text = "\N{NO-BREAK SPACE}\N{NO-BREAK SPACE} ".join(keys)
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'
