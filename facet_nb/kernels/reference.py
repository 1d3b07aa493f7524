"""Common reference: the median or mean across channels, sample by sample."""

from __future__ import annotations

import numpy as np

#: Samples worked on at once: 64 channels of it stay in a core's cache.
_CHUNK = 4096


def subtract_common(
    x: np.ndarray, operator: str = "median", *, out: np.ndarray | None = None
) -> np.ndarray:
    """Subtract the common part of all channels.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Signals, any unit.
    operator : {"median", "average"}
        What is common.
    out : ndarray, shape (n_channels, n_times) | None
        Where to put the result.

    Returns
    -------
    ndarray, shape (n_channels, n_times)
        Signals less their common part. A sample's result does not depend on other samples.
    """
    out = np.empty_like(x) if out is None else out
    for start in range(0, x.shape[1], _CHUNK):
        part = slice(start, start + _CHUNK)
        # Samples become rows: each is reduced by itself, in one order, whatever the chunk.
        rows = np.ascontiguousarray(x[:, part].T)
        common = np.median(rows, axis=1) if operator == "median" else rows.mean(axis=1)
        np.subtract(x[:, part], common, out=out[:, part])
    return out
