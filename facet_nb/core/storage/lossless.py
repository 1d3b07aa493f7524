"""Store samples without loss in the smallest type: a recorder's integers, float32 or float64."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64]

#: Largest count of a 16-bit recorder.
_COUNT = 2**15 - 1


def pack(x: Samples, steps: Sequence[float] | None = None) -> list[tuple[float | None, Any]]:
    """Return the rows of `x`, each in the smallest type that holds its samples bit for bit.

    Parameters
    ----------
    x : ndarray of float64, shape (n_rows, n_times)
        The samples.
    steps : sequence of float | None
        The size of a recorder's step for each row; its multiples are stored as int16.

    Returns
    -------
    list of (float | None, ndarray)
        For each row its step, or None, and its samples.
    """
    return [_pack_row(row, None if steps is None else float(steps[i])) for i, row in enumerate(x)]


def unpack(rows: Sequence[tuple[float | None, Any]], shape: tuple[int, int]) -> Samples:
    """Return the samples of this shape that :func:`pack` was given."""
    x = np.empty(shape)
    for row, (step, stored) in zip(x, rows, strict=True):
        row[:] = stored
        if step is not None:
            row *= step
    return x


def pack_integers(x: npt.NDArray[Any]) -> tuple[str, bytes]:
    """Return the type of integers, and their compressed differences: triggers take few bytes.

    Parameters
    ----------
    x : ndarray of int, shape (n,)
        The integers.
    """
    steps = np.diff(x, prepend=x.dtype.type(0))  # an overflow here is undone by unpack_integers
    return x.dtype.str, zlib.compress(steps.tobytes())


def unpack_integers(kind: str, packed: bytes) -> npt.NDArray[Any]:
    """Return the integers that :func:`pack_integers` was given."""
    steps = np.frombuffer(zlib.decompress(packed), kind)
    return np.cumsum(steps, dtype=kind)


def _pack_row(row: Samples, step: float | None) -> tuple[float | None, Any]:
    with np.errstate(invalid="ignore", over="ignore"):
        for unit in (step, None) if step else (None,):
            steps = row if unit is None else row / unit
            if unit is not None and np.all(np.abs(counts := np.rint(steps)) <= _COUNT):
                small = counts.astype(np.int16)  # no NaN: it fails the comparison
                # Close to a multiple is not enough: the same product must come back, bit for bit.
                if _same(small * unit, row):
                    return unit, small
            half = steps.astype(np.float32)
            back = half.astype(np.float64)
            if _same(back if unit is None else back * unit, row):
                return unit, half
    return None, np.ascontiguousarray(row)


def _same(a: npt.NDArray[Any], b: Samples) -> bool:
    """Whether samples are equal bit for bit: -0.0 is not 0.0, and a NaN keeps its payload."""
    first, second = np.ascontiguousarray(a), np.ascontiguousarray(b)
    return bool(np.array_equal(first.view(np.int64), second.view(np.int64)))
