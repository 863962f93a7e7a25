/* C[rows, columns] = A[rows, depth] * B[depth, columns] + bias.
 *
 * Every element is one sum over depth in order, whatever the vector width: all targets give the same bits.
 * A tile keeps its sums in registers: PANEL columns of a constant B lie together (panel_step = depth * PANEL,
 * ldb = PANEL); a B that is computed lies in rows (panel_step = PANEL, ldb = its row stride).
 * `bias` may be NULL; it is read at row * bias_row + column * bias_column. */
#define PANEL 16
#if defined(__AVX512F__)
#define TILE 8 /* rows of a tile: as many as the registers of the machine can sum up */
#else
#define TILE 4
#endif

#define DEFINE_TILE(REAL, S)                                                                                 \
    INLINE void tile_##S(int rows, int64_t depth, const REAL *restrict a, int64_t lda, const REAL *restrict b, \
                         int64_t ldb, int width, REAL *restrict c, int64_t ldc, const REAL *bias,            \
                         int64_t bias_row, int64_t bias_column) {                                            \
        REAL sum[TILE][PANEL];                                                                               \
        _Pragma("GCC unroll 8") for (int r = 0; r < rows; ++r)                                               \
            _Pragma("GCC unroll 16") for (int j = 0; j < PANEL; ++j) sum[r][j] = 0;                          \
        for (int64_t k = 0; k < depth; ++k) {                                                                \
            _Pragma("GCC unroll 8") for (int r = 0; r < rows; ++r) {                                         \
                const REAL x = a[r * lda + k];                                                               \
                for (int j = 0; j < PANEL; ++j) sum[r][j] = FMA_##S(x, b[k * ldb + j], sum[r][j]);           \
            }                                                                                                \
        }                                                                                                    \
        _Pragma("GCC unroll 8") for (int r = 0; r < rows; ++r)                                               \
            for (int j = 0; j < width; ++j)                                                                  \
                c[r * ldc + j] = bias ? sum[r][j] + bias[r * bias_row + j * bias_column] : sum[r][j];        \
    }                                                                                                        \
    /* The last columns of a B that has no room behind them. */                                              \
    INLINE void edge_##S(int64_t depth, const REAL *restrict a, const REAL *restrict b, int64_t ldb,         \
                         int width, REAL *restrict c, const REAL *bias, int64_t bias_column) {               \
        REAL sum[PANEL] = {0};                                                                               \
        for (int64_t k = 0; k < depth; ++k)                                                                  \
            for (int j = 0; j < width; ++j) sum[j] = FMA_##S(a[k], b[k * ldb + j], sum[j]);                  \
        for (int j = 0; j < width; ++j) c[j] = bias ? sum[j] + bias[j * bias_column] : sum[j];               \
    }                                                                                                        \
    static __attribute__((unused)) void gemm_##S(                                                            \
        int64_t rows, int64_t columns, int64_t depth, const REAL *restrict a, int64_t lda,                   \
        const REAL *restrict b, int64_t ldb, int64_t panel_step, REAL *restrict c, int64_t ldc,              \
        const REAL *bias, int64_t bias_row, int64_t bias_column) {                                           \
        for (int64_t n = 0; n < columns; n += PANEL) {                                                       \
            const REAL *panel = b + n / PANEL * panel_step, *beta = bias ? bias + n * bias_column : 0;       \
            const int width = columns - n < PANEL ? (int)(columns - n) : PANEL;                              \
            int64_t m = 0;                                                                                   \
            if (width < PANEL && ldb != PANEL) {                                                             \
                for (; m < rows; ++m)                                                                        \
                    edge_##S(depth, a + m * lda, panel, ldb, width, c + m * ldc + n,                         \
                             beta ? beta + m * bias_row : 0, bias_column);                                   \
                continue;                                                                                    \
            }                                                                                                \
            for (; m + TILE <= rows; m += TILE)                                                                 \
                tile_##S(TILE, depth, a + m * lda, lda, panel, ldb, width, c + m * ldc + n, ldc,             \
                         beta ? beta + m * bias_row : 0, bias_row, bias_column);                             \
            for (; m + 2 <= rows; m += 2)                                                                    \
                tile_##S(2, depth, a + m * lda, lda, panel, ldb, width, c + m * ldc + n, ldc,                \
                         beta ? beta + m * bias_row : 0, bias_row, bias_column);                             \
            for (; m < rows; ++m)                                                                            \
                tile_##S(1, depth, a + m * lda, lda, panel, ldb, width, c + m * ldc + n, ldc,                \
                         beta ? beta + m * bias_row : 0, bias_row, bias_column);                             \
        }                                                                                                    \
    }

DEFINE_TILE(float, f32)
DEFINE_TILE(double, f64)

/* The same for the threads of the model: chunks of panels, and of rows where there are few panels. */
#define DEFINE_PRODUCT(REAL, S)                                                                              \
    struct product_##S {                                                                                     \
        int64_t rows, columns, depth, lda, ldb, panel_step, ldc, bias_row, bias_column;                      \
        const REAL *a, *b, *bias;                                                                            \
        REAL *c;                                                                                             \
        int64_t width, height, across; /* columns and rows of a chunk, chunks side by side */                \
    };                                                                                                       \
    static __attribute__((unused)) void product_chunk_##S(const void *job, int64_t chunk) {                  \
        const struct product_##S *p = job;                                                                   \
        const int64_t n = chunk % p->across * p->width, m = chunk / p->across * p->height;                   \
        gemm_##S(minimum(p->height, p->rows - m), minimum(p->width, p->columns - n), p->depth,               \
                 p->a + m * p->lda, p->lda, p->b + n / PANEL * p->panel_step, p->ldb, p->panel_step,         \
                 p->c + m * p->ldc + n, p->ldc,                                                              \
                 p->bias ? p->bias + m * p->bias_row + n * p->bias_column : 0, p->bias_row, p->bias_column); \
    }                                                                                                        \
    static __attribute__((unused)) void product_##S(                                                         \
        int64_t rows, int64_t columns, int64_t depth, const REAL *a, int64_t lda, const REAL *b,             \
        int64_t ldb, int64_t panel_step, REAL *c, int64_t ldc, const REAL *bias, int64_t bias_row,           \
        int64_t bias_column) {                                                                               \
        const int64_t work = rows * columns * depth, panels = (columns + PANEL - 1) / PANEL;                 \
        const int64_t wanted = minimum(4 * mlops_threads, work / GRAIN);                                     \
        if (mlops_threads < 2 || wanted < 2) {                                                               \
            gemm_##S(rows, columns, depth, a, lda, b, ldb, panel_step, c, ldc, bias, bias_row, bias_column); \
            return;                                                                                          \
        }                                                                                                    \
        struct product_##S p = {rows, columns, depth, lda, ldb, panel_step, ldc, bias_row, bias_column,      \
                                a, b, bias, c, 0, 0, 0};                                                     \
        p.width = (panels + wanted - 1) / wanted * PANEL;                                                    \
        p.across = (columns + p.width - 1) / p.width;                                                        \
        const int64_t down = (wanted + p.across - 1) / p.across;                                             \
        p.height = ((rows + down - 1) / down + TILE - 1) / TILE * TILE;                                      \
        in_chunks(product_chunk_##S, &p, p.across * ((rows + p.height - 1) / p.height), work);               \
    }

DEFINE_PRODUCT(float, f32)
DEFINE_PRODUCT(double, f64)
