"""Answers to multiple-choice and ordering questions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from facet_nb.core.errors import ValidationError

#: Written from the sources of the course by ``notebooks/_build/build.py``.
QUESTIONS = Path(__file__).with_name("questions.json")


@dataclass(frozen=True)
class Answer:
    """An answer with feedback.

    Attributes
    ----------
    name : str
        The question, such as ``"E1.4"``.
    given : str
        The answer.
    right : bool | None
        Whether it is right; None if there is no answer, or no single right one.
    feedback : str
        A hint for the next attempt, or a comment.
    """

    name: str
    given: str
    right: bool | None
    feedback: str = ""

    def __str__(self) -> str:
        if not self.given:
            return f"{self.name}: {self.feedback}"
        verdict = {True: "right", False: "not yet", None: "noted"}[self.right]
        return f"{self.name}, {self.given}: {verdict}. {self.feedback}".rstrip()

    __repr__ = __str__


def choose(name: str, letter: str = "") -> Answer:
    """Answer a multiple-choice question.

    Parameters
    ----------
    name : str
        The question, such as ``"E1.4"``.
    letter : str
        The chosen answer, such as ``"b"``; empty for none.

    Returns
    -------
    Answer
        Whether it is right, and why it may seem so.

    Raises
    ------
    ValidationError
        If there is no such question or answer.
    """
    question = _find(name)
    known = question["feedback"]
    letter = letter.strip().lower()
    if not letter:
        return Answer(name, "", None, f"not answered yet: choose one of {', '.join(known)}.")
    if letter not in known:
        raise ValidationError(f"{name} has no answer {letter!r}: choose one of {', '.join(known)}.")
    return Answer(name, letter, make_digest(name, letter) == question["digest"], known[letter])


def order(name: str, cards: Sequence[int] = ()) -> Answer:
    """Answer a question about an order.

    Parameters
    ----------
    name : str
        The question.
    cards : sequence of int
        Numbers of the cards that are needed, in order; empty for no answer.

    Returns
    -------
    Answer
        Whether it is right.

    Raises
    ------
    ValidationError
        If there is no such question or card, or a card occurs twice.
    """
    question = _find(name)
    n_cards = int(question["n_cards"])
    given = [int(card) for card in cards]
    if not given:
        return Answer(name, "", None, f"not answered yet: use cards 1 to {n_cards}.")
    if len(set(given)) < len(given) or not set(given) <= set(range(1, n_cards + 1)):
        raise ValidationError(f"{name} has cards 1 to {n_cards}; use each of them once at most.")
    text = " ".join(map(str, given))
    right = make_digest(name, text) in question["digests"]
    return Answer(name, text, right, "" if right else question["feedback"])


def make_digest(name: str, answer: str) -> str:
    """Return a hash of an answer, so that notebooks and the file of questions do not show it."""
    return hashlib.sha256(f"{name}: {answer}".encode()).hexdigest()[:16]


@cache
def _read() -> dict[str, Any]:
    return dict(json.loads(QUESTIONS.read_text(encoding="utf-8")))


def _find(name: str) -> dict[str, Any]:
    questions = _read()
    if name not in questions:
        raise ValidationError(f"there is no question {name!r}: use one of {', '.join(questions)}.")
    return dict(questions[name])
