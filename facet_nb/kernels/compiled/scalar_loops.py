"""Plain loops; see native/lms.h."""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.compiled.dispatch import aligned_empty
from facet_nb.kernels.compiled.library import find_kernel


def cancel_adaptively(
    signal: np.ndarray, reference: np.ndarray, n_taps: int, step: float
) -> np.ndarray:
    """Return the prediction of an LMS filter; see :mod:`facet_nb.kernels.filters.lms`."""
    weights = aligned_empty(n_taps, float)
    weights[...] = 0.0
    # Large arrays start at the same place of a page. Half a kilobyte further, the processor does
    # not take a sample that was just written for the one of the reference that is read next.
    predicted = np.zeros(len(signal) + 64)[64:]
    signals = (np.ascontiguousarray(x, dtype=float) for x in (signal, reference))
    find_kernel("lms", "d")(*signals, len(signal), n_taps, step, weights, predicted)
    return predicted
