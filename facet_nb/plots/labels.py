"""Place short labels beside points that may be close to each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

#: Distance below which points share a label; width and height of a letter; radius of a point. All
#: in points (1/72 inch).
_SAME, _LETTER, _HEIGHT, _DOT = 3.0, 6.0, 10.0, 4.0
#: Distances and directions at which a label may be placed, in points and degrees, best first.
_RADII, _ANGLES = (10.0, 17.0, 26.0, 37.0), (45, 90, 0, 135, -45, -90, 180, -135)
_FAR = 12.0


def write_labels(
    ax: Any,
    points: Sequence[tuple[float, float]],
    texts: Sequence[str],
    *,
    avoid: Sequence[tuple[float, float]] = (),
) -> list[Any]:
    """Write a text beside each point, without covering points or other texts.

    Points that coincide share a label. A label that is far from its point is connected with it by
    a line. The limits of `ax` must have been set.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        The axes with the points.
    points : sequence of tuple (x, y)
        In data coordinates.
    texts : sequence of str
        One text for each point.
    avoid : sequence of tuple (x, y)
        Further points, without text.

    Returns
    -------
    list of matplotlib.text.Annotation
        One for each group of points, in the order of their first points.
    """
    if not len(points):
        return []
    scale = 72.0 / ax.figure.dpi
    dots = scale * ax.transData.transform(np.asarray([*points, *avoid], dtype=float))
    places = dots[: len(points)]
    box = ax.get_window_extent()
    bounds = (scale * box.x0, scale * box.y0, scale * box.x1, scale * box.y1)
    taken = [(x - _DOT, y - _DOT, x + _DOT, y + _DOT) for x, y in dots]
    written = []
    for group in _group(places):
        first = group[0]
        text = ", ".join(texts[i] for i in group)
        spot = _find_spot(places[first], _LETTER * len(text), taken, bounds)
        taken.append(spot)
        dx, dy = ((spot[k] + spot[k + 2]) / 2 - places[first][k] for k in (0, 1))
        arrow = {"arrowstyle": "-", "linewidth": 0.6, "color": ax.xaxis.label.get_color()}
        written.append(
            ax.annotate(
                text,
                points[first],
                xytext=(dx, dy),
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=8,
                parse_math=False,
                arrowprops={**arrow, "shrinkA": 1, "shrinkB": 3} if _is_far(dx, dy) else None,
            )
        )
    return written


def _group(places: np.ndarray) -> list[list[int]]:
    """Return groups of indices of coinciding points."""
    groups: list[list[int]] = []
    for i, place in enumerate(places):
        for group in groups:
            if math.dist(places[group[0]], place) < _SAME:
                group.append(i)
                break
        else:
            groups.append([i])
    return groups


def _find_spot(
    place: np.ndarray,
    width: float,
    taken: Sequence[tuple[float, float, float, float]],
    bounds: tuple[float, float, float, float],
) -> tuple[float, float, float, float]:
    """Return the nearest free box, or the one with the smallest overlap."""
    best, least = (0.0, 0.0, 0.0, 0.0), math.inf
    for radius in _RADII:
        for angle in _ANGLES:
            x = place[0] + (radius + width / 2 - _LETTER / 2) * math.cos(math.radians(angle))
            y = place[1] + radius * math.sin(math.radians(angle))
            box = (x - width / 2, y - _HEIGHT / 2, x + width / 2, y + _HEIGHT / 2)
            covered = sum(_overlap(box, other) for other in taken)
            covered += width * _HEIGHT - _overlap(box, bounds)
            if covered < 1e-6:
                return box
            if covered < least:
                best, least = box, covered
    return best


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the area of the intersection of two boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, width) * max(0.0, height)


def _is_far(dx: float, dy: float) -> bool:
    return math.hypot(dx, dy) > _FAR + _LETTER
