/* Fake quantization and the ranges that it follows, in one pass each: to the bit what PyTorch gives in one pass for every
   operation. */
#include "vectors.h"
/* A product that is added at once is not rounded in between as PyTorch rounds it, and then another code is the nearest. */
#pragma GCC optimize("fp-contract=off")

#define MAGNITUDE 0x7fffffff
/* The nearest whole number, halves to the even one; zeros keep their sign. */
#if LANES == 16 && defined(__AVX512F__)
#define NEAREST(x) ((vector)_mm512_roundscale_ps((__m512)(x), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))
#elif LANES == 8 && defined(__AVX2__)
#define NEAREST(x) ((vector)_mm256_round_ps((__m256)(x), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))
#define ANY(condition) _mm256_movemask_ps((__m256)(condition))
#else
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
