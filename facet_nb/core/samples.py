"""Errors about samples: not finite, or changed in place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from facet_nb.core.errors import FacetError, ValidationError
from facet_nb.kernels.means import iter_pieces
from facet_nb.kernels.views import is_finite

COPY_FIRST = (
    "the processor changed its input in place. Take raw = context.get_raw().copy(), change the "
    "copy, and return context.with_raw(raw)."
)


@contextmanager
def explain_read_only(remedy: str) -> Iterator[None]:
    """Replace numpy's error about read-only samples with one that names the remedy."""
    try:
        yield
    except ValueError as error:
        # numpy has no class of its own for this error.
        if "read-only" not in str(error):
            raise
        raise ValidationError(remedy) from error


def check_samples(result: Any, call: str, shapes: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return `result`, what `call` returned, if it holds real samples of an expected shape.

    Raises
    ------
    ValidationError
        If it does not: numpy would spread it over channels or time, or drop its imaginary part.
    """
    # What is an array stays as it is: np.asarray would drop a mask before it is looked at.
    if not isinstance(result, (np.ndarray, np.generic)):
        result = _as_array(result, call)
    check_kind(result, call)
    if result.shape not in shapes:
        # In words that are the same for batches of any size.
        rows, n_times = shapes[0]
        seen: list[Any] = list(result.shape)
        axis = 1 if seen[:1] == [n_times] else 0
        if seen[axis : axis + 1] == [rows]:
            seen[axis] = "n_channels"
        raise ValidationError(
            f"{call} returned samples of shape ({', '.join(map(str, seen))}) instead of "
            f"(n_channels, {n_times}). Return one row for each channel it is given; if the number "
            "of samples changes, prepare() must say so with Prepared(n_times=…)."
        )
    return np.asarray(result)


def check_kind(samples: Any, call: str) -> None:
    """Raise :class:`ValidationError` unless `samples`, an array, holds real numbers, none masked.

    `call` names what returned them.
    """
    if samples.dtype.kind not in "fiub":
        raise ValidationError(
            f"{call} returned samples of type {samples.dtype}: they must be real numbers, in V."
        )
    if np.ma.is_masked(samples):
        raise ValidationError(
            f"{call} returned masked samples: give them values, e.g. with filled(0.0), or mark "
            "the time with an annotation."
        )


def _as_array(result: Any, call: str) -> np.ndarray:
    """Return what is no numpy array (a GPU array, a list of rows) as one."""
    try:
        return np.asarray(result)
    except Exception as error:  # __array__ may raise anything
        raise ValidationError(
            f"{call} returned {type(result).__name__}, which is no array of samples "
            f"({type(error).__name__}): return a numpy array."
        ) from error


def check_returned_finite(result: np.ndarray, call: str, channels: Sequence[int]) -> None:
    """Raise :class:`ValidationError` if what `call` returned holds NaN or infinity.

    The error has the channel's number as ``row``.
    """
    for row, channel in zip(result, channels, strict=True):
        if not is_finite(row):
            error = ValidationError(
                f"{call} returned NaN or infinite samples, from finite ones: check divisions, "
                "logarithms and empty windows."
            )
            error.row = channel
            raise error


def check_finite(x: np.ndarray, names: Sequence[str]) -> None:
    """Raise if a channel holds NaN or infinity; the message names it and the remedy."""
    for row, name in zip(x, names, strict=True):
        if not is_finite(row):
            raise not_finite(row, name)


def not_finite(row: np.ndarray, name: str) -> FacetError:
    """Return the error for a channel that holds NaN or infinity."""
    # In pieces: isfinite of a whole row would need a byte for each of its samples.
    n_bad = sum(int(np.count_nonzero(~np.isfinite(piece))) for piece in iter_pieces(row))
    error = FacetError(
        f"channel {name} holds {n_bad} samples that are NaN or infinite. Repair them, or leave the "
        f"channel alone with raw.info['bads'] = ['{name}'] or Loader(bad_channels=['{name}'])."
    )
    error.channel = name
    return error
