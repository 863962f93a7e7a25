/* Linear layers on int8 weights, embeddings of int8 and ternary tables. */

INLINE int32_t dot_u8s8(const uint8_t *restrict q, const int8_t *restrict w, int64_t n) {
    int32_t sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += (int32_t)q[i] * w[i];
    return sum;
}

/* Every row on a grid of its own: q = round((x - low) / step), 0 .. 255. */
INLINE void linear_dynamic(int64_t rows, int64_t columns, int64_t depth, const float *restrict x, int64_t ldx,
                           const int8_t *restrict weight, const float *restrict scale, const float *restrict sums,
                           const float *restrict bias, uint8_t *restrict q, float *restrict y) {
    for (int64_t r = 0; r < rows; ++r, x += ldx, y += columns) {
        float low = 0.0f, high = 1e-30f;
        for (int64_t i = 0; i < depth; ++i) low = x[i] < low ? x[i] : low;
        for (int64_t i = 0; i < depth; ++i) high = x[i] > high ? x[i] : high;
        const float step = (high - low) * (float)(1.0 / 255);
        for (int64_t i = 0; i < depth; ++i) {
            const float level = rintf((x[i] - low) / step);
            q[i] = (uint8_t)(level < 0 ? 0 : level > 255 ? 255 : level);
        }
        for (int64_t n = 0; n < columns; ++n) {
            const float value = (float)dot_u8s8(q, weight + n * depth, depth) * scale[n] * step + low * sums[n];
            y[n] = bias ? value + bias[n] : value;
        }
    }
}

/* All rows on one calibrated grid; sums[n] is the sum of the integers of a row of the weight. */
INLINE void linear_static(int64_t rows, int64_t columns, int64_t depth, const float *restrict x, int64_t ldx,
                          const int8_t *restrict weight, const float *restrict scale, const int32_t *restrict sums,
                          const float *restrict bias, float step, int32_t zero_point, uint8_t *restrict q,
                          float *restrict y) {
    for (int64_t r = 0; r < rows; ++r, x += ldx, y += columns) {
        for (int64_t i = 0; i < depth; ++i) {
            const float level = rintf(x[i] / step) + (float)zero_point;
            q[i] = (uint8_t)(level < 0 ? 0 : level > 255 ? 255 : level);
        }
        for (int64_t n = 0; n < columns; ++n) {
            const int32_t sum = dot_u8s8(q, weight + n * depth, depth) - zero_point * sums[n];
            const float value = (float)sum * scale[n] * step;
            y[n] = bias ? value + bias[n] : value;
        }
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
