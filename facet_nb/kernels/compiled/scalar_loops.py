"""Plain loops, compiled by Numba without the GIL and cached on disk.

Each loop has a NumPy fallback with the same result, to the bit or to rounding; see
:func:`facet_nb.kernels.compiled.dispatch.find_loop`.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, fastmath={"reassoc", "nsz"})
def cancel_adaptively(signal, reference, n_taps, step):
    """Return the prediction of an LMS filter; see :mod:`facet_nb.kernels.filters.lms`."""
    # fastmath lets LLVM reorder the sum over taps, and so vectorise it.
    predicted = np.zeros(len(signal))
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
    return predicted
