"""Read parameter descriptions from numpydoc docstrings."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

_SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}$", flags=re.MULTILINE)
_ENTRY = re.compile(r"^(\S.*)$", flags=re.MULTILINE)

_AS_IN = re.compile(r"^As in \w+\.?(?=;|$)")


@dataclass(frozen=True)
class ParameterText:
    """Description of one parameter.

    Attributes
    ----------
    type_text : str
        The type, after the colon: ``"{'fir', 'iir'}"``, ``"float | None"``.
    text : str
        The description in one line, without markup.
    """

    type_text: str
    text: str


def read_parameters(cls: type) -> dict[str, ParameterText]:
    """Return the descriptions of all parameters, from the docstrings of `cls` and its bases."""
    found: dict[str, ParameterText] = {}
    for base in reversed(cls.__mro__):
        for name, new in _read_section(inspect.cleandoc(base.__doc__ or "")).items():
            found[name] = _look_up(new, found.get(name))
    return found


def _look_up(new: ParameterText, base: ParameterText | None) -> ParameterText:
    """Return a description; a reference to a base class ("As in …") is replaced by its text."""
    referring = _AS_IN.match(new.text)
    if base is None or referring is None:
        return new
    rest = new.text[referring.end() :]
    return ParameterText(new.type_text, f"{base.text.rstrip('.')}{rest or '.'}")


def _read_section(doc: str) -> dict[str, ParameterText]:
    parts = _SECTION.split(doc)
    bodies = dict(zip(parts[1::2], parts[2::2], strict=True))
    body = bodies.get("Parameters", "")
    pieces = _ENTRY.split(body)
    found = {}
    # Indented lines belong to the entry before them: _ENTRY matches at the margin only.
    for head, text in zip(pieces[1::2], pieces[2::2], strict=True):
        names, _, type_text = head.partition(" : ")
        for name in names.split(","):
            found[name.strip().lstrip("*")] = ParameterText(type_text.strip(), plain(text))
    return found


def plain(text: str) -> str:
    """Return docstring text in one line, without markup."""
    text = re.sub(r":\w+:`~?([^`]+)`", lambda m: m.group(1).rpartition(".")[2], text)
    return " ".join(text.replace("`", "").split())


def first_sentences(cls: type) -> str:
    """Return the first paragraph of a class's docstring."""
    return plain(inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0])
