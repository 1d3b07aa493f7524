"""Figures of measurements: the right numbers, units on every axis, words for empty states."""

from __future__ import annotations

import dataclasses

import matplotlib.style
import numpy as np
import pytest
from matplotlib.text import Text

from facet_nb import plots
from facet_nb.benchmark import BenchmarkTable, Configuration
from facet_nb.benchmark.curves import find_curves, find_waterfall
from facet_nb.benchmark.machine_load import Noise
from facet_nb.plots.heat_map import _find_contrast
from facet_nb.plots.pareto import find_front
from tests.benchmark.samples import (
    ENVIRONMENT,
    SERIAL,
    SUBJECT,
    THREADS,
    make_memory,
    make_point,
    make_table,
)
from tests.benchmark.synthetic import Costs, run

INNER = Configuration("serial", "serial", 1, 2)
PICTURES = {
    "scaling": plots.plot_scaling,
    "heat map": plots.plot_heat_map,
    "Pareto front": plots.plot_pareto,
    "waterfall": plots.plot_waterfall,
    "step bars": plots.plot_step_bars,
}


@pytest.fixture(scope="module")
def table():
    costs = Costs(serial_s=2.0, transfer_s=0.05)
    points = [
        make_point(SERIAL, (10.4, 10.5, 10.3), memory=make_memory(900.0), trace=run(costs)),
        make_point(
            Configuration("channel_sequential"),
            (10.5, 10.4, 10.6),
            memory=make_memory(300.0),
            trace=run(costs),
        ),
    ]
    for n, mb in ((2, 350.0), (4, 600.0)):
        trace = run(costs, n)
        walls = (trace.wall_s, 1.02 * trace.wall_s, 0.98 * trace.wall_s)
        points.append(make_point(THREADS[n], walls, memory=make_memory(mb), trace=trace))
    points.append(make_point(INNER, (7.0, 7.1, 6.9), memory=make_memory(950.0), trace=run(costs)))
    return make_table(*points)


@pytest.mark.parametrize("name", PICTURES)
def test_axes_have_units_and_the_caption_is_a_sentence(table, name):
    picture = PICTURES[name](table)
    labels = [ax.get_xlabel() for ax in picture.axes] + [ax.get_ylabel() for ax in picture.axes]
    named = [text for text in labels if text]
    assert named and all(text.endswith(")") for text in named), named
    assert picture.caption.endswith(".") and any(ch.isdigit() for ch in picture.caption)
    assert len(picture.to_png()) > 5000


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("state", ["empty", "failed"])
def test_empty_states_say_why(name, state):
    empty = BenchmarkTable(ENVIRONMENT, SUBJECT)
    if state == "failed":
        empty = empty.append(make_point(wall_s=(), memory=None, error="no <b>luck</b> $x_{$"))
    picture = PICTURES[name](empty)
    assert picture.caption and picture.to_png()


@pytest.mark.parametrize("name", PICTURES)
def test_a_busy_machine_is_said_on_the_plot(table, name):
    busy = dataclasses.replace(table, noise=Noise(other_cores=1.5))
    picture = PICTURES[name](busy)
    assert "busy" in picture.get_suptitle() and "busy" in picture.caption
    assert not PICTURES[name](table).get_suptitle()


@pytest.mark.parametrize("name", PICTURES)
def test_hostile_names_are_drawn_as_they_are(name):
    evil = Configuration("<b>$x_{$</b>", "threading", 2)
    trace = dataclasses.replace(
        run(Costs()),
        stages=tuple(dataclasses.replace(s, names=("$x_{$",)) for s in run(Costs()).stages),
    )
    table = make_table(make_point(trace=trace), make_point(evil, (1.0, 1.1, 1.0), trace=trace))
    picture = PICTURES[name](table)
    assert picture.to_png() and "<b>" not in picture.to_html()


def test_scaling_shows_the_table_and_the_ideal(table):
    picture = plots.plot_scaling(table)
    lines = {line.get_label(): line for line in picture.axes[0].lines}
    np.testing.assert_allclose(lines["ideal"].get_ydata(), lines["ideal"].get_xdata())
    drawn = picture.axes[0].containers[0].lines[0].get_ydata()
    np.testing.assert_allclose(drawn, [s.value for s in find_curves(table)[0].speedups])
    assert "4 workers" in picture.caption and "95 % interval" in picture.caption
    texts = [t.get_text() for t in picture.legends[0].get_texts()]
    assert any("what if" in text for text in texts) and "sequential, threads" in texts


