/* Exact median across channels, for many samples at once.
 *
 * The median of each sample is bracketed, at first by the range of its channels. A pass over the
 * channels counts the values below a pivot and finds the values next to it; linear interpolation of
 * the ranks at both ends of the bracket gives the next pivot. Normally distributed data need about 5
 * passes, whatever the number of channels; the worst data (each channel 10 times the last) need as
 * many as there are channels. No value is ever moved.
 */
#include "vectors.h"

enum {
    PAIR = 2,          /* vectors at once: the latency of one hides behind the other */
    SAMPLES = PAIR * W /* samples at once */
};

/* Copy `n` samples, SAMPLES to each group; repeat the last sample to fill the last group. */
static void gather_group(const real *x, idx n, real *values, idx step)
{
    idx n_whole = n / SAMPLES;
    for (idx i = 0; i < n_whole; i++) {
        prefetch(x + n + i * SAMPLES);
        UNROLL for (int v = 0; v < PAIR; v++)
            store(values + i * step + v * W, load(x + i * SAMPLES + v * W));
    }
    if (n_whole * SAMPLES < n)
        for (idx i = 0; i < SAMPLES; i++)
            values[n_whole * step + i] = x[smaller(n_whole * SAMPLES + i, n - 1)];
}

/* Write `n` samples of a channel minus their medians. */
static void subtract_group(const real *values, idx step, const real *found, idx n, real *out)
{
    idx n_whole = n / SAMPLES;
    for (idx i = 0; i < n_whole; i++) {
        prefetch(out + n + i * SAMPLES);
        UNROLL for (int v = 0; v < PAIR; v++)
            store(out + i * SAMPLES + v * W,
                  load(values + i * step + v * W) - load(found + i * SAMPLES + v * W));
    }
    for (idx i = n_whole * SAMPLES; i < n; i++)
        out[i] = values[n_whole * step + i - n_whole * SAMPLES] - found[i];
}

/* Fill `out` with the medians of `n` consecutive groups.
 *
 * The median lies between the values `low` and `high`, whose ranks, counted from 0, are `rank_low`
 * and `rank_high`. Each pass moves one of them by at least one value. */
static void find_median(const real *values, idx n, real *out)
{
    const vec infinite = like((real)INFINITY), one = like(1), half = like((real)0.5);
    /* Ranks of the middle one or two. */
    const vec lower = like((real)((n - 1) / 2)), upper = like((real)(n / 2));
    const int even = n % 2 == 0;
    vec low[PAIR], high[PAIR], pivot[PAIR], rank_low[PAIR], rank_high[PAIR];
    mask broken[PAIR];
    UNROLL for (int v = 0; v < PAIR; v++) {
        low[v] = high[v] = load(values + v * W);
        pivot[v] = like(0);
        broken[v] = (mask){0};
        rank_low[v] = like(0);
        rank_high[v] = like((real)(n - 1));
    }
    for (idx i = 0; i < n; i++)
        UNROLL for (int v = 0; v < PAIR; v++) {
            vec value = load(values + i * SAMPLES + v * W);
            low[v] = least(value, low[v]);
            high[v] = greatest(value, high[v]);
            pivot[v] += value;
            broken[v] |= (mask)(value != value); /* true for nan only */
        }
    UNROLL for (int v = 0; v < PAIR; v++)
        pivot[v] /= like((real)n);
    /* At most n passes; with nan the bracket would never close. */
    for (idx pass = 0; pass <= n; pass++) {
        mask any_open = {0};
        vec n_below[PAIR], below[PAIR], above[PAIR];
        UNROLL for (int v = 0; v < PAIR; v++) {
            any_open |= (mask)(low[v] < high[v]);
            mask within = (mask)(low[v] < pivot[v]) & (mask)(pivot[v] <= high[v]);
            pivot[v] = choose(within, pivot[v], high[v]);
            n_below[v] = like(0);
            below[v] = -infinite;
            above[v] = infinite;
        }
        if (!is_any(any_open))
            break;
        for (idx i = 0; i < n; i++)
            UNROLL for (int v = 0; v < PAIR; v++) {
                vec value = load(values + i * SAMPLES + v * W);
                mask is_below = (mask)(value < pivot[v]);
                n_below[v] += (vec)(is_below & (mask)one);
                below[v] = greatest(choose(is_below, value, -infinite), below[v]);
                above[v] = least(choose(is_below, infinite, value), above[v]);
            }
        UNROLL for (int v = 0; v < PAIR; v++) {
            mask open = (mask)(low[v] < high[v]), down = (mask)(lower < n_below[v]);
            vec next_low = choose(down, low[v], above[v]);
            vec next_rank_low = choose(down, rank_low[v], n_below[v]);
            vec next_high = choose(down, below[v], high[v]);
            vec next_rank_high = choose(down, n_below[v] - one, rank_high[v]);
            /* Found: the pivot separates the middle two, or an end of the bracket is the middle. */
            mask is_low, is_high, found;
            vec middle;
            if (even) {
                mask parts = (mask)(n_below[v] == upper);
                next_low = choose(parts, below[v], next_low);
                next_high = choose(parts, above[v], next_high);
                is_low = (mask)(next_rank_low == lower), is_high = (mask)(next_rank_high == upper);
                middle = half * (next_low + next_high);
                found = open & (parts | (is_low & is_high));
            } else {
                is_low = (mask)(next_rank_low == lower), is_high = (mask)(next_rank_high == upper);
                middle = choose(is_low, next_low, next_high);
                found = open & (is_low | is_high);
            }
            low[v] = choose(found, middle, choose(open, next_low, low[v]));
            high[v] = choose(found, middle, choose(open, next_high, high[v]));
            rank_low[v] = choose(open, next_rank_low, rank_low[v]);
            rank_high[v] = choose(open, next_rank_high, rank_high[v]);
            vec share = (half * (lower + upper) - rank_low[v]) / (rank_high[v] - rank_low[v]);
            pivot[v] = low[v] + (high[v] - low[v]) * share;
        }
    }
    UNROLL for (int v = 0; v < PAIR; v++)
        store(out + v * W, choose(broken[v], like((real)NAN), low[v]));
}

/* Fill `medians`, or `out` with the signals minus their medians, tile by tile.
 *
 * A tile holds groups of SAMPLES samples, each with its channels in order, and then the medians:
 * `n_tile` samples of each channel, a multiple of SAMPLES. Either target may be NULL. */
static void median(const argument *a)
{
    const real *x = a[0].array;
    idx x_step = a[1].n, n_channels = a[2].n, n_times = a[3].n;
    real *medians = a[4].array, *out = a[5].array;
    idx out_step = a[6].n;
    real *tile = a[7].array;
    idx n_tile = a[8].n;
    idx group = n_channels * SAMPLES;
    real *found = tile + n_channels * n_tile;
    for (idx start = 0; start < n_times; start += n_tile) {
        idx size = smaller(n_tile, n_times - start);
        for (idx channel = 0; channel < n_channels; channel++)
            gather_group(x + channel * x_step + start, size, tile + channel * SAMPLES, group);
        for (idx i = 0; i * SAMPLES < size; i++)
            find_median(tile + i * group, n_channels, found + i * SAMPLES);
        if (medians)
            memcpy(medians + start, found, (size_t)size * sizeof *found);
        for (idx channel = 0; out && channel < n_channels; channel++)
            subtract_group(tile + channel * SAMPLES, group, found, size,
                           out + channel * out_step + start);
    }
}
