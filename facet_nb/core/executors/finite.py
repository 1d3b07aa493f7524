"""Samples that are no numbers: found before the first step, with the name of their channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facet_nb.core.errors import FacetError
from facet_nb.kernels.means import iter_pieces


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
