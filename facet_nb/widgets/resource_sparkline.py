"""Sparklines of memory and CPU during a run."""

from __future__ import annotations

from collections.abc import Sequence

from facet_nb.models.resource_meter import ResourceSample
from facet_nb.widgets.fragments import write_text

_WIDTH, _HEIGHT = 300, 56


def write_sparklines(samples: Sequence[ResourceSample], cores: int) -> str:
    """Return two sparklines with captions as HTML; empty without samples."""
    if not samples:
        return ""
    memory = [s.rss_bytes / 1e6 for s in samples]
    # The first sample has no CPU figure: it needs a previous one.
    cpu = [s.cpu_percent for s in samples[1:]] or [0.0]
    most = max(s.n_processes for s in samples)
    processes = "1 process" if most == 1 else f"{most} processes"
    said = f"Memory now {memory[-1]:.0f} MB, most {max(memory):.0f} MB ({processes}, resident)"
    used = f"CPU now {cpu[-1]:.0f} %, most {max(cpu):.0f} % of {100 * cores} %"
    return (
        '<div class="fnb-strips">'
        + _write_curve(said, memory, 1.15 * max(memory))
        + _write_curve(used, cpu, max(100.0 * cores, max(cpu)))
        + "</div>"
    )


def _write_curve(label: str, values: Sequence[float], top: float) -> str:
    values = values if len(values) > 1 else [*values, *values]
    n = len(values) - 1
    # The outline of the filled area: its sides lie outside the visible part.
    points = " ".join(
        f"{_WIDTH * i / n:.0f},{_HEIGHT - (_HEIGHT - 4) * v / (top or 1.0):.1f}"
        for i, v in enumerate(values)
    )
    first, last = points.partition(" ")[0].partition(",")[2], points.rpartition(",")[2]
    below, right = _HEIGHT + 3, _WIDTH + 3
    text = write_text(label)
    area = f"-3,{below} -3,{first} {points} {right},{last} {right},{below}"
    return (
        f'<figure class="fnb-strip"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{text}" preserveAspectRatio="none"><polygon points="{area}"/>'
        f"</svg><figcaption>{text}</figcaption></figure>"
    )
