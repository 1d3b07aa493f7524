/* Zero-phase filtering with second-order sections: channels or sections at once.
 *
 * Consecutive samples of a recursive filter depend on each other, but channels and sections do not:
 * up to 16 channels are filtered together, and for few channels the sections run as a pipeline. Both
 * give the same result for a channel, whatever the other channels. Operations have SciPy's order,
 * and each is rounded, so that results equal scipy.signal.sosfiltfilt to the bit where SciPy is
 * compiled without fused multiply-add. Sums are double precision.
 *
 * In memory, the samples of 16 channels at one time are contiguous, or the samples of the only
 * channel.
 */
#include "vectors.h"

enum {
    CHANNELS = 16,
    TOGETHER = 2,       /* vectors of channels that one loop filters */
    GROUP = 8,          /* sections of a pipeline */
    PIPES = GROUP / D,  /* vectors of sections */
    TILE = 128          /* samples that are copied and filtered while they are in the L1 cache */
};

/* Rows of a signal, and how many samples each has. */
typedef struct {
    const real *x;
    idx step, n_rows, n_times;
} rows_in;

typedef struct {
    real *x;
    idx step, n_rows, n_times;
} rows_out;

/* Coefficients and steady states of a filter. */
typedef struct {
    const double *table; /* 6 per section; or, for one channel, 6 rows of 8 per group of sections */
    const double *steady; /* 2 per section */
    idx n_sections, width; /* width: 1 or 16 channels */
    idx n_lanes; /* of them that hold channels */
} cascade;

/* ------------------------------------------------------------------------------ several channels */
/* Filter some channels with `count` sections (direct form II transposed). */
INLINE void run_sections(double *values, idx n, idx step, const double *table, double *state,
                         const int count)
{
    dvec b0[3], b1[3], b2[3], a1[3], a2[3], z0[3][TOGETHER], z1[3][TOGETHER];
    UNROLL for (int s = 0; s < count; s++) {
        const double *c = table + 6 * s;
        b0[s] = like_double(c[0]), b1[s] = like_double(c[1]), b2[s] = like_double(c[2]);
        a1[s] = like_double(c[4]), a2[s] = like_double(c[5]);
        UNROLL for (int v = 0; v < TOGETHER; v++) {
            z0[s][v] = load_double(state + 2 * s * CHANNELS + v * D);
            z1[s][v] = load_double(state + (2 * s + 1) * CHANNELS + v * D);
        }
    }
    for (idx i = 0; i < n; i++, values += step) {
        UNROLL for (int v = 0; v < TOGETHER; v++) {
            dvec x = load_double(values + v * D);
            UNROLL for (int s = 0; s < count; s++) {
                dvec y = b0[s] * x + z0[s][v];
                z0[s][v] = b1[s] * x - a1[s] * y + z1[s][v];
                z1[s][v] = b2[s] * x - a2[s] * y;
                x = y;
            }
            store_double(values + v * D, x);
        }
    }
    UNROLL for (int s = 0; s < count; s++)
        UNROLL for (int v = 0; v < TOGETHER; v++) {
            store_double(state + 2 * s * CHANNELS + v * D, z0[s][v]);
            store_double(state + (2 * s + 1) * CHANNELS + v * D, z1[s][v]);
        }
}

static void run_one(double *values, idx n, idx step, const double *table, double *state)
{
    run_sections(values, n, step, table, state, 1);
}

static void run_two(double *values, idx n, idx step, const double *table, double *state)
{
    run_sections(values, n, step, table, state, 2);
}

static void run_three(double *values, idx n, idx step, const double *table, double *state)
{
    run_sections(values, n, step, table, state, 3);
}

/* --------------------------------------------------------------------------------- one channel */
/* The lanes of several vectors, moved by one; `before` enters first. */
INLINE void shift(dvec *moved, const dvec *lanes)
{
    UNROLL for (int v = 0; v < PIPES; v++) {
        dvec left = v ? lanes[v - 1] : (dvec){0};
#if VECTOR_BYTES == 16
        moved[v] = SHUFFLE(dmask, left, lanes[v], 1, 2);
#else
        moved[v] = SHUFFLE(dmask, left, lanes[v], 3, 4, 5, 6);
#endif
    }
}

