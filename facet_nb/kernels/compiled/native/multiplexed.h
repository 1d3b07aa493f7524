/* Numbers of all channels that follow one another, and rows of single channels. */
#include "vectors.h"

enum {
    SQUARE = 8,   /* numbers of a row of int16 that are transposed at once */
    STRIPE = 64,  /* samples of a channel that are written at once, in whole lines of the cache */
};

typedef int16_t shorts __attribute__((vector_size(16)));
typedef int16_t shorts_in_memory __attribute__((vector_size(16), aligned(2), may_alias));
typedef int32_t ints __attribute__((vector_size(16)));
typedef double doubles __attribute__((vector_size(32)));
typedef real reals __attribute__((vector_size(4 * sizeof(real))));
typedef real reals_in_memory __attribute__((vector_size(4 * sizeof(real)), aligned(4), may_alias));

/* Transpose a square of int16. */
INLINE void transpose_shorts(shorts *rows)
{
    UNROLL for (int turn = 0; turn < 3; turn++) {
        shorts next[SQUARE];
        UNROLL for (int i = 0; i < SQUARE / 2; i++) {
            shorts a = rows[i], b = rows[i + SQUARE / 2];
            next[2 * i] = SHUFFLE(shorts, a, b, 0, 8, 1, 9, 2, 10, 3, 11);
            next[2 * i + 1] = SHUFFLE(shorts, a, b, 4, 12, 5, 13, 6, 14, 7, 15);
        }
        UNROLL for (int i = 0; i < SQUARE; i++)
            rows[i] = next[i];
    }
}

/* Each of the stored numbers as double, times the factor, rounded to `real`. */
INLINE void scale_shorts(shorts stored, double factor, real *to)
{
    const shorts zero = {0};
    /* The number in the upper half of 32 bits, shifted down with its sign. */
    ints halves[2] = {(ints)SHUFFLE(shorts, zero, stored, 0, 8, 1, 9, 2, 10, 3, 11) >> 16,
                      (ints)SHUFFLE(shorts, zero, stored, 4, 12, 5, 13, 6, 14, 7, 15) >> 16};
    UNROLL for (int half = 0; half < 2; half++) {
        doubles scaled = __builtin_convertvector(halves[half], doubles) * factor;
        *(reals_in_memory *)(to + half * SQUARE / 2) = __builtin_convertvector(scaled, reals);
    }
}

/* Fill rows of `out`, for `n_rows` channels from `first` on, with scaled numbers of `n` samples. */
static void take_rows(const argument *a)
{
    const int16_t *stored = a[0].array;
    idx n = a[1].n, n_channels = a[2].n, first = a[3].n;
    const double *factors = a[4].array;
    idx n_rows = a[5].n;
    real *out = a[6].array;
    stored += first;
    for (idx begin = 0; begin < n; begin += STRIPE)
        for (idx row = 0; row < n_rows; row += SQUARE) {
            idx stop = smaller(begin + STRIPE, n), i = begin;
            if (row + SQUARE <= n_rows)
                for (; i + SQUARE <= stop; i += SQUARE) {
                    shorts square[SQUARE];
                    for (idx k = 0; k < SQUARE; k++)
                        square[k] = *(const shorts_in_memory *)(stored + (i + k) * n_channels + row);
                    transpose_shorts(square);
                    UNROLL for (idx k = 0; k < SQUARE; k++)
                        scale_shorts(square[k], factors[row + k], out + (row + k) * n + i);
                }
            for (; i < stop; i++)
                for (idx k = row; k < smaller(row + SQUARE, n_rows); k++)
                    out[k * n + i] = (real)((double)stored[i * n_channels + k] * factors[k]);
        }
}

/* Write `n` samples of `n_rows` channels, each times its factor, sample by sample. */
static void put_rows(const argument *a)
{
    const real *rows = a[0].array;
    idx step = a[1].n, n_rows = a[2].n, n = a[3].n;
    const real *factors = a[4].array;
    real *out = a[5].array;
    for (idx begin = 0; begin < n; begin += W)
        for (idx row = 0; row < n_rows; row += W) {
            const real *from = rows + row * step + begin;
            real *to = out + begin * n_rows + row;
            if (row + W <= n_rows && begin + W <= n) {
                vec square[W];
                UNROLL for (int k = 0; k < W; k++)
                    square[k] = load(from + k * step) * like(factors[row + k]);
                transpose(square);
                UNROLL for (int k = 0; k < W; k++)
                    store(to + k * n_rows, square[k]);
                continue;
            }
            for (idx i = 0; i < smaller(W, n - begin); i++)
                for (idx k = 0; k < smaller(W, n_rows - row); k++)
                    to[i * n_rows + k] = from[k * step + i] * factors[row + k];
        }
}
