"""Search descriptions with a user's regular expression, within a bounded time.

Python's ``re`` tries all ways to divide a text among nested repetitions, e.g. of ``(a+)+$``: with
40 characters that takes years, holds the GIL, and cannot be interrupted from another thread.
Expressions that may do so are searched in a process of their own, which is killed after a while.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

from facet_nb.core.errors import ValidationError

#: Time limit of the search in a process of its own, in s; usual expressions take microseconds.
LIMIT_S = 5.0

#: Number of unlimited repetitions one after another from which on long texts take too long.
_MANY, _LONG = 3, 200

# The alarm ends the process when the one that would end it was killed; Windows has none.
_PROGRAM = """
import json, re, signal, sys
if hasattr(signal, "alarm"):
    signal.alarm(int(sys.argv[1]))
regex, texts = json.load(sys.stdin)
search = re.compile(regex).search
json.dump([search(text) is not None for text in texts], sys.stdout)
"""


def find_matching(pattern: re.Pattern[str], texts: Iterable[str]) -> set[str]:
    """Return those of `texts` in which `pattern` is found; each text is searched once.

    Raises
    ------
    ValidationError
        If the search takes longer than :data:`LIMIT_S`.
    """
    unique = list(dict.fromkeys(texts))
    if not unique:
        return set()
    if not may_backtrack(pattern.pattern, max(map(len, unique))):
        return {text for text in unique if pattern.search(text)}
    return set(_search_apart(pattern, unique))


def _search_apart(pattern: re.Pattern[str], texts: list[str]) -> list[str]:
    try:
        answer = subprocess.run(
            [sys.executable, "-I", "-c", _PROGRAM, str(int(LIMIT_S) + 2)],
            input=json.dumps([pattern.pattern, texts]),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=LIMIT_S,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise ValidationError(
            f"regex={pattern.pattern!r} was searched for {LIMIT_S:g} s without an end: nested "
            "repetitions such as (a+)+ take exponential time. Use one repetition instead, a+."
        ) from error
    except (OSError, subprocess.CalledProcessError) as error:
        raise ValidationError(
            f"regex={pattern.pattern!r} has nested repetitions, which may never end, and no "
            f"process can be started to search it ({error}). Use one repetition instead: a+ for "
            "(a+)+."
        ) from error
    found: list[bool] = json.loads(answer.stdout)
    return [text for text, is_match in zip(texts, found, strict=True) if is_match]


def may_backtrack(regex: str, longest: int) -> bool:
    """Whether the search may take time that is not about linear in the text's length.

    Parameters
    ----------
    regex : str
        A valid regular expression.
    longest : int
        Length of the longest text.
    """
    from re import _parser  # type: ignore[attr-defined]  # the only parser of this syntax

    tree = _parser.parse(regex)
    return _is_nested(tree, False) or (longest > _LONG and _count_open(tree) >= _MANY)


def _is_nested(tree: Any, repeated: bool) -> bool:
    """Whether a repetition, or a choice, is repeated itself."""
    for operation, argument in tree:
        name = str(operation)
        if name in ("BRANCH", "GROUPREF") and repeated:
            return True
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            again = argument[1] > 1
            if (again and repeated) or _is_nested(argument[2], repeated or again):
                return True
        elif any(_is_nested(part, repeated) for part in _list_parts(argument)):
            return True
    return False


def _count_open(tree: Any) -> int:
    """Return the number of unlimited repetitions."""
    n = 0
    for operation, argument in tree:
        if str(operation) in ("MAX_REPEAT", "MIN_REPEAT"):
            n += argument[1] > _LONG
        n += sum(map(_count_open, _list_parts(argument)))
    return n


def _list_parts(argument: Any) -> list[Any]:
    """Return the patterns within the argument of an operation: of groups, choices, lookarounds."""
    if hasattr(argument, "getwidth"):
        return [argument]
    if isinstance(argument, (tuple, list)):
        return [part for item in argument for part in _list_parts(item)]
    return []
