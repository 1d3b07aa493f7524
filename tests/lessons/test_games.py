"""The game of memory: the score follows the plan, and is the same on any machine."""

from __future__ import annotations

import mne
import pytest

from facet_nb import GradientCorrection, LowPassFilter, Pipeline, ProcessingContext, TriggerDetector
from facet_nb.core.backends import registry
from facet_nb.core.errors import ValidationError
from facet_nb.lessons import score_fit, write_header_only

CHAIN = Pipeline([TriggerDetector(regex=r"R\s+1$"), GradientCorrection(), LowPassFilter(freq=70)])


@pytest.fixture(scope="module", params=[(16, 1000.0, 300.0), (64, 5000.0, 1200.0)])
def large(request, tmp_path_factory) -> ProcessingContext:
    path = write_header_only(tmp_path_factory.mktemp("large"), "large", *request.param)
    return ProcessingContext(mne.io.read_raw_brainvision(path, preload=False, verbose="error"))


def test_a_header_stands_for_a_recording_without_samples(tmp_path):
    path = write_header_only(tmp_path / "new", "b", 3, 250.0, 60.0, volume_s=1.5)
    raw = mne.io.read_raw_brainvision(path, preload=True, verbose="error")
    assert raw.get_data().shape == (3, 15_000) and not raw.get_data().any()
    assert raw.info["sfreq"] == 250.0 and raw.annotations.onset[:2].tolist() == [5.0, 6.5]
    assert raw.annotations.onset[-1] < 56.0
    assert path.with_suffix(".eeg").stat().st_size == 2 * 3 * 15_000


def test_score_is_that_of_the_plan(large):
    settings = {"mode": "channel_sequential", "batch_size": 1, "n_jobs": 2, "backend": "threading"}
    score = score_fit(CHAIN, large, settings, limit_mb=1e6)
    plan = CHAIN.plan(large, oversubscribe=True, **settings)
    assert score.own_mb == plan.forecast.own_bytes / 1e6 and score.workers == 2
    assert score.points == 200 - 5 * score.scratch_gb and score.idle == ()
    assert score_fit(CHAIN, large, settings, limit_mb=score.own_mb - 0.001).points == 0


def test_idle_settings_cost_points_and_workers_count_up_to_four(large):
    settings = {"mode": "channel_sequential", "n_workers": 8, "chunk_duration_s": 5.0}
    plain = score_fit(CHAIN, large, settings, 1e6)
    idle = score_fit(CHAIN, large, {**settings, "backend": "threading", "fuse": True}, 1e6)
    assert plain.workers == 4 and plain.idle == () and set(idle.idle) == {"backend", "fuse"}
    assert plain.points - idle.points == pytest.approx(40)


def test_cores_do_not_count(large, monkeypatch):
    settings = {"n_workers": 4, "chunk_duration_s": 5.0, "mode": "channel_sequential"}
    here = score_fit(CHAIN, large, settings)
    monkeypatch.setattr(registry, "count_cores", lambda *_: 1)
    assert CHAIN.plan(large, **settings).n_workers == 1
    assert score_fit(CHAIN, large, settings) == here


def test_other_settings_are_refused(large):
    with pytest.raises(ValidationError, match="dtype cannot be set: use mode"):
        score_fit(CHAIN, large, {"dtype": "float32"})
