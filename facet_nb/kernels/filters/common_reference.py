"""Common reference: the median or mean across channels, sample by sample."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from facet_nb.kernels.compiled.dispatch import as_rows, can_compile, find_compiled

#: Number of samples that are processed at once: 64 channels of them stay in a core's cache.
_CHUNK = 2048


def subtract_common(
    x: np.ndarray, operator: str = "median", *, out: np.ndarray | None = None
) -> np.ndarray:
    """Subtract the median or the mean of all channels.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Signals, any unit.
    operator : {"median", "average"}
        The statistic across channels.
    out : ndarray, shape (n_channels, n_times) | None
        Array for the result.

    Returns
    -------
    ndarray, shape (n_channels, n_times)
        Signals minus the reference. The result of a sample does not depend on other samples.

    Notes
    -----
    The median is compiled; without that, :func:`numpy.median` gives the same to the bit.
    """
    out = np.empty_like(x) if out is None else out
    compiled = _find_compiled() if operator == "median" else None
    if can_compile(x, out) and compiled is not None:
        target = as_rows(out)
        compiled(x, target)
        if target is not out:
            out[...] = target
        return out
    find = _median if operator == "median" else _average
    for start in range(0, x.shape[1], _CHUNK):
        part = slice(start, start + _CHUNK)
        np.subtract(x[:, part], find(x[:, part]), out=out[:, part])
    return out


def _median(x: np.ndarray) -> np.ndarray:
    return np.median(np.ascontiguousarray(x.T), axis=1)


def _average(x: np.ndarray) -> np.ndarray:
    """Return the mean across channels."""
    # Summed channel by channel: NumPy's order of summation depends on the length of the chunk.
    total = np.zeros(x.shape[1])
    for row in x:
        total += row
    return total / len(x)


def _find_compiled() -> Callable | None:
    """Return the compiled median, or None if it must not be used."""
    return find_compiled("median", "subtract_median")