/* Up to 8 sections as a pipeline: one section per lane. */
typedef struct {
    dvec b0[PIPES], b1[PIPES], b2[PIPES], a1[PIPES], a2[PIPES], z0[PIPES], z1[PIPES];
    dvec y[PIPES], before[PIPES], delay[PIPES];
    dmask is_first[PIPES];
} pipeline;

/* Advance all sections by one sample, or only those that are within the signal's `n` samples. */
INLINE double advance(pipeline *p, double sample, const int filled, const int partly, idx i, idx n)
{
    dvec x[PIPES];
    shift(x, p->before);
    UNROLL for (int v = PIPES - filled; v < PIPES; v++) {
        x[v] = choose_double(p->is_first[v], like_double(sample), x[v]);
        p->before[v] = p->y[v];
        p->y[v] = p->b0[v] * x[v] + p->z0[v];
        dvec z0 = p->b1[v] * x[v] - p->a1[v] * p->y[v] + p->z1[v];
        dvec z1 = p->b2[v] * x[v] - p->a2[v] * p->y[v];
        if (partly) {
            dvec time = like_double((double)i);
            dmask active = (dmask)(p->delay[v] <= time) & (dmask)(time < p->delay[v] + like_double((double)n));
            z0 = choose_double(active, z0, p->z0[v]);
            z1 = choose_double(active, z1, p->z1[v]);
        }
        p->z0[v] = z0;
        p->z1[v] = z1;
    }
    return p->y[PIPES - 1][D - 1];
}

/* Filter one channel; only the last `filled` vectors hold sections. */
INLINE void run_pipeline(double *values, idx n, idx step, const double *table, double *state,
                         const int filled)
{
    /* Each section lags two samples behind the one before it. One would do, but shifting a result to
     * the next lane takes as long as a filter step; with two, both run at the same time. */
    pipeline p;
    UNROLL for (int v = 0; v < PIPES; v++) {
        const double *c = table + v * D;
        p.b0[v] = load_double(c), p.b1[v] = load_double(c + GROUP);
        p.b2[v] = load_double(c + 2 * GROUP), p.delay[v] = load_double(c + 3 * GROUP);
        p.a1[v] = load_double(c + 4 * GROUP), p.a2[v] = load_double(c + 5 * GROUP);
        p.z0[v] = load_double(state + v * D), p.z1[v] = load_double(state + GROUP + v * D);
        p.y[v] = p.before[v] = (dvec){0};
        p.is_first[v] = (dmask)(p.delay[v] == (dvec){0});
    }
    idx late = (idx)table[4 * GROUP - 1]; /* the delay of the last section */
    idx i = 0;
    for (; i < smaller(late, n); i++)
        advance(&p, values[i * step], filled, 1, i, n);
    for (; i < n; i++)
        values[(i - late) * step] = advance(&p, values[i * step], filled, 0, i, n);
    for (; i < n + late; i++) {
        double y = advance(&p, 0.0, filled, 1, i, n);
        if (i >= late)
            values[(i - late) * step] = y;
    }
    UNROLL for (int v = 0; v < PIPES; v++) {
        store_double(state + v * D, p.z0[v]);
        store_double(state + GROUP + v * D, p.z1[v]);
    }
}

static void run_few(double *values, idx n, idx step, const double *table, double *state)
{
    run_pipeline(values, n, step, table, state, PIPES / 2);
}

static void run_many(double *values, idx n, idx step, const double *table, double *state)
{
    run_pipeline(values, n, step, table, state, PIPES);
}

/* ------------------------------------------------------------------------------------- cascades */
/* Filter `n` samples, `step` elements apart, in place. */
static void run_cascade(double *values, idx n, idx step, const cascade *filter, double *state)
{
    if (filter->width == 1) {
        for (idx s = 0; s < filter->n_sections; s += GROUP) {
            idx rest = filter->n_sections - s;
            (rest > GROUP / 2 ? run_many : run_few)(values, n, step, filter->table + 6 * s,
                                                     state + 2 * s);
        }
        return;
    }
    for (idx s = 0; s < filter->n_sections;) {
        idx rest = filter->n_sections - s;
        idx count = rest == 3 || rest > 4 ? 3 : rest == 1 ? 1 : 2;
        for (idx lane = 0; lane < filter->n_lanes; lane += TOGETHER * D)
            (count == 3 ? run_three : count == 2 ? run_two : run_one)(
                values + lane, n, step, filter->table + 6 * s, state + 2 * s * CHANNELS + lane);
        s += count;
    }
}

