/* Functions of one float32 that compilers turn into vector code. libm's would be called once an element and
 * differ from machine to machine; these give the same bits wherever fused multiply-add is. */

/* e^x by 2^n * e^r, |r| <= ln2/2, Taylor to the 7th power; error below 2 units in the last place. */
INLINE float exp_f32(float x) {
    x = x < -104.0f ? -104.0f : x;
    x = x > 104.0f ? 104.0f : x;
    const float shifted = FMA_f32(x, 1.44269504f, 12582912.0f);
    const float n = shifted - 12582912.0f;
    float r = FMA_f32(n, -0.693145752f, x);
    r = FMA_f32(n, -1.42860677e-6f, r);
    float p = 1.0f / 5040;
    p = FMA_f32(p, r, 1.0f / 720);
    p = FMA_f32(p, r, 1.0f / 120);
    p = FMA_f32(p, r, 1.0f / 24);
    p = FMA_f32(p, r, 1.0f / 6);
    p = FMA_f32(p, r, 0.5f);
    p = FMA_f32(p, r, 1.0f);
    p = FMA_f32(p, r, 1.0f);
    /* 2^n in two factors: either may be at the edge of what a float holds. A NaN comes through p. */
    const int32_t whole = x == x ? (int32_t)n : 0, half = whole / 2;
    const int32_t a = (half + 127) << 23, b = (whole - half + 127) << 23;
    float fa, fb;
    memcpy(&fa, &a, 4);
    memcpy(&fb, &b, 4);
    return p * fa * fb;
}

INLINE float sigmoid_f32(float x) { return 1.0f / (1.0f + exp_f32(-x)); }

INLINE float tanh_f32(float x) {
    const float a = fabsf(x), z = x * x;
    /* Near zero 1 - 2 / (e^2a + 1) would lose every digit: continued fraction of tanh instead. */
    const float near = x * (FMA_f32(z, z + 105.0f, 945.0f)) / (FMA_f32(z, FMA_f32(z, 15.0f, 420.0f), 945.0f));
    const float far = 1.0f - 2.0f / (exp_f32(2.0f * a) + 1.0f);
    return a < 0.6f ? near : copysignf(far, x);
}

/* Maclaurin series below 1, beyond it Abramowitz and Stegun 7.1.26 (error below 2e-7). */
INLINE float erf_f32(float x) {
    const float a = fabsf(x), z = x * x;
    float s = -1.0f / 76204800.0f;
    s = FMA_f32(s, z, 1.0f / 6894720.0f);
    s = FMA_f32(s, z, -1.0f / 685440.0f);
    s = FMA_f32(s, z, 1.0f / 75600.0f);
    s = FMA_f32(s, z, -1.0f / 9360.0f);
    s = FMA_f32(s, z, 1.0f / 1320.0f);
    s = FMA_f32(s, z, -1.0f / 216.0f);
    s = FMA_f32(s, z, 1.0f / 42.0f);
    s = FMA_f32(s, z, -1.0f / 10.0f);
    s = FMA_f32(s, z, 1.0f / 3.0f);
    const float near = 1.12837917f * x * FMA_f32(-s, z, 1.0f);
    const float t = 1.0f / FMA_f32(0.3275911f, a, 1.0f);
    float q = 1.061405429f;
    q = FMA_f32(q, t, -1.453152027f);
    q = FMA_f32(q, t, 1.421413741f);
    q = FMA_f32(q, t, -0.284496736f);
    q = FMA_f32(q, t, 0.254829592f);
    const float far = 1.0f - q * t * exp_f32(-a * a);
    return a < 1.0f ? near : copysignf(far, x);
}

INLINE double exp_f64(double x) { return exp(x); }
INLINE double erf_f64(double x) { return erf(x); }
INLINE double tanh_f64(double x) { return tanh(x); }
INLINE double sigmoid_f64(double x) { return 1.0 / (1.0 + exp(-x)); }

/* A NaN among the arguments is the result, as in torch. */
#define DEFINE_ELEMENTWISE(REAL, S, F)                                                                          \
    INLINE REAL or_nan_##S(REAL a, REAL b) { return a != a ? a : b; } /* a select each: no branch, no jump */   \
    INLINE REAL larger_##S(REAL a, REAL b) { return or_nan_##S(a, a > b ? a : b); }                              \
    INLINE REAL smaller_##S(REAL a, REAL b) { return or_nan_##S(a, a < b ? a : b); }                             \
    INLINE REAL clamp_##S(REAL x, REAL low, REAL high) { return smaller_##S(larger_##S(x, low), high); }        \
    INLINE REAL relu_##S(REAL x) { return x < 0 ? 0 : x; }                                                      \
    INLINE REAL silu_##S(REAL x) { return x * sigmoid_##S(x); }                                                 \
    INLINE REAL hardsigmoid_##S(REAL x) { return clamp_##S(x + 3, 0, 6) / 6; }                                  \
    INLINE REAL hardswish_##S(REAL x) { return x * clamp_##S(x + 3, 0, 6) / 6; }                                \
    INLINE REAL sign_##S(REAL x) { return (REAL)((x > 0) - (x < 0)); }                                          \
    INLINE REAL square_##S(REAL x) { return x * x; }                                                            \
    INLINE REAL cube_##S(REAL x) { return x * x * x; }                                                          \
    INLINE REAL gelu_##S(REAL x) { return (REAL)0.5 * x * (1 + erf_##S(x * (REAL)0.70710678118654752440)); }    \
    INLINE REAL gelu_tanh_##S(REAL x) {                                                                         \
        const REAL inner = x * FMA_##S(x * x, (REAL)(0.79788456080286535588 * 0.044715),                        \
                                       (REAL)0.79788456080286535588);                                           \
        return (REAL)0.5 * x * (1 + tanh_##S(inner));                                                           \
    }                                                                                                           \
    INLINE REAL leaky_relu_##S(REAL x, REAL slope) { return x < 0 ? x * slope : x; }                            \
    INLINE REAL elu_##S(REAL x, REAL alpha, REAL scale, REAL input_scale) {                                     \
        return scale * (x > 0 ? x : alpha * expm1##F(x * input_scale));                                         \
    }                                                                                                           \
    INLINE REAL softplus_##S(REAL x, REAL beta, REAL threshold) {                                               \
        return x * beta > threshold ? x : log1p##F(exp##F(x * beta)) / beta;                                    \
    }                                                                                                           \
    INLINE REAL mish_##S(REAL x) { return x * tanh_##S(softplus_##S(x, 1, 20)); }                               \
    INLINE REAL remainder_##S(REAL a, REAL b) {                                                                 \
        const REAL rest = fmod##F(a, b);                                                                        \
        return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;                                            \
    }

DEFINE_ELEMENTWISE(float, f32, f)
DEFINE_ELEMENTWISE(double, f64, )

INLINE int64_t power(int64_t base, int64_t exponent) {
    int64_t result = 1;
    for (; exponent > 0; --exponent) result *= base;
    return result;
}

INLINE float quantize_dequantize(float x, float scale, float zero_point) {
    return (clamp_f32(nearbyintf(x / scale) + zero_point, 0, 255) - zero_point) * scale;
}
