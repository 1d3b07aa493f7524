/* SIMD vectors of the processor's own width, for one type of numbers (REAL) and one instruction set.
 *
 * Each lane of a vector belongs to another signal, sample or section. Operations round like scalar
 * ones, so that the result of a lane never depends on the other lanes or on the width. Products and
 * sums are fused only where the code says `muladd` (-ffp-contract=off).
 *
 * A source file that includes this one defines REAL_IS_FLOAT (0 or 1) and USE_AVX2 (0 or 1) first.
 * Without AVX2, vectors have 16 bytes, which GCC and Clang compile for SSE2, NEON and others.
 */
#ifndef FACET_NB_VECTORS_H
#define FACET_NB_VECTORS_H

#if USE_AVX2
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#include <immintrin.h>
#define VECTOR_BYTES 32
#define SUFFIX avx2
#else
#if defined(__aarch64__)
#include <arm_neon.h>
#endif
#define VECTOR_BYTES 16
#define SUFFIX baseline
#endif

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernel.h"

#if REAL_IS_FLOAT
typedef float real;
typedef int32_t real_bits;
#define CHAR f
#else
typedef double real;
typedef int64_t real_bits;
#define CHAR d
#endif

#define INLINE static inline __attribute__((always_inline, unused))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

typedef real vec __attribute__((vector_size(VECTOR_BYTES)));
typedef real_bits mask __attribute__((vector_size(VECTOR_BYTES)));
typedef real vec_in_memory __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
typedef double dvec __attribute__((vector_size(VECTOR_BYTES)));
typedef int64_t dmask __attribute__((vector_size(VECTOR_BYTES)));
typedef double dvec_in_memory __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));

/* Lanes of a vector: W of type REAL, D of type double. */
enum { W = VECTOR_BYTES / sizeof(real), D = VECTOR_BYTES / sizeof(double) };

INLINE idx smaller(idx a, idx b) { return a < b ? a : b; }
INLINE idx larger(idx a, idx b) { return a > b ? a : b; }
INLINE idx clip(idx value, idx low, idx high) { return larger(low, smaller(value, high)); }

INLINE vec load(const real *place) { return *(const vec_in_memory *)place; }
INLINE void store(real *place, vec value) { *(vec_in_memory *)place = value; }
INLINE dvec load_double(const double *place) { return *(const dvec_in_memory *)place; }
INLINE void store_double(double *place, dvec value) { *(dvec_in_memory *)place = value; }

/* Vectors whose lanes all equal a number. (Adding it to 0 would turn -0 into 0.) */
INLINE vec like(real number) { return number - (vec){0}; }
INLINE dvec like_double(double number) { return number - (dvec){0}; }

INLINE void prefetch(const void *place) { __builtin_prefetch(place, 0, 3); }

/* The elements of two vectors at constant positions, counted through both. */
#if defined(__clang__)
#define SHUFFLE(kind, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(kind, a, b, ...) __builtin_shuffle(a, b, (kind){__VA_ARGS__})
#endif

/* `muladd` rounds once where the processor can. `greatest` and `least` return the second argument
 * unless the first is greater, or less: also where either is nan. */
