"""Fourier transforms of many signals side by side, compiled, as filters need them.

A point is two registers: the real and the imaginary parts of 8 (float64) or 16 (float32) complex
numbers of as many signals, so that a transform has no work within registers. Forward, radix 4 and
decimation in frequency leave the points in the order of reversed digits; backward, decimation in
time takes them in that order. A filter needs no other: its spectrum is brought into the same order
once. Two passes are made each time that points are brought from afar, until their transforms are
short enough for the innermost cache; these are finished one by one. Importing this module imports
numba.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from facet_nb.kernels.compiled.vectors import inner, like, load_bytes, muladd, store

#: Bytes of the real parts of a point: one of the widest registers.
BYTES = 64

#: Points that :func:`forward_sixteen` brings together.
SIXTEEN = 16

#: Points that are transformed to the end at once: 32 KB.
_LEAF = 256

#: Points that are transformed by one pass and then leaf by leaf; above, by two passes first.
_SMALL = 4 * _LEAF


def count_places(n: int) -> int:
    """Return the length of `n` points in memory, in points.

    After two passes there are 16 transforms, with a gap of one point after each: otherwise the same
    points of all would compete for the same few places in cache.
    """
    return n if n <= _SMALL else n + SIXTEEN


@inner
def find_place(i, n):  # pragma: no cover - compiled
    """Return the place of point `i` of `n` in memory, in points; see :func:`count_places`."""
    return i if n <= _SMALL else i + i // (n // SIXTEEN)


def order(n: int) -> np.ndarray:
    """Return the frequency of each place after a forward transform, shape (n,)."""
    if n <= 2:
        return np.arange(n)
    quarter = 4 * order(n // 4)
    return np.concatenate([quarter + i for i in range(4)])


@lru_cache(maxsize=8)
def find_twiddles(n: int, char: str) -> np.ndarray:
    """Return the factors of all passes, shape (2 n,).

    The pass over m points starts at ``2 * (n - m)``, with w, w², w³ of each of its m / 4 angles.
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
    """Return the product with factor number `i`."""
    w_re, w_im = like(re, factors[i]), like(re, factors[i + 1])
    return muladd(re, w_re, -(im * w_im)), muladd(re, w_im, im * w_re)


@inner
def turn_back(re, im, factors, i):  # pragma: no cover - compiled
    """Return the product with the conjugate of factor number `i`."""
    w_re, w_im = like(re, factors[i]), like(re, factors[i + 1])
    return muladd(re, w_re, im * w_im), muladd(im, w_re, -(re * w_im))


@inner
def load_four(z, i, step, width):  # pragma: no cover - compiled
    """Return four points, `step` numbers apart."""
    a, b = load_bytes(z, i, BYTES), load_bytes(z, i + width, BYTES)
    i += step
    c, d = load_bytes(z, i, BYTES), load_bytes(z, i + width, BYTES)
    i += step
    e, f = load_bytes(z, i, BYTES), load_bytes(z, i + width, BYTES)
    i += step
    return a, b, c, d, e, f, load_bytes(z, i, BYTES), load_bytes(z, i + width, BYTES)


@inner
def store_four(z, i, step, width, points):  # pragma: no cover - compiled
    """Write four points, `step` numbers apart."""
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


# Where points are: (place, number of the first one, numbers from one to the next).
@inner
def forward(source, target, width, factors, k):  # pragma: no cover - compiled
    """Transform four points, with the factors from place `k`."""
    z, i, step = source
    a, b, c, d, e, f, g, h = transform_four(load_four(z, i, step, width))
    c, d = turn(c, d, factors, k)
    e, f = turn(e, f, factors, k + 2)
    g, h = turn(g, h, factors, k + 4)
    z, i, step = target
    store_four(z, i, step, width, (a, b, c, d, e, f, g, h))


@inner
def backward(source, target, width, factors, k):  # pragma: no cover - compiled
    """Undo :func:`forward`, times four."""
    z, i, step = source
    a, b, c, d, e, f, g, h = load_four(z, i, step, width)
    c, d = turn_back(c, d, factors, k)
    e, f = turn_back(e, f, factors, k + 2)
    g, h = turn_back(g, h, factors, k + 4)
    z, i, step = target
    store_four(z, i, step, width, transform_four_back((a, b, c, d, e, f, g, h)))


@inner
def forward_sixteen(source, target, tile, width, factors, total, n, j):  # pragma: no cover
    """Make two passes over `n` points, for the 16 that are `j` after multiples of n / 16.

    They are the first of the transform's points, or of those of a part of it after earlier passes;
    the whole transform has `total` points. `tile` takes the 16 points meanwhile.
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
    """Undo :func:`forward_sixteen`, times 16."""
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
    """Multiply the transform of `n` points by a real spectrum, in place.

    The points, from `place` on, are a part of a transform of `total` points, after its first
    passes; the spectrum of the part begins at `begin`, in the order of :func:`order`. They take
    :func:`count_places` of memory; `tile` is 16 points more.
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
    m = n
    while m > 4:
        step = 2 * width * (m // 4)
        for j in range(m // 4):
            for first in range(j, n, m):
                points = (z, place + 2 * width * first, step)
                forward(points, points, width, factors, 2 * (total - m) + 6 * j)
        m //= 4
    for first in range(0, n, m):
        if m == 4:
            _filter_four(z, place + 2 * width * first, spectrum, begin + first, width)
        else:
            _filter_two(z, place + 2 * width * first, spectrum, begin + first, width)
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
