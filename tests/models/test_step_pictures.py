"""Small pictures of steps: what they show is what the step does."""

from __future__ import annotations

import numpy as np
import pytest

from facet_nb import AASCorrection, HighPassFilter, LowPassFilter, TriggerDetector, UpSample
from facet_nb.models.step_pictures import find_picture
from facet_nb.preprocessing import NotchFilter
from tests.models.helpers import make_simulation


@pytest.fixture(scope="module")
def recording():
    simulation = make_simulation()
    context = simulation.context()
    return context, context.with_triggers(simulation.triggers)


@pytest.mark.parametrize(
    ("step", "edges_hz"),
    [
        (HighPassFilter(1.0), [0.5]),
        (LowPassFilter(70.0), [78.75]),
        (LowPassFilter(70.0, method="iir"), [70.0]),
        (NotchFilter([50.0]), [49.5, 50.5]),
    ],
)
def test_a_filter_shows_its_own_response(recording, step, edges_hz):
    picture = find_picture(step, *recording)
    said = [float(word) for word in picture.text.split() if word[0].isdigit()]
    assert picture.kind == "response" and picture.y.max() <= 0.1
    assert said == pytest.approx(edges_hz, rel=0.02)


def test_markers_and_the_mean_artifact(recording):
    context, known = recording
    triggers = known.get_triggers()
    markers = find_picture(TriggerDetector("1"), context, known)
    assert markers.text.startswith(f"{len(triggers)} markers")
    mean = find_picture(AASCorrection(), context, known)
    raw, length = context.get_raw(), int(np.median(np.diff(triggers)))
    epochs = [raw.get_data([0])[0, t : t + length] for t in triggers[:30]]
    expected = np.mean(epochs, axis=0)
    assert np.allclose(mean.y, expected - expected.mean(), atol=1e-12)
    assert f"{1e3 * np.ptp(expected):.3g} mV" in mean.text


@pytest.mark.parametrize("step", [TriggerDetector("1"), AASCorrection(), UpSample(2)])
def test_what_is_not_known_has_no_picture(recording, step):
    assert find_picture(step, recording[0], None) is None


def test_a_filter_that_cannot_run_has_no_picture(recording):
    assert find_picture(LowPassFilter(1e5), *recording) is None


def test_the_artifact_is_read_once_for_the_same_markers(monkeypatch):
    simulation = make_simulation()
    context = simulation.context()
    raw, reads = context.get_raw(), []
    get_data = type(raw).get_data
    monkeypatch.setattr(
        type(raw), "get_data", lambda self, *a, **k: reads.append(1) or get_data(self, *a, **k)
    )
    known, fewer = (
        context.with_triggers(t) for t in (simulation.triggers, simulation.triggers[2:])
    )
    first = find_picture(AASCorrection(), context, known)
    assert find_picture(AASCorrection(), context, known) is first and len(reads) == 1
    other = find_picture(AASCorrection(), context, fewer)
    assert len(reads) == 2 and not np.array_equal(other.y, first.y)
