"""Form fields of a processor, derived from its signature and docstring."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from facet_nb.core import Processor
from facet_nb.core.errors import ValidationError
from facet_nb.models.docstrings import ParameterText, read_parameters
from facet_nb.models.literals import write_value

_UNITS = ("Hz", "s", "V", "samples", "epochs", "dB", "µV", "ms", "channels", "volumes")
_UNIT = re.compile(rf"\bin (?:the )?({'|'.join(_UNITS)})\b")
_CHOICES = re.compile(r"^\{(.+?)\}")

#: Words of annotations for which a value can be typed in a form.
_WRITABLE = {"int", "float", "str", "bool", "None", "Path", "list", "tuple", "Sequence", "Picks"}


@dataclass(frozen=True)
class Field:
    """One argument of a processor.

    Attributes
    ----------
    name : str
        Name of the argument.
    default : object
        Its default; :data:`inspect.Parameter.empty` if it is required.
    types : frozenset of str
        Words of its annotation, such as ``{"float", "None"}``.
    choices : tuple
        Its possible values; empty if they are not enumerated.
    unit : str
        Its unit, or an empty string.
    help : str
        Its description in the docstring.
    """

    name: str
    default: Any
    types: frozenset[str]
    choices: tuple[Any, ...] = ()
    unit: str = ""
    help: str = ""

    @property
    def required(self) -> bool:
        """Whether a value is required."""
        return self.default is inspect.Parameter.empty

    @property
    def is_switch(self) -> bool:
        """Whether it is a boolean."""
        return self.types == {"bool"}

    def write(self, value: Any) -> str:
        """Return `value` as typed text: strings without quotes."""
        if value is inspect.Parameter.empty:
            return ""
        if isinstance(value, str) and "str" in self.types and self._as_literal(value) is None:
            return value
        text = write_value(value)
        return str(value) if text is None else text

    def read(self, text: str) -> Any:
        """Return the value of a typed text.

        Raises
        ------
        ValidationError
            If it is not valid; the message says what is expected.
        """
        text = text.strip()
        if not text and not self.required:
            return self.default
        found = self._as_literal(text)
        value = text if found is None else found[0]
        if self.choices and value not in self.choices:
            raise ValidationError(f"{self.name}: use {_join(self.choices)}.")
        if isinstance(value, int) and not isinstance(value, bool) and "float" in self.types:
            value = value if "int" in self.types else float(value)
        if not self._fits(value):
            raise ValidationError(f"{self.name}: {text!r} is not {self.expected}.")
        return value

    @property
    def expected(self) -> str:
        """Description of valid values, such as ``"a number or None"``."""
        words = {"int": "a whole number", "float": "a number", "str": "a text", "Path": "a path"}
        words |= {"None": "None", "bool": "True or False", "Sequence": "a list", "list": "a list"}
        order = ("int", "float", "bool", "str", "Path", "Sequence", "list", "None")
        named = [words[t] for t in order if t in self.types]
        return " or ".join(dict.fromkeys(named)) or "a value"

    def _as_literal(self, text: str) -> tuple[Any] | None:
        """Return the value of a literal in a tuple; None if `text` is a plain string."""
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
        # A string that looks like a number is a number only if numbers are valid.
        return (value,) if self._fits(value) or "str" not in self.types else None

    def _fits(self, value: Any) -> bool:
        kinds = {
            "int": isinstance(value, int) and not isinstance(value, bool),
            "float": isinstance(value, (int, float)) and not isinstance(value, bool),
            "bool": isinstance(value, bool),
            "str": isinstance(value, str),
            "Path": isinstance(value, str),
            "None": value is None,
            "list": isinstance(value, (list, tuple)),
            "tuple": isinstance(value, (list, tuple)),
            "Sequence": isinstance(value, (list, tuple)),
        }
        empty = self.required and value == "" and "Path" not in self.types
        return not empty and any(kinds.get(word, False) for word in self.types)


def list_fields(cls: type[Processor]) -> tuple[Field, ...]:
    """Return the fields of a processor class, in the order of its signature."""
    return _find_fields(cast(Any, cls))


@lru_cache(maxsize=256)
def _find_fields(cls: Any) -> tuple[Field, ...]:
    texts = read_parameters(cls)
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    return tuple(
        _make_field(p, texts.get(p.name, ParameterText("", "")))
        for p in parameters
        if p.kind is not inspect.Parameter.VAR_KEYWORD
    )


def is_editable(cls: type[Processor]) -> bool:
    """Whether all required arguments can be typed in a form."""
    return all(not f.required or f.types & _WRITABLE for f in list_fields(cls))


def _make_field(parameter: inspect.Parameter, text: ParameterText) -> Field:
    default: Any = parameter.default
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        default = ()
    unit = _UNIT.search(text.text)
    return Field(
        parameter.name,
        default,
        _list_types(parameter, text.type_text, default),
        _read_choices(text.type_text),
        unit.group(1) if unit else "",
        text.text,
    )


def _list_types(parameter: inspect.Parameter, type_text: str, default: Any) -> frozenset[str]:
    annotation = parameter.annotation
    if annotation is inspect.Parameter.empty:
        annotation = type_text
    words = set(re.findall(r"[A-Za-z_]+", re.sub(r"\[.*\]", "", str(annotation))))
    if "Picks" in words:
        words |= {"str", "Sequence", "None"}
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        words = {"Sequence"}
    if not words & _WRITABLE and default is not inspect.Parameter.empty:
        words.add(type(default).__name__ if default is not None else "None")
    return frozenset(words)


def _read_choices(type_text: str) -> tuple[Any, ...]:
    match = _CHOICES.match(type_text)
    if match is None:
        return ()
    try:
        values = ast.literal_eval(f"({match.group(1)},)")
    except (ValueError, SyntaxError):
        return ()
    more = (None,) if "None" in type_text[match.end() :] else ()
    return tuple(values) + more


def _join(values: tuple[Any, ...]) -> str:
    return " or ".join(repr(v) for v in values)
