/* Fractional delays of pieces of a signal, several samples at a time. */
#include "vectors.h"

/* Fill each row of `out` with a filtered piece of `x`, which starts at its place. */
static void delay_rows(const argument *a)
{
    const real *x = a[0].array;
    const int64_t *places = a[1].array, *parts = a[2].array;
    idx n_rows = a[3].n;
    const real *filters = a[4].array;
    idx n_taps = a[5].n;
    real *out = a[6].array;
    idx out_step = a[7].n, n = a[8].n;
    enum { N = 8, WIDE = N * W };
    for (idx row = 0; row < n_rows; row++) {
        const real *from = x + places[row], *taps = filters + parts[row] * n_taps;
        real *goal = out + row * out_step;
        /* Short pieces: the same number with every instruction set, and never fused. */
        if (n < 256 / (idx)sizeof(real)) {
            for (idx i = 0; i < n; i++) {
                real sum = taps[0] * from[i];
                for (idx t = 1; t < n_taps; t++)
                    sum += taps[t] * from[i + t];
                goal[i] = sum;
            }
            continue;
        }
        /* The last group overlaps the one before it: its samples are computed twice, to the same
         * values, which needs no code for a remainder. */
        for (idx start = 0; start < n; start += WIDE) {
            idx i = smaller(start, n - WIDE);
            vec sums[N];
            UNROLL for (int v = 0; v < N; v++)
                sums[v] = like(0);
            for (idx t = 0; t < n_taps; t++) {
                vec tap = like(taps[t]);
                UNROLL for (int v = 0; v < N; v++)
                    sums[v] = muladd(load(from + i + t + v * W), tap, sums[v]);
            }
            UNROLL for (int v = 0; v < N; v++)
                store(goal + i + v * W, sums[v]);
        }
    }
}

/* Add row which[i] at position places[i] to a signal that is split into its even and its odd
 * samples. Samples of a row that lie outside of the signal are left out. */
static void add_rows(const argument *a)
{
    real *even = a[0].array, *odd = a[1].array;
    idx n = a[2].n;
    const int64_t *places = a[3].array, *which = a[4].array;
    idx n_pieces = a[5].n;
    const real *rows = a[6].array;
    idx n_samples = a[7].n;
    for (idx i = 0; i < n_pieces; i++) {
        idx at = places[i];
        const real *row = rows + which[i] * n_samples;
        for (int part = 0; part < 2; part++) {
            real *target = part ? odd : even;
            /* Index in `target` of the row's first sample for it, rounded down. */
            idx sum = at + 1 - part, begin = sum >= 0 ? sum / 2 : -((1 - sum) / 2);
            idx skip = 2 * begin + part - at, count = (n_samples - skip + 1) / 2;
            for (idx k = larger(0, -begin); k < smaller(count, n - begin); k++)
                target[begin + k] += row[skip + 2 * k];
        }
    }
}
