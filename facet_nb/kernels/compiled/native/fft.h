/* Fourier transforms of several signals at once, for filters.
 *
 * A point consists of two vectors: the real and the imaginary parts of W complex numbers, one for
 * each signal. Transforms therefore never mix the lanes of a vector.
 *
 * The forward transform (radix 4, decimation in frequency) leaves the points in digit-reversed
 * order, and the backward transform (decimation in time) takes them in that order. Filters need no
 * other order: their spectrum is sorted once. Long transforms make two passes over the points per
 * access to main memory, until the remaining transforms fit into the L1 cache; these are finished
 * one by one.
 *
 * The pass over m of `total` points takes its twiddle factors w, w^2, w^3 of m / 4 angles from index
 * 2 * (total - m) on (overlap_save.find_twiddles).
 */
#ifndef FACET_NB_FFT_H
#define FACET_NB_FFT_H

#include "vectors.h"

enum {
    POINT = 2 * W,  /* elements of a point */
    SIXTEEN = 16,   /* radix of two passes together */
    LEAF = 256,     /* points of the longest transform that is computed in cache */
    SMALL = 4 * LEAF /* points of the longest one that needs a single pass before that */
};

typedef struct {
    vec re[4], im[4];
} four;

/* Position of point `i` of `n` in memory, in points: after two passes there are 16 transforms, each
 * followed by a gap of one point. Without gaps they would be a power of two apart, and their points
 * would map to the same few cache sets. */
INLINE idx find_place(idx i, idx n) { return n <= SMALL ? i : i + i / (n / SIXTEEN); }

/* The product with a twiddle factor, or with its conjugate. */
INLINE void turn(vec *re, vec *im, const real *factor)
{
    vec w_re = like(factor[0]), w_im = like(factor[1]), x = *re;
    *re = muladd(x, w_re, -(*im * w_im));
    *im = muladd(x, w_im, *im * w_re);
}

INLINE void turn_back(vec *re, vec *im, const real *factor)
{
    vec w_re = like(factor[0]), w_im = like(factor[1]), x = *re;
    *re = muladd(x, w_re, *im * w_im);
    *im = muladd(*im, w_re, -(x * w_im));
}

INLINE four load_four(const real *z, idx step)
{
    four p;
    UNROLL for (int i = 0; i < 4; i++) {
        p.re[i] = load(z + i * step);
        p.im[i] = load(z + i * step + W);
    }
    return p;
}

INLINE void store_four(real *z, idx step, four p)
{
    UNROLL for (int i = 0; i < 4; i++) {
        store(z + i * step, p.re[i]);
        store(z + i * step + W, p.im[i]);
    }
}

/* The transform of four points; its inverse, times four, has the opposite sign in two places. */
INLINE four transform_four(four p)
{
    vec a = p.re[0] + p.re[2], b = p.im[0] + p.im[2], e = p.re[0] - p.re[2], f = p.im[0] - p.im[2];
    vec c = p.re[1] + p.re[3], d = p.im[1] + p.im[3], g = p.im[1] - p.im[3], h = p.re[3] - p.re[1];
    return (four){{a + c, e + g, a - c, e - g}, {b + d, f + h, b - d, f - h}};
}

INLINE four transform_four_back(four p)
{
    vec a = p.re[0] + p.re[2], b = p.im[0] + p.im[2], e = p.re[0] - p.re[2], f = p.im[0] - p.im[2];
    vec c = p.re[1] + p.re[3], d = p.im[1] + p.im[3], g = p.im[3] - p.im[1], h = p.re[1] - p.re[3];
    return (four){{a + c, e + g, a - c, e - g}, {b + d, f + h, b - d, f - h}};
}

/* Transform four points, `step` elements apart. */
INLINE void forward(const real *source, idx step, real *target, idx target_step, const real *w)
{
    four p = transform_four(load_four(source, step));
    UNROLL for (int i = 1; i < 4; i++)
        turn(&p.re[i], &p.im[i], w + 2 * (i - 1));
    store_four(target, target_step, p);
}

/* Invert `forward`, except for a factor of four. */
INLINE void backward(const real *source, idx step, real *target, idx target_step, const real *w)
{
    four p = load_four(source, step);
    UNROLL for (int i = 1; i < 4; i++)
        turn_back(&p.re[i], &p.im[i], w + 2 * (i - 1));
    store_four(target, target_step, transform_four_back(p));
}

/* Make two passes over `n` points, for the 16 points with indices j + k n / 16. They are points of a
 * whole transform of `total` points, or of a part of it after earlier passes. `tile` is scratch
 * memory for 16 points. */
INLINE void forward_sixteen(const real *source, idx step, real *target, idx target_step, real *tile,
                            const real *factors, idx total, idx n, idx j)
{
    for (idx q = 0; q < 4; q++)
        forward(source + q * step, 4 * step, tile + q * POINT, 4 * POINT,
                factors + 2 * (total - n) + 6 * (j + q * (n / SIXTEEN)));
    for (idx q = 0; q < SIXTEEN; q += 4)
        forward(tile + q * POINT, POINT, target + q * target_step, target_step,
                factors + 2 * (total - n / 4) + 6 * j);
}

