"""What compiled kernels need: numba, and rows of neighbouring samples, float32 or float64."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec

import numpy as np


@lru_cache(maxsize=1)
def has_compiler() -> bool:
    """Return whether numba is installed: without it, kernels are numpy's and scipy's."""
    return find_spec("numba") is not None


def is_float(x: np.ndarray) -> bool:
    """Return whether the numbers of `x` are float32 or float64, as this processor holds them."""
    return x.dtype.char in "fd" and x.dtype.isnative


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
