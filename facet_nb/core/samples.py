"""Errors about samples: not finite, or changed in place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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
