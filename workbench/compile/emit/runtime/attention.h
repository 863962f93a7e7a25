/* softmax(q * k^T * scale + mask) * v, one row of scores at a time.
 * q: [batch, heads, queries, width], k: [batch, heads / group, keys, width], v: [..., keys, value_width]; strides
 * of the first three axes in q_, k_, v_; m_: strides of the mask over batch, heads, queries, keys (0: broadcast). */
struct attention {
    int64_t batch, heads, group, queries, keys, width, value_width;
    int64_t q[3], k[3], v[3], m[4];
    double scale;
    int causal;
};

#define DEFINE_ATTENTION(REAL, S)                                                                           \
    INLINE void attention_##S(const struct attention *t, const REAL *restrict q, const REAL *restrict k,    \
                              const REAL *restrict v, const REAL *mask, const uint8_t *allowed,             \
                              REAL *restrict score, REAL *restrict y) {                                     \
        for (int64_t b = 0; b < t->batch; ++b)                                                              \
            for (int64_t h = 0; h < t->heads; ++h)                                                          \
                for (int64_t i = 0; i < t->queries; ++i, y += t->value_width) {                             \
                    const REAL *row = q + b * t->q[0] + h * t->q[1] + i * t->q[2];                          \
                    const REAL *key = k + b * t->k[0] + h / t->group * t->k[1];                             \
                    const REAL *value = v + b * t->v[0] + h / t->group * t->v[1];                           \
                    const int64_t m = b * t->m[0] + h * t->m[1] + i * t->m[2];                              \
                    const int64_t keys = t->causal ? minimum(i + 1, t->keys) : t->keys;                     \
                    for (int64_t j = 0; j < keys; ++j) {                                                    \
                        REAL s = dot_##S(row, key + j * t->k[2], t->width) * (REAL)t->scale;                \
                        if (mask) s += mask[m + j * t->m[3]];                                               \
                        if (allowed && !allowed[m + j * t->m[3]]) s = -INFINITY;                            \
                        score[j] = s;                                                                       \
                    }                                                                                       \
                    const REAL top = peak_##S(score, keys);                                                 \
                    for (int64_t j = 0; j < keys; ++j) score[j] = top == -INFINITY ? 0 : exp_##S(score[j] - top); \
                    const REAL total = sum_##S(score, keys);                                                \
                    for (int64_t e = 0; e < t->value_width; ++e) y[e] = 0;                                  \
                    for (int64_t j = 0; j < keys; ++j) {                                                    \
                        const REAL p = total > 0 || total != total ? score[j] / total : 0;                  \
                        const REAL *from = value + j * t->v[2];                                             \
                        for (int64_t e = 0; e < t->value_width; ++e) y[e] = FMA_##S(p, from[e], y[e]);      \
                    }                                                                                       \
                }                                                                                           \
    }

DEFINE_ATTENTION(float, f32)
DEFINE_ATTENTION(double, f64)
