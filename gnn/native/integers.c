/* Programs of rows: products and sums of whole numbers with what stands between them, some rows at a time, so that between
   two quantizers nothing is written but bytes. */
#include "vectors.h"
#include <float.h>
#include <stdlib.h>
/* A product that is added at once is not rounded in between as PyTorch rounds it, and then another code is the nearest. */
#pragma GCC optimize("fp-contract=off")

#define ROWS (LANES == 16 ? 12 : 6)
#define PANEL (2 * LANES)
/* Rows at a time, and the multiple of channels that buffers and what is read by channel are filled up to. */
#define BLOCK 24
#define PADDING 32

/* How many products one instruction adds up: of bytes, or of 16 bits, which are exact everywhere. */
#ifndef QUADS
#if LANES == 16 && defined(__AVX512VNNI__)
#define QUADS 1
#else
#define QUADS 0
#endif
#endif
#define GROUP (QUADS ? 4 : 2)
#if QUADS
typedef uint8_t input;
#else
typedef int16_t input;
#endif

typedef int32_t word __attribute__((may_alias, aligned(1)));
typedef int32_t unaligned_whole __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint8_t bytes __attribute__((vector_size(LANES)));
typedef uint8_t unaligned_bytes __attribute__((vector_size(LANES), aligned(1), may_alias));
typedef input inputs __attribute__((vector_size(LANES * sizeof(input))));
typedef input unaligned_inputs __attribute__((vector_size(LANES * sizeof(input)), aligned(1), may_alias));

enum kind {
    READ, READ_BYTES, ADD, ADD_BYTES, SUM, SUM_BYTES, MULTIPLY, CHANGE, ACTIVATE, WRITE, WRITE_BYTES
};

struct grid {
    float inverse, zero, lowest, highest, scale;
};

/* `data` are rows, a table or a weight in panels. The grid is that of what is read, multiplied or written; with a `table`
   its code is looked up once more. What is by channel is `plus`, `scale` and `shift` of the numbers before, as `parts`
   says, and `unit`, `zero` and `offset` of a weight. */
struct step {
    int64_t kind, width, parts, activation;
    const void *data, *plus, *scale, *shift, *unit, *zero, *offset, *table;
    const int32_t *pointer, *column;
    const void *value;
    struct grid first, grid;
    float alpha;
};

static inline whole load_whole(const int32_t *from) { return *(const unaligned_whole *)from; }
static inline whole spread_whole(int32_t value) { return value - (whole){0}; }
static inline int64_t padded(int64_t width) { return (width + PADDING - 1) / PADDING * PADDING; }

/* Whole numbers from 0 to 255 as bytes or as inputs, and bytes as whole numbers; the compiler takes detours. */
static inline void store_bytes(uint8_t *to, whole value) {
#if LANES == 8 && defined(__AVX2__)
    const __m128i half = _mm_packus_epi32(_mm256_castsi256_si128((__m256i)value), _mm256_extracti128_si256((__m256i)value, 1));
    _mm_storel_epi64((void *)to, _mm_packus_epi16(half, half));
#else
    *(unaligned_bytes *)to = __builtin_convertvector(value, bytes);
#endif
}

static inline void store_inputs(input *to, whole value) {
#if LANES == 8 && defined(__AVX2__) && !QUADS
    _mm_storeu_si128((void *)to, _mm_packus_epi32(_mm256_castsi256_si128((__m256i)value),
                                                  _mm256_extracti128_si256((__m256i)value, 1)));
#else
    *(unaligned_inputs *)to = __builtin_convertvector(value, inputs);
#endif
}

static inline whole load_bytes(const uint8_t *from) {
#if LANES == 8 && defined(__AVX2__)
    return (whole)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)from));
#else
    return __builtin_convertvector(*(const unaligned_bytes *)from, whole);
#endif
}

/* sum + the products of the parts of two words */
static inline whole plus_products(whole sum, whole x, whole weight) {
#if QUADS && defined(__AVX512VNNI__) && LANES == 16
    return (whole)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)x, (__m512i)weight);
#elif QUADS
    for (int part = 0; part < 32; part += 8)
        sum += (x >> part & 255) * (weight << (24 - part) >> 24);
    return sum;
#elif LANES == 16 && defined(__AVX512BW__)
    return sum + (whole)_mm512_madd_epi16((__m512i)x, (__m512i)weight);
#elif LANES == 8 && defined(__AVX2__)
    return sum + (whole)_mm256_madd_epi16((__m256i)x, (__m256i)weight);
