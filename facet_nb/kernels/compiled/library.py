"""The compiled kernels: which instruction set they use, and how they are called."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from importlib import import_module
from typing import Any

import numpy as np

#: Must equal VERSION in native/module.c.
VERSION = 3

#: The kernel that was added last: an older library of an editable installation lacks it.
NEWEST = "find_edges"

#: Bytes of a vector with each instruction set.
VECTOR_BYTES = {"avx2": 32, "baseline": 16}

#: The instruction sets in words.
NAMES = {"avx2": "AVX2 and FMA", "baseline": "any processor of this kind"}

REMEDY = (
    "Install a C compiler (GCC or Clang), and the package again: "
    "pip install --force-reinstall --no-deps --no-binary facet-nb facet-nb "
    "(in a clone: pip install --editable .)"
)


@lru_cache(maxsize=1)
def load_library() -> tuple[Any, str]:
    """Return the extension module, or None and the reason why there is none."""
    try:
        native: Any = import_module("facet_nb.kernels.compiled._native")
    except ModuleNotFoundError:
        return None, "they were not built when facet_nb was installed"
    except ImportError as error:
        return None, f"they cannot be loaded ({error})"
    if native.VERSION != VERSION:
        return None, "they were built from other sources"
    try:
        native.find(NEWEST, "d", native.list_instructions()[0])
    except LookupError:
        return None, "they were built from older sources"
    return native, ""


@lru_cache(maxsize=1)
def find_instructions() -> str:
    """Return the instruction set that is used: ``"avx2"`` or ``"baseline"``; "" without kernels."""
    native, _ = load_library()
    return "" if native is None else native.list_instructions()[0]


def find_kernel(name: str, char: str) -> Callable[..., None]:
    """Return a kernel for one type of signals.

    Parameters
    ----------
    name : str
        Name of the kernel (native/kernels.h).
    char : {"d", "f"}
        float64 or float32.

    Returns
    -------
    callable
        The kernel, which takes a few microseconds to call and releases the GIL. It takes numbers
        and arrays whose last axis is contiguous; it raises a TypeError for arrays of another type
        and a ValueError if it would write to a read-only one.

    Raises
    ------
    ImportError
        If there are no compiled kernels.
    """
    return _find_kernel(name, char, find_instructions())


@lru_cache
def _find_kernel(name: str, char: str, instructions: str) -> Callable[..., None]:
    native, reason = load_library()
    if native is None:
        raise ImportError(f"There are no compiled kernels: {reason}. {REMEDY}")
    return partial(native.call, native.find(name, char, instructions))


def count_vector_bytes() -> int:
    """Return the bytes of a vector with the instruction set that is used."""
    return VECTOR_BYTES[find_instructions()]


def describe() -> str:
    """Return in words whether there are compiled kernels, and for which processors."""
    _, reason = load_library()
    return f"none: {reason}. {REMEDY}" if reason else f"built, for {NAMES[find_instructions()]}"


def count_step(x: np.ndarray) -> int:
    """Return the number of elements from one row of `x` to the next."""
    return int(x.strides[0]) // x.itemsize
