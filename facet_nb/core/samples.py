"""Checks and views of samples: precision, read-only views, finite values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from facet_nb.core.errors import FacetError, ValidationError
from facet_nb.kernels.means import iter_pieces

if TYPE_CHECKING:
    pass


COPY_FIRST = (
    "the processor changed its input in place. Take raw = context.get_raw().copy(), change the "
    "copy, and return context.with_raw(raw)."
)


def round_to(dtype: str, x: np.ndarray) -> np.ndarray:
    """Return samples in the precision of a run: `x` itself where it has that."""
    return x if x.dtype == dtype else x.astype(dtype)


def protect(x: np.ndarray) -> np.ndarray:
    """Return a view of `x` that cannot be written to."""
    view = x.view()
    view.flags.writeable = False
    return view


@contextmanager
def explain_read_only(remedy: str) -> Iterator[None]:
    """Turn numpy's complaint about read-only samples into one that names the remedy."""
    try:
        yield
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise ValidationError(remedy) from error


def check_finite(x: np.ndarray, names: Sequence[str]) -> None:
    """Raise if a channel holds NaN or infinity; the message names it and the remedy."""
    for row, name in zip(x, names, strict=True):
        if not all(np.isfinite(piece.sum()) for piece in iter_pieces(row)):
            n_bad = sum(int(np.count_nonzero(~np.isfinite(piece))) for piece in iter_pieces(row))
            if n_bad:
                error = FacetError(
                    f"channel {name} holds {n_bad} samples that are NaN or infinite. Repair them, "
                    f"or leave the channel alone with raw.info['bads'] = ['{name}'] or "
                    f"Loader(bad_channels=['{name}'])."
                )
                error.channel = name  # type: ignore[attr-defined]
                raise error
