/* Samples of epochs: cut out with a taper, without drift, and subtracted; one pass, where NumPy makes
 * several, over arrays of its own. The same bits as NumPy's. */
#include "vectors.h"

/* Fill each row of `out` with tapered samples from its place on, less `mean`, and zeros. */
static void cut_rows(const argument *a)
{
    const real *x = a[0].array;
    const int64_t *places = a[1].array;
    idx n_rows = a[2].n;
    const real *taper = a[3].array;
    idx n_taper = a[4].n;
    double level = a[5].f;
    real *out = a[6].array;
    idx n = a[7].n;
    real mean = (real)level;
    for (idx row = 0; row < n_rows; row++) {
        const real *from = x + places[row];
        real *to = out + row * n;
        for (idx i = 0; i < n_taper; i++)
            to[i] = (from[i] - mean) * taper[i];
        memset(to + n_taper, 0, (n - n_taper) * sizeof(real));
    }
}

/* The same of the second differences of `n_times` samples, which are 0 at both ends. */
static void cut_differences(const argument *a)
{
    const double *x = a[0].array;
    idx n_times = a[1].n;
    const int64_t *places = a[2].array;
    idx n_rows = a[3].n;
    const real *taper = a[4].array;
    idx n_taper = a[5].n;
    real *out = a[6].array;
    idx n = a[7].n;
    for (idx row = 0; row < n_rows; row++) {
        idx place = places[row];
        const double *from = x + place;
        real *to = out + row * n;
        idx begin = place == 0, end = n_taper - (place + n_taper == n_times);
        memset(to, 0, n * sizeof(real));
        for (idx i = begin; i < end; i++)
            to[i] = (real)((from[i + 1] - from[i]) - (from[i] - from[i - 1])) * taper[i];
    }
}

/* Subtract lines between `breaks`, each with its slope and level. */
static void subtract_lines(const argument *a)
{
    const double *x = a[0].array;
    idx n = a[1].n;
    const int64_t *breaks = a[2].array;
    idx n_lines = a[3].n;
    const double *slopes = a[4].array, *levels = a[5].array;
    real *out = a[6].array;
    idx i = 0;
    for (idx line = 0; line < n_lines; line++) {
        double slope = slopes[line], level = levels[line];
        idx end = line + 1 < n_lines ? clip(breaks[line], i, n) : n;
        for (; i < end; i++)
            out[i] = (real)(x[i] - (slope * (double)i + level));
    }
}

/* Subtract templates, from `places` on in `rows`, from the ranges [low, high) of `out`, whose first and
 * last samples are weighted. */
static void subtract_rows(const argument *a)
{
    double *out = a[0].array;
    const real *rows = a[1].array;
    const int64_t *places = a[2].array, *low = a[3].array, *high = a[4].array;
    const double *head = a[5].array, *tail = a[6].array;
    idx n_rows = a[7].n;
    for (idx row = 0; row < n_rows; row++) {
        const real *from = rows + places[row];
        double *to = out + low[row];
        idx last = high[row] - low[row] - 1;
        if (last < 0)
            continue;
        for (idx i = 1; i < last; i++)
            to[i] -= (double)from[i];
        if (last > 0)
            to[last] -= (double)from[last] * tail[row];
        to[0] -= (double)from[0] * head[row] * (last > 0 ? 1.0 : tail[row]);
    }
}
