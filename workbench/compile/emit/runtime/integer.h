/* Linear layers on int8 weights, embeddings of int8 and ternary tables. */

INLINE int32_t dot_u8s8(const uint8_t *restrict q, const int8_t *restrict w, int64_t n) {
    int32_t sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += (int32_t)q[i] * w[i];
    return sum;
}

/* One row of activations times rows of the weight: y = dot * scale * step, moved by where the grid begins. That is `low`
 * (dynamic, with float sums of the weights), or a zero point (static, with integer ones). */
struct integer_row {
    int64_t columns, depth;
    const uint8_t *q;
    const int8_t *weight;
    const float *scale, *bias, *sums;
    const int32_t *integers;
    float step, low;
    int32_t zero_point;
    float *y;
};

enum { SPAN = 32 }; /* columns of a chunk */

static __attribute__((unused)) void integer_chunk(const void *job, int64_t chunk) {
    const struct integer_row *p = job;
    for (int64_t n = chunk * SPAN; n < minimum(p->columns, (chunk + 1) * SPAN); ++n) {
        const int32_t dot = dot_u8s8(p->q, p->weight + n * p->depth, p->depth);
        const int32_t moved = p->integers ? dot - p->zero_point * p->integers[n] : dot;
        const float product = (float)moved * p->scale[n] * p->step;
        const float value = p->integers ? product : product + p->low * p->sums[n];
        p->y[n] = p->bias ? value + p->bias[n] : value;
    }
}

INLINE void integer_columns(const struct integer_row *row) {
    in_chunks(integer_chunk, row, (row->columns + SPAN - 1) / SPAN, row->columns * row->depth);
}

/* A level of the grid; 0 for what is no number. */
INLINE uint8_t on_grid(float level) { return (uint8_t)(level > 0 ? level < 255 ? level : 255 : 0); }

/* 0, or NaN if a value is NaN or, where asked, infinite: added to a row's step, so that its results are NaN as in eager. */
INLINE float lost(const float *restrict x, int64_t n, int infinities) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; ++i) count += infinities ? x[i] - x[i] != 0 : x[i] != x[i];
    return count ? __builtin_nanf("") : 0.0f;
}

/* Every row on a grid of its own: q = round((x - low) / step), 0 .. 255. */
INLINE void linear_dynamic(int64_t rows, int64_t columns, int64_t depth, const float *restrict x, int64_t ldx,
                           const int8_t *restrict weight, const float *restrict scale, const float *restrict sums,
                           const float *restrict bias, uint8_t *restrict q, float *restrict y) {
    for (int64_t r = 0; r < rows; ++r, x += ldx, y += columns) {
        float low = 0.0f, high = 1e-30f;
        for (int64_t i = 0; i < depth; ++i) low = x[i] < low ? x[i] : low;
        for (int64_t i = 0; i < depth; ++i) high = x[i] > high ? x[i] : high;
        const float step = (high - low) * (float)(1.0 / 255) + lost(x, depth, 1);
        for (int64_t i = 0; i < depth; ++i) q[i] = on_grid(rintf((x[i] - low) / step));
        const struct integer_row row = {columns, depth, q, weight, scale, bias, sums, 0, step, low, 0, y};
        integer_columns(&row);
    }
}

/* All rows on one calibrated grid; sums[n] is the sum of the integers of a row of the weight. */
INLINE void linear_static(int64_t rows, int64_t columns, int64_t depth, const float *restrict x, int64_t ldx,
                          const int8_t *restrict weight, const float *restrict scale, const int32_t *restrict sums,
                          const float *restrict bias, float step, int32_t zero_point, uint8_t *restrict q,
                          float *restrict y) {
    for (int64_t r = 0; r < rows; ++r, x += ldx, y += columns) {
        for (int64_t i = 0; i < depth; ++i) q[i] = on_grid(rintf(x[i] / step) + (float)zero_point);
        const float seen = step + lost(x, depth, 0);
        const struct integer_row row = {columns, depth, q, weight, scale, bias, 0, sums, seen, 0, zero_point, y};
        integer_columns(&row);
    }
}

INLINE void row_int8(const int8_t *restrict table, const float *restrict scale, int64_t row, int64_t width,
                     float *restrict y) {
    for (int64_t i = 0; i < width; ++i) y[i] = (float)table[row * width + i] * scale[row];
}

/* Four codes a byte, code = weight + 1; `group` weights share a scale. */
INLINE void row_ternary(const uint8_t *restrict codes, const float *restrict scale, int64_t row, int64_t width,
                        int64_t group, float *restrict y) {
    const uint8_t *from = codes + row * ((width + 3) / 4);
    for (int64_t i = 0; i < width; ++i)
        y[i] = (float)((from[i / 4] >> 2 * (i % 4) & 3) - 1) * scale[row * (width / group) + i / group];
}
