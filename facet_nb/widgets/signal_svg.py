"""Write the signal view as SVG, which the browser draws in the colours of its theme."""

from __future__ import annotations

import numpy as np

from facet_nb.models.signal_model import Layer, SignalWindow
from facet_nb.widgets.fragments import write_text

WIDTH = 1000
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 8, 8, 36
_ROW = 38
_LEAST = 120


def write_signal(window: SignalWindow, width: float = WIDTH) -> str:
    """Return the window as SVG with a caption; texts have their proper size at this width."""
    if not window.channels or not window.layers:
        return '<p class="fnb-quiet">No channel is selected.</p>'
    height = max(_LEAST, _ROW * len(window.channels)) + _TOP + _BOTTOM
    inner = "".join(
        [
            _write_markers(window, width, height),
            _write_time_axis(window, width, height),
            _write_names(window, height),
            *(_write_layer(window, layer, width, height) for layer in window.layers),
        ]
    )
    caption = write_text(window.caption)
    return (
        f'<figure class="fnb-signal"><svg viewBox="0 0 {width:g} {height}" role="img" '
        f'aria-label="{caption}" preserveAspectRatio="none">{inner}</svg>'
        f"<figcaption>{_write_legend(window)}{caption}</figcaption></figure>"
    )


def _pitch(window: SignalWindow, height: float) -> float:
    return (height - _TOP - _BOTTOM) / len(window.channels)


def _x(window: SignalWindow, times_s: np.ndarray | float, width: float) -> np.ndarray:
    span_s = max(window.end_s - window.begin_s, 1e-9)
    return _LEFT + (np.asarray(times_s) - window.begin_s) / span_s * (width - _LEFT - _RIGHT)


def _write_layer(window: SignalWindow, layer: Layer, width: float, height: float) -> str:
    """Return one line for each channel, through the lowest and highest samples of the bins."""
    pitch = _pitch(window, height)
    x = np.repeat(np.round(_x(window, layer.times_s, width), 1), 2)
    paths = []
    for row, (low, high) in enumerate(zip(layer.low_uv, layer.high_uv, strict=True)):
        if np.isnan(low).all():
            continue
        centre = _TOP + pitch * (row + 0.5)
        # The direction alternates, so that the line joins neighbouring bins at the near end.
        ends = np.stack([low, high], axis=1)
        ends[1::2] = ends[1::2, ::-1]
        y = np.clip(centre - ends.ravel() / window.scale_uv * pitch, _TOP, height - _BOTTOM)
        points = " ".join(map("%.5g,%.5g".__mod__, zip(x.tolist(), y.tolist(), strict=True)))
        paths.append(f'<polyline points="{points}"/>')
    return f'<g class="fnb-trace fnb-trace-{layer.label}">{"".join(paths)}</g>'


def _write_names(window: SignalWindow, height: float) -> str:
    pitch = _pitch(window, height)
    names = "".join(
        f'<text x="{_LEFT - 6}" y="{_TOP + pitch * (row + 0.5) + 5:.1f}">{_shorten(name)}'
        f"<title>{write_text(name)}</title></text>"
        for row, name in enumerate(window.channels)
    )
    return f'<g class="fnb-names">{names}</g>'


def _shorten(name: str) -> str:
    return write_text(name if len(name) <= 9 else name[:8] + "…")


def _write_time_axis(window: SignalWindow, width: float, height: float) -> str:
    bottom = height - _BOTTOM
    ticks = _choose_ticks(window.begin_s, window.end_s)
    marks = "".join(
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}"/>'
        f'<text x="{x:.1f}" y="{bottom + 16}">{tick:g}</text>'
        for tick, x in zip(ticks, _x(window, np.array(ticks), width), strict=True)
    )
    label = f'<text x="{width - _RIGHT:g}" y="{height - 3}" class="fnb-axis-label">time (s)</text>'
    return f'<g class="fnb-axis">{marks}{label}</g>'


def _choose_ticks(begin_s: float, end_s: float) -> list[float]:
    span_s = max(end_s - begin_s, 1e-6)
    step = 10.0 ** np.floor(np.log10(span_s / 4))
    step *= next(m for m in (1, 2, 5, 10) if span_s / (m * step) <= 10)
    first = np.ceil(begin_s / step - 1e-9)
    return [
        round(float(k * step), 6) + 0.0 for k in np.arange(first, np.floor(end_s / step + 1e-9) + 1)
    ]


def _write_markers(window: SignalWindow, width: float, height: float) -> str:
    lines = "".join(
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{height - _BOTTOM}"/>'
        for x in _x(window, window.markers_s, width)
    )
    return f'<g class="fnb-markers">{lines}</g>'


def _write_legend(window: SignalWindow) -> str:
    if len(window.layers) < 2:
        return ""
    keys = "".join(
        f'<span class="fnb-key fnb-key-{layer.label}">▬</span> {write_text(layer.label)} &nbsp; '
        for layer in window.layers
    )
    return f'<span class="fnb-legend">{keys}</span>'