/* Set the state of one channel to its steady state for a constant input `value`. */
static void init_state(const cascade *filter, double *state, idx lane, double value)
{
    for (idx s = 0; s < filter->n_sections; s++) {
        idx group = s / GROUP * GROUP, skip = larger(0, GROUP - (filter->n_sections - group));
        for (int i = 0; i < 2; i++) {
            idx at = filter->width == 1 ? 2 * group + GROUP * i + skip + s - group
                                        : (2 * s + i) * CHANNELS + lane;
            state[at] = filter->steady[2 * s + i] * value;
        }
    }
}

/* ----------------------------------------------------------------------------- rows and vectors */
/* A sample of the extended signal; rows beyond the last repeat it. */
static double extended(const rows_in *rows, idx row, idx time)
{
    const real *x = rows->x + smaller(row, rows->n_rows - 1) * rows->step;
    idx n = rows->n_times;
    if (time < 0)
        return 2.0 * (double)x[0] - (double)x[-time];
    if (time >= n)
        return 2.0 * (double)x[n - 1] - (double)x[2 * (n - 1) - time];
    return (double)x[time];
}

#if REAL_IS_FLOAT
typedef float half_vec __attribute__((vector_size(VECTOR_BYTES / 2)));
typedef float half_in_memory __attribute__((vector_size(VECTOR_BYTES / 2), aligned(4), may_alias));
INLINE dvec load_as_double(const real *x)
{
    return __builtin_convertvector((half_vec) * (const half_in_memory *)x, dvec);
}
INLINE void store_from_double(real *x, dvec value)
{
    *(half_in_memory *)x = __builtin_convertvector(value, half_vec);
}
#else
INLINE dvec load_as_double(const real *x) { return load_double(x); }
INLINE void store_from_double(real *x, dvec value) { store_double(x, value); }
#endif

/* Copy `n` samples from `time` on, so that the channels of a sample are contiguous. */
static void fill(const rows_in *rows, idx time, double *values, idx n, const cascade *filter)
{
    idx width = filter->width, lanes = filter->n_lanes;
    idx begin = clip(-time, 0, n), end = clip(rows->n_times - time, 0, n), whole = begin;
    if (width == CHANNELS) {
        for (; whole + D <= end; whole += D)
            for (idx lane = 0; lane < lanes; lane += D) {
                dvec square[D];
                UNROLL for (int i = 0; i < D; i++) {
                    const real *x = rows->x + smaller(lane + i, rows->n_rows - 1) * rows->step;
                    prefetch(x + time + whole + TILE);
                    square[i] = load_as_double(x + time + whole);
                }
                transpose_double(square);
                UNROLL for (int i = 0; i < D; i++)
                    store_double(values + (whole + i) * CHANNELS + lane, square[i]);
            }
    }
    for (idx lane = 0; lane < lanes; lane++) {
        const real *x = rows->x + smaller(lane, rows->n_rows - 1) * rows->step;
        for (idx i = whole; i < end; i++)
            values[i * width + lane] = (double)x[time + i];
        for (idx i = 0; i < begin; i++)
            values[i * width + lane] = extended(rows, lane, time + i);
        for (idx i = larger(begin, end); i < n; i++)
            values[i * width + lane] = extended(rows, lane, time + i);
    }
}

/* Copy `n` samples to the rows, from `time` on, except those outside of the signal. */
static void write_rows(const double *values, idx n, const cascade *filter, const rows_out *rows,
                       idx time)
{
    idx width = filter->width, lanes = smaller(filter->n_lanes, rows->n_rows);
    idx begin = clip(-time, 0, n), end = clip(rows->n_times - time, 0, n), whole = begin;
    if (width == CHANNELS) {
        for (; whole + D <= end; whole += D)
            for (idx lane = 0; lane < lanes; lane += D) {
                dvec square[D];
                UNROLL for (int i = 0; i < D; i++)
                    square[i] = load_double(values + (whole + i) * CHANNELS + lane);
                transpose_double(square);
                UNROLL for (int i = 0; i < D; i++)
                    if (lane + i < lanes) {
                        real *x = rows->x + (lane + i) * rows->step + time + whole;
                        prefetch(x - TILE);
                        store_from_double(x, square[i]);
                    }
            }
    }
    for (idx lane = 0; lane < lanes; lane++)
        for (idx i = whole; i < end; i++)
            rows->x[lane * rows->step + time + i] = (real)values[i * width + lane];
}