#else
    return sum + (x << 16 >> 16) * (weight << 16 >> 16) + (x >> 16) * (weight >> 16);
#endif
}

/* The steps on a grid that are nearest, halves to even, as numbers beyond 2^23, whose last bits are whole. */
static inline vector nearest(vector x, const struct grid *grid) {
    x = x * grid->inverse + grid->zero;
    return LESSER(spread(grid->highest), GREATER(spread(grid->lowest), x)) + 12582912.0f;
}

static inline whole codes(vector x, const struct grid *grid) {
    return (whole)nearest(x, grid) - (0x4b400000 + (int32_t)grid->lowest);
}

/* What happens to each number of a row: x + plus, onto a first grid, x scale + shift, as far as the step has them, and
   then what the row becomes. Whatever is not finite makes `wrong` NaN. */
enum part { PLUS = 1, FIRST = 2, SCALED = 4 };
enum result { FLOATS, INPUTS, BYTES };

static inline __attribute__((always_inline)) void change_as(
    const int parts, const enum result result, const struct step *step, const float *rows, int64_t count, int64_t width,
    int64_t stride, void *to, int64_t to_stride) {
    const struct grid first = step->first, grid = step->grid;
    const float *plus = step->plus, *scale = step->scale, *shift = step->shift;
    for (int64_t row = 0; row < count; row++)
        for (int64_t at = 0; at < width; at += LANES) {
            vector value = load(rows + row * stride + at);
            if (parts & PLUS)
                value += load(plus + at);
            if (parts & FIRST)
                value = (nearest(value, &first) - (12582912.0f + first.zero)) * first.scale;
            if (parts & SCALED)
                value = value * load(scale + at) + load(shift + at);
            if (result == FLOATS)
                store((float *)to + row * to_stride + at, value);
            else if (result == INPUTS)
                store_inputs((input *)to + row * to_stride + at, codes(value, &grid));
            else
                store_bytes((uint8_t *)to + row * to_stride + at, codes(value, &grid));
        }
}

static inline __attribute__((always_inline)) void change(
    const enum result result, const struct step *step, const float *rows, int64_t count, int64_t width, int64_t stride,
    void *to, int64_t to_stride) {
    switch (step->parts) {
#define CASE(parts)                                                                                                    \
    case parts:                                                                                                        \
        change_as(parts, result, step, rows, count, width, stride, to, to_stride);                                     \
        break;
        CASE(0) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7)
#undef CASE
    }
}

/* Some rows of one panel: every sum in a register. */
static inline __attribute__((always_inline)) void tile(
    const int rows, const input *x, int64_t stride, const int32_t *panel, int64_t words, const int32_t *shift,
    const int32_t *offset, const int32_t *total, const float *scale, float *out) {
    whole sum[ROWS][2];
#pragma GCC unroll 12
    for (int row = 0; row < rows; row++) {
        sum[row][0] = load_whole(shift), sum[row][1] = load_whole(shift + LANES);
        if (offset) {
            sum[row][0] += load_whole(offset) * total[row];
            sum[row][1] += load_whole(offset + LANES) * total[row];
        }
    }
    for (int64_t k = 0; k < words; k++) {
        const whole left = load_whole(panel + k * PANEL), right = load_whole(panel + k * PANEL + LANES);
#pragma GCC unroll 12
        for (int row = 0; row < rows; row++) {
            const whole value = spread_whole(*(const word *)(x + row * stride + k * GROUP));
            sum[row][0] = plus_products(sum[row][0], value, left);
            sum[row][1] = plus_products(sum[row][1], value, right);
        }
    }
#pragma GCC unroll 12
    for (int row = 0; row < rows; row++) {
        store(out + row * stride, __builtin_convertvector(sum[row][0], vector) * load(scale));
        store(out + row * stride + LANES, __builtin_convertvector(sum[row][1], vector) * load(scale + LANES));
    }
}

