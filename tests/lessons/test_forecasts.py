"""Forecasts are scored by a proper rule, and cannot be changed after the answer."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facet_nb.core.errors import ValidationError
from facet_nb.lessons import forecasts, interval_score, list_forecasts, predict, reveal

NUMBERS = st.floats(-100, 100)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """A session of its own for each test."""
    monkeypatch.setattr(forecasts, "_SESSION", forecasts._Session())


def test_a_forecast_and_its_answer():
    assert "Written down" in str(predict("P1", 2, 4, "times"))
    found = reveal("P1", 3.0)
    assert found.holds and found.score == pytest.approx(1.0)
    assert "inside" in str(found) and list(list_forecasts()) == ["P1"]


def test_a_wrong_forecast_is_outside():
    predict("P1", 2, 4, "times")
    found = reveal("P1", 8.0)
    assert found.holds is False and found.score == pytest.approx(1 + 10)


def test_no_forecast_is_said():
    assert "not predicted yet" in str(predict("P1"))
    assert "not predicted. The answer is 3 dB" in str(reveal("P1", 3.0, "dB"))
    assert list_forecasts() == {}


def test_a_revealed_forecast_stays():
    predict("P1", 2, 4)
    predict("P1", 3, 5)  # until the answer is seen
    first = reveal("P1", 10.0)
    assert reveal("P1", 4.0) == first
    assert predict("P1", 3, 5) == first  # "Run All Above" runs the cell again
    with pytest.raises(ValidationError, match="revealed"):
        predict("P1", 9, 11)


@pytest.mark.parametrize("ends", [(4, 2), (math.nan, 2), (1, math.inf)])
def test_what_is_no_interval_is_refused(ends):
    with pytest.raises(ValidationError, match="no interval"):
        predict("P1", *ends)


def test_a_ratio_is_positive():
    with pytest.raises(ValidationError, match="above 0"):
        predict("P1", 0, 2, "times")


@given(NUMBERS, NUMBERS, NUMBERS)
def test_score_is_the_width_inside_and_more_outside(a, b, truth):
    low, high = sorted((a, b))
    score = interval_score(low, high, truth)
    assert score >= high - low
    assert (score == pytest.approx(high - low)) == (low - 1e-9 <= truth <= high + 1e-9) or (
        min(abs(truth - low), abs(truth - high)) < 1e-3
    )


def test_the_score_is_proper():
    """Of all symmetric intervals, the one that holds 80 % of the truths scores best."""
    truths = np.random.default_rng(0).normal(size=20_000)
    means = {w: np.mean([interval_score(-w, w, t) for t in truths]) for w in (0.3, 1.2816, 3.0)}
    assert min(means, key=means.get) == 1.2816


def test_importing_the_lessons_loads_nothing_heavy():
    code = (
        "import sys, facet_nb.lessons; "
        "print(set(sys.modules) & {'mne', 'matplotlib', 'joblib', 'pandas', 'IPython'})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
