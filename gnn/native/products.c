/* x W + b with an activation, for a weight that is packed in panels of two vectors of outputs. */
#include "vectors.h"

#if LANES == 16
#define ROWS 12
#else
#define ROWS 6
#endif
#define PANEL (2 * LANES)
/* Rows of x that stay in the first cache while all panels pass. */
#define CACHED_FLOATS 4096

/* Some rows of one panel: every sum in a register. */
static inline __attribute__((always_inline)) void tile(
    const int rows, const float *x, int64_t stride, const float *panel, int64_t channels, const float *base,
    int64_t base_stride, float *out, int64_t out_stride, int64_t width, enum activation activation, float alpha) {
    vector sum[ROWS][2];
#pragma GCC unroll 12
    for (int row = 0; row < rows; row++) {
        float both[PANEL] = {0};
        if (base && width < PANEL)
            memcpy(both, base + row * base_stride, width * sizeof(float));
        const float *from = base && width >= PANEL ? base + row * base_stride : both;
        sum[row][0] = load(from), sum[row][1] = load(from + LANES);
    }
    for (int64_t k = 0; k < channels; k++) {
        const vector left = load(panel + k * PANEL), right = load(panel + k * PANEL + LANES);
#pragma GCC unroll 12
        for (int row = 0; row < rows; row++) {
            const vector value = spread(x[row * stride + k]);
            sum[row][0] += value * left;
            sum[row][1] += value * right;
        }
    }
#pragma GCC unroll 12
    for (int row = 0; row < rows; row++) {
        const vector left = activated(sum[row][0], activation, alpha), right = activated(sum[row][1], activation, alpha);
        float *to = out + row * out_stride;
        if (width >= PANEL) {
            store(to, left);
            store(to + LANES, right);
        } else {
            float both[PANEL];
            store(both, left);
            store(both + LANES, right);
            memcpy(to, both, width * sizeof(float));
        }
    }
}

static inline __attribute__((always_inline)) void panels(
    const float *x, int64_t stride, const float *packed, const float *base, int64_t base_stride, float *out, int64_t rows,
    int64_t channels, int64_t outputs, enum activation activation, float alpha) {
    int64_t block = CACHED_FLOATS / (channels + 1) / ROWS * ROWS;
    block = block < ROWS ? ROWS : block;
    for (int64_t first = 0; first < rows; first += block) {
        const int64_t end = first + block < rows ? first + block : rows;
        for (int64_t output = 0; output < outputs; output += PANEL) {
            const float *panel = packed + output * channels;
            const int64_t width = outputs - output < PANEL ? outputs - output : PANEL;
            int64_t row = first;
#define TILE(count)                                                                                                    \
    tile(count, x + row * stride, stride, panel, channels, base ? base + row * base_stride + output : 0, base_stride,  \
         out + row * outputs + output, outputs, width, activation, alpha)
            for (; row + ROWS <= end; row += ROWS)
                TILE(ROWS);
            for (; row + 2 <= end; row += 2)
                TILE(2);
            for (; row < end; row++)
                TILE(1);
#undef TILE
        }
    }
}

/* packed [ceil(outputs / PANEL), channels, PANEL] of weight [channels, outputs], filled up with zeros */
void pack(const float *weight, int64_t channels, int64_t outputs, float *packed) {
    for (int64_t output = 0; output < outputs; output += PANEL)
        for (int64_t k = 0; k < channels; k++)
            for (int64_t lane = 0; lane < PANEL; lane++)
                *packed++ = output + lane < outputs ? weight[k * outputs + output + lane] : 0.0f;
}

int panel_width(void) { return PANEL; }

/* out [rows, outputs] = activation(x [rows, channels] W + base); base has a row for each one, one for all (stride 0) or
   is null. */
void product(const float *x, int64_t stride, const float *packed, const float *base, int64_t base_stride, float *out,
             int64_t rows, int64_t channels, int64_t outputs, int activation, float alpha) {
    if (activation == RELU)
        panels(x, stride, packed, base, base_stride, out, rows, channels, outputs, RELU, alpha);
    else if (activation == ELU)
        panels(x, stride, packed, base, base_stride, out, rows, channels, outputs, ELU, alpha);
    else
        panels(x, stride, packed, base, base_stride, out, rows, channels, outputs, NONE, alpha);
}
