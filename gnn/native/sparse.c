/* x W + b with an activation, for a weight of which only what is not zero is read: many rows at once, one value each. */
#include "vectors.h"
#include <stdlib.h>

/* Vectors of sums that are added to at the same time, as many as additions need to be under way. */
#define SUMS (SPARSE_ROWS / LANES)
/* Numbers of a block of x that the first cache holds. */
#define CACHED_FLOATS 8192

/* Square tiles [LANES, LANES], rows to columns: halves of neighbours at a distance change places. */
static inline __attribute__((always_inline)) void turn(vector tile[LANES]) {
    whole lane;
    for (int at = 0; at < LANES; at++)
        lane[at] = at;
#pragma GCC unroll 4
    for (int distance = 1; distance < LANES; distance *= 2)
#pragma GCC unroll 16
        for (int row = 0; row < LANES; row++)
            if (!(row & distance)) {
                const vector a = tile[row], b = tile[row + distance];
                const whole second = (lane & distance) != 0;
                const whole low = (second & (lane - distance + LANES)) | (~second & lane);
                const whole high = (second & (lane + LANES)) | (~second & (lane + distance));
                tile[row] = __builtin_shuffle(a, b, low);
                tile[row + distance] = __builtin_shuffle(a, b, high);
            }
}

/* Up to LANES rows of up to LANES numbers each as a tile; what is not there is zero. */
static inline void read_tile(const float *from, int64_t stride, int64_t rows, int64_t width, vector tile[LANES]) {
    if (rows >= LANES && width >= LANES) {
#pragma GCC unroll 16
        for (int row = 0; row < LANES; row++)
            tile[row] = load(from + row * stride);
        return;
    }
    for (int64_t row = 0; row < LANES; row++) {
        tile[row] = (vector){0};
        if (row < rows)
            memcpy(&tile[row], from + row * stride, (width < LANES ? width : LANES) * sizeof(float));
    }
}

/* columns [channels, count vectors] of some rows of x; whether all of its numbers are finite, and their
   sums in tiles as well. */
static inline __attribute__((always_inline)) int turned_rows(
    const int count, const float *x, int64_t stride, int64_t rows, int64_t channels, float *columns) {
    vector zero = {0};
    for (int part = 0; part < count; part++)
        for (int64_t k = 0; k < channels; k += LANES) {
            vector tile[LANES];
            const int64_t some = channels - k < LANES ? channels - k : LANES;
            read_tile(x + part * LANES * stride + k, stride, rows - part * LANES, some, tile);
            vector even = tile[0], odd = tile[1];
#pragma GCC unroll 16
            for (int row = 2; row < LANES; row += 2)
                even += tile[row], odd += tile[row + 1];
            zero += 0.0f * (even + odd);
            turn(tile);
            float *to = columns + (k * count + part) * LANES;
            if (some == LANES)
#pragma GCC unroll 16
                for (int lane = 0; lane < LANES; lane++)
                    store(to + lane * count * LANES, tile[lane]);
            else
                for (int lane = 0; lane < some; lane++)
                    store(to + lane * count * LANES, tile[lane]);
        }
    for (int lane = 0; lane < LANES; lane++)
        if (zero[lane] != 0.0f)
            return 0;
    return 1;
}

/* sums [count vectors]: one output channel of all rows of a block. */
static inline __attribute__((always_inline)) void channel_sum(
    const int count, const int32_t *column, const float *value, int32_t entries, const float *columns, float *sums) {
    const int sets = SUMS / count;
    vector sum[SUMS] = {0};
    int32_t entry = 0;
    for (; entry + sets <= entries; entry += sets)
#pragma GCC unroll 8
        for (int set = 0; set < sets; set++) {
            const vector weight = spread(value[entry + set]);
            const float *from = columns + (int64_t)column[entry + set] * count * LANES;
#pragma GCC unroll 8
            for (int part = 0; part < count; part++)
                sum[set * count + part] += weight * load(from + part * LANES);
        }
    for (; entry < entries; entry++) {
        const vector weight = spread(value[entry]);
        const float *from = columns + (int64_t)column[entry] * count * LANES;
#pragma GCC unroll 8
        for (int part = 0; part < count; part++)
            sum[part] += weight * load(from + part * LANES);
    }
#pragma GCC unroll 8
    for (int part = 0; part < count; part++) {
#pragma GCC unroll 8
        for (int set = 1; set < sets; set++)
            sum[part] += sum[set * count + part];
        store(sums + part * LANES, sum[part]);
    }
}

