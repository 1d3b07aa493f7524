"""Common reference: the median or mean across channels, sample by sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from facet_nb.kernels.compiled.dispatch import as_rows, can_compile, find_compiled

#: Bytes of samples that are processed at once: they stay in a core's cache.
_CACHED = 1 << 20

#: The channels that are re-referenced together, and those whose median or mean they lose.
Part = tuple[np.ndarray, np.ndarray]


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
    for block in _cut(x):
        np.subtract(x[:, block], find(x[:, block]), out=out[:, block])
    return out


def subtract_references(
    x: np.ndarray, operator: str, parts: Sequence[Part], *, out: np.ndarray | None = None
) -> np.ndarray:
    """Subtract the median or the mean of some channels from others.

    Parameters
    ----------
    x : ndarray, shape (n_channels, n_times)
        Signals, any unit.
    operator : {"median", "average"}
        The statistic across channels.
    parts : sequence of (ndarray of int, ndarray of int)
        Rows that are re-referenced, and the rows of their reference. Other rows do not change.
    out : ndarray, shape (n_channels, n_times) | None
        Array for the result; may be `x`.

    Returns
    -------
    ndarray, shape (n_channels, n_times)
        The result of a sample does not depend on other samples.
    """
    out = np.empty_like(x) if out is None else out
    find = _median if operator == "median" else _average
    for block in _cut(x):
        # All references first: `out` may be `x`, and a channel serves more than one part.
        references = [find(x[sources, block]) for _, sources in parts]
        if out is not x:
            out[:, block] = x[:, block]
        for (targets, _), reference in zip(parts, references, strict=True):
            out[targets, block] -= reference
    return out


def find_nearest(positions: np.ndarray, n: int) -> list[Part]:
    """Return each channel with its `n` nearest ones; of equal distances the first counts.

    Parameters
    ----------
    positions : ndarray, shape (n_channels, 3)
        Positions, in any unit.
    n : int
        Number of neighbours, less than `n_channels`.
    """
    parts = []
    for i, position in enumerate(positions):
        distance = np.linalg.norm(positions - position, axis=1)
        distance[i] = np.inf
        parts.append((np.array([i]), np.sort(np.argsort(distance, kind="stable")[:n])))
    return parts


def _cut(x: np.ndarray) -> list[slice]:
    """Return blocks of time that a core's cache holds."""
    size = max(256, _CACHED // (x.itemsize * max(len(x), 1)))
    return [slice(start, start + size) for start in range(0, x.shape[1], size)]


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
