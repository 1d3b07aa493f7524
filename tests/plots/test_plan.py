"""The picture of a plan: every worker and step is drawn, and the caption says the same."""

from __future__ import annotations

from collections import Counter

import pytest

from facet_nb import AASCorrection, HighPassFilter, LowPassFilter, Pipeline, TriggerDetector
from facet_nb.plots.plan import _MOST_LANES

CHAIN = [
    TriggerDetector(r"\b1\b"),
    HighPassFilter(1.0),
    AASCorrection(),
    LowPassFilter(70.0),
]
SETTINGS = [
    {"mode": "serial"},
    {"mode": "channel_sequential"},
    {"mode": "channel_sequential", "n_jobs": 3, "n_workers": 2, "batch_size": 4},
    {"mode": "parallel", "n_jobs": 6, "backend": "threading"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_each_step_is_drawn_once_for_each_worker(settings):
    plan = Pipeline(CHAIN).plan(**settings)
    picture = plan.plot()
    texts = Counter(text.get_text() for text in picture.axes[0].texts)
    for stage in plan.stages:
        lanes = 1 if stage.kind == "global" else min(stage.n_jobs, _MOST_LANES)
        assert {texts[name] for name in stage.names} == {lanes}
        assert all(name in picture.caption for name in stage.names)
    wide = [stage for stage in plan.stages if stage.kind == "channel_wise"]
    assert sum(n for text, n in texts.items() if text.startswith("split")) == len(wide)
    left_out = sum(stage.n_jobs > _MOST_LANES for stage in wide)
    assert sum(n for text, n in texts.items() if "more workers" in text) == left_out


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_everything_is_within_the_picture(settings):
    picture = Pipeline(CHAIN).plan(**settings).plot(width_in=6.0)
    picture.canvas.draw()
    whole = picture.bbox
    for part in [*picture.axes[0].texts, *picture.axes[0].patches]:
        box = part.get_window_extent()
        assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0
        assert box.y1 <= whole.y1


def test_an_empty_plan_is_a_picture():
    assert "mode=serial" in Pipeline([]).plan(mode="serial").plot().caption
