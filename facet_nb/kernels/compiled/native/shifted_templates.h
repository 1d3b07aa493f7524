/* Averaged artifact subtraction with sub-sample alignment of one channel, block by block.
 *
 * Epochs and templates are shifted by sinc filters of TAPS taps, one for each 1 / GRID of a sample,
 * applied to several consecutive samples at a time. Sums over samples are made in LINE partial sums,
 * added pairwise (halves, quarters and so on), with every instruction set alike.
 */
#include "vectors.h"

enum {
    /* As in templates/subsample.py, which a test compares. */
    TAPS = 49,
    GRID = 1024,
    HALO = 32,
    MARGIN = TAPS / 2 + 1,
    HALF = TAPS / 2,
    LINE = 64 / sizeof(real), /* elements of a cache line */
    PARTS = LINE / W          /* vectors of a cache line */
};

/* An epoch: first sample, filter, whether it enters templates, and the samples that it corrects. */
typedef struct {
    int64_t first, part, usable, low, high;
} epoch;

/* Copy an epoch and its surroundings, tapered, with zeros for the filter on either side. */
static void cut(const real *x, idx n, const real *taper, real mean, real *row, idx n_row)
{
    memset(row, 0, HALF * sizeof *row);
    for (idx i = 0; i < n; i++)
        row[HALF + i] = (x[i] - mean) * taper[i];
    memset(row + HALF + n, 0, (size_t)(n_row - HALF - n) * sizeof *row);
}

/* Fill `out` with at least `n` filtered samples of `row`. */
static void convolve(const real *row, const real *taps, idx n, real *out)
{
    enum { N = 8 };
    idx end = (n + 4 * LINE - 1) / (4 * LINE) * (4 * LINE);
    for (idx i = 0; i < end; i += N * W) {
        vec sums[N];
        UNROLL for (int v = 0; v < N; v++)
            sums[v] = like(0);
        for (int k = 0; k < TAPS; k++) {
            vec tap = like(taps[k]);
            UNROLL for (int v = 0; v < N; v++)
                sums[v] = muladd(tap, load(row + i + k + v * W), sums[v]);
        }
        UNROLL for (int v = 0; v < N; v++)
            store(out + i + v * W, sums[v]);
    }
}

/* The sum of LINE partial sums. */
INLINE real add_up(const vec *sums)
{
    real values[LINE];
    vec left[PARTS];
    UNROLL for (int v = 0; v < PARTS; v++)
        left[v] = sums[v];
    UNROLL for (int n = PARTS / 2; n; n /= 2)
        UNROLL for (int v = 0; v < n; v++)
            left[v] = left[v] + left[v + n];
    store(values, left[0]);
    UNROLL for (int n = W / 2; n; n /= 2)
        UNROLL for (int i = 0; i < n; i++)
            values[i] = values[i] + values[i + n];
    return values[0];
}

/* Copy `n` samples minus their mean, followed by zeros. */
static void centre(const real *row, idx n, real *out)
{
    idx n_whole = n / LINE * LINE;
    vec sums[PARTS];
    UNROLL for (int v = 0; v < PARTS; v++)
        sums[v] = like(0);
    for (idx i = 0; i < n_whole; i += LINE)
        UNROLL for (int v = 0; v < PARTS; v++)
            sums[v] += load(row + i + v * W);
    double rest = 0.0;
    for (idx i = n_whole; i < n; i++)
        rest += (double)row[i];
    double mean = ((double)add_up(sums) + rest) / (double)n;
    for (idx i = 0; i < n_whole; i += W)
        store(out + i, load(row + i) - like((real)mean));
    memset(out + n_whole, 0, LINE * sizeof *out);
    for (idx i = n_whole; i < n; i++)
        out[i] = (real)((double)row[i] - mean);
}

