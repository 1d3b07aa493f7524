"""The figure of several chains."""

from __future__ import annotations

import re

import numpy as np
import pytest

from facet_nb import AASCorrection, Pipeline, ProcessingContext, TriggerDetector, compare
from facet_nb.datasets import example
from facet_nb.plots import plot_chains


@pytest.fixture(scope="module")
def recording():
    return example()


def run(recording, raw=None):
    context = ProcessingContext(recording.raw if raw is None else raw)
    steps = [TriggerDetector(r"\b1\b"), AASCorrection(window_size=60)]
    return Pipeline(steps).run(context, raise_on_error=True)


def test_maps_where_positions_are_known(recording):
    comparison = compare({"one": run(recording), "two": run(recording)}, truth=recording.clean)
    picture = comparison.plot()
    assert re.search(r"one \d+\.\d, two \d+\.\d", picture.caption)
    upper, middle, lower = picture.subfigs
    labels = [line.get_label() for line in upper.axes[0].lines]
    assert labels == ["before", "one", "two", "truth"]
    assert len(middle.axes[0].patches) == 3 * len(comparison.before.harmonics_db)
    assert [ax.get_title().split(":")[0] for ax in lower.axes[:2]] == ["one", "two"]
    assert picture.to_png()[:4] == b"\x89PNG"
    assert picture.to_svg().lstrip().startswith("<?xml")


def test_bars_where_they_are_not(recording):
    raw = recording.raw.copy()
    raw.set_montage(None)
    comparison = compare({"one": run(recording, raw)})
    picture = plot_chains(comparison)
    axes = picture.subfigs[2].axes[0]
    heights = [patch.get_height() for patch in axes.patches]
    np.testing.assert_allclose(heights, comparison.chains[0].per_channel)
    assert [t.get_text() for t in axes.get_xticklabels()] == list(comparison.chains[0].ch_names)


def test_volumes_are_drawn_as_lines(recording):
    context = ProcessingContext(recording.raw).with_trigger_samples(recording.triggers[::25])
    result = Pipeline([AASCorrection(window_size=5)]).run(context, raise_on_error=True)
    picture = compare({"volumes": result}).plot()
    assert not picture.subfigs[1].axes[0].patches
    assert len(picture.subfigs[1].axes[0].lines) == 3
