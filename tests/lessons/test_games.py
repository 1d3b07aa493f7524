"""The games: scores follow the plan, or the model, and are the same on any machine."""

from __future__ import annotations

import random

import mne
import pytest

from facet_nb import GradientCorrection, LowPassFilter, Pipeline, ProcessingContext, TriggerDetector
from facet_nb.core.backends import registry
from facet_nb.core.errors import ValidationError
from facet_nb.lessons import CAUSES, deal_cards, score_cards, score_fit, write_header_only
from facet_nb.lessons.games import NOTHING, UNKNOWN, _deal

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


@pytest.mark.parametrize("salt", range(5))
def test_who_knows_the_cause_beats_every_naive_strategy(salt):
    cards = _deal(salt)
    runs = [run for _, run in cards]
    assert runs == [*deal_cards(salt)] and {cause for cause, _ in cards} == {*CAUSES, NOTHING}
    best = [(cause, CAUSES.get(cause, "")) for cause, _ in cards]
    reached = score_cards(best, salt)
    assert 2 * len(cards) < reached <= 4 * len(cards)
    guess = random.Random(salt)
    naive = [[(cause, "threads")] * len(cards) for cause in (*CAUSES, NOTHING)]
    naive.append([(guess.choice([*CAUSES]), guess.choice([*CAUSES.values()])) for _ in cards])
    naive.append(best[1:] + best[:1])
    assert max(score_cards(answers, salt) for answers in naive) < 0.5 * reached
    assert score_cards([(UNKNOWN, "")] * len(cards), salt) == 0


@pytest.mark.parametrize("salt", range(5))
def test_the_picture_of_a_card_shows_its_cause(salt):
    for cause, run in _deal(salt):
        parts = dict(run.waterfall.lost.parts)
        share = max(parts.values()) / run.lost_s
        if cause == NOTHING:
            assert run.lost_s < 0.1 * run.trace.wall_s
        else:
            assert max(parts, key=parts.get) == cause and share >= 0.6


def test_another_salt_deals_other_cards():
    assert deal_cards(0) == deal_cards(0) != deal_cards(1)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([("imbalance", "")], "12 cards"),
        ([("the weather", "")] * 12, "no cause"),
        ([("imbalance", "a wish")] * 12, "no setting"),
    ],
)
def test_an_answer_that_cannot_be_scored_says_why(answers, said):
    with pytest.raises(ValidationError, match=said):
        score_cards(answers)
