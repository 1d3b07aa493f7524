"""Write values and calls as Python code."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from typing import Any

from facet_nb.core.metadata import to_plain

WIDTH = 88


def write_value(value: Any) -> str | None:
    """Return Python code of `value`; None if it cannot be written as a literal."""
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    plain = to_plain(value)
    if isinstance(plain, str) and not isinstance(value, str) and not hasattr(value, "__fspath__"):
        return None  # to_plain returned the repr of an object
    text = repr(plain)
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    return text


def write_call(name: str, arguments: Mapping[str, Any], indent: int = 0) -> tuple[str, list[str]]:
    """Return the code of a call, and the names of arguments that are not literals.

    Such an argument is written as a variable of its own name.
    """
    written, unknown = [], []
    for key, value in arguments.items():
        text = write_value(value)
        if text is None:
            unknown.append(key)
        written.append(f"{key}={key if text is None else text}")
    line = f"{name}({', '.join(written)})"
    if len(line) + indent <= WIDTH or not written:
        return line, unknown
    pad = " " * indent
    body = "".join(f"{pad}    {argument},\n" for argument in written)
    return f"{name}(\n{body}{pad})", unknown
