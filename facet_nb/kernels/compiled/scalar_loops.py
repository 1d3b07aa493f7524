"""Plain loops. Importing this module imports Numba."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import types

from facet_nb.kernels.compiled.entry import compile_entry


def cancel_adaptively(
    signal: np.ndarray, reference: np.ndarray, n_taps: int, step: float
) -> np.ndarray:
    """Return the prediction of an LMS filter; see :mod:`facet_nb.kernels.filters.lms`."""
    predicted = np.zeros(len(signal))
    _compile()(signal.astype(float), reference.astype(float), n_taps, step, predicted)
    return predicted


@lru_cache(maxsize=1)
def _compile() -> Any:
    vector = types.Array(types.float64, 1, "C")
    # fastmath lets LLVM reorder the sum over taps, and so vectorise it.
    return compile_entry(
        _cancel, vector, vector, types.intp, types.float64, vector, fastmath={"reassoc", "nsz"}
    )


def _cancel(signal, reference, n_taps, step, predicted):  # pragma: no cover - compiled
    weights = np.zeros(n_taps)
    for i in range(n_taps - 1, len(signal)):
        first = i - n_taps + 1
        y = 0.0
        for k in range(n_taps):
            y += weights[k] * reference[first + k]
        predicted[i] = y
        gain = 2.0 * step * (signal[i] - y)
        for k in range(n_taps):
            weights[k] += gain * reference[first + k]
