"""Curves as SVG: what is drawn where, and that any name and any number can be drawn."""

from __future__ import annotations

import base64
import re
import time
from xml.etree import ElementTree

import numpy as np
import pytest

from facet_nb.datasets import simulate
from facet_nb.plots import Sketch, compare, picture_of, sketch_signal, sketch_spectrum
from facet_nb.plots.sketch import Curve, SketchRow, choose_ticks

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<img src=x onerror=alert(1)> & 'C4' \x00\x1b"


@pytest.fixture(scope="module")
def comparison():
    context = simulate(2, 500.0, 12.0).context()
    raw = context.get_raw().copy()
    raw._data *= 0.5
    return compare(context.with_raw(raw))


def draw(*curves: Curve, **options) -> ElementTree.Element:
    row = SketchRow(tuple(curves), "µV", "time (s)", **options)
    return ElementTree.fromstring(Sketch("title", (row,), "caption").to_svg())


def read_points(root: ElementTree.Element) -> list[np.ndarray]:
    """Return the points of each curve."""
    return [
        np.array([p.split(",") for p in line.get("points").split()], dtype=float).reshape(-1, 2)
        for line in root.iter(f"{SVG}polyline")
    ]


def read_texts(root: ElementTree.Element) -> list[str]:
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def test_points_are_where_the_axes_say():
    x = np.array([0.0, 6.0, 10.0])
    root = draw(Curve(x, np.array([-100.0, 0.0, 100.0]), "#123456", "a"))
    (points,) = read_points(root)
    labels = [t for t in root.iter(f"{SVG}text") if t.get("x")]
    (six,) = [t for t in labels if t.text == "6"]
    assert points[1, 0] == pytest.approx(float(six.get("x")), abs=0.1)
    zeros = [float(t.get("y")) - 4.5 for t in labels if t.text == "0"]
    assert any(y == pytest.approx(points[1, 1], abs=0.1) for y in zeros)
    assert points[0, 1] > points[1, 1] > points[2, 1]  # up is up


def test_no_peak_is_lost_however_long_it_is():
    y = np.zeros(200_000)
    y[[777, 123_456]] = 1.0, -1.0
    (points,) = read_points(draw(Curve(np.arange(y.size), y, "#000", "a")))
    assert len(points) < 1500
    flat = np.median(points[:, 1])
    assert points[:, 1].min() < flat - 40 and points[:, 1].max() > flat + 40


@pytest.mark.parametrize("y", [[np.nan] * 4, [1.0] * 4, [0.0, np.inf, 1.0, np.nan], []])
def test_numbers_that_cannot_be_drawn_are_left_out(y):
    for log in (False, True):
        root = draw(Curve(np.arange(len(y)), np.array(y), "#000", "a"), log=log)
        (points,) = read_points(root)
        assert np.isfinite(points).all() and len(points) <= np.isfinite(np.array(y)).sum()


def test_a_logarithmic_scale_has_whole_decades():
    root = draw(Curve(np.arange(5), 10.0 ** np.arange(-3, 2), "#000", "a"), log=True)
    (points,) = read_points(root)
    assert np.allclose(np.diff(points[:, 1]), points[1, 1] - points[0, 1], atol=0.2)
    assert "10\u22123" in read_texts(root)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (-3, 3, [-3, -2, -1, 0, 1, 2, 3]), (4.2, 4.9, None)],
)
def test_ticks_are_round_numbers(low, high, ticks):
    found = choose_ticks(low, high, 7)
    assert found == ticks or ticks is None
    assert 3 <= len(found) <= 8 and low <= found[0] and found[-1] <= high


def test_any_name_is_text():
    x = np.arange(3.0)
    row = SketchRow((Curve(x, x, "#000", HOSTILE),), HOSTILE, HOSTILE)
    sketch = Sketch(HOSTILE, (row,), HOSTILE)
    root = ElementTree.fromstring(sketch.to_svg())
    assert sum("<img src=x" in text for text in read_texts(root)) == 4
    assert not list(root.iter(f"{SVG}img")) and "<img src=x" not in sketch.to_html()


def test_it_shows_what_the_figure_shows(comparison):
    sketch = sketch_signal(comparison)
    root = ElementTree.fromstring(sketch.to_svg())
    texts = read_texts(root)
    assert f"Channel {comparison.channel}" in texts and "time (s)" in texts
    assert sketch.caption == picture_of(comparison).caption == comparison.caption
    before, after, removed = read_points(root)
    assert len(before) == len(after) == len(removed)
    html = sketch.to_html()
    data = re.search(r"base64,([A-Za-z0-9+/=]+)", html).group(1)
    assert base64.b64decode(data).decode() == sketch.to_svg()
    assert html is sketch.to_html()  # made once


def test_the_spectrum_is_the_same(comparison):
    sketch = sketch_spectrum(comparison, fmax_hz=60.0)
    assert "up to 60 Hz" in sketch.caption
    before, after = read_points(ElementTree.fromstring(sketch.to_svg()))
    gaps = after[:, 1] - before[:, 1]
    assert gaps.min() > 0 and np.ptp(gaps) < 0.3  # half the amplitude everywhere


def test_it_takes_a_few_milliseconds():
    context = simulate(1, 5000.0, 12.0).context()
    comparison = compare(context)
    costs_s = []
    for _ in range(5):
        begin_s = time.thread_time()
        html = sketch_signal(comparison).to_html()
        costs_s.append(time.thread_time() - begin_s)
    assert min(costs_s) < 0.02 and len(html) < 100_000
