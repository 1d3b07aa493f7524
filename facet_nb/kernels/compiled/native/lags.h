/* The lag of the largest cross-correlation of epochs with a template, double precision. */
#include "vectors.h"

#if !REAL_IS_FLOAT
enum { LAGS = 8, PHASES = 4, WIDE = LAGS / W };

/* The products of `x` and a template summed at LAGS lags, which are the lanes: PHASES partial sums. */
INLINE void correlate(const double *x, const double *template, idx n, double *sums_of)
{
    vec sums[PHASES][WIDE] = {{{0}}};
    idx i = 0;
    for (; i + PHASES <= n; i += PHASES)
        UNROLL for (int p = 0; p < PHASES; p++) {
            vec value = like(template[i + p]);
            UNROLL for (int v = 0; v < WIDE; v++)
                sums[p][v] = muladd(value, load(x + i + p + v * W), sums[p][v]);
        }
    for (; i < n; i++)
        UNROLL for (int v = 0; v < WIDE; v++)
            sums[0][v] = muladd(like(template[i]), load(x + i + v * W), sums[0][v]);
    UNROLL for (int v = 0; v < WIDE; v++)
        store(sums_of + v * W, (sums[0][v] + sums[1][v]) + (sums[2][v] + sums[3][v]));
}

/* Fill `lags`; `space` has room for an epoch with `most` samples on either side, and LAGS more. Samples
 * before an epoch count as zeros. Epochs that are not complete keep their lag. */
static void find_lags(const argument *a)
{
    const double *x = a[0].array;
    idx n_times = a[1].n;
    const int64_t *starts = a[2].array;
    idx n_epochs = a[3].n;
    const double *templates = a[4].array;
    const int64_t *which = a[5].array;
    idx n = a[6].n, most = a[7].n;
    double *space = a[8].array;
    int64_t *lags = a[9].array;
    idx n_lags = 2 * most + 1;
    for (idx epoch = 0; epoch < n_epochs; epoch++) {
        idx start = starts[epoch];
        if (start < 0 || start + n + most > n_times)
            continue;
        memcpy(space + most, x + start, (n + most) * sizeof(double));
        const double *template = templates + which[epoch] * n;
        double sums[LAGS], best = 0;
        idx found = -1;
        for (idx low = 0; low < n_lags; low += LAGS) {
            correlate(space + low, template, n, sums);
            for (idx lag = low; lag < smaller(low + LAGS, n_lags); lag++)
                if (found < 0 || sums[lag - low] > best) {
                    best = sums[lag - low];
                    found = lag;
                }
        }
        lags[epoch] = found - most;
    }
}
#endif
