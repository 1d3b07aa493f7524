"""Texts and paths of the command line, taken without pydantic.

To convert any argument, even one that is not given, Typer loads pydantic: 0.13 s of CPU time, a
tenth of what correcting a minute of EEG takes. Nothing is left to convert in most of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer.core


class Command(typer.core.TyperCommand):
    """A command that leaves to Typer only the arguments that are neither texts nor paths."""

    def get_params(self, ctx: Any) -> Any:
        """Return all parameters of the command, as Typer does."""
        return _replace_conversion(super().get_params(ctx))


class Group(typer.core.TyperGroup):
    """A group of commands, with options of its own that are converted likewise."""

    def get_params(self, ctx: Any) -> Any:
        """Return all parameters of the group, as Typer does."""
        return _replace_conversion(super().get_params(ctx))


def _replace_conversion(params: list[Any]) -> list[Any]:
    for param in params:
        # Versions before 0.26 convert by themselves, without pydantic.
        if hasattr(param, "type_descriptor") and "process_value" not in vars(param):
            param.process_value = _convert_plainly(param, param.process_value)
    return params


def _convert_plainly(
    param: Any, process_value: Callable[[Any, Any], Any]
) -> Callable[[Any, Any], Any]:
    """Return `process_value` of a parameter, which is called for unusual values only."""
    several = param.multiple or param.nargs != 1
    made_of = param.type_descriptor.annotation
    if several or made_of not in (str, Path) or param.type_descriptor.parameter_info.parser:
        made_of = None  # anything else

    def process(ctx: Any, value: Any) -> Any:
        if value is None:
            plain = not (several or param.required)
        elif made_of is Path:  # of what is there, Typer checks whether it may be read
            plain = os.access(value, os.R_OK) or not os.path.exists(value)
        else:
            plain = made_of is str
        if not plain:
            return process_value(ctx, value)
        if value is not None and made_of is Path:
            value = Path(value)
        return value if param.callback is None else param.callback(ctx, param, value)

    return process
