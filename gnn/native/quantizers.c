/* Fake quantization and the ranges that it follows, in one pass each: to the bit what PyTorch gives in one pass for every
   operation. */
#include "vectors.h"
/* A product that is added at once is not rounded in between as PyTorch rounds it, and then another code is the nearest. */
#pragma GCC optimize("fp-contract=off")

#define MAGNITUDE 0x7fffffff
/* The nearest whole number, halves to the even one; zeros keep their sign. */
#if LANES == 16 && defined(__AVX512F__)
#define NEAREST_BELOW(x) ((vector)_mm512_roundscale_ps((__m512)(x), _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC))
#define NEAREST(x) ((vector)_mm512_roundscale_ps((__m512)(x), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))
#elif LANES == 8 && defined(__AVX2__)
#define NEAREST_BELOW(x) ((vector)_mm256_round_ps((__m256)(x), _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC))
#define NEAREST(x) ((vector)_mm256_round_ps((__m256)(x), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))
#define ANY(condition) _mm256_movemask_ps((__m256)(condition))
#else
#define NEAREST_BELOW(x) nearest_below(x)
#define NEAREST(x) nearest(x)
#endif

#ifndef ANY
#define ANY(condition) sum_of(condition)
#endif

/* Beyond 2^23 the last bit is whole, and from 2^22 on what is left of the sum may not be. */
static inline __attribute__((unused)) vector nearest(vector x) {
    const vector size = (vector)((whole)x & MAGNITUDE), moved = size + 8388608.0f - 8388608.0f;
    return chosen(size < 8388608.0f, (vector)((whole)moved | ((whole)x & ~MAGNITUDE)), x);
}

/* Of numbers that are not negative. */
static inline __attribute__((unused)) vector nearest_below(vector x) {
    const vector whole_number = nearest(x);
    return whole_number - chosen(whole_number > x, spread(1.0f), spread(0.0f));
}

static inline vector some(const float *from, int64_t count) {
    vector value = {0};
    memcpy(&value, from, count * sizeof(float));
    return value;
}

static inline int64_t sum_of(whole value) {
    int64_t sum = 0;
    for (int lane = 0; lane < LANES; lane++)
        sum += value[lane];
    return sum;
}

static inline vector quantized(vector x, float inverse, float zero, float lowest, float highest, float scale) {
    x = NEAREST(x * inverse + zero);
    return (LESSER(spread(highest), GREATER(spread(lowest), x)) - zero) * scale;
}

/* out [count] = (clamp(round(x inverse + zero)) - zero) scale */
void fake_quantize(const float *x, float *out, int64_t count, float inverse, float zero, float lowest, float highest,
                   float scale) {
    int64_t at = 0;
    for (; at + LANES <= count; at += LANES)
        store(out + at, quantized(load(x + at), inverse, zero, lowest, highest, scale));
    const vector last = quantized(some(x + at, count - at), inverse, zero, lowest, highest, scale);
    memcpy(out + at, &last, (count - at) * sizeof(float));
}

static inline vector inside(vector gradient, vector out, float lowest, float highest) {
    return (vector)((whole)gradient & (out > lowest) & (out < highest));
}

/* to [count] = the gradient where lowest < out < highest, else 0 */
void clip_gradient(const float *gradient, const float *out, float *to, int64_t count, float lowest, float highest) {
    int64_t at = 0;
    for (; at + LANES <= count; at += LANES)
        store(to + at, inside(load(gradient + at), load(out + at), lowest, highest));
    const vector last = inside(some(gradient + at, count - at), some(out + at, count - at), lowest, highest);
    memcpy(to + at, &last, (count - at) * sizeof(float));
}

/* The `chosen` [count] of the rows of [rows, width]; 0 where there is no such row. */
int copy_rows(const float *from, float *to, int64_t rows, int64_t width, const int64_t *chosen, int64_t count) {
    for (int64_t at = 0; at < count; at++) {
        if (chosen[at] < 0 || chosen[at] >= rows)
            return 0;
        memcpy(to + chosen[at] * width, from + chosen[at] * width, width * sizeof(float));
    }
    return 1;
}

struct seen {
    vector least, most;
    whole wrong, below, above;
    int64_t more_below, more_above;
};

