"""Access to the compiled kernels, and checks of the arrays that they take."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec

import numpy as np

#: Compiled modules that may be used; None for all. A run sets it for its threads and workers.
_chosen: ContextVar[frozenset[str] | None] = ContextVar("compiled kernels", default=None)


@lru_cache(maxsize=1)
def has_compiler() -> bool:
    """Return whether Numba can be used; kernels fall back to NumPy and SciPy otherwise."""
    return find_spec("numba") is not None and os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")


@contextmanager
def use_compiled(modules: frozenset[str] | None) -> Iterator[None]:
    """Use these compiled modules only, in this thread; None for all."""
    token = _chosen.set(modules)
    try:
        yield
    finally:
        _chosen.reset(token)


def set_compiled(modules: frozenset[str]) -> None:
    """Use these compiled modules only, until the end of the enclosing :func:`use_compiled`."""
    _chosen.set(modules)


def get_chosen() -> frozenset[str] | None:
    """Return the compiled modules that are used in this thread; None for all."""
    return _chosen.get()


def list_chosen() -> list[str]:
    """Return the compiled modules that are used in this thread; ``["all"]`` without a choice."""
    chosen = _chosen.get()
    return ["all"] if chosen is None else sorted(chosen)


def uses_compiler() -> bool:
    """Return whether any compiled kernel is used in this thread."""
    return _chosen.get() != frozenset() and has_compiler()


def is_chosen(module: str) -> bool:
    """Return whether the kernels of a compiled module are used in this thread."""
    chosen = _chosen.get()
    return (chosen is None or module in chosen) and has_compiler()


def find_compiled(module: str, name: str) -> Callable | None:
    """Return a function of one of the compiled modules, or None if it must not be used.

    Parameters
    ----------
    module : str
        Name of a module in :mod:`facet_nb.kernels.compiled`.
    name : str
        Name of a function in it.

    Returns
    -------
    callable or None
        The function.
    """
    # With NUMBA_DISABLE_JIT the loops would run in Python, much slower than the NumPy fallbacks.
    return _load(module, name) if is_chosen(module) else None


@lru_cache
def _load(module: str, name: str) -> Callable | None:
    try:
        return getattr(import_module(f"facet_nb.kernels.compiled.{module}"), name)
    except ImportError:
        return None


def is_float(x: np.ndarray) -> bool:
    """Return whether `x` is float32 or float64 in native byte order."""
    return x.dtype.char in "fd" and x.dtype.isnative


def can_compile(x: np.ndarray, out: np.ndarray) -> bool:
    """Return whether compiled kernels accept these arrays: of one type, and not empty.

    Raises
    ------
    ValueError
        If `out` is read-only.
    """
    if not out.flags.writeable:
        raise ValueError("output array is read-only")
    return bool(x.size) and x.dtype == out.dtype and is_float(x)


def aligned_empty(n: int, dtype: np.dtype | type) -> np.ndarray:
    """Return an uninitialised array of `n` elements that starts on a cache line (64 bytes)."""
    itemsize = np.dtype(dtype).itemsize
    raw = np.empty(n * itemsize + 64, np.uint8)
    first = -raw.ctypes.data % 64
    return raw[first : first + n * itemsize].view(dtype)


def as_rows(x: np.ndarray) -> np.ndarray:
    """Return `x`, or a copy of it if the samples of a row are not contiguous.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Signals.

    Returns
    -------
    ndarray, shape (n_channels, n_times)
        The same array if the samples of each row are contiguous, else a copy.
    """
    contiguous = x.strides[1] == x.itemsize and x.strides[0] % x.itemsize == 0
    return x if contiguous else np.ascontiguousarray(x)


def find_loop(name: str, fallback: Callable) -> Callable:
    """Return the compiled loop `name` of ``scalar_loops``, or its NumPy `fallback`."""
    return find_compiled("scalar_loops", name) or fallback