/* rows [rows, stride] times a weight in panels, in place; `x` has room for their codes. */
static void multiply(const struct step *step, float *rows, int64_t count, int64_t width, int64_t stride, input *x) {
    const int64_t words = (width + GROUP - 1) / GROUP;
    int32_t total[BLOCK] = {0};
    change(INPUTS, step, rows, count, padded(width), stride, x, stride);
    const uint8_t *table = step->table;
    for (int64_t row = 0; row < count && table; row++)
        for (int64_t at = row * stride; at < row * stride + width; at++)
            x[at] = table[(uint8_t)x[at]];
    for (int64_t row = 0; row < count && step->offset; row++)
        for (int64_t at = row * stride; at < row * stride + width; at++)
            total[row] += x[at];
    for (int64_t output = 0; output < step->width; output += PANEL) {
        const int32_t *panel = (const int32_t *)step->data + output * words;
        const int32_t *offset = step->offset ? (const int32_t *)step->offset + output : 0;
        int64_t row = 0;
#define TILE(some)                                                                                                     \
    tile(some, x + row * stride, stride, panel, words, (const int32_t *)step->zero + output, offset, total + row,      \
         (const float *)step->unit + output, rows + row * stride + output)
        for (; row + ROWS <= count; row += ROWS)
            TILE(ROWS);
        for (; row + 2 <= count; row += 2)
            TILE(2);
        for (; row < count; row++)
            TILE(1);
#undef TILE
    }
}

/* `count` vectors of one row: the sums of its entries stay in registers. */
static inline __attribute__((always_inline)) void strip(
    const int count, const int weighs, const uint8_t *table, int64_t width, const int32_t *column, const int32_t *value,
    int32_t begin, int32_t end, int32_t less, float scale, float *out) {
    whole sum[8];
#pragma GCC unroll 8
    for (int part = 0; part < count; part++)
        sum[part] = spread_whole(-less);
    for (int32_t entry = begin; entry < end; entry++) {
        const uint8_t *row = table + column[entry] * width;
        const whole weight = spread_whole(weighs ? value[entry] : 1);
#pragma GCC unroll 8
        for (int part = 0; part < count; part++)
            sum[part] += weighs ? load_bytes(row + part * LANES) * weight : load_bytes(row + part * LANES);
    }
#pragma GCC unroll 8
    for (int part = 0; part < count; part++)
        store(out + part * LANES, __builtin_convertvector(sum[part], vector) * scale);
}

static inline __attribute__((always_inline)) void sums_of_bytes(
    const int weighs, const struct step *step, int64_t first, int64_t count, float *out, int64_t stride) {
    const int32_t *pointer = step->pointer, *column = step->column, *value = step->value;
    const int64_t width = step->width;
    for (int64_t row = first; row < first + count; row++, out += stride) {
        const int32_t begin = pointer[row], end = pointer[row + 1];
        int32_t less = weighs ? 0 : end - begin;
        for (int32_t entry = begin; weighs && entry < end; entry++)
            less += value[entry];
        less *= (int32_t)step->grid.zero;
        const uint8_t *table = step->data;
        int64_t at = 0;
#define STRIP(vectors)                                                                                                 \
    strip(vectors, weighs, table + at, width, column, value, begin, end, less, step->grid.scale, out + at)
        for (; at + 8 * LANES <= width; at += 8 * LANES)
            STRIP(8);
        for (; at + 2 * LANES <= width; at += 2 * LANES)
            STRIP(2);
        for (; at + LANES <= width; at += LANES)
            STRIP(1);
#undef STRIP
        for (; at < width; at++) {
            int32_t sum = -less;
            for (int32_t entry = begin; entry < end; entry++)
                sum += table[column[entry] * width + at] * (weighs ? value[entry] : 1);
            out[at] = (float)sum * step->grid.scale;
        }
    }
}

void aggregate(const int32_t *pointer, const int32_t *column, const float *value, const float *table, int64_t rows,
               int64_t width, const float *base, int64_t base_stride, float *out, int activation, float alpha);

static inline __attribute__((always_inline)) void read_bytes(
    const int adds, const struct step *step, int64_t first, int64_t count, float *out, int64_t stride) {
    const float zero = step->grid.zero, scale = step->grid.scale;
    const int64_t width = step->width;
    const uint8_t *from = (const uint8_t *)step->data + first * width;
    for (int64_t row = 0; row < count; row++, from += width, out += stride) {
        int64_t at = 0;
        for (; at + LANES <= width; at += LANES) {
            const vector value = (__builtin_convertvector(load_bytes(from + at), vector) - zero) * scale;
            store(out + at, adds ? load(out + at) + value : value);
        }
        for (; at < width; at++) {
            const float value = ((float)from[at] - zero) * scale;
            out[at] = adds ? out[at] + value : value;
        }
    }
}

