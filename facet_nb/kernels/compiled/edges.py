"""Extreme values of rows; see native/edges.h.

The NumPy fallback, with the same bits, is in :mod:`facet_nb.kernels.measures.recovery`.
"""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.compiled.library import count_step, find_kernel


def find_edges(x: np.ndarray, least: int) -> np.ndarray:
    """Return the extreme values of rows, and whether a row stays at them, shape (n_rows, 4).

    Parameters
    ----------
    x : ndarray, shape (n_rows, n_times)
        Samples, float32 or float64, each row contiguous; one or more.
    least : int
        Length of the shortest run of equal samples, 1 or more.
    """
    edges = np.empty((len(x), 4), x.dtype)
    find_kernel("find_edges", x.dtype.char)(x, count_step(x), *x.shape, least, edges)
    return edges
