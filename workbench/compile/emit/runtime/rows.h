/* Work on rows that lie in one piece. Sums run in 16 lanes that are then added pairwise: fast on any vector
 * width, and the same on all of them. */
#define LANES 16

#define DEFINE_ROWS(REAL, S)                                                                              \
    INLINE REAL fold_##S(REAL *lane) {                                                                    \
        for (int w = LANES / 2; w; w /= 2)                                                                \
            for (int j = 0; j < w; ++j) lane[j] += lane[j + w];                                           \
        return lane[0];                                                                                   \
    }                                                                                                     \
    INLINE REAL sum_##S(const REAL *restrict x, int64_t n) {                                              \
        REAL lane[LANES] = {0};                                                                           \
        int64_t i = 0;                                                                                    \
        for (; i + LANES <= n; i += LANES)                                                                \
            for (int j = 0; j < LANES; ++j) lane[j] += x[i + j];                                          \
        for (int j = 0; i < n; ++i, ++j) lane[j] += x[i];                                                 \
        return fold_##S(lane);                                                                            \
    }                                                                                                     \
    INLINE REAL dot_##S(const REAL *restrict x, const REAL *restrict y, int64_t n) {                      \
        REAL lane[LANES] = {0};                                                                           \
        int64_t i = 0;                                                                                    \
        for (; i + LANES <= n; i += LANES)                                                                \
            for (int j = 0; j < LANES; ++j) lane[j] = FMA_##S(x[i + j], y[i + j], lane[j]);               \
        for (int j = 0; i < n; ++i, ++j) lane[j] = FMA_##S(x[i], y[i], lane[j]);                          \
        return fold_##S(lane);                                                                            \
    }                                                                                                     \
    INLINE REAL squares_##S(const REAL *restrict x, REAL mean, int64_t n) {                               \
        REAL lane[LANES] = {0};                                                                           \
        int64_t i = 0;                                                                                    \
        for (; i + LANES <= n; i += LANES)                                                                \
            for (int j = 0; j < LANES; ++j)                                                               \
                lane[j] = FMA_##S(x[i + j] - mean, x[i + j] - mean, lane[j]);                             \
        for (int j = 0; i < n; ++i, ++j) lane[j] = FMA_##S(x[i] - mean, x[i] - mean, lane[j]);            \
        return fold_##S(lane);                                                                            \
    }                                                                                                     \
    INLINE REAL peak_##S(const REAL *restrict x, int64_t n) {                                             \
        REAL top = -INFINITY;                                                                             \
        for (int64_t i = 0; i < n; ++i) top = x[i] > top || x[i] != x[i] ? x[i] : top;                    \
        return top;                                                                                       \
    }                                                                                                     \
    INLINE void softmax_##S(const REAL *restrict x, REAL *restrict y, int64_t rows, int64_t n) {          \
        for (int64_t r = 0; r < rows; ++r, x += n, y += n) {                                              \
            const REAL top = peak_##S(x, n);                                                              \
            for (int64_t i = 0; i < n; ++i) y[i] = exp_##S(x[i] - top);                                   \
            const REAL scale = 1 / sum_##S(y, n);                                                         \
            for (int64_t i = 0; i < n; ++i) y[i] *= scale;                                                \
        }                                                                                                 \
    }                                                                                                     \
    INLINE void log_softmax_##S(const REAL *restrict x, REAL *restrict y, int64_t rows, int64_t n) {      \
        for (int64_t r = 0; r < rows; ++r, x += n, y += n) {                                              \
            const REAL top = peak_##S(x, n);                                                              \
            for (int64_t i = 0; i < n; ++i) y[i] = exp_##S(x[i] - top);                                   \
            const REAL shift = top + (REAL)log(sum_##S(y, n));                                            \
            for (int64_t i = 0; i < n; ++i) y[i] = x[i] - shift;                                          \
        }                                                                                                 \
    }                                                                                                     \
    INLINE void layer_norm_##S(const REAL *restrict x, const REAL *restrict weight,                       \
                               const REAL *restrict bias, REAL *restrict y, int64_t rows, int64_t n,      \
                               double epsilon) {                                                          \
        for (int64_t r = 0; r < rows; ++r, x += n, y += n) {                                              \
            const REAL mean = sum_##S(x, n) / (REAL)n;                                                    \
            const REAL scale = 1 / (REAL)sqrt(squares_##S(x, mean, n) / (REAL)n + (REAL)epsilon);         \
            for (int64_t i = 0; i < n; ++i) {                                                             \
                REAL value = (x[i] - mean) * scale;                                                       \
                if (weight) value *= weight[i];                                                           \
                y[i] = bias ? value + bias[i] : value;                                                    \
            }                                                                                             \
        }                                                                                                 \
    }

DEFINE_ROWS(float, f32)
DEFINE_ROWS(double, f64)
