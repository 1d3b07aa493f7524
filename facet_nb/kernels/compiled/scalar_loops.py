"""Plain loops, compiled by Numba without the GIL and cached on disk.

Each loop has a NumPy fallback with the same result, to the bit or to rounding; see
:func:`facet_nb.kernels.compiled.dispatch.find_loop`.
"""

from __future__ import annotations

import numpy as np

from facet_nb.kernels.compiled.jit import njit_cached


@njit_cached()
def subtract_rows(out, rows, origin, low, high, head, tail):
    """Subtract each row from ``out[low:high]``; its first and last sample are weighted."""
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


@njit_cached()
def refine_lags(cross, lag, n_fft):
    """Return the maxima of cross-correlations, by four steps of Newton's method.

    See :func:`facet_nb.kernels.templates.subsample.refine_in_numpy`.
    """
    # exp(i omega lag) follows by one complex multiplication per frequency, without sin and cos.
    found = lag.copy()
    unit = 2 * np.pi / n_fft
    for i in range(len(cross)):
        for _ in range(4):
            c, s = np.cos(unit * found[i]), np.sin(unit * found[i])
            re, im, slope, bend = 1.0, 0.0, 0.0, 0.0
            for k in range(cross.shape[1]):
                a, b = cross[i, k].real, cross[i, k].imag
                slope -= (a * im + b * re) * k
                bend -= (a * re - b * im) * k * k
                re, im = re * c - im * s, re * s + im * c
            if bend < 0:
                found[i] -= slope / (unit * bend)
    return found


@njit_cached(fastmath={"reassoc", "nsz"})
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
