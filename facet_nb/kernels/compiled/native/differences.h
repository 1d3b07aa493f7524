/* Differences of averages of neighbouring samples, and of single ones here and there. */
#include "vectors.h"

/* The sum of `n` neighbours: four partial sums, which do not wait for each other. */
INLINE double add_neighbours(const double *x, idx n)
{
    double a = 0, b = 0, c = 0, d = 0;
    idx i = 0;
    for (; i + 4 <= n; i += 4) {
        a += x[i];
        b += x[i + 1];
        c += x[i + 2];
        d += x[i + 3];
    }
    for (; i < n; i++)
        a += x[i];
    return (a + b) + (c + d);
}

/* Fill rows of `out` with the differences of `n` averages; the first one is zero. */
static void average_rows(const argument *a)
{
    const double *x = a[0].array;
    idx step = a[1].n, n_rows = a[2].n, factor = a[3].n;
    real *out = a[4].array;
    idx n = a[5].n;
    const real scale = (real)(1.0 / (double)factor);
    enum { AHEAD = 256, LINE = 8 }; /* memory is waited for, not the sums */
    for (idx row = 0; row < n_rows; row++) {
        const double *from = x + row * step;
        real *to = out + row * n;
        double before = add_neighbours(from, factor);
        to[0] = 0;
        for (idx i = 1; i < n; i++) {
            const double *here = from + i * factor;
            for (idx k = 0; k < factor; k += LINE)
                prefetch(here + k + AHEAD);
            double sum = add_neighbours(here, factor);
            to[i] = (real)(sum - before) * scale;
            before = sum;
        }
    }
}

#if !REAL_IS_FLOAT
/* For each row and each of `n` first places, `n_each` differences of samples that are `lag` apart. */
static void pick_differences(const argument *a)
{
    const double *x = a[0].array;
    idx step = a[1].n, n_rows = a[2].n;
    const int64_t *first = a[3].array;
    idx n = a[4].n, lag = a[5].n, n_each = a[6].n;
    double *out = a[7].array;
    enum { AHEAD = 8 }; /* each sample lies in a line of the cache of its own */
    for (idx row = 0; row < n_rows; row++)
        for (idx k = 0; k < n; k++) {
            if (k + AHEAD < n)
                for (idx i = 0; i <= n_each; i++)
                    prefetch(x + row * step + first[k + AHEAD] + i * lag);
            const double *from = x + row * step + first[k];
            for (idx i = 0; i < n_each; i++)
                *out++ = from[(i + 1) * lag] - from[i * lag];
        }
}
#endif
