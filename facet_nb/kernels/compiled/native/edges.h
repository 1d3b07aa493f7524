/* The extreme values of rows, and whether a row stays at them. */
#include "vectors.h"

/* Whether `shortest` neighbours equal a value. */
INLINE int stays(const real *x, idx n, idx shortest, real value)
{
    for (idx i = shortest - 1; i < n; i += shortest) { /* such a run holds one of these */
        if (x[i] != value)
            continue;
        idx start = i, stop = i + 1;
        while (start > 0 && x[start - 1] == value)
            start--;
        while (stop < n && x[stop] == value)
            stop++;
        if (stop - start >= shortest)
            return 1;
    }
    return 0;
}

/* Fill rows of four: largest and smallest value, and the same where the row stays there, else NAN;
 * NAN for rows with NAN. */
static void find_edges(const argument *a)
{
    const real *x = a[0].array;
    idx step = a[1].n, n_rows = a[2].n, n = a[3].n, shortest = a[4].n;
    real *edges = a[5].array;
    for (idx row = 0; row < n_rows; row++, x += step, edges += 4) {
        real high = x[0], low = x[0];
        int is_known = x[0] == x[0];
        idx i = 0;
        if (n >= W) {
            vec highs = load(x), lows = highs;
            mask unknown = {0};
            for (; i + W <= n; i += W) {
                vec values = load(x + i);
                unknown |= values != values;
                highs = greatest(values, highs);
                lows = least(values, lows);
            }
            is_known &= !is_any(unknown);
            for (int lane = 0; lane < W; lane++) {
                high = highs[lane] > high ? highs[lane] : high;
                low = lows[lane] < low ? lows[lane] : low;
            }
        }
        for (; i < n; i++) {
            is_known &= x[i] == x[i];
            high = x[i] > high ? x[i] : high;
            low = x[i] < low ? x[i] : low;
        }
        int may_stay = is_known && high > low;
        edges[0] = is_known ? high : (real)NAN;
        edges[1] = is_known ? low : (real)NAN;
        edges[2] = may_stay && stays(x, n, shortest, high) ? high : (real)NAN;
        edges[3] = may_stay && stays(x, n, shortest, low) ? low : (real)NAN;
    }
}
