"""Access to the compiled kernels, and checks of the arrays that they take."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib import import_module

import numpy as np

from facet_nb.kernels.compiled.library import find_instructions, load_library

#: Environment variable that overrides the choice of kernels.
SETTING = "FACET_NB_COMPILED"

#: The modules with compiled kernels.
MODULES = frozenset(
    {
        "courses",
        "differences",
        "edges",
        "epoch_samples",
        "fractional_delay",
        "median",
        "multiplexed",
        "overlap_save",
        "scalar_loops",
        "shifted_templates",
        "sos_rows",
    }
)

#: Compiled modules that may be used; None outside of a run, which sets it for its threads and
#: workers.
_chosen: ContextVar[frozenset[str] | None] = ContextVar("compiled kernels", default=None)


def read_setting() -> str:
    """Return the setting: ``"auto"``, ``"always"`` or ``"never"``.

    Raises
    ------
    ValueError
        If the environment variable ``FACET_NB_COMPILED`` has another value.
    """
    setting = os.environ.get(SETTING, "auto").strip().lower() or "auto"
    if setting not in ("auto", "always", "never"):
        raise ValueError(f"{SETTING}={setting!r} is not valid: use 'auto', 'always' or 'never'.")
    return setting


def has_compiled() -> bool:
    """Return whether there are compiled kernels; NumPy and SciPy do the same otherwise."""
    return load_library()[0] is not None


@contextmanager
def use_compiled(modules: frozenset[str] | None) -> Iterator[None]:
    """Use these compiled modules only, in this thread; None for all."""
    token = _chosen.set(modules)
    try:
        yield
    finally:
        _chosen.reset(token)


def get_chosen() -> frozenset[str] | None:
    """Return the compiled modules that are used in this thread; None for all."""
    return _chosen.get()


def list_chosen() -> list[str]:
    """Return the instruction set and the compiled modules that are used in this thread."""
    chosen = _chosen.get()
    names = ["all"] if chosen is None else sorted(chosen)
    return [find_instructions(), *names] if names else []


def is_chosen(module: str) -> bool:
    """Return whether the kernels of a compiled module are used in this thread."""
    chosen = _chosen.get()
    if chosen is None:
        return read_setting() != "never" and has_compiled()
    # A worker without the kernels that the run uses must fail: its result could differ.
    return module in chosen


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
    return _load(module, name) if is_chosen(module) else None


@lru_cache
def _load(module: str, name: str) -> Callable:
    function: Callable = getattr(import_module(f"facet_nb.kernels.compiled.{module}"), name)
    return function


def find_for_rows(module: str, name: str, *arrays: np.ndarray) -> Callable | None:
    """Return a compiled function as :func:`find_compiled`, for contiguous floating-point arrays."""
    fine = all(is_float(x) and x.flags.c_contiguous for x in arrays)
    return find_compiled(module, name) if fine else None


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
    # Not raw.ctypes.data, which takes ten times as long.
    first = -raw.__array_interface__["data"][0] % 64
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
