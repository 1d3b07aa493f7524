"""Where artifacts begin relative to their triggers."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from facet_nb import ArtifactOffsetFinder, Pipeline, ProcessingContext, TriggerDetector
from facet_nb.core.errors import ValidationError
from facet_nb.datasets import simulate

SFREQ = 1000.0


def make(triggers, onset, *, length=80, n_times=20_000):
    """EEG, and artifacts that begin `onset` samples after their triggers."""
    rng = np.random.default_rng(0)
    data = 1e-6 * np.cumsum(rng.standard_normal((3, n_times)), axis=1)
    for trigger in triggers:
        burst = 1e-3 * rng.standard_normal((3, length))
        data[:, trigger + onset : trigger + onset + length] += burst
    raw = mne.io.RawArray(data, mne.create_info(3, SFREQ, "eeg"), verbose="error")
    return ProcessingContext(raw).with_trigger_samples(triggers)


@pytest.mark.parametrize("onset", [-30, -5, 0, 12])
def test_offset_is_found_at_the_first_trigger_and_after_pauses(onset):
    volumes = np.add.outer(1500 + 700 * np.arange(20), 80 * np.arange(6)).ravel()
    context = make(volumes, onset)
    found = ArtifactOffsetFinder().execute(context)
    assert found.metadata.artifact_to_trigger_offset * SFREQ == pytest.approx(onset, abs=2)
    notes = found.get_history()[-1].parameters
    assert notes["n_places"] == 20 and notes["spread_ms"] <= 4


def test_simulated_scan_begins_at_its_marker():
    simulation = simulate(8, 2000.0, 20.0, 1.0, 10, seed=1, drift=0.0)
    steps = [TriggerDetector(r"\b1\b"), ArtifactOffsetFinder()]
    found = Pipeline(steps).run(simulation.context(), raise_on_error=True).context
    assert abs(found.metadata.artifact_to_trigger_offset) < 8e-3


def test_no_silence_no_answer():
    context = make(np.arange(10, 19_000, 80), 0)
    with pytest.raises(ValidationError, match="artifact_to_trigger_offset=…"):
        ArtifactOffsetFinder().execute(context)
    with pytest.raises(ValidationError, match="at most 1 s"):
        ArtifactOffsetFinder(search_s=2.0).execute(context)
