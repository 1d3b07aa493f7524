/* Overlap-save filtering of several blocks at once.
 *
 * Two consecutive blocks form the real and the imaginary part of one complex signal; real taps keep
 * them apart. (The spectrum of a zero-phase filter is real.) The sum of two filtered signals is the
 * real part of one complex signal, whose imaginary part is the second signal, filtered with complex
 * taps. W such signals, of one or several channels, are transformed together, one per lane of a
 * vector, so that the result of a channel does not depend on the other channels. The first two passes
 * of the transform are made while samples are loaded into vectors, and the last two while they are
 * stored: all points are touched three times only.
 */
#include "fft.h"

/* Where a lane reads its two blocks, and where it writes them. */
typedef struct {
    const real *block[2];
    real *row; /* output */
    idx start; /* of the first block in it */
} place;

/* Copy samples from `start` on, with odd reflection at the ends, and zeros beyond that.
 *
 * The result has overwritten samples before `since`; `before`, which is read with indices below 0 only,
 * points behind copies of the last of them. */
static void extend(const real *x, idx start, idx n, idx since, const real *before, real *block,
                   idx n_block)
{
    idx begin = clip(-start, 0, n_block), end = clip(n - start, 0, n_block);
    for (idx i = 0; i < begin; i++) {
        idx time = start + i;
        block[i] = time > -n ? (real)(2 * (double)x[0] - (double)x[-time]) : 0;
    }
    idx middle = clip(since - start, begin, larger(begin, end));
    for (idx i = begin; i < middle; i++)
        block[i] = before[start + i - since];
    for (idx i = middle; i < end; i++)
        block[i] = x[start + i];
    for (idx i = larger(begin, end); i < n_block; i++) {
        idx time = 2 * (n - 1) - start - i;
        const double value = time < 0 ? 0 : time < since ? before[time - since] : x[time];
        block[i] = time >= 0 ? (real)(2 * (double)x[n - 1] - value) : 0;
    }
}

/* Prefetch a column into cache. */
INLINE void prefetch_column(const real *z, idx step)
{
    for (int i = 0; i < SIXTEEN; i++)
        prefetch(z + i * step);
}

/* Load W samples of each block into point `i` of W columns. */
INLINE void gather(const place *places, int part, idx time, real *tile, idx i)
{
    vec rows[W];
    UNROLL for (int lane = 0; lane < W; lane++) {
        const real *from = places[lane].block[part] + time;
        prefetch(from + 64 / sizeof(real));
        rows[lane] = load(from);
    }
    transpose(rows);
    UNROLL for (int column = 0; column < W; column++)
        store(tile + (column * SIXTEEN + i) * POINT + part * W, rows[column]);
}

/* Store point `i` of the columns in the output, at `time` relative to the blocks' starts. */
INLINE void scatter(const real *tile, idx i, int part, const place *places, idx n_items, idx n_times,
                    idx time, idx hop)
{
    vec rows[W];
    UNROLL for (int column = 0; column < W; column++)
        rows[column] = load(tile + (column * SIXTEEN + i) * POINT + part * W);
    transpose(rows);
    UNROLL for (int lane = 0; lane < W; lane++) {
        if (lane >= n_items)
            break;
        idx block = places[lane].start + part * hop, n = smaller(hop, n_times - block);
        real *goal = places[lane].row + (block + time);
        prefetch(goal + 2 * W);
        if (time >= 0 && time + W <= n) {
            store(goal, rows[lane]);
        } else {
            real values[W];
            store(values, rows[lane]);
            for (idx k = larger(0, -time); k < smaller(W, n - time); k++)
                goal[k] = values[k];
        }
    }
}

/* Filter all rows: groups of W pairs of blocks.
 *
 * `x` holds `before` samples before the first sample of `out` in each row. `points` is scratch memory
 * for the points, 16 parts of `part_step` elements; `tile` for 16 W + 16 points; `edges` for the
 * blocks of one group that reach beyond the ends of their rows. `second` is the other signal of a
 * sum, laid out as `x`, or NULL. The spectrum has `each` elements for a point.
 *
 * If `out` is `x`, `edges` has room for one more block, and for the `n_kept` samples that precede a group:
 * two blocks, which must not be more than the group before it has overwritten. */