def test_pareto_front_is_what_nothing_beats(table):
    front = [r.configuration for r in find_front(table.rows)]
    assert front == [THREADS[4], THREADS[2], Configuration("channel_sequential")]
    picture = plots.plot_pareto(table, budget_mb=500.0)
    assert any(np.allclose(line.get_ydata(), 500.0) for line in picture.axes[0].lines)
    assert "Fastest: channel_sequential, 4 threads" in picture.caption
    assert "smallest: channel_sequential, " in picture.caption
    wrong = make_point(THREADS[8], (0.1,) * 3, max_abs_diff_v=1e-6)
    assert [r.configuration for r in find_front(table.append(wrong).rows)] == front


def crowd(n):
    """n configurations whose times and peaks are nearly the same, and one far away."""
    near = [make_point(Configuration(batch_size=k + 1), (1.0 + 0.004 * k,) * 3,
                       memory=make_memory(300.0 + 3 * (k % 4))) for k in range(n)]  # fmt: skip
    return make_table(*near, make_point(THREADS[2], (1.4,) * 3, memory=make_memory(330.0)))


@pytest.mark.parametrize("n", [0, 1, 2, 12])
def test_labels_of_near_points_cover_nothing_and_are_inside(n):
    picture = plots.plot_pareto(crowd(n))
    picture.draw_without_rendering()
    ax = picture.axes[0]
    boxes = [Text.get_window_extent(t) for t in ax.texts]  # without the line to the point
    shown = ", ".join(t.get_text() for t in ax.texts).split(", ")
    assert sorted(shown, key=int) == [str(i + 1) for i in range(n + 1)]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
    points = np.array([(r.wall_s, r.point.memory.peak_mb) for r in crowd(n).rows])
    places = ax.transData.transform(points)
    inside = ax.get_window_extent().padded(-3.0)
    assert all(inside.contains(*place) for place in places)  # nor does one stand on the edge


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_texts_stand_out_in_light_and_dark(table, name, style):
    with matplotlib.style.context(style):
        picture = PICTURES[name](table)
        paper = matplotlib.colors.to_rgb(picture.get_facecolor())
        texts = [t for ax in picture.axes for t in (*ax.texts, ax.xaxis.label, ax.yaxis.label)]
        lines = [line for ax in picture.axes for line in ax.lines if len(line.get_xdata())]
    cells = {id(t) for t in texts if name == "heat map" and "\n" in t.get_text()}
    for artist in [*texts, *lines]:
        if id(artist) not in cells:  # those are on colours of their own
            color = matplotlib.colors.to_rgb(artist.get_color())
            assert np.abs(np.subtract(color, paper)).max() > 0.4, artist


def test_numbers_in_cells_stand_out():
    map_ = matplotlib.colormaps["cividis_r"]
    found = [_find_contrast(map_(x)) for x in (0.0, 0.45, 0.8, 1.0)]
    assert found == ["black", "black", "white", "white"]


def test_heat_map_has_a_cell_for_outer_and_inner(table):
    ax = plots.plot_heat_map(table).axes[0]
    grid = ax.images[0].get_array()
    assert grid.shape == (2, 3)
    assert grid[0, 0] == pytest.approx(10.4) and grid[1, 0] == pytest.approx(7.0)
    assert np.ma.getmaskarray(np.ma.masked_invalid(grid))[1, 1:].all()
    small = plots.plot_heat_map(table, "peak_mb")
    assert small.axes[0].images[0].get_array()[0, 0] == 300.0 and "300 MB" in small.caption


def test_waterfall_bars_add_up(table):
    fall = find_waterfall(table, table.find(THREADS[2]))
    picture = plots.plot_waterfall(table, THREADS[2])
    heights = [bar.get_height() for bar in picture.axes[0].patches]
    assert heights[0] + sum(heights[1:-1]) == pytest.approx(heights[-1])
    assert heights[0] == pytest.approx(fall.ideal_s) and heights[-1] == fall.measured_s
    assert "serial steps" in picture.caption and "channel_sequential, 2 threads" in picture.caption


def test_step_bars_are_the_traces(table):
    ax = plots.plot_step_bars(table, most=2).axes[0]
    widths = [bar.get_width() for bar in ax.patches]
    assert widths[:2] == pytest.approx([2.0, 8.0]) and len(widths) == 4
    assert [t.get_text() for t in ax.get_yticklabels()] == ["1. global", "2. filter"]


def test_memory_over_time():
    point = make_point()
    picture = plots.plot_memory(point)
    assert "300 MB of proportional memory in 1 process" in picture.caption
    ax = picture.axes[0]
    assert ax.get_ylabel() == "memory, PSS (MB)" and ax.get_xlabel() == "time (s)"
    assert "filter" in picture.legends[0].get_title().get_text()
    coarse = dataclasses.replace(make_memory(), peak_pss_mb=None)
    other = plots.plot_memory(make_point(memory=coarse))
    assert "resident" in other.caption and "resident" in other.axes[0].get_ylabel()
    assert "not measured" in plots.plot_memory(make_point(memory=None)).caption
