"""Names of processors, for YAML, the command line and editors."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib import import_module
from typing import TypeVar, overload

from facet_nb.core.errors import ValidationError
from facet_nb.core.processor import Processor

P = TypeVar("P", bound=type[Processor])

_REGISTRY: dict[str, type[Processor]] = {}
_ROOMS = ("io", "preprocessing", "correction", "evaluation")


@overload
def register_processor(cls: P) -> P: ...
@overload
def register_processor(cls: str | None = None) -> Callable[[P], P]: ...


def register_processor(cls=None):
    """Enter a processor class into the registry, under its ``name``; a class decorator.

    Raises
    ------
    ValidationError
        If another class has the name.
    """
    if isinstance(cls, type):
        return _enter(cls, cls.name)
    return lambda klass: _enter(klass, cls or klass.name)


def _enter(cls: P, name: str) -> P:
    known = _REGISTRY.get(name)
    if known is not None and known.__qualname__ != cls.__qualname__:
        raise ValidationError(
            f"{name!r} is registered for {known.__module__}.{known.__qualname__}; give "
            f"{cls.__qualname__} another name."
        )
    _REGISTRY[name] = cls
    return cls


def _load_rooms() -> None:
    for room in _ROOMS:
        import_module(f"facet_nb.{room}")


def get_processor(name: str) -> type[Processor]:
    """Return the processor class of a registry name (or class name).

    Raises
    ------
    ValidationError
        If there is none; the message names the nearest.
    """
    _load_rooms()
    by_class = {cls.__name__: cls for cls in _REGISTRY.values()}
    found = _REGISTRY.get(name) or by_class.get(name)
    if found is None:
        near = difflib.get_close_matches(name, [*_REGISTRY, *by_class], n=3)
        hint = f"Did you mean {', '.join(near)}?" if near else "See list_processors()."
        raise ValidationError(f"no processor is called {name!r}. {hint}")
    return found


def list_processors() -> dict[str, type[Processor]]:
    """Return all registered processors, by name."""
    _load_rooms()
    return dict(sorted(_REGISTRY.items()))