static void overlap_save(const argument *a)
{
    const real *x = a[0].array;
    idx x_step = a[1].n, x_times = a[2].n, before = a[3].n;
    real *out = a[4].array;
    idx out_step = a[5].n, n_rows = a[6].n, n_times = a[7].n, n_fft = a[8].n, hop = a[9].n;
    const real *spectrum = a[10].array, *factors = a[11].array;
    real *points = a[12].array;
    idx part_step = a[13].n;
    real *tile = a[14].array, *edges = a[15].array;
    const real *second = a[16].array;
    idx each = a[17].n, n_blocks = second ? 1 : 2;
    idx step = n_blocks * hop, n_pairs = (n_times + step - 1) / step, n_part = n_fft / SIXTEEN;
    idx half = (n_fft - hop) / 2, since = 0, n_kept = x == out ? 2 * n_fft : 0;
    real *spare = tile + W * SIXTEEN * POINT, *kept = edges + n_kept;
    for (idx first = 0; first < n_rows * n_pairs; first += W) {
        idx n_items = smaller(W, n_rows * n_pairs - first);
        place places[W];
        real *edge = kept;
        for (idx lane = 0; lane < W; lane++) {
            /* Spare lanes repeat the last pair. */
            if (lane >= n_items) {
                places[lane] = places[n_items - 1];
                continue;
            }
            idx row = (first + lane) / n_pairs, pair = (first + lane) % n_pairs;
            places[lane].row = out + row * out_step;
            places[lane].start = pair * step;
            for (int part = 0; part < 2; part++) {
                idx start = before + pair * step - half + (second ? 0 : part * hop);
                const real *from = (second && part ? second : x) + row * x_step;
                idx missing = row == first / n_pairs ? since : 0;
                if (start < missing || start < 0 || start + n_fft > x_times) {
                    extend(from, start, x_times, missing, kept, edge, n_fft);
                    places[lane].block[part] = edge;
                    edge += n_fft;
                } else {
                    places[lane].block[part] = from + start;
                }
            }
        }
        for (idx j = 0; j < n_part; j += W) {
            for (idx i = 0; i < SIXTEEN; i++) {
                gather(places, 0, i * n_part + j, tile, i);
                gather(places, 1, i * n_part + j, tile, i);
            }
            for (idx k = 0; k < W; k++) {
                real *z = points + find_place(j + k, n_part) * POINT;
                prefetch_column(z + W * POINT, part_step);
                forward_sixteen(tile + k * SIXTEEN * POINT, POINT, z, part_step, spare, factors,
                                n_fft, n_fft, j + k);
            }
        }
        if (n_kept) {
            const real *row = x + (first + W) / n_pairs % n_rows * x_step;
            since = (first + W) % n_pairs * step;
            idx n = smaller(n_kept, since);
            memcpy(kept - n, row + since - n, n * sizeof(real));
        }
        for (idx i = 0; i < SIXTEEN; i++)
            filter_points(points + i * part_step, n_part, factors, n_fft,
                          spectrum + i * n_part * each, each, spare);
        for (idx j = 0; j < n_part; j += W) {
            for (idx k = 0; k < W; k++) {
                real *z = points + find_place(j + k, n_part) * POINT;
                prefetch_column(z + W * POINT, part_step);
                backward_sixteen(z, part_step, tile + k * SIXTEEN * POINT, POINT, spare, factors,
                                 n_fft, n_fft, j + k);
            }
            for (idx i = 0; i < SIXTEEN; i++) {
                idx time = i * n_part + j - half;
                if (time > -W && time < hop) {
                    for (int part = 0; part < n_blocks; part++)
                        scatter(tile, i, part, places, n_items, n_times, time, hop);
                }
            }
        }
    }
}
