/* Weighted sums of rows over the entries of a sparse matrix, with what is added and an activation, and maxima of rows. */
#include "vectors.h"

/* `count` vectors of one row: the sums of its entries stay in registers. */
static inline __attribute__((always_inline)) void strip(
    const int count, const int32_t *column, const float *value, int32_t begin, int32_t end, const float *table,
    int64_t width, const float *base, float *out, enum activation activation, float alpha) {
    vector sum[8];
#pragma GCC unroll 8
    for (int part = 0; part < count; part++)
        sum[part] = base ? load(base + part * LANES) : (vector){0};
    for (int32_t entry = begin; entry < end; entry++) {
        const vector weight = spread(value[entry]);
        const float *row = table + column[entry] * width;
#pragma GCC unroll 8
        for (int part = 0; part < count; part++)
            sum[part] += weight * load(row + part * LANES);
    }
#pragma GCC unroll 8
    for (int part = 0; part < count; part++)
        store(out + part * LANES, activated(sum[part], activation, alpha));
}

static inline __attribute__((always_inline)) void row_sum(
    const int32_t *column, const float *value, int32_t begin, int32_t end, const float *table, int64_t width,
    const float *base, float *out, enum activation activation, float alpha) {
    int64_t at = 0;
#define STRIP(count)                                                                                                   \
    strip(count, column, value, begin, end, table + at, width, base ? base + at : 0, out + at, activation, alpha)
    for (; at + 8 * LANES <= width; at += 8 * LANES)
        STRIP(8);
    for (; at + 2 * LANES <= width; at += 2 * LANES)
        STRIP(2);
    for (; at + LANES <= width; at += LANES)
        STRIP(1);
    if (at < width && width >= LANES) {
        /* The last channels once more with some that are done: one vector instead of single numbers. */
        at = width - LANES;
        STRIP(1);
        at = width;
    }
#undef STRIP
    for (; at < width; at++) {
        float sum = base ? base[at] : 0.0f;
        for (int32_t entry = begin; entry < end; entry++)
            sum += value[entry] * table[column[entry] * width + at];
        out[at] = activated(spread(sum), activation, alpha)[0];
    }
}

static inline __attribute__((always_inline)) void all_rows(
    const int32_t *pointer, const int32_t *column, const float *value, const float *table, int64_t rows, int64_t width,
    const float *base, int64_t base_stride, float *out, enum activation activation, float alpha) {
    for (int64_t row = 0; row < rows; row++)
        row_sum(column, value, pointer[row], pointer[row + 1], table, width, base ? base + row * base_stride : 0,
                out + row * width, activation, alpha);
}

/* out [rows, width] = activation(matrix @ table + base); base has a row for each one, or one for all (stride 0). */
void aggregate(const int32_t *pointer, const int32_t *column, const float *value, const float *table, int64_t rows,
               int64_t width, const float *base, int64_t base_stride, float *out, int activation, float alpha) {
    if (activation == RELU)
        all_rows(pointer, column, value, table, rows, width, base, base_stride, out, RELU, alpha);
    else if (activation == ELU)
        all_rows(pointer, column, value, table, rows, width, base, base_stride, out, ELU, alpha);
    else
        all_rows(pointer, column, value, table, rows, width, base, base_stride, out, NONE, alpha);
}

/* out [rows, width] = the largest value of each channel over the rows of a table that a row has, 0 where it has none. */
void maximum(const int32_t *pointer, const int32_t *column, const float *table, int64_t rows, int64_t width, float *out) {
    for (int64_t row = 0; row < rows; row++, out += width) {
        const int32_t begin = pointer[row], end = pointer[row + 1];
        for (int64_t at = 0; at < width; at++)
            out[at] = begin < end ? table[(column ? column[begin] : begin) * width + at] : 0.0f;
        for (int32_t entry = begin + 1; entry < end; entry++) {
            const float *from = table + (column ? column[entry] : entry) * width;
            for (int64_t at = 0; at < width; at++)
                out[at] = from[at] > out[at] || from[at] != from[at] ? from[at] : out[at];
        }
    }
}
