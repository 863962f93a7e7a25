/* Pooling over windows of [planes, height, width]. A window of adaptive pooling is given by the output's size. */
struct pool {
    int64_t planes, height, width, rows, columns;
    int64_t kernel[2], stride[2], padding[2], dilation[2];
    int64_t divisor; /* average: divide by this; 0: by the elements of the window, padding counted as told */
    int count_padding, adaptive;
};

struct window {
    int64_t first, last, step, size; /* size: with the padding, as far as it is inside the padded image */
};

INLINE struct window window_of(const struct pool *t, int axis, int64_t at) {
    const int64_t n = axis ? t->width : t->height, m = axis ? t->columns : t->rows;
    if (t->adaptive) {
        const int64_t first = at * n / m, last = ((at + 1) * n + m - 1) / m;
        return (struct window){first, last, 1, last - first};
    }
    int64_t first = at * t->stride[axis] - t->padding[axis], step = t->dilation[axis];
    const int64_t end = first + t->kernel[axis] * step;
    const int64_t size = minimum(end, n + t->padding[axis]) - first;
    while (first < 0) first += step;
    return (struct window){first, minimum(end, n), step, size};
}

#define DEFINE_POOL(REAL, S)                                                                             \
    INLINE void max_pool_##S(const struct pool *t, const REAL *restrict x, REAL *restrict y) {           \
        for (int64_t p = 0; p < t->planes; ++p, x += t->height * t->width)                               \
            for (int64_t row = 0; row < t->rows; ++row) {                                                \
                const struct window v = window_of(t, 0, row);                                            \
                for (int64_t column = 0; column < t->columns; ++column, ++y) {                           \
                    const struct window h = window_of(t, 1, column);                                     \
                    REAL top = -INFINITY;                                                                \
                    for (int64_t i = v.first; i < v.last; i += v.step)                                   \
                        for (int64_t j = h.first; j < h.last; j += h.step) {                             \
                            const REAL value = x[i * t->width + j];                                      \
                            top = value > top || value != value ? value : top;                           \
                        }                                                                                \
                    *y = top;                                                                            \
                }                                                                                        \
            }                                                                                            \
    }                                                                                                    \
    INLINE void average_pool_##S(const struct pool *t, const REAL *restrict x, REAL *restrict y) {       \
        for (int64_t p = 0; p < t->planes; ++p, x += t->height * t->width)                               \
            for (int64_t row = 0; row < t->rows; ++row) {                                                \
                const struct window v = window_of(t, 0, row);                                            \
                for (int64_t column = 0; column < t->columns; ++column, ++y) {                           \
                    const struct window h = window_of(t, 1, column);                                     \
                    REAL sum = 0;                                                                        \
                    for (int64_t i = v.first; i < v.last; ++i)                                           \
                        for (int64_t j = h.first; j < h.last; ++j) sum += x[i * t->width + j];           \
                    const int64_t inside = (v.last - v.first) * (h.last - h.first);                      \
                    const int64_t count = t->count_padding ? v.size * h.size : inside;                   \
                    *y = sum / (REAL)(t->divisor ? t->divisor : count);                                  \
                }                                                                                        \
            }                                                                                            \
    }

DEFINE_POOL(float, f32)
DEFINE_POOL(double, f64)