/* What there is among [count] numbers: the ends, whether one is NaN, and each number beyond `low` and `high` as often as
   `times` says. */
static inline __attribute__((always_inline)) void look(struct seen *seen, const float *x, int64_t count, const int counting,
                                                       int32_t times, float low, float high) {
    vector least = seen->least, most = seen->most;
    whole wrong = seen->wrong, below = seen->below, above = seen->above;
    int64_t at = 0;
    for (; at + LANES <= count; at += LANES) {
        const vector value = load(x + at);
        least = LESSER(value, least), most = GREATER(value, most), wrong |= value != value;
        if (counting)
            below += (value < low) & times, above += (value > high) & times;
    }
    for (; at < count; at++) {
        const vector value = spread(x[at]);
        least = LESSER(value, least), most = GREATER(value, most), wrong |= value != value;
        if (counting)
            seen->more_below += x[at] < low ? times : 0, seen->more_above += x[at] > high ? times : 0;
    }
    seen->least = least, seen->most = most;
    seen->wrong = wrong, seen->below = below, seen->above = above;
}

static inline void add_up(struct seen *seen) {
    seen->more_below += sum_of(seen->below), seen->more_above += sum_of(seen->above);
    seen->below = seen->above = (whole){0};
}

/* The ends of [rows, width], inf and -inf where there is nothing and NaN where one of them is. Each row counts `repeats`
   [rows] times, once without them, and one that counts zero times is not there.

   When `counting`, the ends are those of all rows, and `counts` are the values below `low`, those above `high` and all. A
   row that counts too often for that gives NaN. */
void observe(const float *x, int64_t rows, int64_t width, const int64_t *repeats, int counting, float low, float high,
             float *ends, int64_t *counts) {
    struct seen seen = {spread(__builtin_inff()), spread(-__builtin_inff())};
    if (!repeats)
        width *= rows, rows = 1;
    const int64_t most = repeats ? (1 << 30) / (width / LANES + 1) : 1;
    int64_t total = 0, pending = 0;
    for (int64_t row = 0; row < rows; row++) {
        const int64_t times = repeats ? repeats[row] : 1;
        if (!counting) {
            if (times)
                look(&seen, x + row * width, width, 0, 0, 0, 0);
            continue;
        }
        if (times > most)
            seen.wrong = seen.wrong | -1;
        if (pending + times > most) {
            add_up(&seen);
            pending = 0;
        }
        pending += times, total += times * width;
        look(&seen, x + row * width, width, 1, times, low, high);
    }
    add_up(&seen);
    float least = seen.least[0], largest = seen.most[0];
    for (int lane = 1; lane < LANES; lane++) {
        least = seen.least[lane] < least ? seen.least[lane] : least;
        largest = seen.most[lane] > largest ? seen.most[lane] : largest;
    }
    const float wrong = sum_of(seen.wrong) ? __builtin_nanf("") : 0.0f;
    ends[0] = least + wrong, ends[1] = largest + wrong;
    counts[0] = seen.more_below, counts[1] = seen.more_above, counts[2] = total;
}

/* The values of rows that count which are above an end, or below it, and how often each counts; how many there are. */
int64_t beyond(const float *x, int64_t rows, int64_t width, const int64_t *repeats, float end, int above, float *values,
               int64_t *times) {
    int64_t found = 0;
    if (!repeats)
        width *= rows, rows = 1;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t at = row * width; (!repeats || repeats[row]) && at < (row + 1) * width;) {
            if (at + LANES <= (row + 1) * width) {
                const vector value = load(x + at);
                if (!ANY(above ? value > end : value < end)) {
                    at += LANES;
                    continue;
                }
            }
            for (const int64_t stop = at + LANES; at < stop && at < (row + 1) * width; at++)
                if (above ? x[at] > end : x[at] < end) {
                    if (repeats)
                        times[found] = repeats[row];
                    values[found++] = x[at];
                }
        }
    return found;
}

static inline vector sign_of(vector x) {
    const vector zero = {0};
    return __builtin_convertvector((x < zero) - (x > zero), vector);
}

static inline vector magnitude_of(vector x) { return (vector)((whole)x & MAGNITUDE); }

static inline vector take(const float *from, int64_t count) { return count == LANES ? load(from) : some(from, count); }

