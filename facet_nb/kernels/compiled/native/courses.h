/* Whether courses of amplitudes predict frequencies that they were not computed from.
 *
 * Rows of `y` are the spectra of epochs, whose values belong to `n_blocks` ranges between `bounds`. Each
 * block is predicted from the others. One pass over `y` does what takes two with NumPy. */
#include "vectors.h"

enum {
    FOUR = 4,        /* courses at once */
    STRETCH = 2 * W, /* values at once */
    EPOCHS = 64      /* epochs whose values stay in the cache meanwhile */
};

INLINE real add_lanes(vec sums)
{
    real lanes[W], total = 0;
    store(lanes, sums);
    UNROLL for (int i = 0; i < W; i++)
        total += lanes[i];
    return total;
}

/* The scalar product of two rows. */
INLINE real multiply_rows(const real *a, const real *b, idx n)
{
    vec sums = {0};
    idx i = 0;
    for (; i + W <= n; i += W)
        sums = muladd(load(a + i), load(b + i), sums);
    real total = add_lanes(sums);
    for (; i < n; i++)
        total += a[i] * b[i];
    return total;
}

/* Subtract `factor` times a row from another. */
INLINE void take_multiple(real *from, real factor, const real *row, idx n)
{
    for (idx i = 0; i < n; i++)
        from[i] -= factor * row[i];
}

/* The power of a row whose values are multiplied by `scale` first. */
INLINE real measure_power(const real *row, const real *scale, idx n)
{
    vec sums = {0};
    idx i = 0;
    for (; i + W <= n; i += W) {
        vec value = load(row + i) * load(scale + i);
        sums = muladd(value, value, sums);
    }
    real total = add_lanes(sums);
    for (; i < n; i++)
        total += (row[i] * scale[i]) * (row[i] * scale[i]);
    return total;
}

/* Add `n` rows, multiplied by FOUR courses each, to the sums of `n_here` courses over the values from
 * `begin` to `stop`. */
static void add_products(const real *rows, idx n, idx n_values, const real *factors, idx n_here,
                         idx begin, idx stop, real *sums_of)
{
    idx from = begin;
    for (; from + STRETCH <= stop; from += STRETCH) {
        vec sums[2 * FOUR] = {{0}};
        for (idx i = 0; i < n; i++) {
            const real *row = rows + i * n_values + from;
            vec one = load(row), other = load(row + W);
            UNROLL for (int k = 0; k < FOUR; k++) {
                vec factor = like(factors[i * FOUR + k]);
                sums[k] = muladd(one, factor, sums[k]);
                sums[FOUR + k] = muladd(other, factor, sums[FOUR + k]);
            }
        }
        for (idx k = 0; k < n_here; k++) {
            real *to = sums_of + k * n_values + from;
            store(to, load(to) + sums[k]);
            store(to + W, load(to + W) + sums[FOUR + k]);
        }
    }
    for (; from < stop; from++)
        for (idx k = 0; k < n_here; k++) {
            real sum = 0;
            for (idx i = 0; i < n; i++)
                sum += rows[i * n_values + from] * factors[i * FOUR + k];
            sums_of[k * n_values + from] += sum;
        }
}

/* `unit` and `waves` are of courses x rows and courses x values; `parts`, of blocks x courses x rows, are
 * the products of rows and waves in a block, with the weights of rows. `expected` and `explained`, of
 * blocks x courses, are the power that an unrelated course would explain and that each one does.
 * `others` (as `parts`), `power` (blocks x rows), `total` (courses x rows) and `guess` (as `waves`) are
 * scratch memory. */
static void predict_blocks(const argument *a)
{
    const real *y = a[0].array;
    idx n_rows = a[1].n, n_values = a[2].n;
    const real *weights = a[3].array, *scale = a[4].array, *unit = a[5].array, *waves = a[6].array;
    real *parts = a[7].array;
    idx n_courses = a[8].n;
    const int64_t *bounds = a[9].array;
    idx n_blocks = a[10].n;
    real *expected = a[11].array, *explained = a[12].array;
    real *others = a[13].array, *power = a[14].array, *total = a[15].array, *guess = a[16].array;
    idx size = n_courses * n_rows;
    /* Each course sees what those before it leave. */
    memset(total, 0, (size_t)size * sizeof *total);
    for (idx block = 0; block < n_blocks; block++) {
        idx begin = bounds[block], n = bounds[block + 1] - begin;
        for (idx course = 0; course < n_courses; course++) {
            real *part = parts + block * size + course * n_rows;
            const real *wave = waves + course * n_values + begin;
            for (idx k = 0; k < course; k++)
                take_multiple(part, multiply_rows(wave, waves + k * n_values + begin, n),
                             unit + k * n_rows, n_rows);
            for (idx i = 0; i < n_rows; i++)
                total[course * n_rows + i] += part[i];
        }
    }
    for (idx block = 0; block < n_blocks; block++)
        for (idx i = 0; i < size; i++)
            others[block * size + i] = total[i] - parts[block * size + i];
    memset(guess, 0, (size_t)(n_courses * n_values) * sizeof *guess);
    for (idx first = 0; first < n_rows; first += EPOCHS) {
        idx n = smaller(EPOCHS, n_rows - first);
        const real *rows = y + first * n_values;
        for (idx block = 0; block < n_blocks; block++) {
            idx begin = bounds[block], stop = bounds[block + 1];
            for (idx i = 0; i < n; i++) {
                real weight = weights[first + i];
                power[block * n_rows + first + i] =
                    weight * weight *
                    measure_power(rows + i * n_values + begin, scale + begin, stop - begin);
            }
            for (idx course = 0; course < n_courses; course += FOUR) {
                idx n_here = smaller(FOUR, n_courses - course);
                real factors[EPOCHS * FOUR] = {0};
                for (idx k = 0; k < n_here; k++) {
                    const real *other = others + block * size + (course + k) * n_rows + first;
                    for (idx i = 0; i < n; i++)
                        factors[i * FOUR + k] = other[i] * weights[first + i];
                }
                add_products(rows, n, n_values, factors, n_here, begin, stop,
                             guess + course * n_values);
            }
        }
    }
    for (idx block = 0; block < n_blocks; block++) {
        idx begin = bounds[block], n = bounds[block + 1] - begin;
        real *left = power + block * n_rows;
        for (idx course = 0; course < n_courses; course++) {
            const real *other = others + block * size + course * n_rows;
            const real *part = parts + block * size + course * n_rows;
            const real *own = unit + course * n_rows, *wave = waves + course * n_values + begin;
            real *found = guess + course * n_values + begin, of_wave = multiply_rows(wave, wave, n);
            for (idx i = 0; i < n; i++)
                found[i] *= scale[begin + i];
            for (idx k = 0; k < course; k++)
                take_multiple(found, multiply_rows(other, unit + k * n_rows, n_rows),
                             waves + k * n_values + begin, n);
            explained[block * n_courses + course] = multiply_rows(found, found, n);
            vec sums = {0};
            idx i = 0;
            for (; i + W <= n_rows; i += W) {
                vec value = load(other + i);
                sums = muladd(value * value, greatest(load(left + i), like(0)), sums);
            }
            real sum = add_lanes(sums);
            for (; i < n_rows; i++)
                sum += other[i] * other[i] * (left[i] > 0 ? left[i] : 0);
            expected[block * n_courses + course] = sum;
            for (i = 0; i < n_rows; i++)
                left[i] -= own[i] * (2 * part[i] - own[i] * of_wave);
        }
    }
}
