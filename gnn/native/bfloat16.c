/* x W + b with an activation for numbers in bfloat16, two of them at a time, added up in FP32. */
#include "vectors.h"
#include <stdlib.h>

#define ROWS (LANES == 16 ? 12 : 6)
#define PANEL (2 * LANES)

typedef uint32_t bits __attribute__((vector_size(4 * LANES)));
typedef uint32_t unaligned_bits __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* Two numbers, read as one. */
typedef uint32_t halves __attribute__((may_alias));

static inline bits load_bits(const halves *from) { return *(const unaligned_bits *)from; }

/* sum + the products of both halves; exact but for the two additions. */
static inline vector plus_pairs(vector sum, bits a, bits b) {
#if LANES == 16 && defined(__AVX512BF16__)
    return (vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#else
    const uint32_t high = 0xffff0000u;
    return sum + (vector)(a << 16) * (vector)(b << 16) + (vector)(a & high) * (vector)(b & high);
#endif
}

/* The upper half of a number, rounded to nearest, halves to even; NaN stays. */
static inline uint16_t rounded(float value) {
    uint32_t all;
    memcpy(&all, &value, sizeof all);
    const uint16_t upper = (uint16_t)((all + 0x7fff + (all >> 16 & 1)) >> 16);
    return value != value ? (uint16_t)(all >> 16 | 0x40) : upper;
}

static void rounded_row(const float *restrict from, int64_t count, uint16_t *restrict to) {
    for (int64_t at = 0; at < count; at++)
        to[at] = rounded(from[at]);
}

static inline __attribute__((always_inline)) void tile(
    const int rows, const halves *x, int64_t pairs, const halves *panel, const float *base, int64_t base_stride,
    float *out, int64_t out_stride, int64_t width, enum activation activation, float alpha) {
    vector sum[ROWS][2] = {0};
    for (int64_t k = 0; k < pairs; k++) {
        const bits left = load_bits(panel + k * PANEL), right = load_bits(panel + k * PANEL + LANES);
#pragma GCC unroll 12
        for (int row = 0; row < rows; row++) {
            const bits value = x[row * pairs + k] - (bits){0};
            sum[row][0] = plus_pairs(sum[row][0], value, left);
            sum[row][1] = plus_pairs(sum[row][1], value, right);
        }
    }
#pragma GCC unroll 12
    for (int row = 0; row < rows; row++) {
        float both[PANEL] = {0};
        if (base)
            memcpy(both, base + row * base_stride, width * sizeof(float));
        const vector left = activated(sum[row][0] + load(both), activation, alpha);
        const vector right = activated(sum[row][1] + load(both + LANES), activation, alpha);
        store(both, left);
        store(both + LANES, right);
        memcpy(out + row * out_stride, both, width * sizeof(float));
    }
}

/* packed [ceil(outputs / PANEL), ceil(channels / 2), PANEL, 2] of weight [channels, outputs], filled up with zeros */
void pack_bfloat16(const float *weight, int64_t channels, int64_t outputs, uint16_t *packed) {
    for (int64_t output = 0; output < outputs; output += PANEL)
        for (int64_t k = 0; k < channels; k += 2)
            for (int64_t lane = output; lane < output + PANEL; lane++)
                for (int64_t half = k; half < k + 2; half++)
                    *packed++ = lane < outputs && half < channels ? rounded(weight[half * outputs + lane]) : 0;
}

/* out [rows, outputs] = activation(x [rows, channels] W + base), with x and W rounded; base has a row for each one, one
   for all (stride 0) or is null. Returns 0, or 1 where memory is lacking. */
int product_bfloat16(const float *x, int64_t stride, const halves *packed, const float *base, int64_t base_stride,
                     float *out, int64_t rows, int64_t channels, int64_t outputs, int activation, float alpha) {
    const int64_t pairs = (channels + 1) / 2;
    uint16_t *few = calloc(ROWS * 2 * (pairs + 1), sizeof(uint16_t));
    if (!few)
        return 1;
    for (int64_t first = 0; first < rows; first += ROWS) {
        const int64_t some = rows - first < ROWS ? rows - first : ROWS;
        for (int64_t row = 0; row < some; row++)
            rounded_row(x + (first + row) * stride, channels, few + row * 2 * pairs);
        for (int64_t output = 0; output < outputs; output += PANEL) {
            const int64_t width = outputs - output < PANEL ? outputs - output : PANEL;
            int64_t row = 0;
#define TILE(count)                                                                                                    \
    tile(count, (const halves *)few + row * pairs, pairs, packed + output * pairs,                                     \
         base ? base + (first + row) * base_stride + output : 0, base_stride, out + (first + row) * outputs + output,  \
         outputs, width, activation, alpha)
            for (; row + ROWS <= some; row += ROWS)
                TILE(ROWS);
            for (; row + 2 <= some; row += 2)
                TILE(2);
            for (; row < some; row++)
                TILE(1);
#undef TILE
        }
    }
    free(few);
    return 0;
}
