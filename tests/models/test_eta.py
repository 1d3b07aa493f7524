"""How long a run still takes."""

from __future__ import annotations

import pytest

from facet_nb.models.docstrings import read_parameters
from facet_nb.models.eta import EtaEstimator
from facet_nb.preprocessing import HighPassFilter


def pace_of(looks):
    eta = EtaEstimator()
    for elapsed_s, fraction in looks:
        eta.update(elapsed_s, fraction)
    return eta.remaining_range_s()


def test_nothing_is_known_at_the_beginning():
    assert pace_of([]) is None
    assert pace_of([(1.0, 0.0)]) is None
    assert pace_of([(1.0, 0.2), (2.0, 0.2)]) is None


def test_an_even_pace_gives_a_narrow_interval():
    low_s, high_s = pace_of([(float(t), t / 20) for t in range(11)])
    assert low_s == pytest.approx(9.0) and high_s == pytest.approx(11.0)


def test_a_pace_that_slows_down_gives_a_wide_one():
    even = [(t / 10, t / 20) for t in range(9)]
    low_s, high_s = pace_of([*even, (1.8, 0.45), (2.8, 0.5)])
    assert low_s == pytest.approx(0.9 * 2.8) and high_s > 8


def test_help_that_refers_to_a_base_class_is_that_of_the_base():
    found = read_parameters(HighPassFilter)
    assert not any(text.text.startswith("As in Filter") for text in found.values())
    assert "channels" in found["picks"].text.lower()
