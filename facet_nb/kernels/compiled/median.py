"""Exact median across channels, for many samples at once; see native/median.h."""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.compiled.dispatch import aligned_empty, as_rows
from facet_nb.kernels.compiled.library import count_step, find_kernel

#: Bytes of each channel in a tile, which is copied to contiguous memory so that passes stay in
#: cache: fastest of 256 to 4096 (64 channels float64, 384 channels float32).
_TILE = 1024


def median_across(x: np.ndarray) -> np.ndarray:
    """Return the median of the channels, sample by sample.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Signals, float32 or float64, any unit.

    Returns
    -------
    ndarray, shape (n_times,)
        Medians, of the type of `x`; equal to ``np.median(x, axis=0)``, nan where a channel is nan.
    """
    medians = np.empty(x.shape[1], x.dtype)
    _run(x, medians, None)
    return medians


def subtract_median(x: np.ndarray, out: np.ndarray) -> None:
    """Write `x` minus its :func:`median_across` channels to `out`, in one pass over memory.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Signals, float32 or float64, any unit.
    out : ndarray, shape (n_channels, n_times)
        Array for the result, of the type of `x`, with contiguous rows.
    """
    _run(x, None, out)


def _run(x: np.ndarray, medians: np.ndarray | None, out: np.ndarray | None) -> None:
    n_tile = _TILE // x.itemsize
    # One vector per group and channel, and one more for the medians.
    tile = aligned_empty((len(x) + 1) * n_tile, x.dtype)
    x = as_rows(x)
    step = 0 if out is None else count_step(out)
    run = find_kernel("median", x.dtype.char)
    run(x, count_step(x), *x.shape, medians, out, step, tile, n_tile)
