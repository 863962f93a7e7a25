/* One direction of one recurrent layer, step by step. Weights lie in panels as gemm() reads them: input [in, gates * width]
 * and state [width, gates * width]. h and c: [batch, width], first what the layer begins with, at the end what it
 * leaves. Strides of x and y over time and batch are in elements. What the gates take from x needs no earlier step: it is
 * made for many steps at once, which reads the weights once for all of them. */
#define STEPS_AT_ONCE 32

struct recurrent {
    int64_t steps, batch, in, width;
    int64_t x[2], y[2]; /* strides over time, batch */
    int reverse;
};

#define DEFINE_RECURRENT(REAL, S)                                                                                    \
    typedef void cell_##S(int64_t w, const REAL *p, const REAL *q, REAL *h, REAL *c, REAL *to);                      \
    /* Before the first of every STEPS_AT_ONCE steps: from_x[batch][step][gates * width]. */                         \
    INLINE void gates_from_x_##S(const struct recurrent *t, int64_t gates, int64_t i, const REAL *restrict x,        \
                                 const REAL *restrict input, const REAL *restrict bias, REAL *restrict from_x) {     \
        const int64_t n = gates * t->width, room = minimum(t->steps, STEPS_AT_ONCE);                                 \
        const int64_t some = minimum(STEPS_AT_ONCE, t->steps - i), step = t->reverse ? t->steps - 1 - i : i;         \
        if (i % STEPS_AT_ONCE) return;                                                                               \
        for (int64_t b = 0; b < t->batch; ++b)                                                                       \
            product_##S(some, n, t->in, x + step * t->x[0] + b * t->x[1], t->reverse ? -t->x[0] : t->x[0], input, PANEL,\
                        t->in * PANEL, from_x + b * room * n, n, bias, 0, 1);                                        \
    }                                                                                                                \
    INLINE void gates_from_h_##S(const struct recurrent *t, int64_t gates, const REAL *restrict state,               \
                                 const REAL *restrict bias, const REAL *restrict h, REAL *restrict from_h) {         \
        const int64_t n = gates * t->width;                                                                          \
        product_##S(t->batch, n, t->width, h, t->width, state, PANEL, t->width * PANEL, from_h, n, bias, 0, 1);      \
    }                                                                                                                \
    /* Gates in the order in, forget, cell, out. */                                                                  \
    INLINE void lstm_cell_##S(int64_t w, const REAL *restrict p, const REAL *restrict q, REAL *restrict h,           \
                              REAL *restrict c, REAL *restrict to) {                                                 \
        for (int64_t j = 0; j < w; ++j) {                                                                            \
            const REAL in = sigmoid_##S(p[j] + q[j]), forget = sigmoid_##S(p[w + j] + q[w + j]);                     \
            const REAL cell = tanh_##S(p[2 * w + j] + q[2 * w + j]);                                                 \
            const REAL out = sigmoid_##S(p[3 * w + j] + q[3 * w + j]);                                               \
            c[j] = FMA_##S(forget, c[j], in * cell);                                                                 \
            to[j] = h[j] = out * tanh_##S(c[j]);                                                                     \
        }                                                                                                            \
    }                                                                                                                \
    /* Gates in the order reset, update, new; it has no c. */                                                        \
    INLINE void gru_cell_##S(int64_t w, const REAL *restrict p, const REAL *restrict q, REAL *restrict h,            \
                             REAL *restrict c, REAL *restrict to) {                                                  \
        (void)c;                                                                                                     \
        for (int64_t j = 0; j < w; ++j) {                                                                            \
            const REAL reset = sigmoid_##S(p[j] + q[j]), update = sigmoid_##S(p[w + j] + q[w + j]);                  \
            const REAL fresh = tanh_##S(FMA_##S(reset, q[2 * w + j], p[2 * w + j]));                                 \
            to[j] = h[j] = FMA_##S(update, h[j] - fresh, fresh);                                                     \
        }                                                                                                            \
    }                                                                                                                \
    INLINE void recurrent_##S(const struct recurrent *t, int64_t gates, cell_##S *cell, const REAL *restrict x,      \
                              const REAL *restrict input, const REAL *restrict state, const REAL *restrict bias_x,   \
                              const REAL *restrict bias_h, REAL *restrict h, REAL *restrict c, REAL *restrict work,  \
                              REAL *restrict y) {                                                                    \
        const int64_t w = t->width, n = gates * w, room = minimum(t->steps, STEPS_AT_ONCE);                          \
        REAL *from_h = work + room * t->batch * n;                                                                   \
        for (int64_t i = 0; i < t->steps; ++i) {                                                                     \
            const int64_t step = t->reverse ? t->steps - 1 - i : i;                                                  \
            gates_from_x_##S(t, gates, i, x, input, bias_x, work);                                                   \
            gates_from_h_##S(t, gates, state, bias_h, h, from_h);                                                    \
            for (int64_t b = 0; b < t->batch; ++b)                                                                   \
                cell(w, work + (b * room + i % STEPS_AT_ONCE) * n, from_h + b * n, h + b * w, c ? c + b * w : 0,     \
                     y + step * t->y[0] + b * t->y[1]);                                                              \
        }                                                                                                            \
    }                                                                                                                \
    INLINE void lstm_##S(const struct recurrent *t, const REAL *x, const REAL *input, const REAL *state,             \
                         const REAL *bias_x, const REAL *bias_h, REAL *h, REAL *c, REAL *work, REAL *y) {            \
        recurrent_##S(t, 4, lstm_cell_##S, x, input, state, bias_x, bias_h, h, c, work, y);                          \
    }                                                                                                                \
    INLINE void gru_##S(const struct recurrent *t, const REAL *x, const REAL *input, const REAL *state,              \
                        const REAL *bias_x, const REAL *bias_h, REAL *h, REAL *work, REAL *y) {                      \
        recurrent_##S(t, 3, gru_cell_##S, x, input, state, bias_x, bias_h, h, 0, work, y);                           \
    }

DEFINE_RECURRENT(float, f32)
DEFINE_RECURRENT(double, f64)