/* Fill `out` with the inner products of zero-padded rows. */
static void multiply(const real *rows, idx step, idx n_rows, idx n, double *out)
{
    enum { N = 4 };
    for (idx i = 0; i < n_rows; i++)
        /* Four products at a time share the loads of row i; the last may be computed twice. */
        for (idx j = 0; j <= i; j += N) {
            const real *own = rows + i * step, *other[N];
            vec sums[N][PARTS];
            UNROLL for (int k = 0; k < N; k++) {
                other[k] = rows + smaller(j + k, i) * step;
                UNROLL for (int v = 0; v < PARTS; v++)
                    sums[k][v] = like(0);
            }
            for (idx t = 0; t < n; t += LINE)
                UNROLL for (int v = 0; v < PARTS; v++) {
                    vec value = load(own + t + v * W);
                    UNROLL for (int k = 0; k < N; k++)
                        sums[k][v] = muladd(value, load(other[k] + t + v * W), sums[k][v]);
                }
            UNROLL for (int k = 0; k < N; k++) {
                idx m = smaller(j + k, i);
                out[i * n_rows + m] = out[m * n_rows + i] = (double)add_up(sums[k]);
            }
        }
}

/* Set sums[n + j] to 1 if epoch j is similar to the sum of those chosen before, else to 0; see
 * templates/averaging.py, choose_greedily. */
static void choose_epochs(const double *gram, idx n, idx n_seed, double threshold, double *sums)
{
    double power = 0.0;
    memset(sums, 0, (size_t)n * sizeof *sums);
    for (idx j = 0; j < n; j++) {
        double own = gram[j * n + j], scale = sqrt((power > 0.0 ? power : 0.0) * own);
        double alike = scale > 0.0 ? sums[j] / scale : 0.0;
        int chosen = j < n_seed || alike > threshold;
        sums[n + j] = chosen;
        if (chosen) {
            power += 2.0 * sums[j] + own;
            for (idx k = 0; k < n; k++)
                sums[k] += gram[j * n + k];
        }
    }
}

/* Fill `out` with the mean of the chosen rows, with zeros for the filter on either side. */
static void average(const real *rows, idx step, idx n_rows, idx n_samples, const double *chosen,
                    real *out)
{
    idx n = n_samples + 2 * MARGIN;
    double n_chosen = 0.0;
    for (idx j = 0; j < n_rows; j++)
        n_chosen += chosen[j];
    memset(out, 0, HALF * sizeof *out);
    for (idx i = 0; i < n; i += LINE) {
        vec sums[PARTS];
        UNROLL for (int v = 0; v < PARTS; v++)
            sums[v] = like(0);
        for (idx j = 0; j < n_rows; j++)
            if (chosen[j] > 0.0)
                UNROLL for (int v = 0; v < PARTS; v++)
                    sums[v] += load(rows + j * step + i + v * W);
        UNROLL for (int v = 0; v < PARTS; v++)
            store(out + HALF + i + v * W, sums[v] / like((real)n_chosen));
    }
    memset(out + HALF + n, 0, (size_t)(step - HALF - n) * sizeof *out);
}

/* Subtract a row over the duration of its artifact; the outer samples are weighted. */
static void subtract_row(real *out, const real *row, const epoch *at, const double *weights)
{
    idx low = at->low, high = at->high, origin = at->first;
    double head = weights[0], tail = weights[1];
    if (low >= high)
        return;
    row += low - origin;
    out += low;
    idx n = high - low;
    if (n == 1) {
        out[0] = (real)((double)out[0] - (double)row[0] * head * tail);
        return;
    }
    out[0] = (real)((double)out[0] - (double)row[0] * head);
    for (idx i = 1; i < n - 1; i++)
        out[i] -= row[i];
    out[n - 1] = (real)((double)out[n - 1] - (double)row[n - 1] * tail);
}

