/* Rates of compiled loops on data that fit into the innermost cache; see benchmarks/kernels.py. */
#include "../facet_nb/kernels/compiled/native/fft.h"

void transform_often(real *points, const real *factors, const real *spectrum, real *tile, idx n)
{
    for (idx i = 0; i < n; i++)
        filter_points(points, 256, factors, 256, spectrum, 1, tile);
}

/* Multiply 6 vectors and add to 6, in each of `n` turns: enough to hide the latency. */
void add_and_multiply(real *place, idx n)
{
    vec x[12], half = like((real)0.5), one = like(1);
    UNROLL for (int i = 0; i < 12; i++)
        x[i] = load(place);
    for (idx k = 0; k < n; k++) {
        UNROLL for (int i = 0; i < 6; i++)
            x[i] *= half;
        UNROLL for (int i = 6; i < 12; i++)
            x[i] += one;
    }
    UNROLL for (int i = 1; i < 12; i++)
        x[0] += x[i];
    store(place, x[0]);
}
