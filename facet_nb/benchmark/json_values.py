"""Convert dataclasses to values that JSON can hold, and back."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from facet_nb.core.errors import ValidationError

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Return `value` as dicts, lists, numbers and strings; NaN and infinity become strings."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, (tuple, list)):
        return [to_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value


def from_plain(cls: type[T], values: Any) -> T:
    """Return a `cls` made of what :func:`to_plain` returned.

    Missing fields take their default and unknown fields are ignored, so that this version reads
    files of older and newer ones.

    Raises
    ------
    ValidationError
        If a value has the wrong type, or one without a default is missing.
    """
    if not isinstance(values, Mapping):
        raise ValidationError(f"{cls.__name__} must be an object, not {type(values).__name__}.")
    hints = _hints(cls)  # type: ignore[arg-type]
    given = {
        name: _read(kind, values[name], name) for name, kind in hints.items() if name in values
    }
    try:
        return cls(**given)
    except TypeError as error:
        raise ValidationError(f"{cls.__name__} is incomplete: {error}.") from error


@cache
def _hints(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {f.name: hints[f.name] for f in fields(cls)}  # type: ignore[arg-type]


def _read(kind: Any, value: Any, name: str) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _read(next(a for a in args if a is not type(None)), value, name)
    if origin is tuple:
        return _read_tuple(args, value, name)
    if is_dataclass(kind):
        return from_plain(kind, value)  # type: ignore[arg-type]
    return _read_single(kind, value, name)


def _read_tuple(args: tuple[Any, ...], value: Any, name: str) -> tuple:
    if not isinstance(value, (list, tuple)):
        raise ValidationError(f"{name} must be a list, not {type(value).__name__}.")
    kinds = [args[0]] * len(value) if len(args) == 2 and args[1] is Ellipsis else list(args)
    if len(kinds) != len(value):
        raise ValidationError(f"{name} must have {len(kinds)} entries, not {len(value)}.")
    return tuple(_read(k, v, name) for k, v in zip(kinds, value, strict=True))


def _read_single(kind: Any, value: Any, name: str) -> Any:
    if kind is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError as error:
            raise ValidationError(f"{name} must be a number, not {value!r}.") from error
    # Exact types: a bool would pass as an int.
    if kind in (int, str, bool) and type(value) is kind:
        return value
    raise ValidationError(f"{name} must be {kind.__name__}, not {value!r}.")
