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

/* No window reaches into the padding, or beyond it where sizes are rounded up. */
INLINE int windows_inside(const struct pool *t, int axis) {
    const int64_t last = ((axis ? t->columns : t->rows) - 1) * t->stride[axis];
    return !t->padding[axis] && last + (t->kernel[axis] - 1) * t->dilation[axis] < (axis ? t->width : t->height);
}

enum { MOST_LINES = 1024 /* elements */ };

#define DEFINE_POOL(REAL, S)                                                                             \
    /* Some rows: the largest of each column, then the largest of its neighbours; both loops become vectors. */\
    INLINE void max_lines_##S(const struct pool *t, const REAL *restrict x, int64_t rows, REAL *restrict y) {\
        REAL lines[MOST_LINES];                                                                          \
        for (int64_t row = 0; row < rows; ++row)                                                         \
            for (int64_t j = 0; j < t->width; ++j) {                                                     \
                const REAL *from = x + row * t->stride[0] * t->width + j;                                \
                REAL top = from[0];                                                                      \
                _Pragma("GCC unroll 4") for (int64_t i = 1; i < t->kernel[0]; ++i)                       \
                    top = larger_##S(from[i * t->dilation[0] * t->width], top);                          \
                lines[row * t->width + j] = top;                                                         \
            }                                                                                            \
        const int flat = t->columns * t->stride[1] == t->width; /* then all rows are one */              \
        const int64_t long_rows = flat ? 1 : rows, columns = flat ? rows * t->columns : t->columns;      \
        for (int64_t row = 0; row < long_rows; ++row)                                                    \
            for (int64_t column = 0; column < columns; ++column) {                                       \
                const REAL *from = lines + row * t->width + column * t->stride[1];                       \
                REAL top = from[0];                                                                      \
                _Pragma("GCC unroll 4") for (int64_t j = 1; j < t->kernel[1]; ++j)                       \
                    top = larger_##S(from[j * t->dilation[1]], top);                                     \
                y[row * columns + column] = top;                                                         \
            }                                                                                            \
    }                                                                                                    \
    INLINE void max_inside_##S(const struct pool *t, const REAL *restrict x, REAL *restrict y) {         \
        const int joined = t->rows * t->stride[0] == t->height; /* then all planes are one */            \
        const int64_t planes = joined ? 1 : t->planes, rows = joined ? t->planes * t->rows : t->rows;    \
        const int64_t most = MOST_LINES / t->width;                                                      \
        for (int64_t p = 0; p < planes; ++p, x += t->height * t->width)                                  \
            for (int64_t row = 0, some; row < rows; row += some, y += some * t->columns) {               \
                some = minimum(most, rows - row);                                                        \
                max_lines_##S(t, x + row * t->stride[0] * t->width, some, y);                            \
            }                                                                                            \
    }                                                                                                    \
    INLINE void max_pool_##S(const struct pool *t, const REAL *restrict x, REAL *restrict y) {           \
        if (t->width <= MOST_LINES && windows_inside(t, 0) && windows_inside(t, 1)) {                    \
            max_inside_##S(t, x, y);                                                                     \
            return;                                                                                      \
        }                                                                                                \
        for (int64_t p = 0; p < t->planes; ++p, x += t->height * t->width)                               \
            for (int64_t row = 0; row < t->rows; ++row) {                                                \
                const struct window v = window_of(t, 0, row);                                            \
                for (int64_t column = 0; column < t->columns; ++column, ++y) {                           \
                    const struct window h = window_of(t, 1, column);                                     \
                    REAL top = -INFINITY;                                                                \
                    for (int64_t i = v.first; i < v.last; i += v.step)                                   \
                        for (int64_t j = h.first; j < h.last; j += h.step)                               \
                            top = larger_##S(x[i * t->width + j], top);                                  \
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
