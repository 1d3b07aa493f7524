"""Spans that people choose to compare with."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb import (
    Crop,
    Pipeline,
    ReferenceIntervalSelector,
    Resample,
    SignalIntervalSelector,
    SNRCalculator,
)
from facet_nb.core.errors import ValidationError
from facet_nb.evaluation.base import find_reference, find_span
from tests.contract.recordings import detect, full_chain, make_context


@pytest.fixture(scope="module")
def ctx():
    return make_context()


def test_metrics_compare_with_the_span(ctx):
    plain = Pipeline([*full_chain(), SNRCalculator()]).run(ctx, raise_on_error=True).context
    chosen = [SignalIntervalSelector(0.5, 1.5), *full_chain(), SNRCalculator()]
    other = Pipeline(chosen).run(ctx, raise_on_error=True).context
    assert find_reference(other.get_raw()) == ((250, 750),)
    assert find_span(other, "x").reference == ((250, 750),)
    assert other.get_metric("snr") != plain.get_metric("snr")
    np.testing.assert_array_equal(other.get_data(), plain.get_data())


def test_span_follows_crop_and_rate(ctx):
    steps = [*detect(), SignalIntervalSelector(1.0, 2.0), Crop(tmin=0.5), Resample(250.0)]
    moved = Pipeline(steps).run(ctx, raise_on_error=True).context
    ((low, high),) = find_reference(moved.get_raw())
    assert (low, high) == pytest.approx((125, 375), abs=1)


def test_it_is_within_the_recording(ctx):
    assert ReferenceIntervalSelector is SignalIntervalSelector
    for tmin, tmax in ((-1.0, 2.0), (3.0, 3.0), (10.0, 99.0)):
        with pytest.raises(ValidationError, match="tmin < tmax"):
            SignalIntervalSelector(tmin, tmax).execute(ctx)


def test_spans_are_no_triggers(ctx):
    from facet_nb import TriggerDetector

    marked = SignalIntervalSelector(0.5, 1.5).execute(ctx)
    with pytest.raises(ValidationError, match="matches nothing"):
        TriggerDetector("REFERENCE").execute(marked)
