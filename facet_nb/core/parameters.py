"""Arguments of constructors, for ``get_params``, ``set_params`` and scikit-learn's ``clone``."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np

from facet_nb.core.errors import ValidationError

#: Lowest edge of a filter, in Hz: its kernel is then hours long.
LOWEST_HZ = 0.0001

#: Longest time that an argument may give, in s: a day.
LONGEST_S = 86_400.0

#: Most epochs or components that an argument may give: more than there are in any recording.
MOST = 1_000_000_000


def list_arguments(cls: type) -> list[str]:
    """Return the names of a constructor's arguments, without ``*args`` and ``**kwargs``."""
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    return [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def take_arguments(cls: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `given` (a constructor's ``locals()``) that the constructor of `cls` takes.

    A subclass passes them on: ``super().__init__(**take_arguments(Base, locals()))``.
    """
    names = list_arguments(cls)
    return {name: value for name, value in given.items() if name in names}


def name_steps(processors: Iterable[Any]) -> dict[str, Any]:
    """Return the steps of a pipeline by name; a name that repeats gets a number."""
    steps: dict[str, Any] = {}
    seen: dict[str, int] = {}
    for processor in processors:
        n = seen[processor.name] = seen.get(processor.name, 0) + 1
        steps[processor.name if n == 1 else f"{processor.name}-{n}"] = processor
    return steps


def list_inner_params(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of steps among the values of `found`, as ``<key>__<name>``."""
    return {
        f"{name}__{inner}": value
        for name, step in found.items()
        # A class has get_params as well, but no arguments yet.
        if hasattr(step, "get_params") and not isinstance(step, type)
        for inner, value in step.get_params().items()
    }


def split_params(params: Mapping[str, Any], known: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """Return the values of `params` for `owner` itself; pass the others on to its inner steps.

    Raises
    ------
    ValidationError
        If `known` lacks a name.
    """
    own: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for key, value in params.items():
        name, _, rest = key.partition("__")
        if name not in known or (rest and not hasattr(known[name], "set_params")):
            raise ValidationError(
                f"{owner} has no parameter {key!r}; it has {', '.join(known) or 'none'}."
            )
        if rest:
            inner.setdefault(name, {})[rest] = value
        else:
            own[name] = value
    # Last, so that a step that is replaced in the same call is the one that gets the values.
    for name, values in inner.items():
        own.get(name, known[name]).set_params(**values)
    return own


def clone_value(value: Any) -> Any:
    """Return a copy of a constructor's argument; steps inside it are cloned as well."""
    # By what it has: the module of processors imports this one.
    if hasattr(value, "__sklearn_clone__"):
        return value.__sklearn_clone__()
    if isinstance(value, list | tuple):
        return type(value)(map(clone_value, value))
    if isinstance(value, dict):
        return {key: clone_value(entry) for key, entry in value.items()}
    return value if callable(value) else copy.deepcopy(value)


def explain_values(owner: Any, ask_none: bool = True) -> str:
    """Return which argument of `owner` is no number where one is needed, or nothing.

    The annotations of its constructor say what is needed; those that name other types than numbers,
    text, None and sequences of numbers are not looked at.

    Parameters
    ----------
    owner : object
        What has the arguments as attributes.
    ask_none : bool
        Whether None counts; where nothing has failed yet, it may stand for a default.
    """
    for parameter in list(inspect.signature(type(owner).__init__).parameters.values())[1:]:
        value = getattr(owner, parameter.name, parameter.default)
        # The annotation is text, as modules with postponed annotations store it.
        wanted = find_numbers(str(parameter.annotation))
        if value is None and not ask_none:
            continue
        if wanted and not _is_one_of(value, wanted):
            words = ["numbers" if "Sequence" in kind else _WORDS[kind] for kind in wanted]
            return f"{parameter.name}={value!r}: give {' or '.join(dict.fromkeys(words))}."
    return ""


def check_band(fmin: float, fmax: float, sfreq: float = math.inf) -> None:
    """Refuse edges of a band, in Hz, that no filter can have.

    Raises
    ------
    ValidationError
        If they are not in order, too low, or not below half of `sfreq`, in Hz.
    """
    if not LOWEST_HZ <= fmin < fmax < sfreq / 2:
        below = f" < {sfreq / 2:g} Hz" if math.isfinite(sfreq) else ""
        raise ValidationError(
            f"fmin={fmin:g}, fmax={fmax:g}: need {LOWEST_HZ} Hz ≤ fmin < fmax{below}."
        )


def check_offset(offset_s: float) -> None:
    """Refuse a start of artifacts relative to their triggers, in s, that none can have.

    Raises
    ------
    ValidationError
        If it is further away than a recording is long.
    """
    if not abs(offset_s) <= LONGEST_S:
        raise ValidationError(
            f"artifact_to_trigger_offset={offset_s!r} must be within {LONGEST_S:g} s, a day."
        )


_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "True or False",
    "None": "None",
    "Sequence[int]": "numbers",
    "Sequence[float]": "numbers",
}


def find_numbers(annotation: str) -> list[str]:
    """Return the types of an annotation, if all are known and one is a number."""
    kinds = [kind.strip() for kind in annotation.split("|")]
    known = all(kind in _WORDS for kind in kinds)
    return kinds if known and ({"int", "float"} & set(kinds)) else []


def _is_one_of(value: Any, kinds: list[str]) -> bool:
    if value is None or isinstance(value, (str, bool, np.bool_)):
        # True is 1, as in Python.
        name = "None" if value is None else "str" if isinstance(value, str) else "int"
        return name in kinds or (name == "int" and {"float", "bool"} & set(kinds) != set())
    if isinstance(value, Real):
        number = float(value)
        # NaN is unequal to everything, so that it passes each comparison that refuses a wrong
        # value.
        return not math.isnan(number) and ("float" in kinds or number.is_integer())
    if any("Sequence" in kind for kind in kinds):
        array = np.asarray(value)
        return array.ndim == 1 and array.size > 0 and array.dtype.kind in "iuf"
    return False
