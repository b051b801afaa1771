/* Attention over the entries of a sparse matrix: a score for each entry and head, the softmax of the scores of a row, and
   the sum of other rows that it weighs. */
#include <stdlib.h>

#include "vectors.h"

/* Scores of a block of rows, which stay in the first cache. */
#define CACHED_SCORES 2048

enum score { ADDITIVE = 0, MASKED = 1, SCALED = 2, DYNAMIC = 3 };

struct heads {
    enum score kind;
    int64_t count, channels, width;
    float slope;
    /* What a source and a target are multiplied with, [width] each. */
    const float *of_source, *of_target;
};

static inline float total(vector value) {
    float parts[LANES];
    store(parts, value);
#pragma GCC unroll 16
    for (int step = LANES / 2; step; step /= 2)
        for (int lane = 0; lane < step; lane++)
            parts[lane] += parts[lane + step];
    return parts[0];
}

static inline float dot(const float *left, const float *right, int64_t count) {
    vector sum = {0};
    int64_t at = 0;
    for (; at + LANES <= count; at += LANES)
        sum += load(left + at) * load(right + at);
    float rest = count >= LANES ? total(sum) : 0.0f;
    for (; at < count; at++)
        rest += left[at] * right[at];
    return rest;
}

static inline vector leaky(vector value, float slope) { return chosen(value > (vector){0}, value, value * slope); }

/* attention . LeakyReLU(source + target) */
static inline float dynamic(const float *attention, const float *source, const float *target, int64_t count, float slope) {
    vector sum = {0};
    int64_t at = 0;
    for (; at + LANES <= count; at += LANES)
        sum += load(attention + at) * leaky(load(source + at) + load(target + at), slope);
    float rest = count >= LANES ? total(sum) : 0.0f;
    for (; at < count; at++) {
        const float value = source[at] + target[at];
        rest += attention[at] * (value > 0.0f ? value : value * slope);
    }
    return rest;
}

/* The products of a row's heads with their attention, [heads] */
static inline void products(const float *row, const float *attention, const struct heads *heads, float *out) {
    for (int64_t head = 0; head < heads->count; head++)
        out[head] = dot(row + head * heads->channels, attention + head * heads->channels, heads->channels);
}

/* 1 / (1 + e^-x) */
static inline vector sigmoid(vector x) {
    const vector power = exp_of_negative((vector)((whole)x | (int32_t)0x80000000));
    return chosen(x < (vector){0}, power, spread(1.0f)) / (power + 1.0f);
}

/* The scores of a row's entries before LeakyReLU (for DYNAMIC after it), [entries, heads], and what MASKED multiplies. */
static inline __attribute__((always_inline)) void row_scores(
    const enum score kind, const struct heads *heads, const int32_t *column, int32_t begin, int32_t end,
    const float *source, const float *target, const float *of_sources, const float *own, const float *edge, float *score,
    float *mask) {
    const int64_t count = heads->count, channels = heads->channels, width = heads->width;
    const float scale = kind == SCALED ? 1.0f / __builtin_sqrtf((float)channels) : 1.0f;
    for (int32_t entry = begin; entry < end; entry++, score += count, mask += count) {
        const int64_t other = column[entry];
        for (int64_t head = 0; head < count; head++) {
            const float *from = source + other * width + head * channels, *to = target + head * channels;
            if (kind == ADDITIVE || kind == MASKED)
                score[head] = of_sources[other * count + head] + own[head] + (edge ? edge[entry * count + head] : 0.0f);
            if (kind == MASKED)
                mask[head] = dot(from, to, channels);
            if (kind == SCALED)
                score[head] = dot(from, to, channels) * scale;
            if (kind == DYNAMIC)
                score[head] = dynamic(heads->of_source + head * channels, from, to, channels, heads->slope);
        }
    }
}

/* LeakyReLU of so many scores, masked before. The buffers are as long as whole vectors. */
static inline void rectified(const struct heads *heads, float *score, const float *mask, int64_t count) {
    for (int64_t at = 0; at < count; at += LANES) {
        vector value = load(score + at);
        if (heads->kind == MASKED)
            value *= sigmoid(load(mask + at));
        store(score + at, heads->kind == DYNAMIC ? value : leaky(value, heads->slope));
    }
}

