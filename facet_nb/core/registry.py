"""Names of processors, for YAML, the command line and editors."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar, overload

from facet_nb.core.errors import ValidationError
from facet_nb.core.processor import Processor

P = TypeVar("P", bound=type[Processor])

_REGISTRY: dict[str, type[Processor]] = {}
_PACKAGES = ("io", "preprocessing", "correction", "evaluation")


@overload
def register_processor(cls: P) -> P: ...
@overload
def register_processor(cls: str | None = None) -> Callable[[P], P]: ...


def register_processor(cls: Any = None) -> Any:
    """Register a processor class under its ``name``; a class decorator.

    ``@register_processor("other_name")`` renames the class. A class with the same module and name
    replaces the earlier one, so that a notebook cell can be run again.

    Raises
    ------
    ValidationError
        If it is not a processor class, or another class has the name.
    """
    if isinstance(cls, type):
        return _enter(cls, None)
    return lambda klass: _enter(klass, cls)


def _enter(cls: P, name: str | None) -> P:
    if not (isinstance(cls, type) and issubclass(cls, Processor)):
        raise ValidationError(f"{cls!r} is not a Processor class: write class …(Processor).")
    name = name or cls.name
    known = _REGISTRY.get(name)
    if known is not None and _identify(known) != _identify(cls):
        raise ValidationError(
            f"{name!r} is registered for {'.'.join(_identify(known))}; give {cls.__qualname__} "
            "another name."
        )
    cls.name = name
    _REGISTRY[name] = cls
    return cls


def _identify(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__


def _load_packages() -> None:
    # Only now: importing the package must stay fast, and core may not import upward at load time.
    for package in _PACKAGES:
        import_module(f"facet_nb.{package}")


def get_processor(name: str) -> type[Processor]:
    """Return the processor class of a registry name (or class name).

    Raises
    ------
    ValidationError
        If there is none; the message suggests similar names.
    """
    _load_packages()
    # Made on each call: notebooks register classes at any time.
    by_class = {cls.__name__: cls for cls in _REGISTRY.values()}
    cls = _REGISTRY.get(name) or by_class.get(name)
    if cls is None:
        near = difflib.get_close_matches(name, [*_REGISTRY, *by_class], n=3)
        hint = f"Did you mean {', '.join(near)}?" if near else "See list_processors()."
        raise ValidationError(f"no processor is called {name!r}. {hint}")
    return cls


def list_processors() -> dict[str, type[Processor]]:
    """Return all registered processors, by name."""
    _load_packages()
    return dict(sorted(_REGISTRY.items()))
