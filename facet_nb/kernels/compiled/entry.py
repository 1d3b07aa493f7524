"""Compile the loops that Python calls. Importing this module imports Numba."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any
from zlib import crc32

from numba import types

from facet_nb.kernels.compiled.jit import njit_cached


def compile_entry(
    function: Callable, *arguments: Any, returns: Any = types.void, **options: Any
) -> Any:
    """Compile a function that Python calls, for given types of arguments.

    Parameters
    ----------
    function : callable
        The function.
    *arguments : numba.types.Type
        Types of its arguments.
    returns : numba.types.Type
        Type of its result; nothing by default.
    **options
        More options of :func:`numba.njit`.

    Returns
    -------
    callable
        The compiled function, from Numba's cache on disk where that is writable.
    """
    options = {"error_model": "numpy", **options}
    # Numba's cache notices changes in the file of the entry function only, but inner functions are
    # in other files: their digest becomes part of the name under which the cache keeps the result.
    function.__qualname__ = f"{function.__name__}_{_digest_sources()}"
    return njit_cached(returns(*arguments), **options)(function)


@lru_cache(maxsize=1)
def _digest_sources() -> str:
    """Return a checksum of the source code of all kernels."""
    # Not of the compiled modules only: these take constants from others (templates/subsample.py),
    # whose values become part of the machine code.
    sources = sorted(Path(__file__).parent.parent.rglob("*.py"))
    return f"{crc32(b''.join(source.read_bytes() for source in sources)):08x}"
