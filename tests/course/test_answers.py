"""Checks of exercises: right answers pass, stubs and typical wrong answers fail, with any salt.

Without a kernel: the code of a lesson runs here, in order, and each answer is tried at its place.
"""

from __future__ import annotations

import contextlib
import io
import os
from functools import cache
from pathlib import Path

import course
import pytest

from facet_nb.core.planning import memory_forecast
from facet_nb.lessons import choose, order

SALTS = (0, 1, 2) if os.environ.get("FACET_NB_NIGHT") else (0,)
#: About the memory of a kernel that has imported the libraries.
_KERNEL_BYTES = 250_000_000


@pytest.fixture(params=SALTS)
def run(request, lesson, monkeypatch):
    """What passes and fails at each exercise of a lesson, with a salt."""
    # Budgets in lessons are for a fresh kernel; the process of many tests holds more.
    monkeypatch.setattr(memory_forecast, "lasting_bytes", lambda: _KERNEL_BYTES)
    return try_lesson(lesson.path, request.param)


@cache
def try_lesson(path: Path, salt: int) -> dict[str, dict[str, str]]:
    """Run a lesson with a salt, and try each answer at its place."""
    lesson = course.read_lesson(path)
    namespace = {"__name__": "lesson"}
    report = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for exercise in lesson.find("exercise"):
            quick = lesson.head.get("quick", {})
            course.run_until(lesson, exercise.id, namespace, {"SALT": salt, **quick})
            report[exercise.id] = try_answers(lesson, exercise, namespace)
    return report


def try_answers(lesson, exercise, namespace) -> dict[str, str]:
    """Return the outcome of each answer to an exercise."""
    (check,) = lesson.find("check", exercise.id)
    answers = {
        "solution": course.write_solution(exercise.body),
        "stub": course.write_stub(exercise),
        "nothing": "",
    }
    for kind in ("alt", "wrong"):
        for i, block in enumerate(lesson.find(kind, exercise.id)):
            answers[f"{kind} {i} ({block.attributes['because']})"] = block.body
    outcomes = {}
    for name, code in answers.items():
        place = dict(namespace)
        try:
            course.run_code(code, lesson, exercise.line, place)
            course.run_code(check.body, lesson, check.line, place)
        except Exception as error:
            outcomes[name] = f"{type(error).__name__}: {error}"
        else:
            outcomes[name] = "passes"
    return outcomes


def test_checks_tell_right_from_wrong(run, lesson):
    assert set(run) == {block.id for block in lesson.find("exercise")}
    wrong = []
    for exercise, outcomes in run.items():
        for name, outcome in outcomes.items():
            right = name == "solution" or name.startswith("alt")
            if right != (outcome == "passes"):
                wrong.append(f"{exercise}, {name}: {outcome}")
    assert wrong == []


def test_stub_fails_with_its_exercise(run):
    for exercise, outcomes in run.items():
        assert outcomes["stub"].startswith(f"NotImplementedError: {exercise}:"), outcomes["stub"]


def test_choices_tell_right_from_wrong(lesson):
    """Each question has one right choice, and three or more wrong ones with another reason."""
    for block in lesson.find("quiz"):
        letters = "abcdef"[: len(block.data["options"])]
        answers = {letter: choose(block.id, letter) for letter in letters}
        right = [letter for letter, answer in answers.items() if answer.right]
        assert right == [course.find_right(block)]
        assert len(answers) >= 4
        assert len({answer.feedback for answer in answers.values()}) == len(answers)


def list_wrong_orders(cards: int, accepted: list[list[int]]) -> list[list[int]]:
    """Return typical wrong orders: reversed, one forgotten, two swapped, one too many."""
    first = accepted[0]
    spare = [card for card in range(1, cards + 1) if card not in first]
    tries = [first[::-1], first[1:], first[:-1], [first[1], first[0], *first[2:]]]
    tries += [[*first, card] for card in spare] + [[card, *first[1:]] for card in spare]
    return [cards for cards in tries if cards not in accepted]


def test_orders_tell_right_from_wrong(lesson):
    for block in lesson.find("parsons"):
        accepted = block.data["accept"]
        wrong = list_wrong_orders(len(block.data["cards"]), accepted)
        assert len(wrong) >= 3
        assert all(order(block.id, cards).right for cards in accepted)
        assert [cards for cards in wrong if order(block.id, cards).right] == []
