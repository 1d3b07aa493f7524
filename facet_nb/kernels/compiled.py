"""Loops that numba compiles: without the GIL, kept on disk, each with a twin in numpy.

None of them uses fast maths: the compiled result is the twin's, to the bit or to rounding.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def subtract_rows(out, rows, origin, low, high, head, tail):
    """Subtract each row from ``out[low:high]``; its first and last sample by a part only."""
    for i in range(len(rows)):
        a, b = low[i], high[i]
        if a >= b:
            continue
        row = rows[i]
        shift = origin[i]
        if b - a == 1:
            out[a] -= row[a - shift] * head[i] * tail[i]
            continue
        out[a] -= row[a - shift] * head[i]
        for j in range(a + 1, b - 1):
            out[j] -= row[j - shift]
        out[b - 1] -= row[b - 1 - shift] * tail[i]


@njit(nogil=True, cache=True)
def choose_greedily(gram, n_seed, threshold):
    """Choose what is like the running mean of those chosen before."""
    n = len(gram)
    chosen = np.zeros(n, dtype=np.bool_)
    with_sum = np.zeros(n)
    power = 0.0
    for j in range(n_seed):
        chosen[j] = True
        for i in range(n):
            with_sum[i] += gram[i, j]
    for j in range(n_seed):
        power += with_sum[j]
    for j in range(n_seed, n):
        scale = np.sqrt(max(power, 0.0) * gram[j, j])
        if scale > 0 and with_sum[j] / scale > threshold:
            power += 2.0 * with_sum[j] + gram[j, j]
            for i in range(n):
                with_sum[i] += gram[i, j]
            chosen[j] = True
    return chosen
