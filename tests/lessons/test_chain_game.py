"""*Beat x dB*: better chains score more, and nobody scores by another way."""

from __future__ import annotations

import pytest

from facet_nb import AASCorrection, GradientCorrection, LowPassFilter, Pipeline, TriggerDetector
from facet_nb.core import Processor, ValidationError
from facet_nb.io import Exporter
from facet_nb.lessons import chain_game, score_chain

DETECT = TriggerDetector(regex="S  1|R128")
KINDS = ("free clock", "volume markers")


@pytest.fixture(autouse=True)
def small_board(monkeypatch):
    monkeypatch.setattr(chain_game, "KINDS", {kind: chain_game.KINDS[kind] for kind in KINDS})
    monkeypatch.setattr(chain_game, "PRACTICE", (1, 2))
    monkeypatch.setitem(chain_game._RECORDING, "duration_s", 30.0)


def test_a_better_chain_scores_more(tmp_path):
    best = Pipeline([DETECT, GradientCorrection(), LowPassFilter(freq=70)])
    best.to_yaml(tmp_path / "entry.yml")
    scores = [
        score_chain(tmp_path / "entry.yml"),
        score_chain(Pipeline([DETECT, AASCorrection(), LowPassFilter(freq=70)]).to_dict()),
        score_chain(Pipeline([DETECT])),
    ]
    assert scores[0].points > 15 > scores[1].points > scores[2].points
    assert all(not score.problems and set(score.snr_db) == set(KINDS) for score in scores)
    worst = [min(values) for values in scores[0].snr_db.values()]
    assert scores[0].points == round(sum(worst) / 2, 1) and scores[0].steps == 3
    assert score_chain(best) == scores[0]


def test_the_final_board_depends_on_its_salt(monkeypatch):
    monkeypatch.setattr(chain_game, "_DRAWN", 1)
    scores = [score_chain(Pipeline([LowPassFilter(freq=5)]), salt).snr_db for salt in (7, 7, 8)]
    assert scores[0] == scores[1] != scores[2]


def test_what_fails_scores_as_much_as_nothing():
    nothing = score_chain(Pipeline([DETECT]))
    failed = score_chain(Pipeline([TriggerDetector(regex="no such"), GradientCorrection()]))
    assert failed.snr_db == nothing.snr_db and len(failed.problems) == 4
    assert str(failed).count("matches nothing") == 2  # one line for each reason
    from facet_nb import Crop

    cut = score_chain(Pipeline([Crop(tmin=1.0, tmax=20.0)]))
    assert cut.snr_db == nothing.snr_db and "instead of" in next(iter(cut.problems.values()))


def test_a_chain_that_computes_without_end_is_stopped(monkeypatch):
    monkeypatch.setattr(chain_game, "_CPU_S", 1)
    score = score_chain(Pipeline([DETECT, *[GradientCorrection()] * 9]))
    assert len(score.problems) >= 1
    assert all("1 s of CPU time" in why for why in score.problems.values())


class Own(Processor):
    name = "own"

    def process(self, context):
        return context


@pytest.mark.parametrize(
    "steps",
    [
        [Own()],
        [Exporter("there.fif")],
        [],
        [LowPassFilter(freq=70)] * 13,
        [lambda context: context],
    ],
)
def test_what_cannot_take_part(steps):
    with pytest.raises(ValidationError, match=r"cannot take part|give 1 to 12"):
        score_chain(Pipeline(steps))
