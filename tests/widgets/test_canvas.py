"""Plots that are as wide as there is room for."""

from __future__ import annotations

import matplotlib
import pytest

from facet_nb import Pipeline
from facet_nb.plots.tuning import find_height_in, tuning_picture
from facet_nb.widgets import Studio
from facet_nb.widgets.canvas import choose_width_in, make_canvas, resize
from tests.models.helpers import Halve, make_simulation
from tests.models.tables import make_table
from tests.widgets.finding import find


@pytest.fixture(autouse=True)
def same_backend():
    """ipympl makes itself the backend when it is imported: leave things as they were."""
    before = matplotlib.rcParams._get("backend")
    yield
    matplotlib.rcParams["backend"] = before


@pytest.mark.parametrize(
    ("panel_px", "width_in"), [(0, 7.0), (620, 5.6), (848, 7.88), (2000, 9.0), (100, 3.5)]
)
def test_width(panel_px, width_in):
    assert choose_width_in(panel_px) == pytest.approx(width_in)


def test_a_canvas_is_resized_once():
    canvas = make_canvas(tuning_picture(make_table(), width_in=7.0))
    assert resize(canvas, 5.6, 9.6) and not resize(canvas, 5.6, 9.6)
    assert tuple(canvas.figure.get_size_inches()) == (5.6, 9.6)


@pytest.mark.parametrize(("width_in", "n_columns"), [(7.0, 2), (5.6, 1)])
def test_a_narrow_picture_has_its_axes_one_below_the_other(width_in, n_columns):
    picture = tuning_picture(make_table(), width_in=width_in)
    kinds = [ax for ax in picture.axes if ax.get_gid()]
    assert len(kinds) == 4
    assert len({ax.get_subplotspec().colspan.start for ax in kinds}) == n_columns
    assert picture.get_figheight() == pytest.approx(find_height_in(width_in))


def test_the_panel_passes_its_width_on():
    """The page sets a hidden number; plots on all tabs follow."""
    studio = Studio(make_simulation(), Pipeline([Halve()]))
    find(studio, "fnb-width").value = 620
    assert studio.run_panel.results._width_in == studio.tune_panel.curves._width_in == 5.6
