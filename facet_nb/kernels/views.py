"""Views of arrays: consecutive rows without a copy, read-only samples, a given precision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facet_nb.kernels.means import iter_pieces


def as_slice(rows: Sequence[int]) -> slice | list[int]:
    """Return consecutive `rows` as a slice, which numpy takes without a copy; others as a list."""
    first, last = rows[0], rows[-1]
    return slice(first, last + 1) if last - first + 1 == len(rows) else list(rows)


def protect(x: np.ndarray) -> np.ndarray:
    """Return a read-only view of `x`."""
    view = x.view()
    view.flags.writeable = False
    return view


def round_to(dtype: str, x: np.ndarray) -> np.ndarray:
    """Return `x` in precision `dtype`; `x` itself if it has that precision."""
    return x if x.dtype == dtype else x.astype(dtype)


def is_finite(row: np.ndarray) -> bool:
    """Whether a row, shape (n_times,), has neither NaN nor infinity.

    The sum is finite only if all its terms are, and needs no array of Booleans. A sum may also
    overflow; then the samples themselves are tested.
    """
    for piece in iter_pieces(row):
        if not np.isfinite(piece.sum()) and not np.isfinite(piece).all():
            return False
    return True