static inline void centred(float *score, int64_t heads, int64_t entries) {
    for (int64_t head = 0; head < heads; head++) {
        float largest = -__builtin_inff();
        for (int64_t entry = 0; entry < entries; entry++)
            largest = score[entry * heads + head] > largest ? score[entry * heads + head] : largest;
        for (int64_t entry = 0; entry < entries; entry++)
            score[entry * heads + head] -= largest;
    }
}

static inline void shared(float *power, int64_t heads, int64_t entries, float share) {
    for (int64_t head = 0; head < heads; head++) {
        float sum = 0.0f;
        for (int64_t entry = 0; entry < entries; entry++)
            sum += power[entry * heads + head];
        const float factor = share / sum;
        for (int64_t entry = 0; entry < entries; entry++)
            power[entry * heads + head] *= factor;
    }
}

/* `count` vectors of one row and head: the sums of its entries stay in registers. */
static inline __attribute__((always_inline)) void strip(
    const int count, const int32_t *column, int32_t entries, const float *weight, int64_t heads, const float *table,
    int64_t width, const float *base, float *out, enum activation activation, float alpha) {
    vector sum[8];
#pragma GCC unroll 8
    for (int part = 0; part < count; part++)
        sum[part] = base ? load(base + part * LANES) : (vector){0};
    for (int32_t entry = 0; entry < entries; entry++) {
        const vector share = spread(weight[entry * heads]);
        const float *row = table + column[entry] * width;
#pragma GCC unroll 8
        for (int part = 0; part < count; part++)
            sum[part] += share * load(row + part * LANES);
    }
#pragma GCC unroll 8
    for (int part = 0; part < count; part++)
        store(out + part * LANES, activated(sum[part], activation, alpha));
}

/* One row and head: activation(sum of weight * row + base), which may stand where `out` does. */
static inline __attribute__((always_inline)) void weighed(
    const int32_t *column, int32_t entries, const float *weight, const struct heads *heads, const float *table,
    const float *base, float *out, enum activation activation, float alpha) {
    const int64_t channels = heads->channels, width = heads->width;
    int64_t at = 0;
#define STRIP(vectors)                                                                                                 \
    strip(vectors, column, entries, weight, heads->count, table + at, width, base ? base + at : 0, out + at, activation, \
          alpha)
    for (; at + 8 * LANES <= channels; at += 8 * LANES)
        STRIP(8);
    for (; at + 4 * LANES <= channels; at += 4 * LANES)
        STRIP(4);
    for (; at + LANES <= channels; at += LANES)
        STRIP(1);
#undef STRIP
    const int64_t left = channels - at;
    if (!left)
        return;
    float sum[LANES] = {0};
    for (int64_t lane = 0; lane < left; lane++)
        sum[lane] = base ? base[at + lane] : 0.0f;
    for (int32_t entry = 0; entry < entries; entry++)
        for (int64_t lane = 0; lane < left; lane++)
            sum[lane] += weight[entry * heads->count] * table[column[entry] * width + at + lane];
    store(sum, activated(load(sum), activation, alpha));
    memcpy(out + at, sum, left * sizeof(float));
}

/* All heads of a row, side by side, or added up where there is one output for all. */
static inline __attribute__((always_inline)) void row_sum(
    const int32_t *column, int32_t entries, const float *weight, const struct heads *heads, const float *table,
    const float *base, float *out, int mean, enum activation activation, float alpha) {
    for (int64_t head = 0; head < heads->count; head++) {
        const int64_t at = mean ? 0 : head * heads->channels;
        const float *before = mean && head ? out : base ? base + at : 0;
        const float *from = table + head * heads->channels;
        if (mean && head + 1 < heads->count)
            weighed(column, entries, weight + head, heads, from, before, out, NONE, alpha);
        else
            weighed(column, entries, weight + head, heads, from, before, out + at, activation, alpha);
    }
}

