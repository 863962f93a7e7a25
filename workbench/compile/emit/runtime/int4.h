/* Linear layers on 4-bit weights: w = (code - 8) * scale, and 32 neighbours of a row share a scale.
 *
 * 16 outputs are a panel: codes [panel][depth / 2][16], two neighbours along depth a byte, low half first; scales
 * [panel][block][16]. A block becomes floats once for the rows of a tile, whose sums stay in registers; every sum
 * runs over depth in order, so that all targets give the same bits. */
#define INT4_BLOCK 32
#define INT4_PANEL 16
#define INT4_TILE 4

INLINE void block_int4(const uint8_t *restrict codes, const float *restrict scale, float (*restrict w)[INT4_PANEL]) {
    for (int i = 0; i < INT4_BLOCK; i += 2, codes += INT4_PANEL) {
        for (int j = 0; j < INT4_PANEL; ++j) w[i][j] = (float)((codes[j] & 15) - 8) * scale[j];
        for (int j = 0; j < INT4_PANEL; ++j) w[i + 1][j] = (float)((codes[j] >> 4) - 8) * scale[j];
    }
}

INLINE void tile_int4(int rows, int64_t depth, const float *restrict x, int64_t ldx, const uint8_t *restrict codes,
                      const float *restrict scale, const float *restrict bias, int width, float *restrict y,
                      int64_t ldy) {
    float sum[INT4_TILE][INT4_PANEL], w[INT4_BLOCK][INT4_PANEL];
    _Pragma("GCC unroll 4") for (int r = 0; r < rows; ++r)
        _Pragma("GCC unroll 16") for (int j = 0; j < INT4_PANEL; ++j) sum[r][j] = 0;
    for (int64_t k = 0; k < depth; k += INT4_BLOCK) {
        const int64_t some = minimum(INT4_BLOCK, depth - k);
        block_int4(codes + k / 2 * INT4_PANEL, scale + k / INT4_BLOCK * INT4_PANEL, w);
        for (int64_t i = 0; i < some; ++i) {
            _Pragma("GCC unroll 4") for (int r = 0; r < rows; ++r) {
                const float value = x[r * ldx + k + i];
                for (int j = 0; j < INT4_PANEL; ++j) sum[r][j] = FMA_f32(value, w[i][j], sum[r][j]);
            }
        }
    }
    _Pragma("GCC unroll 4") for (int r = 0; r < rows; ++r)
        for (int j = 0; j < width; ++j) y[r * ldy + j] = bias ? sum[r][j] + bias[j] : sum[r][j];
}

struct linear_int4 {
    int64_t rows, columns, depth, ldx;
    const float *x, *scale, *bias;
    const uint8_t *codes;
    float *y;
};

static __attribute__((unused)) void panel_int4(const void *job, int64_t panel) {
    const struct linear_int4 *p = job;
    const int64_t blocks = (p->depth + INT4_BLOCK - 1) / INT4_BLOCK, n = panel * INT4_PANEL;
    const uint8_t *codes = p->codes + panel * blocks * INT4_BLOCK / 2 * INT4_PANEL;
    const float *scale = p->scale + panel * blocks * INT4_PANEL, *bias = p->bias ? p->bias + n : 0;
    const int width = (int)minimum(INT4_PANEL, p->columns - n);
    int64_t r = 0;
    for (; r + INT4_TILE <= p->rows; r += INT4_TILE)
        tile_int4(INT4_TILE, p->depth, p->x + r * p->ldx, p->ldx, codes, scale, bias, width, p->y + r * p->columns + n,
                  p->columns);
    for (; r < p->rows; ++r)
        tile_int4(1, p->depth, p->x + r * p->ldx, p->ldx, codes, scale, bias, width, p->y + r * p->columns + n, p->columns);
}

INLINE void linear_int4(int64_t rows, int64_t columns, int64_t depth, const float *x, int64_t ldx, const uint8_t *codes,
                        const float *scale, const float *bias, float *y) {
    const struct linear_int4 job = {rows, columns, depth, ldx, x, scale, bias, codes, y};
    in_chunks(panel_int4, &job, (columns + INT4_PANEL - 1) / INT4_PANEL, rows * columns * depth);
}
