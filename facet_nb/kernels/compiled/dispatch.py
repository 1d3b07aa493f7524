"""What compiled kernels need: numba, and rows of neighbouring samples, float32 or float64."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec

import numpy as np


@lru_cache(maxsize=1)
def has_compiler() -> bool:
    """Return whether numba can be used: without it, kernels are numpy's and scipy's."""
    return find_spec("numba") is not None and os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")


@lru_cache
def find_compiled(module: str, name: str) -> Callable | None:
    """Return a function of one of the compiled modules, or None where numba cannot be used."""
    if not has_compiler():  # switched off, loops would run in Python: slower than the twins
        return None
    try:
        return getattr(import_module(f"facet_nb.kernels.compiled.{module}"), name)
    except ImportError:
        return None


def is_float(x: np.ndarray) -> bool:
    """Return whether the numbers of `x` are float32 or float64, as this processor holds them."""
    return x.dtype.char in "fd" and x.dtype.isnative


def can_compile(x: np.ndarray, out: np.ndarray) -> bool:
    """Return whether a compiled loop takes these arrays: of one type, and not empty.

    Raises
    ------
    ValueError
        If `out` is read-only.
    """
    if not out.flags.writeable:
        raise ValueError("output array is read-only")
    return bool(x.size) and x.dtype == out.dtype and is_float(x)


def as_rows(x: np.ndarray) -> np.ndarray:
    """Return `x`, or a copy whose samples are neighbours.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Signals.

    Returns
    -------
    ndarray, shape (n_channels, n_times)
        The same array where each row's samples are neighbours; else a copy.
    """
    are_neighbours = x.strides[1] == x.itemsize and x.strides[0] % x.itemsize == 0
    return x if are_neighbours else np.ascontiguousarray(x)


def load(name: str, twin: Callable) -> Callable:
    """Return the compiled loop `name`, or its `twin` in numpy."""
    return find_compiled("scalar_loops", name) or twin