static inline void give(float *to, vector value, int64_t count) {
    if (count == LANES)
        store(to, value);
    else
        memcpy(to, &value, count * sizeof(float));
}

enum written { QUANTIZED, ERRORS, WEIGHTED };

static inline __attribute__((always_inline)) int learn_as(
    const enum written written, const int by_column, const float *x, int64_t rows, int64_t width, const float *scale,
    const float *largest, const float *positive, float *quantized, float *error, float *outside, float *of_outside) {
    whole wrong = {0};
    for (int64_t row = 0; row < rows; row++)
        for (int64_t from = 0; from < width; from += LANES) {
            const int64_t count = width - from < LANES ? width - from : LANES, at = row * width + from;
#define OF_GRID(part) (by_column ? take(part + from, count) : spread(part[row]))
            const vector value = take(x + at, count), unit = OF_GRID(scale), limit = unit * OF_GRID(largest);
            const vector clipped = LESSER(GREATER(value, -limit), limit), steps = clipped / unit;
            const vector codes = NEAREST_BELOW(magnitude_of(steps) + 0.5f) * sign_of(steps), out = codes * unit;
            give(quantized + at, out, count);
            if (written == QUANTIZED)
                continue;
            const vector kept = positive ? OF_GRID(positive) : spread(1.0f);
            const vector beside = (codes - steps) * kept, side = sign_of(value - clipped * kept);
            const vector weight = written == WEIGHTED ? sign_of(out - value) : spread(1.0f);
            wrong |= (value - value) != 0.0f;
            give(error + at, weight * beside, count);
            give(outside + at, side, count);
            if (written == WEIGHTED)
                give(of_outside + at, weight * side, count);
        }
    return !sum_of(wrong);
}

/* Numbers [rows, width] on grids by row, or by column, with what gradients need: rounding errors in steps, and on which side
   of its range a number is. Both are 0 and outside where `positive` is 0, if it is given. With `of_outside` they are
   weighted by the sign of the error; without an `error` they are left out. Returns whether all numbers are finite. */
int learn_grids(const float *x, int64_t rows, int64_t width, const float *scale, const float *largest, const float *positive,
                int by_column, float *quantized, float *error, float *outside, float *of_outside) {
#define AS(written, by_column)                                                                                         \
    learn_as(written, by_column, x, rows, width, scale, largest, positive, quantized, error, outside, of_outside)
    if (by_column)
        return of_outside ? AS(WEIGHTED, 1) : error ? AS(ERRORS, 1) : AS(QUANTIZED, 1);
    return of_outside ? AS(WEIGHTED, 0) : error ? AS(ERRORS, 0) : AS(QUANTIZED, 0);
}

/* The `group` [rows] whose level is nearest to the largest magnitude of each of the rows [rows, width], of equals the first,
   which `first` [groups] has for the levels in their order; 0 where a number or a level is not finite. */
int nearest_level(const float *x, int64_t rows, int64_t width, const float *level, const int64_t *first, int64_t groups,
                  int64_t *group) {
    const float infinite = __builtin_inff();
    if (!(level[groups - 1] < infinite))
        return 0;
    for (int64_t row = 0; row < rows; row++) {
        vector most = {0};
        whole wrong = {0};
        float size = 0;
        for (int64_t at = 0; at < width; at += LANES) {
            const vector value = magnitude_of(take(x + row * width + at, width - at < LANES ? width - at : LANES));
            most = GREATER(most, value), wrong |= ~(value < infinite);
        }
        for (int lane = 0; lane < LANES; lane++)
            size = most[lane] > size ? most[lane] : size;
        if (ANY(wrong))
            return 0;
        int64_t above = 0;
        for (int64_t count = groups; count > 0;) {
            const int64_t half = count / 2, less = level[above + half] < size;
            above = less ? above + half + 1 : above;
            count = less ? count - half - 1 : half;
        }
        above = above < groups ? above : groups - 1;
        const int64_t below = above ? above - 1 : 0;
        const float up = (size - level[above]) * (size - level[above]), down = (size - level[below]) * (size - level[below]);
        group[row] = down < up || (down == up && first[below] < first[above]) ? first[below] : first[above];
    }
    return 1;
}