static inline __attribute__((always_inline)) int block_product(
    const int count, const int32_t *pointer, const int32_t *column, const float *value, const float *x, int64_t stride,
    const float *base, int64_t base_stride, float *out, int64_t rows, int64_t channels, int64_t outputs,
    enum activation activation, float alpha, float *columns, float *sums) {
    if (!turned_rows(count, x, stride, rows, channels, columns))
        return 1;
    for (int64_t output = 0; output < outputs; output++) {
        const int32_t begin = pointer[output], end = pointer[output + 1];
        channel_sum(count, column + begin, value + begin, end - begin, columns, sums + output * count * LANES);
    }
    for (int part = 0; part < count; part++)
        for (int64_t output = 0; output < outputs; output += LANES) {
            const int64_t first = part * LANES, some = rows - first < LANES ? rows - first : LANES;
            const int64_t width = outputs - output < LANES ? outputs - output : LANES;
            vector tile[LANES];
#pragma GCC unroll 16
            for (int lane = 0; lane < LANES; lane++)
                tile[lane] = load(sums + ((output + lane) * count + part) * LANES);
            turn(tile);
            for (int64_t row = 0; row < some; row++) {
                vector added = {0};
                float *to = out + (first + row) * outputs + output;
                if (base && width == LANES)
                    added = load(base + (first + row) * base_stride + output);
                else if (base)
                    memcpy(&added, base + (first + row) * base_stride + output, width * sizeof(float));
                const vector result = activated(tile[row] + added, activation, alpha);
                if (width == LANES)
                    store(to, result);
                else
                    memcpy(to, &result, width * sizeof(float));
            }
        }
    return 0;
}

/* out [rows, outputs] = activation(x [rows, channels] W + base) for the columns of W as a matrix [outputs, channels] of
   what is not zero; base has a row for each one, one for all (stride 0) or is null. Returns 0, or 1 where memory is
   lacking or x has a number that is not finite, whose product with zero is not zero. */
int sparse_product(const float *x, int64_t stride, const int32_t *pointer, const int32_t *column, const float *value,
                   const float *base, int64_t base_stride, float *out, int64_t rows, int64_t channels, int64_t outputs,
                   int activation, float alpha) {
    /* Rows of x and of sums, channels first, which end in whole tiles. */
    float *columns = aligned_alloc(64, (channels + outputs + LANES) * SPARSE_ROWS * sizeof(float));
    float *sums = columns + channels * SPARSE_ROWS;
    int failed = !columns;
    const int64_t most = (channels + outputs) * SPARSE_ROWS <= CACHED_FLOATS ? SUMS : SUMS / 2;
    for (int64_t first = 0; first < rows && !failed;) {
        const int64_t left = rows - first, vectors = (left + LANES - 1) / LANES < most ? (left + LANES - 1) / LANES : most;
        const int count = vectors > 4 ? 8 : vectors > 2 ? 4 : (int)vectors;
        const int64_t some = left < count * LANES ? left : count * LANES;
#define BLOCK(count)                                                                                                   \
    failed = block_product(count, pointer, column, value, x + first * stride, stride,                                  \
                           base ? base + first * base_stride : 0, base_stride, out + first * outputs, some, channels,  \
                           outputs, activation, alpha, columns, sums)
        if (count == 8)
            BLOCK(8);
        else if (count == 4)
            BLOCK(4);
        else if (count == 2)
            BLOCK(2);
        else
            BLOCK(1);
#undef BLOCK
        first += some;
    }
    free(columns);
    return failed;
}
