/* Fractional delays of pieces of a signal, several samples at a time. */
#include "vectors.h"

/* Filter `n` samples; the first tap is for `from`. */
INLINE void delay(const real *from, const real *taps, idx n_taps, real *goal, idx n)
{
    enum { N = 8, WIDE = N * W };
    /* Short pieces: the same number with every instruction set, and never fused. */
    if (n < 256 / (idx)sizeof(real)) {
        for (idx i = 0; i < n; i++) {
            real sum = taps[0] * from[i];
            for (idx t = 1; t < n_taps; t++)
                sum += taps[t] * from[i + t];
            goal[i] = sum;
        }
        return;
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
    for (idx row = 0; row < n_rows; row++)
        delay(x + places[row], filters + parts[row] * n_taps, n_taps, out + row * out_step, n);
}

#if !REAL_IS_FLOAT
/* Sums over a row: of its products with the sum of rows, of its squares, and of its samples. */
typedef struct {
    double with_sum, square, plain;
} products;

/* Add the products of `n` samples, and the samples to `sum`. */
static void add_inner(const double *row, double *sum, idx n, products *to)
{
    enum { N = 4, WIDE = N * W };
    vec with_sum[N], square[N], plain[N];
    UNROLL for (int v = 0; v < N; v++)
        with_sum[v] = square[v] = plain[v] = like(0);
    idx i = 0;
    for (; i + WIDE <= n; i += WIDE)
        UNROLL for (int v = 0; v < N; v++) {
            vec value = load(row + i + v * W), before = load(sum + i + v * W);
            with_sum[v] = muladd(value, before, with_sum[v]);
            square[v] = muladd(value, value, square[v]);
            plain[v] += value;
            store(sum + i + v * W, before + value);
        }
    UNROLL for (int v = 1; v < N; v++) {
        with_sum[0] += with_sum[v];
        square[0] += square[v];
        plain[0] += plain[v];
    }
    UNROLL for (int lane = 0; lane < W; lane++) {
        to->with_sum += with_sum[0][lane];
        to->square += square[0][lane];
        to->plain += plain[0][lane];
    }
    for (; i < n; i++) {
        to->with_sum += row[i] * sum[i];
        to->square += row[i] * row[i];
        to->plain += row[i];
        sum[i] += row[i];
    }
}

/* The same of `n` outer samples, whose products are a quadratic form; `columns` holds its root, column
 * by column, and `rooted` the product of the root and the sum of rows; `own` is scratch memory. */
static double add_outer(const double *row, double *sum, idx n, const double *plain,
                        const double *columns, double *rooted, double *own, products *to)
{
    double total = 0;
    memset(own, 0, n * sizeof(double));
    for (idx k = 0; k < n; k++) {
        double value = row[k];
        for (idx i = 0; i < n; i++)
            own[i] += columns[k * n + i] * value;
    }
    for (idx i = 0; i < n; i++) {
        to->with_sum += own[i] * rooted[i];
        to->square += own[i] * own[i];
        rooted[i] += own[i];
        total += plain[i] * row[i];
        sum[i] += row[i];
    }
    return total;
}

/* Add up filtered pieces of `x` as of `delay_rows`, and correlate each with the sum of those before.
 *
 * The correlation is that of the samples at the high rate (double_rate_grid.Sums): `form` holds, for
 * the `n_head` first and the `n_tail` last columns, their weights in the sum over samples, and the
 * root of their quadratic form. `spare` is scratch memory for a row, and twice for outer columns. */
static void sum_rows(const argument *a)
{
    const double *x = a[0].array;
    const int64_t *places = a[1].array, *parts = a[2].array;
    idx n_rows = a[3].n;
    const double *filters = a[4].array;
    idx n_taps = a[5].n;
    const double *plain_head = a[6].array, *head = a[7].array;
    idx n_head = a[8].n;
    const double *plain_tail = a[9].array, *tail = a[10].array;
    idx n_tail = a[11].n;
    double gain = a[12].f, n_samples = a[13].f;
    double *sum = a[14].array;
    idx n = a[15].n;
    double *spare = a[16].array, *correlations = a[17].array;
    double *rooted_head = spare + n, *rooted_tail = rooted_head + n_head;
    double *own_outer = rooted_tail + n_tail, total = 0, power = 0;
    memset(sum, 0, n * sizeof(double));
    memset(rooted_head, 0, (n_head + n_tail) * sizeof(double));
    for (idx row = 0; row < n_rows; row++) {
        products p = {0, 0, 0};
        delay(x + places[row], filters + parts[row] * n_taps, n_taps, spare, n);
        idx last = n - n_tail;
        add_inner(spare + n_head, sum + n_head, last - n_head, &p);
        double plain = gain * p.plain;
        plain += add_outer(spare, sum, n_head, plain_head, head, rooted_head, own_outer, &p);
        plain += add_outer(spare + last, sum + last, n_tail, plain_tail, tail, rooted_tail, own_outer,
                           &p);
        double with_sum = gain * p.with_sum - plain * total / n_samples;
        double own = gain * p.square - plain * plain / n_samples;
        double scale = sqrt((power > 0 ? power : 0) * own);
        correlations[row] = scale > 0 ? with_sum / scale : 0;
        power += 2 * with_sum + own;
        total += plain;
    }
}
#endif

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
