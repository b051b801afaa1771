/* Sums over neighbours and the products after them, some rows at a time, so that what lies between stays in the cache. */
#include "vectors.h"
#include <stdlib.h>

/* Numbers of a block of rows, before and after a product, that fit into the first cache with a panel of weights. */
#define CACHED_FLOATS 4096
/* Whole tiles of every width of vectors. */
#define TILES 12

void product(const float *x, int64_t stride, const float *packed, const float *base, int64_t base_stride, float *out,
             int64_t rows, int64_t channels, int64_t outputs, int activation, float alpha);
void aggregate(const int32_t *pointer, const int32_t *column, const float *value, const float *table, int64_t rows,
               int64_t width, const float *base, int64_t base_stride, float *out, int activation, float alpha);
int sparse_product(const float *x, int64_t stride, const int32_t *pointer, const int32_t *column, const float *value,
                   const float *base, int64_t base_stride, float *out, int64_t rows, int64_t channels, int64_t outputs,
                   int activation, float alpha);

/* A product with a weight in panels or, where there is a pointer, with what is not zero of it. */
struct step {
    const int32_t *pointer, *column;
    const float *packed, *base;
    int64_t base_stride, outputs, activation;
    double alpha;
};

/* out [rows, outputs of the last step] = the steps' products one after the other, of x [rows, channels], or of the
   matrix times x where there is one. Returns 0, or 1 where memory is lacking or a sparse product is impossible. */
int chain(const int32_t *pointer, const int32_t *column, const float *value, const float *x, int64_t rows,
          int64_t channels, const struct step *steps, int64_t count, float *out) {
    int64_t widest = channels;
    int sparse = 0, failed = 0;
    for (int64_t step = 0; step < count; step++) {
        widest = step + 1 < count && steps[step].outputs > widest ? steps[step].outputs : widest;
        sparse = sparse || steps[step].pointer;
    }
    int64_t block = sparse ? SPARSE_ROWS : CACHED_FLOATS / (widest + 1) / TILES * TILES;
    block = block < TILES ? TILES : block;
    float *both = malloc(2 * block * widest * sizeof(float));
    if (!both)
        return 1;
    const int64_t last = steps[count - 1].outputs;
    for (int64_t first = 0; first < rows && !failed; first += block) {
        const int64_t some = rows - first < block ? rows - first : block;
        const float *from = x + first * channels;
        int64_t width = channels, free_half = 0;
        if (pointer) {
            aggregate(pointer + first, column, value, x, some, channels, 0, 0, both, 0, 0.0f);
            from = both, free_half = 1;
        }
        for (int64_t step = 0; step < count && !failed; step++) {
            const struct step s = steps[step];
            float *to = step + 1 == count ? out + first * last : both + free_half * block * widest;
            const float *base = s.base ? s.base + first * s.base_stride : 0;
            if (s.pointer)
                failed = sparse_product(from, width, s.pointer, s.column, s.packed, base, s.base_stride, to, some, width,
                                        s.outputs, (int)s.activation, (float)s.alpha);
            else
                product(from, width, s.packed, base, s.base_stride, to, some, width, s.outputs, (int)s.activation,
                        (float)s.alpha);
            from = to, width = s.outputs, free_half = !free_half;
        }
    }
    free(both);
    return failed;
}
