"""Questions are answered by calls that say what is right and why something else may seem so."""

from __future__ import annotations

import json

import pytest

from facet_nb.core.errors import ValidationError
from facet_nb.lessons import answers, choose, order


@pytest.fixture(autouse=True)
def questions(tmp_path, monkeypatch):
    made = {
        "E1": {
            "digest": answers.make_digest("E1", "b"),
            "feedback": {"a": "Too small.", "b": "Yes.", "c": "Too large."},
        },
        "E2": {
            "n_cards": 4,
            "digests": [answers.make_digest("E2", text) for text in ("1 2 3", "2 1 3")],
            "feedback": "What needs what?",
        },
    }
    path = tmp_path / "questions.json"
    path.write_text(json.dumps(made))
    monkeypatch.setattr(answers, "QUESTIONS", path)
    answers._read.cache_clear()
    yield
    answers._read.cache_clear()


@pytest.mark.parametrize(("letter", "right"), [("a", False), ("b", True), (" B ", True)])
def test_a_choice_is_right_or_not(letter, right):
    found = choose("E1", letter)
    assert found.right is right
    assert found.feedback in str(found) and ("right" in str(found)) is right


def test_no_answer_is_said():
    assert "not answered yet: choose one of a, b, c" in str(choose("E1"))
    assert "use cards 1 to 4" in str(order("E2"))


@pytest.mark.parametrize(
    ("cards", "right"), [([1, 2, 3], True), ([2, 1, 3], True), ([3, 2, 1], False), ([1, 2], False)]
)
def test_each_accepted_order_is_right(cards, right):
    assert order("E2", cards).right is right


def test_what_is_no_answer_is_refused():
    with pytest.raises(ValidationError, match="no answer 'd'"):
        choose("E1", "d")
    with pytest.raises(ValidationError, match="no question"):
        choose("E7", "a")
    for cards in ([1, 1], [0], [5]):
        with pytest.raises(ValidationError, match="once at most"):
            order("E2", cards)