static void scores_of(const struct heads *heads, const int32_t *column, int32_t begin, int32_t end, const float *source,
                      const float *target, const float *of_sources, float *own, const float *edge, float *score,
                      float *mask) {
#define SCORES(which)                                                                                                  \
    row_scores(which, heads, column, begin, end, source, target, of_sources, own, edge, score, mask)
    if (heads->kind == ADDITIVE || heads->kind == MASKED)
        products(target, heads->of_target, heads, own);
    if (heads->kind == ADDITIVE)
        SCORES(ADDITIVE);
    else if (heads->kind == MASKED)
        SCORES(MASKED);
    else if (heads->kind == SCALED)
        SCORES(SCALED);
    else
        SCORES(DYNAMIC);
#undef SCORES
}

/* out [rows, heads * channels], or [rows, channels] for the mean of the heads, = activation(sums + base): the sums are of
   the rows of source [columns, heads * channels], weighed by the softmax of what they and the rows of target
   [rows, heads * channels] say of each entry, and of edge [entries, heads] where there is one. `kind` says how:
   ADDITIVE: of_source . source + of_target . target + edge, MASKED: the same without edge times
   sigmoid(source . target), SCALED: source . target / sqrt(channels), all three with LeakyReLU; DYNAMIC: of_source .
   LeakyReLU(source + target). Returns 0, or 1 where memory is lacking. */
int attend(const int32_t *pointer, const int32_t *column, int64_t rows, const float *source, int64_t columns,
           const float *target, const float *edge, int kind, int64_t count, int64_t channels, const float *of_source,
           const float *of_target, float slope, const float *base, int64_t base_stride, float *out, int mean,
           int activation, float alpha) {
    const struct heads heads = {kind, count, channels, count * channels, slope, of_source, of_target};
    const int has_parts = kind == ADDITIVE || kind == MASKED;
    int64_t longest = 0;
    for (int64_t row = 0; row < rows; row++)
        longest = pointer[row + 1] - pointer[row] > longest ? pointer[row + 1] - pointer[row] : longest;
    const int64_t capacity = CACHED_SCORES + longest * count + LANES;
    float *memory = calloc(2 * capacity + count + (has_parts ? columns * count : 0), sizeof(float));
    if (!memory)
        return 1;
    float *score = memory, *mask = score + capacity, *own = mask + capacity, *of_sources = own + count;
    for (int64_t row = 0; has_parts && row < columns; row++)
        products(source + row * heads.width, of_source, &heads, of_sources + row * count);
    const int64_t outputs = mean ? channels : heads.width;
    for (int64_t first = 0, after; first < rows; first = after) {
        const int32_t begin = pointer[first];
        for (after = first; after < rows && (after == first || (pointer[after] - begin) * count < CACHED_SCORES); after++) {
            const int64_t place = (pointer[after] - begin) * count;
            scores_of(&heads, column, pointer[after], pointer[after + 1], source, target + after * heads.width, of_sources,
                      own, edge, score + place, mask + place);
        }
        const int64_t scores = (pointer[after] - begin) * count;
        rectified(&heads, score, mask, scores);
        for (int64_t row = first; row < after; row++)
            centred(score + (pointer[row] - begin) * count, count, pointer[row + 1] - pointer[row]);
        for (int64_t at = 0; at < scores; at += LANES)
            store(score + at, exp_of_negative(load(score + at)));
        for (int64_t row = first; row < after; row++) {
            const int32_t entries = pointer[row + 1] - pointer[row];
            float *weight = score + (pointer[row] - begin) * count;
            shared(weight, count, entries, mean ? 1.0f / (float)count : 1.0f);
#define ROW(which)                                                                                                     \
    row_sum(column + pointer[row], entries, weight, &heads, source, base ? base + row * base_stride : 0,               \
            out + row * outputs, mean, which, alpha)
            if (activation == RELU)
                ROW(RELU);
            else if (activation == ELU)
                ROW(ELU);
            else
                ROW(NONE);
#undef ROW
        }
    }
    free(memory);
    return 0;
}
