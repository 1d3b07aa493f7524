/* Least-mean-squares adaptive filter, double precision. */
#include "vectors.h"

#if !REAL_IS_FLOAT
enum { QUAD = 4 / W, LANES = 16, VECTORS = LANES / W };

/* The sum of four partial sums: halves first. */
INLINE double add_four(const vec *four)
{
#if VECTOR_BYTES == 16
    vec halves = four[0] + four[1];
    return halves[0] + halves[1];
#else
    return (four[0][0] + four[0][2]) + (four[0][1] + four[0][3]);
#endif
}

/* Change W weights by the last error; return them. */
INLINE vec adapt(double *weights, vec gain, const double *past)
{
    vec weight = load(weights) + gain * load(past);
    store(weights, weight);
    return weight;
}

/* Change the weights by the last error, and return the next prediction, in one pass.
 *
 * The sum over taps has a fixed order with every instruction set: 16 partial sums become four, to
 * whose sum further taps are added in four partial sums, and the last taps one by one. */
INLINE double predict(double *weights, idx n_taps, double gain, const double *past, const double *now)
{
    vec sums[VECTORS], four[QUAD], change = like(gain);
    idx k = 0;
    UNROLL for (int v = 0; v < VECTORS; v++)
        sums[v] = like(0);
    for (; k + LANES <= n_taps; k += LANES)
        UNROLL for (int v = 0; v < VECTORS; v++) {
            idx i = k + v * W;
            sums[v] += adapt(weights + i, change, past + i) * load(now + i);
        }
    UNROLL for (int v = 0; v < QUAD; v++)
        four[v] = ((sums[v + QUAD] + sums[v]) + sums[v + 2 * QUAD]) + sums[v + 3 * QUAD];
    double y = add_four(four);
    if (k + 4 <= n_taps) {
        UNROLL for (int v = 0; v < QUAD; v++)
            four[v] = like(0);
        four[0][0] = y;
        for (; k + 4 <= n_taps; k += 4)
            UNROLL for (int v = 0; v < QUAD; v++) {
                idx i = k + v * W;
                four[v] += adapt(weights + i, change, past + i) * load(now + i);
            }
        y = add_four(four);
    }
    UNROLL for (int i = 0; i < 3; i++, k++) { /* unrolled: too short a loop to be vectorised */
        if (k >= n_taps)
            break;
        weights[k] += gain * past[k];
        y += weights[k] * now[k];
    }
    return y;
}

/* Predict `signal` from `reference`; `weights` are zeros at first. */
static void lms(const argument *a)
{
    const double *signal = a[0].array, *reference = a[1].array;
    idx n_times = a[2].n, n_taps = a[3].n;
    double step = a[4].f, *weights = a[5].array, *predicted = a[6].array;
    double gain = 0.0;
    for (idx i = n_taps - 1; i < n_times; i++) {
        const double *now = reference + (i - n_taps + 1);
        /* At the first sample the weights are zeros, and so is their change. */
        double y = predict(weights, n_taps, gain, i == n_taps - 1 ? now : now - 1, now);
        predicted[i] = y;
        gain = 2.0 * step * (signal[i] - y);
    }
}
#endif
