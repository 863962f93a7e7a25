/* 2-d convolution (1-d: a height of one), by unfolding the image and multiplying; depthwise in place. */
struct convolution {
    int64_t batch, groups, in, out, height, width, rows, columns; /* in, out: channels of one group */
    int64_t kernel[2], stride[2], padding[2], dilation[2];
};

#define DEFINE_CONVOLUTION(REAL, S)                                                                          \
    /* patch[channel, ky, kx, row, column] of one image and group, a channel at a time; outside the image lies zero. */ \
    struct unfold_##S {                                                                                      \
        const struct convolution *t;                                                                         \
        const REAL *x;                                                                                       \
        REAL *patch;                                                                                         \
    };                                                                                                       \
    static __attribute__((unused)) void unfold_##S(const void *job, int64_t c) {                             \
        const struct unfold_##S *p = job;                                                                    \
        const struct convolution *t = p->t;                                                                  \
        const int64_t s = t->stride[1];                                                                      \
        REAL *restrict patch = p->patch + c * t->kernel[0] * t->kernel[1] * t->rows * t->columns;            \
        for (int64_t ky = 0; ky < t->kernel[0]; ++ky)                                                        \
            for (int64_t kx = 0; kx < t->kernel[1]; ++kx) {                                                  \
                const int64_t shift = kx * t->dilation[1] - t->padding[1];                                   \
                const int64_t first = minimum(t->columns, shift < 0 ? (-shift + s - 1) / s : 0);             \
                const int64_t last = maximum(first, minimum(t->columns, floordiv(t->width - 1 - shift, s) + 1)); \
                for (int64_t row = 0; row < t->rows; ++row, patch += t->columns) {                           \
                    const int64_t iy = row * t->stride[0] + ky * t->dilation[0] - t->padding[0];             \
                    const int inside = iy >= 0 && iy < t->height;                                            \
                    const REAL *restrict from = p->x + (c * t->height + (inside ? iy : 0)) * t->width;       \
                    const int64_t begin = inside ? first : t->columns, end = inside ? last : t->columns;     \
                    for (int64_t column = 0; column < begin; ++column) patch[column] = 0;                    \
                    for (int64_t column = begin; column < end; ++column) patch[column] = from[column * s + shift]; \
                    for (int64_t column = end; column < t->columns; ++column) patch[column] = 0;             \
                }                                                                                            \
            }                                                                                                \
    }                                                                                                        \
    INLINE void convolution_##S(const struct convolution *t, const REAL *restrict x,                         \
                                const REAL *restrict weight, const REAL *restrict bias,                      \
                                REAL *restrict patch, REAL *restrict y) {                                    \
        const int64_t depth = t->in * t->kernel[0] * t->kernel[1], pixels = t->rows * t->columns;            \
        const int plain = t->kernel[0] * t->kernel[1] == 1 && t->stride[0] * t->stride[1] == 1 &&            \
                          !t->padding[0] && !t->padding[1];                                                  \
        for (int64_t n = 0; n < t->batch; ++n)                                                               \
            for (int64_t g = 0; g < t->groups; ++g) {                                                        \
                const REAL *image = x + (n * t->groups + g) * t->in * t->height * t->width;                  \
                const struct unfold_##S job = {t, image, patch};                                             \
                if (!plain) in_chunks(unfold_##S, &job, t->in, depth * pixels);                              \
                product_##S(t->out, pixels, depth, weight + g * t->out * depth, depth,                       \
                            plain ? image : patch, pixels, PANEL,                                            \
                            y + (n * t->groups + g) * t->out * pixels, pixels,                               \
                            bias ? bias + g * t->out : 0, 1, 0);                                             \
            }                                                                                                \
    }                                                                                                        \
    /* One input channel a group: a row of the kernel at a time over a row of the image. */                  \
    struct depthwise_##S {                                                                                   \
        const struct convolution *t;                                                                         \
        const REAL *x, *weight, *bias;                                                                       \
        REAL *y;                                                                                             \
    };                                                                                                       \
    static __attribute__((unused)) void depthwise_plane_##S(const void *job, int64_t index) {                \
        const struct depthwise_##S *p = job;                                                                 \
        const struct convolution *t = p->t;                                                                  \
        const int64_t channels = t->groups * t->out, n = index / channels, c = index % channels;             \
        const REAL *restrict image = p->x + (n * t->groups + c / t->out) * t->height * t->width;             \
        const REAL *restrict kernel = p->weight + c * t->kernel[0] * t->kernel[1];                           \
        REAL *restrict y = p->y + index * t->rows * t->columns;                                              \
        for (int64_t row = 0; row < t->rows; ++row, y += t->columns) {                                       \
            for (int64_t column = 0; column < t->columns; ++column) y[column] = 0;                           \
            for (int64_t ky = 0; ky < t->kernel[0]; ++ky) {                                                  \
                const int64_t iy = row * t->stride[0] + ky * t->dilation[0] - t->padding[0];                 \
                if (iy < 0 || iy >= t->height) continue;                                                     \
                for (int64_t kx = 0; kx < t->kernel[1]; ++kx) {                                              \
                    const REAL w = kernel[ky * t->kernel[1] + kx];                                           \
                    const int64_t shift = kx * t->dilation[1] - t->padding[1], s = t->stride[1];             \
                    const int64_t first = shift < 0 ? (-shift + s - 1) / s : 0;                              \
                    const int64_t last = minimum(t->columns, floordiv(t->width - 1 - shift, s) + 1);         \
                    const REAL *restrict from = image + iy * t->width + shift;                               \
                    for (int64_t column = first; column < last; ++column)                                    \
                        y[column] = FMA_##S(w, from[column * s], y[column]);                                 \
                }                                                                                            \
            }                                                                                                \
            if (p->bias)                                                                                     \
                for (int64_t column = 0; column < t->columns; ++column) y[column] += p->bias[c];             \
        }                                                                                                    \
    }                                                                                                        \
    INLINE void depthwise_##S(const struct convolution *t, const REAL *restrict x,                           \
                              const REAL *restrict weight, const REAL *restrict bias, REAL *restrict y) {    \
        const struct depthwise_##S job = {t, x, weight, bias, y};                                            \
        const int64_t planes = t->batch * t->groups * t->out;                                                \
        in_chunks(depthwise_plane_##S, &job, planes,                                                         \
                  planes * t->rows * t->columns * t->kernel[0] * t->kernel[1]);                              \
    }                                                                                                        \
    /* Transposed: every input element adds the kernel to the output. weight: [groups * in, out, ky, kx];    \
     * rows and columns are those of the output. */                                                          \
    INLINE void transposed_##S(const struct convolution *t, const REAL *restrict x,                          \
                               const REAL *restrict weight, const REAL *restrict bias, REAL *restrict y) {   \
        const int64_t pixels = t->rows * t->columns, taps = t->kernel[0] * t->kernel[1];                     \
        for (int64_t i = 0; i < t->batch * t->groups * t->out * pixels; ++i)                                 \
            y[i] = bias ? bias[i / pixels % (t->groups * t->out)] : 0;                                       \
        for (int64_t n = 0; n < t->batch; ++n)                                                               \
            for (int64_t c = 0; c < t->groups * t->in; ++c)                                                  \
                for (int64_t o = 0; o < t->out; ++o) {                                                       \
                    REAL *to = y + ((n * t->groups + c / t->in) * t->out + o) * pixels;                      \
                    const REAL *from = x + (n * t->groups * t->in + c) * t->height * t->width;               \
                    const REAL *kernel = weight + (c * t->out + o) * taps;                                   \
                    for (int64_t iy = 0; iy < t->height; ++iy)                                               \
                        for (int64_t ky = 0; ky < t->kernel[0]; ++ky) {                                      \
                            const int64_t oy = iy * t->stride[0] + ky * t->dilation[0] - t->padding[0];      \
                            if (oy < 0 || oy >= t->rows) continue;                                           \
                            for (int64_t ix = 0; ix < t->width; ++ix)                                        \
                                for (int64_t kx = 0; kx < t->kernel[1]; ++kx) {                              \
                                    const int64_t ox =                                                       \
                                        ix * t->stride[1] + kx * t->dilation[1] - t->padding[1];             \
                                    if (ox < 0 || ox >= t->columns) continue;                                \
                                    REAL *at = to + oy * t->columns + ox;                                    \
                                    *at = FMA_##S(from[iy * t->width + ix], kernel[ky * t->kernel[1] + kx], *at); \
                                }                                                                            \
                        }                                                                                    \
                }                                                                                            \
    }

DEFINE_CONVOLUTION(float, f32)
DEFINE_CONVOLUTION(double, f64)
