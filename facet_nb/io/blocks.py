"""A recording in pieces that are small beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from facet_nb.core.executors import scratch

#: Values in one piece: 2 MB.
_VALUES = 2**18


def iter_blocks(raw: Any, stop: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the position and samples of consecutive pieces, shape (n_channels, n), in V.

    Samples in memory are not copied; others are read piece by piece.
    """
    stop = raw.n_times if stop is None else stop
    length = max(_VALUES // max(len(raw.ch_names), 1), 1)
    for start in range(0, stop, length):
        end = min(start + length, stop)
        yield start, raw._data[:, start:end] if raw.preload else raw[:, start:end][0]
        if raw.preload:
            scratch.forget(raw._data)