/* What rows begin with, or have added; the squares of numbers are added to `squares`. */
static void read(const struct step *step, int64_t first, int64_t count, float *out, int64_t stride, vector *squares) {
    const int64_t width = step->width;
    if (step->kind == READ_BYTES)
        read_bytes(0, step, first, count, out, stride);
    else if (step->kind == ADD_BYTES)
        read_bytes(1, step, first, count, out, stride);
    else if (step->kind == SUM_BYTES && step->value)
        sums_of_bytes(1, step, first, count, out, stride);
    else if (step->kind == SUM_BYTES)
        sums_of_bytes(0, step, first, count, out, stride);
    else
        for (int64_t row = first; row < first + count; row++, out += stride) {
            const float *from = (const float *)step->data + row * width;
            if (step->kind == SUM && row == first && stride == width)
                aggregate(step->pointer + row, step->column, step->value, step->data, count, width, 0, 0, out, NONE, 0.0f);
            else if (step->kind == SUM && stride != width)
                aggregate(step->pointer + row, step->column, step->value, step->data, 1, width, 0, 0, out, NONE, 0.0f);
            else if (step->kind == READ)
                memcpy(out, from, width * sizeof(float));
            else if (step->kind == ADD)
                for (int64_t at = 0; at < width; at++)
                    out[at] += from[at];
            for (int64_t at = 0; at < padded(width); at += LANES)
                *squares += load(out + at) * load(out + at);
        }
}

/* PyTorch rounds an exponential in its own way anyway. */
__attribute__((noinline, optimize("fp-contract=fast"))) static void activate(const struct step *step, float *rows,
                                                                             int64_t count, int64_t stride) {
    for (float *row = rows; row < rows + count * stride; row += stride)
        for (int64_t at = 0; at < step->width; at += LANES)
            if (step->activation == RELU)
                store(row + at, activated(load(row + at), RELU, 0.0f));
            else
                store(row + at, activated(load(row + at), ELU, step->alpha));
}

static void write(const struct step *step, int64_t first, const float *rows, int64_t count, int64_t stride,
                  uint8_t *buffer) {
    const int64_t width = step->width;
    if (step->kind == WRITE) {
        for (int64_t row = 0; row < count; row++)
            memcpy((float *)step->data + (first + row) * width, rows + row * stride, width * sizeof(float));
        return;
    }
    uint8_t *to = (uint8_t *)step->data + first * width;
    const uint8_t *table = step->table;
    if (!table && width % LANES == 0) {
        change(BYTES, step, rows, count, width, stride, to, width);
        return;
    }
    change(BYTES, step, rows, count, padded(width), stride, buffer, stride);
    for (int64_t row = 0; row < count; row++)
        for (int64_t at = 0; at < width; at++) {
            const uint8_t code = buffer[row * stride + at];
            to[row * width + at] = table ? table[code] : code;
        }
}

/* How weights lie: how many channels are side by side in a word. */
int integer_group(void) { return GROUP; }

/* Compute rows by steps, the last of which writes them. Returns 1, and has written nothing of use, where memory is
   lacking, or a number that was read for a code is not finite or so large that its square is not. */
int compute_rows(const struct step *steps, int64_t count, int64_t rows) {
    int64_t stride = 0;
    int codes = steps[count - 1].kind == WRITE_BYTES;
    for (int64_t step = 0; step < count; step++) {
        stride = padded(steps[step].width) > stride ? padded(steps[step].width) : stride;
        codes |= steps[step].kind == MULTIPLY;
    }
    float *block = calloc(BLOCK * stride, sizeof(float) + sizeof(input));
    if (!block)
        return 1;
    input *x = (input *)(block + BLOCK * stride);
    vector squares = {0};
    for (int64_t first = 0; first < rows; first += BLOCK) {
        const int64_t some = rows - first < BLOCK ? rows - first : BLOCK;
        int64_t width = steps[0].width;
        for (const struct step *step = steps; step < steps + count; step++) {
            if (step->kind == MULTIPLY) {
                multiply(step, block, some, width, stride, x);
                width = step->width;
                continue;
            }
            if (step->kind == CHANGE)
                change(FLOATS, step, block, some, padded(width), stride, block, stride);
            else if (step->kind == ACTIVATE)
                activate(step, block, some, stride);
            else if (step->kind <= SUM_BYTES)
                read(step, first, some, block, stride, &squares);
            else
                write(step, first, block, some, stride, (uint8_t *)x);
        }
    }
    free(block);
    for (int lane = 0; lane < LANES; lane++)
        if (codes && !(squares[lane] <= FLT_MAX))
            return 1;
    return 0;
}