#if USE_AVX2
#if REAL_IS_FLOAT
#define AVX(name) _mm256_##name##_ps
#else
#define AVX(name) _mm256_##name##_pd
#endif
INLINE vec muladd(vec a, vec b, vec c) { return (vec)AVX(fmadd)(a, b, c); }
INLINE vec greatest(vec a, vec b) { return (vec)AVX(max)(a, b); }
INLINE vec least(vec a, vec b) { return (vec)AVX(min)(a, b); }
#if REAL_IS_FLOAT
INLINE vec choose(mask which, vec yes, vec no) { return AVX(blendv)(no, yes, (__m256)which); }
INLINE int is_any(mask which) { return AVX(movemask)((__m256)which) != 0; }
#else
INLINE vec choose(mask which, vec yes, vec no) { return AVX(blendv)(no, yes, (__m256d)which); }
INLINE int is_any(mask which) { return AVX(movemask)((__m256d)which) != 0; }
#endif
INLINE dvec choose_double(dmask which, dvec yes, dvec no)
{
    return _mm256_blendv_pd(no, yes, (__m256d)which);
}
#else
#if defined(__aarch64__) && REAL_IS_FLOAT
INLINE vec muladd(vec a, vec b, vec c) { return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
#elif defined(__aarch64__)
INLINE vec muladd(vec a, vec b, vec c) { return (vec)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b); }
#else
INLINE vec muladd(vec a, vec b, vec c) { return a * b + c; }
#endif
INLINE vec choose(mask which, vec yes, vec no)
{
    return (vec)((which & (mask)yes) | (~which & (mask)no));
}
INLINE dvec choose_double(dmask which, dvec yes, dvec no)
{
    return (dvec)((which & (dmask)yes) | (~which & (dmask)no));
}
INLINE vec greatest(vec a, vec b) { return choose((mask)(a > b), a, b); }
INLINE vec least(vec a, vec b) { return choose((mask)(a < b), a, b); }
INLINE int is_any(mask which)
{
    int64_t halves[2];
    memcpy(halves, &which, sizeof halves);
    return (halves[0] | halves[1]) != 0;
}
#endif

/* ------------------------------------------------------------------------------ transposition */
/* Transpose a square of D rows of doubles. */
INLINE void transpose_double(dvec *rows)
{
#if VECTOR_BYTES == 16
    dvec a = rows[0], b = rows[1];
    rows[0] = SHUFFLE(dmask, a, b, 0, 2);
    rows[1] = SHUFFLE(dmask, a, b, 1, 3);
#else
    dvec a = SHUFFLE(dmask, rows[0], rows[1], 0, 4, 2, 6);
    dvec b = SHUFFLE(dmask, rows[0], rows[1], 1, 5, 3, 7);
    dvec c = SHUFFLE(dmask, rows[2], rows[3], 0, 4, 2, 6);
    dvec d = SHUFFLE(dmask, rows[2], rows[3], 1, 5, 3, 7);
    rows[0] = SHUFFLE(dmask, a, c, 0, 1, 4, 5);
    rows[1] = SHUFFLE(dmask, b, d, 0, 1, 4, 5);
    rows[2] = SHUFFLE(dmask, a, c, 2, 3, 6, 7);
    rows[3] = SHUFFLE(dmask, b, d, 2, 3, 6, 7);
#endif
}

/* Transpose a square of W rows. */
INLINE void transpose(vec *rows)
{
#if !REAL_IS_FLOAT
    transpose_double(rows);
#elif VECTOR_BYTES == 16
    vec a = SHUFFLE(mask, rows[0], rows[1], 0, 4, 1, 5);
    vec b = SHUFFLE(mask, rows[0], rows[1], 2, 6, 3, 7);
    vec c = SHUFFLE(mask, rows[2], rows[3], 0, 4, 1, 5);
    vec d = SHUFFLE(mask, rows[2], rows[3], 2, 6, 3, 7);
    rows[0] = SHUFFLE(mask, a, c, 0, 1, 4, 5);
    rows[1] = SHUFFLE(mask, a, c, 2, 3, 6, 7);
    rows[2] = SHUFFLE(mask, b, d, 0, 1, 4, 5);
    rows[3] = SHUFFLE(mask, b, d, 2, 3, 6, 7);
#else
    vec pairs[8], fours[8];
    UNROLL for (int i = 0; i < 8; i += 2) {
        pairs[i] = SHUFFLE(mask, rows[i], rows[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        pairs[i + 1] = SHUFFLE(mask, rows[i], rows[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    UNROLL for (int i = 0; i < 8; i += 4) {
        UNROLL for (int k = 0; k < 2; k++) {
            vec low = pairs[i + k], high = pairs[i + k + 2];
            fours[i + 2 * k] = SHUFFLE(mask, low, high, 0, 1, 8, 9, 4, 5, 12, 13);
            fours[i + 2 * k + 1] = SHUFFLE(mask, low, high, 2, 3, 10, 11, 6, 7, 14, 15);
        }
    }
    UNROLL for (int i = 0; i < 4; i++) {
        rows[i] = SHUFFLE(mask, fours[i], fours[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        rows[i + 4] = SHUFFLE(mask, fours[i], fours[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
#endif
}

#endif