/* Invert `forward_sixteen`, except for a factor of 16. */
INLINE void backward_sixteen(const real *source, idx step, real *target, idx target_step, real *tile,
                             const real *factors, idx total, idx n, idx j)
{
    for (idx q = 0; q < SIXTEEN; q += 4)
        backward(source + q * step, step, tile + q * POINT, POINT,
                 factors + 2 * (total - n / 4) + 6 * j);
    for (idx q = 0; q < 4; q++)
        backward(tile + q * POINT, 4 * POINT, target + q * target_step, 4 * target_step,
                 factors + 2 * (total - n) + 6 * (j + q * (n / SIXTEEN)));
}

/* ------------------------------------------------------------------------------------- filters */
/* The spectrum of a filter has `each` elements for a point: 1 if it is real, 2 if it is complex. */
INLINE void weigh(vec *re, vec *im, const real *spectrum, idx each)
{
    if (each == 2) {
        turn(re, im, spectrum);
    } else {
        vec s = like(spectrum[0]);
        *re *= s;
        *im *= s;
    }
}

/* Transform four points, or two, multiply them by a spectrum, and transform back. */
INLINE void filter_four(real *z, const real *spectrum, idx each)
{
    four p = transform_four(load_four(z, POINT));
    UNROLL for (int i = 0; i < 4; i++)
        weigh(&p.re[i], &p.im[i], spectrum + i * each, each);
    store_four(z, POINT, transform_four_back(p));
}

INLINE void filter_two(real *z, const real *spectrum, idx each)
{
    vec a = load(z), b = load(z + W), c = load(z + 2 * W), d = load(z + 3 * W);
    vec e = a + c, f = b + d, g = a - c, h = b - d;
    weigh(&e, &f, spectrum, each);
    weigh(&g, &h, spectrum + each, each);
    store(z, e + g);
    store(z + W, f + h);
    store(z + 2 * W, e - g);
    store(z + 3 * W, f - h);
}

/* Filter `n` points in cache. */
static void filter_leaf(real *z, idx n, const real *factors, idx total, const real *spectrum,
                        idx each)
{
    idx m = n;
    for (; m > 4; m /= 4)
        for (idx j = 0; j < m / 4; j++)
            for (idx first = j; first < n; first += m) {
                real *p = z + first * POINT;
                idx step = m / 4 * POINT;
                forward(p, step, p, step, factors + 2 * (total - m) + 6 * j);
            }
    for (idx first = 0; first < n; first += m)
        if (m == 4)
            filter_four(z + first * POINT, spectrum + first * each, each);
        else /* the length is an odd power of two */
            filter_two(z + first * POINT, spectrum + first * each, each);
    while (m < n) {
        m *= 4;
        for (idx j = 0; j < m / 4; j++)
            for (idx first = j; first < n; first += m) {
                real *p = z + first * POINT;
                idx step = m / 4 * POINT;
                backward(p, step, p, step, factors + 2 * (total - m) + 6 * j);
            }
    }
}

static void filter_small(real *z, idx n, const real *factors, idx total, const real *spectrum,
                         idx each)
{
    if (n <= LEAF) {
        filter_leaf(z, n, factors, total, spectrum, each);
        return;
    }
    idx quarter = n / 4, step = quarter * POINT;
    const real *w = factors + 2 * (total - n);
    for (idx j = 0; j < quarter; j++)
        forward(z + j * POINT, step, z + j * POINT, step, w + 6 * j);
    for (idx q = 0; q < 4; q++)
        filter_leaf(z + q * step, quarter, factors, total, spectrum + q * quarter * each, each);
    for (idx j = 0; j < quarter; j++)
        backward(z + j * POINT, step, z + j * POINT, step, w + 6 * j);
}

/* Transform `n` points, multiply them by a spectrum, and transform back, in place.
 *
 * The points are a part of a transform of `total` points after its first passes; `spectrum` is that
 * of this part. `tile` is scratch memory for 16 points. */
static void filter_points(real *z, idx n, const real *factors, idx total, const real *spectrum,
                          idx each, real *tile)
{
    if (n <= SMALL) {
        filter_small(z, n, factors, total, spectrum, each);
        return;
    }
    idx part = n / SIXTEEN, step = (part + 1) * POINT;
    for (idx j = 0; j < part; j++)
        forward_sixteen(z + j * POINT, step, z + j * POINT, step, tile, factors, total, n, j);
    for (idx q = 0; q < SIXTEEN; q++)
        filter_small(z + q * step, part, factors, total, spectrum + q * part * each, each);
    for (idx j = 0; j < part; j++)
        backward_sixteen(z + j * POINT, step, z + j * POINT, step, tile, factors, total, n, j);
}

#endif