/* Delay a template to the position of its artifact and subtract it. */
INLINE void delay_and_subtract(real *out, const real *template, const real *filters, idx n_samples,
                               const epoch *at, const double *weights, real *spare)
{
    convolve(template + MARGIN, filters + (GRID - at->part) * TAPS, n_samples + 1, spare);
    subtract_row(out, spare, at, weights);
}

/* For each block: align its epochs, choose similar ones, average, shift back, subtract. */
static void correct_blocks(const argument *a)
{
    const real *x = a[0].array;
    const epoch *epochs = a[1].array;
    const double *weights = a[2].array;
    const int64_t *blocks = a[3].array;
    idx n_blocks = a[4].n;
    const real *taper = a[5].array, *filters = a[6].array;
    idx n_row = a[7].n, n_samples = a[8].n, n_seed = a[9].n;
    double threshold = a[10].f, mean = a[11].f;
    real *out = a[12].array, *work = a[13].array;
    idx widest = a[14].n;
    double *gram = a[15].array;
    real *rows = work, *centred = rows + widest * n_row, *spare = centred + widest * n_row;
    real *template = spare + n_row;
    double *sums = gram + widest * widest;
    for (idx block = 0; block < n_blocks; block++) {
        idx begin = blocks[2 * block], end = blocks[2 * block + 1], n_usable = 0;
        for (idx i = begin; i < end; i++)
            if (epochs[i].usable) {
                cut(x + epochs[i].first - HALO, n_samples + 2 * HALO, taper, (real)mean, spare, n_row);
                convolve(spare + HALO - MARGIN, filters + epochs[i].part * TAPS,
                         n_samples + 2 * MARGIN, rows + n_usable * n_row);
                n_usable++;
            }
        if (!n_usable)
            continue;
        for (idx i = 0; i < n_usable; i++)
            centre(rows + i * n_row + MARGIN, n_samples, centred + i * n_row);
        multiply(centred, n_row, n_usable, n_samples, gram);
        choose_epochs(gram, n_usable, n_seed, threshold, sums);
        average(rows, n_row, n_usable, n_samples, sums + n_usable, template);
        for (idx i = begin; i < end; i++)
            delay_and_subtract(out, template, filters, n_samples, &epochs[i], weights + 2 * i, spare);
    }
}

/* Fill `out` with aligned epochs. */
static void align_rows(const argument *a)
{
    const real *x = a[0].array;
    const int64_t *first = a[1].array, *part = a[2].array;
    idx n_epochs = a[3].n;
    const real *taper = a[4].array, *filters = a[5].array;
    idx n_row = a[6].n, n_samples = a[7].n;
    double mean = a[8].f;
    real *out = a[9].array, *work = a[10].array;
    idx n = n_samples + 2 * MARGIN;
    for (idx i = 0; i < n_epochs; i++) {
        cut(x + first[i] - HALO, n_samples + 2 * HALO, taper, (real)mean, work, n_row);
        convolve(work + HALO - MARGIN, filters + (part[i] + GRID / 2) * TAPS, n, work + n_row);
        memcpy(out + i * n, work + n_row, (size_t)n * sizeof *out);
    }
}

/* Delay each of `rows` to the position of its artifact and subtract it. */
static void subtract_shifted(const argument *a)
{
    real *out = a[0].array;
    const real *rows = a[1].array;
    idx rows_step = a[2].n, n_rows = a[3].n;
    const epoch *epochs = a[4].array;
    const double *weights = a[5].array;
    idx n_samples = a[6].n;
    const real *filters = a[7].array;
    idx n_row = a[8].n;
    real *work = a[9].array;
    real *template = work, *spare = work + n_row;
    memset(template, 0, (size_t)n_row * sizeof *template);
    for (idx i = 0; i < n_rows; i++) {
        memcpy(template + HALF, rows + i * rows_step,
               (size_t)(n_samples + 2 * MARGIN) * sizeof *template);
        delay_and_subtract(out, template, filters, n_samples, &epochs[i], weights + 2 * i, spare);
    }
}
