/* softmax(q * k^T * scale + mask) * v, a few rows of scores at a time: no matrix of scores is ever stored.
 * q: [batch, heads, queries, width], k: [batch, heads / group, keys, width], v: [..., keys, value_width]; strides
 * of the first three axes in q, k, v; m: strides of the mask over batch, heads, queries, keys (0: broadcast).
 * `work` holds k transposed and the scores: (width + TILE) rows of the keys, rounded up to whole panels, once for each
 * part that the heads are split into for the threads of the model. */
#define MOST_PARTS 8

struct attention {
    int64_t batch, heads, group, queries, keys, width, value_width;
    int64_t q[3], k[3], v[3], m[4];
    double scale;
    int causal;
};

#define DEFINE_ATTENTION(REAL, S)                                                                                     \
    INLINE void transpose_keys_##S(const struct attention *t, const REAL *restrict key, int64_t room,                 \
                                   REAL *restrict to) {                                                               \
        for (int64_t e = 0; e < t->width; ++e, to += room) {                                                          \
            for (int64_t j = 0; j < t->keys; ++j) to[j] = key[j * t->k[2] + e];                                       \
            for (int64_t j = t->keys; j < room; ++j) to[j] = 0;                                                       \
        }                                                                                                             \
    }                                                                                                                 \
    /* One row of scores to weights that sum to one; m: where its mask begins. All masked: all zero. */               \
    INLINE void weigh_##S(const struct attention *t, int64_t query, const REAL *mask, const uint8_t *allowed, int64_t m,\
                          REAL *restrict score) {                                                                     \
        const int64_t keys = t->causal ? minimum(query + 1, t->keys) : t->keys;                                       \
        for (int64_t j = 0; j < keys; ++j) score[j] *= (REAL)t->scale;                                                \
        if (mask)                                                                                                     \
            for (int64_t j = 0; j < keys; ++j) score[j] += mask[m + j * t->m[3]];                                     \
        if (allowed)                                                                                                  \
            for (int64_t j = 0; j < keys; ++j) score[j] = allowed[m + j * t->m[3]] ? score[j] : -INFINITY;            \
        const REAL top = peak_##S(score, keys), base = top == -INFINITY ? 0 : top;                                    \
        for (int64_t j = 0; j < keys; ++j) score[j] = exp_##S(score[j] - base);                                       \
        const REAL total = sum_##S(score, keys), part = total == 0 ? 0 : 1 / total;                                   \
        for (int64_t j = 0; j < keys; ++j) score[j] *= part;                                                          \
        for (int64_t j = keys; j < t->keys; ++j) score[j] = 0;                                                        \
    }                                                                                                                 \
    struct attention_part_##S {                                                                                       \
        const struct attention *t;                                                                                    \
        const REAL *q, *k, *v, *mask;                                                                                 \
        const uint8_t *allowed;                                                                                       \
        REAL *work, *y;                                                                                               \
        int64_t parts;                                                                                                \
    };                                                                                                                \
    INLINE void head_##S(const struct attention_part_##S *p, int64_t b, int64_t h, REAL *restrict work,               \
                         REAL *restrict y) {                                                                          \
        const struct attention *t = p->t;                                                                             \
        const int64_t room = (t->keys + PANEL - 1) / PANEL * PANEL;                                                   \
        const REAL *query = p->q + b * t->q[0] + h * t->q[1];                                                         \
        const REAL *value = p->v + b * t->v[0] + h / t->group * t->v[1];                                              \
        REAL *score = work + t->width * room;                                                                         \
        transpose_keys_##S(t, p->k + b * t->k[0] + h / t->group * t->k[1], room, work);                               \
        for (int64_t i = 0; i < t->queries; i += TILE, y += TILE * t->value_width) {                                  \
            const int64_t rows = minimum(TILE, t->queries - i);                                                       \
            gemm_##S(rows, room, t->width, query + i * t->q[2], t->q[2], work, room, PANEL, score, room, 0, 0, 0);    \
            for (int64_t r = 0; r < rows; ++r)                                                                        \
                weigh_##S(t, i + r, p->mask, p->allowed, b * t->m[0] + h * t->m[1] + (i + r) * t->m[2],               \
                          score + r * room);                                                                          \
            gemm_##S(rows, t->value_width, t->keys, score, room, value, t->v[2], PANEL, y, t->value_width, 0, 0, 0);  \
        }                                                                                                             \
    }                                                                                                                 \
    INLINE void heads_##S(const struct attention_part_##S *p, int64_t part) {                                         \
        const struct attention *t = p->t;                                                                             \
        const int64_t room = (t->keys + PANEL - 1) / PANEL * PANEL;                                                   \
        REAL *work = p->work + part * (t->width + TILE) * room;                                                       \
        for (int64_t i = part; i < t->batch * t->heads; i += p->parts)                                                \
            head_##S(p, i / t->heads, i % t->heads, work, p->y + i * t->queries * t->value_width);                    \
    }                                                                                                                 \
    static __attribute__((unused)) void attention_part_##S(const void *job, int64_t part) { heads_##S(job, part); }   \
    INLINE void attention_##S(const struct attention *t, const REAL *q, const REAL *k, const REAL *v,                 \
                              const REAL *mask, const uint8_t *allowed, REAL *work, REAL *y) {                        \
        const int64_t heads = t->batch * t->heads, each = t->queries * t->keys * (t->width + t->value_width);         \
        const int64_t parts = mlops_threads < 2 || heads * each < 2 * GRAIN ? 1 : minimum(heads, MOST_PARTS);         \
        const struct attention_part_##S job = {t, q, k, v, mask, allowed, work, y, parts};                            \
        if (parts == 1) heads_##S(&job, 0); /* one workspace for all heads stays in the cache */                      \
        else in_chunks(attention_part_##S, &job, parts, heads * each);                                                \
    }

DEFINE_ATTENTION(float, f32)
DEFINE_ATTENTION(double, f64)