/* Fill `values` with the forward result of one chunk. */
static void filter_forward(const rows_in *rows, idx time, double *values, idx n,
                           const cascade *filter, double *state)
{
    for (idx start = 0; start < n; start += TILE) {
        idx size = smaller(TILE, n - start);
        double *tile = values + start * filter->width;
        fill(rows, time + start, tile, size, filter);
        run_cascade(tile, size, filter->width, filter, state);
    }
}

/* Filter one chunk backwards, and write the samples that lie within the signal. */
static void filter_backward(double *values, idx n, const cascade *filter, double *state,
                            const rows_out *rows, idx time)
{
    for (idx start = (n - 1) / TILE * TILE; start >= 0; start -= TILE) {
        idx size = smaller(TILE, n - start);
        double *tile = values + start * filter->width;
        run_cascade(tile + (size - 1) * filter->width, size, -filter->width, filter, state);
        write_rows(tile, size, filter, rows, time + start);
    }
}

/* How many lanes hold channels: whole vectors, as many as one loop filters. */
static idx count_lanes(idx n_rows, idx width)
{
    idx together = TOGETHER * D;
    return width == 1 ? 1 : (smaller(n_rows, CHANNELS) + together - 1) / together * together;
}

/* Filter up to 16 rows forwards and backwards.
 *
 * `held` has room for `chunk` samples. `states` has `n_chunks` + 1 rows of `n_states` elements: the
 * states before each chunk, and the current one. */
static void sos_rows(const argument *a)
{
    const real *x = a[0].array;
    idx x_step = a[1].n;
    real *out = a[2].array;
    idx out_step = a[3].n, n_rows = a[4].n, n_times = a[5].n, pad = a[6].n;
    const double *table = a[7].array, *steady = a[8].array;
    idx n_sections = a[9].n, width = a[10].n;
    double *held = a[11].array;
    idx chunk = a[12].n;
    double *states = a[13].array;
    idx n_chunks = a[14].n, n_states = a[15].n;
    rows_in rows = {x, x_step, n_rows, n_times};
    rows_out target = {out, out_step, n_rows, n_times};
    cascade filter = {table, steady, n_sections, width, count_lanes(n_rows, width)};
    double *state = states + n_chunks * n_states;
    idx n = n_times + 2 * pad;
    idx lead = n - (n_chunks - 1) * chunk; /* the first chunk is short: the last is filtered once */
    for (idx k = 0; k < n_states; k++)
        state[k] = 0.0;
    for (idx lane = 0; lane < filter.n_lanes; lane++)
        init_state(&filter, state, lane, extended(&rows, lane, -pad));
    for (idx i = 0; i < n_chunks; i++) {
        memcpy(states + i * n_states, state, (size_t)n_states * sizeof *state);
        idx start = larger(0, lead + (i - 1) * chunk), stop = lead + i * chunk;
        filter_forward(&rows, start - pad, held, stop - start, &filter, state);
    }
    idx end = (smaller(n, chunk) - 1) * width;
    for (idx lane = 0; lane < filter.n_lanes; lane++)
        init_state(&filter, state, lane, held[end + lane]);
    for (idx i = n_chunks - 1; i >= 0; i--) {
        idx start = larger(0, lead + (i - 1) * chunk), stop = lead + i * chunk;
        if (i < n_chunks - 1)
            filter_forward(&rows, start - pad, held, stop - start, &filter, states + i * n_states);
        filter_backward(held, stop - start, &filter, state, &target, start - pad);
    }
}

#if !REAL_IS_FLOAT
/* Filter pieces of up to 16 rows forwards and backwards; both states are changed. */
static void sos_between(const argument *a)
{
    const real *x = a[0].array;
    idx x_step = a[1].n;
    real *out = a[2].array;
    idx out_step = a[3].n, n_rows = a[4].n, n_times = a[5].n;
    const double *table = a[6].array;
    idx n_sections = a[7].n;
    double *held = a[8].array, *before = a[9].array, *behind = a[10].array;
    rows_in rows = {x, x_step, n_rows, n_times};
    rows_out target = {out, out_step, n_rows, n_times};
    cascade filter = {table, NULL, n_sections, CHANNELS, count_lanes(n_rows, CHANNELS)};
    filter_forward(&rows, 0, held, n_times, &filter, before);
    filter_backward(held, n_times, &filter, behind, &target, 0);
}
#endif
