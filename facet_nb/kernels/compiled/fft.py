"""Fourier transforms of several signals at once, for filters.

A *point* consists of two vectors: the real and the imaginary parts of 8 (float64) or 16 (float32)
complex numbers, one for each signal. Transforms therefore never mix the elements of a vector.

The forward transform (radix 4, decimation in frequency) leaves the points in digit-reversed order,
and the backward transform (decimation in time) takes them in that order. Filters need no other
order: their spectrum is sorted once. Long transforms make two passes over the points per access to
main memory, until the remaining transforms fit into the L1 cache; these are finished one by one.

Importing this module imports Numba.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from facet_nb.kernels.compiled.vectors import inner, like, load_bytes, muladd, store

#: Bytes of the real parts of a point: one AVX-512 register.
BYTES = 64

#: Radix of two passes together; see :func:`forward_sixteen`.
SIXTEEN = 16

#: Longest transform that is computed in cache: 256 points, 32 KB.
_LEAF = 256

#: Longest transform that needs a single pass before its parts fit into cache.
_SMALL = 4 * _LEAF


def count_places(n: int) -> int:
    """Return the length of `n` points in memory, in points.

    After two passes there are 16 transforms, each followed by a gap of one point.
    """
    # Without gaps, the 16 transforms would be a power of two apart, and their points would map to
    # the same few cache sets.
    return n if n <= _SMALL else n + SIXTEEN


@inner
def find_place(i, n):  # pragma: no cover - compiled
    """Return the position of point `i` of `n` in memory, in points; see :func:`count_places`."""
    return i if n <= _SMALL else i + i // (n // SIXTEEN)


def order(n: int) -> np.ndarray:
    """Return the frequency index of each point after a forward transform, shape (n,)."""
    if n <= 2:
        return np.arange(n)
    quarter = 4 * order(n // 4)
    return np.concatenate([quarter + i for i in range(4)])


@lru_cache(maxsize=8)
def find_twiddles(n: int, char: str) -> np.ndarray:
    """Return the twiddle factors of all passes, shape (2 n,).

    The pass over m points starts at index ``2 * (n - m)``, with w, w², w³ of its m / 4 angles.
    """
    passes = []
    m = n
    while m > 4:
        angle = -2j * np.pi / m * np.arange(m // 4)[:, np.newaxis] * np.arange(1, 4)
        passes.append(np.exp(angle).view(float).ravel())
        m //= 4
    factors = np.concatenate([*passes, np.zeros(2 * m)]).astype(char)
    factors.flags.writeable = False
    return factors


# ------------------------------------------------------------------------------- one butterfly
@inner
def turn(re, im, factors, i):  # pragma: no cover - compiled
    """Return the product with the twiddle factor at index `i`."""
    w_re, w_im = like(re, factors[i]), like(re, factors[i + 1])
    return muladd(re, w_re, -(im * w_im)), muladd(re, w_im, im * w_re)


@inner
def turn_back(re, im, factors, i):  # pragma: no cover - compiled
    """Return the product with the conjugate of the twiddle factor at index `i`."""
    w_re, w_im = like(re, factors[i]), like(re, factors[i + 1])
    return muladd(re, w_re, im * w_im), muladd(im, w_re, -(re * w_im))


@inner
def load_four(z, i, step, width):  # pragma: no cover - compiled
    """Return four points, `step` elements apart."""
    a, b = load_bytes(z, i, BYTES), load_bytes(z, i + width, BYTES)
    i += step
    c, d = load_bytes(z, i, BYTES), load_bytes(z, i + width, BYTES)
    i += step
    e, f = load_bytes(z, i, BYTES), load_bytes(z, i + width, BYTES)
    i += step
    return a, b, c, d, e, f, load_bytes(z, i, BYTES), load_bytes(z, i + width, BYTES)


@inner
def store_four(z, i, step, width, points):  # pragma: no cover - compiled
    """Write four points, `step` elements apart."""
    a, b, c, d, e, f, g, h = points
    store(z, i, a)
    store(z, i + width, b)
    store(z, i + step, c)
    store(z, i + step + width, d)
    store(z, i + 2 * step, e)
    store(z, i + 2 * step + width, f)
    store(z, i + 3 * step, g)
    store(z, i + 3 * step + width, h)


@inner
def transform_four(points):  # pragma: no cover - compiled
    """Return the transform of four points."""
    a, b, c, d, e, f, g, h = points
    a, b, e, f = a + e, b + f, a - e, b - f
    c, d, g, h = c + g, d + h, d - h, g - c
    return a + c, b + d, e + g, f + h, a - c, b - d, e - g, f - h


@inner
def transform_four_back(points):  # pragma: no cover - compiled
    """Return the inverse transform of four points, times four."""
    a, b, c, d, e, f, g, h = points
    a, b, e, f = a + e, b + f, a - e, b - f
    c, d, g, h = c + g, d + h, h - d, c - g
    return a + c, b + d, e + g, f + h, a - c, b - d, e - g, f - h


# Locations of points are tuples: (pointer, index of the first point, elements between points).
@inner
def forward(source, target, width, factors, k):  # pragma: no cover - compiled
    """Transform four points, with the twiddle factors from index `k` on."""
    z, i, step = source
    a, b, c, d, e, f, g, h = transform_four(load_four(z, i, step, width))
    c, d = turn(c, d, factors, k)
    e, f = turn(e, f, factors, k + 2)
    g, h = turn(g, h, factors, k + 4)
    z, i, step = target
    store_four(z, i, step, width, (a, b, c, d, e, f, g, h))


@inner
def backward(source, target, width, factors, k):  # pragma: no cover - compiled
    """Invert :func:`forward`, except for a factor of four."""
    z, i, step = source
    a, b, c, d, e, f, g, h = load_four(z, i, step, width)
    c, d = turn_back(c, d, factors, k)
    e, f = turn_back(e, f, factors, k + 2)
    g, h = turn_back(g, h, factors, k + 4)
    z, i, step = target
    store_four(z, i, step, width, transform_four_back((a, b, c, d, e, f, g, h)))


@inner
def forward_sixteen(source, target, tile, width, factors, total, n, j):  # pragma: no cover
    """Make two passes over `n` points, for the 16 points with indices j + k n / 16.

    The points are those of a whole transform of `total` points, or of a part of it after earlier
    passes. `tile` is scratch memory for 16 points.
    """
    z, i, step = source
    out, o, out_step = target
    point = 2 * width
    for q in range(4):
        k = 2 * (total - n) + 6 * (j + q * (n // SIXTEEN))
        forward((z, i + q * step, 4 * step), (tile, q * point, 4 * point), width, factors, k)
    k = 2 * (total - n // 4) + 6 * j
    for q in range(0, SIXTEEN, 4):
        goal = (out, o + q * out_step, out_step)
        forward((tile, q * point, point), goal, width, factors, k)


@inner
def backward_sixteen(source, target, tile, width, factors, total, n, j):  # pragma: no cover
    """Invert :func:`forward_sixteen`, except for a factor of 16."""
    z, i, step = source
    out, o, out_step = target
    point = 2 * width
    k = 2 * (total - n // 4) + 6 * j
    for q in range(0, SIXTEEN, 4):
        backward((z, i + q * step, step), (tile, q * point, point), width, factors, k)
    for q in range(4):
        k = 2 * (total - n) + 6 * (j + q * (n // SIXTEEN))
        goal = (out, o + q * out_step, 4 * out_step)
        backward((tile, q * point, 4 * point), goal, width, factors, k)


# ------------------------------------------------------------------------------------- filters
@inner
def filter_points(z, place, n, factors, total, spectrum, begin, tile, width):  # pragma: no cover
    """Transform `n` points, multiply them by a real spectrum, and transform back, in place.

    The points, from `place` on, are a part of a transform of `total` points after its first passes.
    The spectrum of this part starts at index `begin`, in the order of :func:`order`. The points
    occupy :func:`count_places` points of memory; `tile` is scratch memory for 16 points.
    """
    if n <= _SMALL:
        _filter_small(z, place, n, factors, total, spectrum, begin, width)
        return
    sixteenth = n // SIXTEEN
    step = 2 * width * (sixteenth + 1)
    for j in range(sixteenth):
        points = (z, place + 2 * width * j, step)
        forward_sixteen(points, points, tile, width, factors, total, n, j)
    for q in range(SIXTEEN):
        part = begin + q * sixteenth
        _filter_small(z, place + q * step, sixteenth, factors, total, spectrum, part, width)
    for j in range(sixteenth):
        points = (z, place + 2 * width * j, step)
        backward_sixteen(points, points, tile, width, factors, total, n, j)


@inner
def _filter_small(z, place, n, factors, total, spectrum, begin, width):  # pragma: no cover
    if n <= _LEAF:
        _filter_leaf(z, place, n, factors, total, spectrum, begin, width)
        return
    step = 2 * width * (n // 4)
    for j in range(n // 4):
        points = (z, place + 2 * width * j, step)
        forward(points, points, width, factors, 2 * (total - n) + 6 * j)
    for q in range(4):
        part = begin + q * (n // 4)
        _filter_leaf(z, place + q * step, n // 4, factors, total, spectrum, part, width)
    for j in range(n // 4):
        points = (z, place + 2 * width * j, step)
        backward(points, points, width, factors, 2 * (total - n) + 6 * j)


@inner
def _filter_leaf(z, place, n, factors, total, spectrum, begin, width):  # pragma: no cover
    m = forward_passes(z, place, n, factors, total, width)
    for first in range(0, n, m):
        if m == 4:
            _filter_four(z, place + 2 * width * first, spectrum, begin + first, width)
        else:  # the length is an odd power of two
            _filter_two(z, place + 2 * width * first, spectrum, begin + first, width)
    backward_passes(z, place, n, m, factors, total, width)


@inner
def forward_passes(z, place, n, factors, total, width):  # pragma: no cover - compiled
    """Make all forward passes over `n` points but the last; return the length of the last."""
    m = n
    while m > 4:
        step = 2 * width * (m // 4)
        for j in range(m // 4):
            for first in range(j, n, m):
                points = (z, place + 2 * width * first, step)
                forward(points, points, width, factors, 2 * (total - m) + 6 * j)
        m //= 4
    return m


@inner
def backward_passes(z, place, n, m, factors, total, width):  # pragma: no cover - compiled
    """Invert :func:`forward_passes` over `n` points, starting with transforms of length `m`."""
    while m < n:
        m *= 4
        step = 2 * width * (m // 4)
        for j in range(m // 4):
            for first in range(j, n, m):
                points = (z, place + 2 * width * first, step)
                backward(points, points, width, factors, 2 * (total - m) + 6 * j)


@inner
def _filter_four(z, i, spectrum, k, width):  # pragma: no cover - compiled
    """Transform four points, multiply, and transform back."""
    a, b, c, d, e, f, g, h = transform_four(load_four(z, i, 2 * width, width))
    p, q = like(a, spectrum[k]), like(a, spectrum[k + 1])
    r, s = like(a, spectrum[k + 2]), like(a, spectrum[k + 3])
    points = a * p, b * p, c * q, d * q, e * r, f * r, g * s, h * s
    store_four(z, i, 2 * width, width, transform_four_back(points))


@inner
def _filter_two(z, i, spectrum, k, width):  # pragma: no cover - compiled
    """Transform two points, multiply, and transform back."""
    a, b = load_bytes(z, i, BYTES), load_bytes(z, i + width, BYTES)
    c, d = load_bytes(z, i + 2 * width, BYTES), load_bytes(z, i + 3 * width, BYTES)
    p, q = like(a, spectrum[k]), like(a, spectrum[k + 1])
    a, b, c, d = (a + c) * p, (b + d) * p, (a - c) * q, (b - d) * q
    store(z, i, a + c)
    store(z, i + width, b + d)
    store(z, i + 2 * width, a - c)
    store(z, i + 3 * width, b - d)
