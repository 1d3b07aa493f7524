"""Loops that numba compiles: without the GIL, kept on disk, each with a twin in numpy.

None of them uses fast maths: the compiled result is the twin's, to the bit or to rounding.
"""

from __future__ import annotations

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
