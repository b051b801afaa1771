/* Vectors of LANES floats that the compiler maps to what the processor has, and the functions of them that kernels share. */
#ifndef VECTORS_H
#define VECTORS_H
#include <stdint.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#ifndef LANES
#define LANES 4
#endif
/* Rows that a product with a sparse weight takes at once. */
#define SPARSE_ROWS (8 * LANES)
#define ALIGNED_TO_FLOATS __attribute__((vector_size(4 * LANES), aligned(4), may_alias))

typedef float vector __attribute__((vector_size(4 * LANES)));
typedef int32_t whole __attribute__((vector_size(4 * LANES)));
typedef float unaligned_vector ALIGNED_TO_FLOATS;

enum activation { NONE = 0, RELU = 1, ELU = 2, ASINH = 3 };

static inline vector load(const float *from) { return *(const unaligned_vector *)from; }
static inline void store(float *to, vector value) { *(unaligned_vector *)to = value; }
static inline vector spread(float value) { return value - (vector){0}; }
/* The lesser and the greater of two numbers; the second where one of them is NaN. */
#if LANES == 16 && defined(__AVX512F__)
#define LESSER(a, b) ((vector)_mm512_min_ps((__m512)(a), (__m512)(b)))
#define GREATER(a, b) ((vector)_mm512_max_ps((__m512)(a), (__m512)(b)))
#elif LANES == 8 && defined(__AVX2__)
#define LESSER(a, b) ((vector)_mm256_min_ps((__m256)(a), (__m256)(b)))
#define GREATER(a, b) ((vector)_mm256_max_ps((__m256)(a), (__m256)(b)))
#else
#define LESSER(a, b) chosen((a) < (b), a, b)
#define GREATER(a, b) chosen((a) > (b), a, b)
#endif

static inline vector chosen(whole condition, vector yes, vector no) {
    return (vector)((condition & (whole)yes) | (~condition & (whole)no));
}

/* exp for arguments up to 0: 2^n e^r with |r| <= ln(2) / 2, e^r by a polynomial that is 1 at 0. NaN stays. */
static inline vector exp_of_negative(vector x) {
    x = GREATER(spread(-87.0f), x);
    const vector shifted = x * 1.44269504f + 12582912.0f;
    const vector n = shifted - 12582912.0f;
    const vector r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vector power = spread(0x1.0F9F9Cp-7f);
    power = power * r + 0x1.573A1Ap-5f;
    power = power * r + 0x1.555A80p-3f;
    power = power * r + 0x1.FFFDC6p-2f;
    power = power * r + 0x1.FFFFF6p-1f;
    power = power * r + 1.0f;
    return power * (vector)(((whole)shifted + 127) << 23);
}

static inline vector activated(vector x, enum activation activation, float alpha) {
    const vector zero = {0};
    if (activation == RELU)
        return GREATER(zero, x);
    if (activation == ELU)
        return GREATER(zero, x) + (exp_of_negative(LESSER(zero, x)) - 1.0f) * alpha;
    return x;
}
#endif
