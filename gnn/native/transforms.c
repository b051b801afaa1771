/* Functions of single numbers. */
#include "vectors.h"

/* ln(x) for positive normal x: its exponent, and Cephes' polynomial of its mantissa around 1. */
static inline vector logarithm(vector x) {
    const whole bits = (whole)x;
    const vector mantissa = (vector)((bits & 0x007fffff) | 0x3f000000);
    const whole low = mantissa < spread(0.70710678f);
    const vector exponent = __builtin_convertvector((bits >> 23) - 126 + low, vector);
    const vector m = chosen(low, mantissa + mantissa, mantissa) - 1.0f, square = m * m;
    vector y = spread(7.0376836e-2f);
    y = y * m - 1.1514610e-1f;
    y = y * m + 1.1676999e-1f;
    y = y * m - 1.2420141e-1f;
    y = y * m + 1.4249323e-1f;
    y = y * m - 1.6668058e-1f;
    y = y * m + 2.0000715e-1f;
    y = y * m - 2.4999994e-1f;
    y = y * m + 3.3333331e-1f;
    y = y * m * square - exponent * 2.12194440e-4f - 0.5f * square;
    return m + y + exponent * 0.693359375f;
}

/* ln(|x| + sqrt(x^2 + 1)) with the sign of x, by its series near 0 and as ln(2 |x|) far from it. */
static inline vector asinh_of(vector x) {
    const vector size = (vector)((whole)x & 0x7fffffff), square = size * size;
    const vector series = size * (1.0f - square * (1.66666667e-1f - square * 7.5e-2f));
    const whole far = size > spread(1e4f);
    vector root = square + 1.0f;
    for (int lane = 0; lane < LANES; lane++)
        root[lane] = __builtin_sqrtf(root[lane]);
    vector result = logarithm(chosen(far, size, size + root));
    result = chosen(far, result + 0.69314718f, chosen(size < spread(0.05f), series, result));
    result = (vector)((whole)result | ((whole)x & (int32_t)0x80000000));
    /* Infinity and NaN stay what they are. */
    return chosen(size < spread(__builtin_inff()), result, x);
}

#define FOR_ALL(computed)                                                                                              \
    for (int64_t at = 0; at < count; at += LANES) {                                                                    \
        vector value = {0};                                                                                            \
        const int64_t left = count - at < LANES ? count - at : LANES;                                                  \
        memcpy(&value, x + at, left * sizeof(float));                                                                  \
        value = computed;                                                                                              \
        memcpy(out + at, &value, left * sizeof(float));                                                                \
    }

/* out [count] = the function of x [count]; both may be the same numbers. */
void transform(const float *x, float *out, int64_t count, int function, float alpha) {
    if (function == RELU)
        FOR_ALL(activated(value, RELU, alpha))
    else if (function == ELU)
        FOR_ALL(activated(value, ELU, alpha))
    else
        FOR_ALL(asinh_of(value))
}
