/* AVX-512, several rows at once: two tiles by up to 12 rows of sums stay in registers, or four by up to 4, for a product waits
 * for the one before it in the same sum. A field is decoded once for all of them.
 *
 * On Intel's processors masks and shifts take turns with the products: 4 of 20 instructions with 8 rows, and 2 of 18 where one
 * affine map of bits (GFNI) does what a shift and a mask do. More rows than 12 do without: what was decoded is kept as bytes,
 * and all of them multiply that. On AMD's, decoding has pipes of its own, but not the affine map.
 */

enum form { T2_MASKED, T2_AFFINE, T5_LOOKED_UP, KEPT };

/* Bits 2f and 2f + 1 as bits 0 and 1: row 7 - i of the matrix says what bit i of the result is made of. */
#define AFFINE(f) (int64_t)(1ull << (2 * (f) + 56) | 1ull << (2 * (f) + 1 + 48))

/* A tile's bytes; for T5 also byte >> 2, and the byte less what its upper digits are. */
typedef struct decoder {
	__m512i v, h, rest;
} decoder;

INLINE decoder decode(const enum form form, const uint8_t *w)
{
	decoder d = { .v = _mm512_loadu_si512(w) };
	d.h = _mm512_srli_epi16(d.v, 2);
	d.rest = form == T5_LOOKED_UP ? _mm512_sub_epi8(d.v, LOOK(d.h, times28)) : d.v;
	return d;
}

/* Field f as bytes 0..2. */
INLINE __m512i decoded(const enum form form, const int f, const decoder *d)
{
	if (form == T2_AFFINE && f)
		return _mm512_gf2p8affine_epi64_epi8(d->v, _mm512_set1_epi64(AFFINE(f)), 0);
	if (form != T5_LOOKED_UP)
		return _mm512_and_si512(f ? _mm512_srli_epi16(d->v, 2 * f) : d->v, _mm512_set1_epi8(3));
	return f == 0 ? LOOK(d->rest, digit0) : f == 1 ? LOOK(d->rest, digit1) : f == 2 ? LOOK(d->rest, digit2) :
	       f == 3 ? LOOK(d->h, digit3) : LOOK(d->h, digit4);
}

/* `stride`: bytes from block to block, of packed weights or of kept fields, four steps of these. What is decoded is stored at
 * `kept`, if anywhere. */
INLINE void many_rows(const enum form form, const uint8_t *w, int64_t stride, const int tiles, const int8_t *a, int64_t lda,
		      const int rows, int64_t blocks, int32_t *out, int add, uint8_t *kept)
{
	const int fields = form == T5_LOOKED_UP ? 5 : 4;
	__m512i s[TILES][ROWS];
#pragma GCC unroll 12
	for (int r = 0; r < rows; r++)
		s[0][r] = s[1][r] = s[2][r] = s[3][r] = _mm512_setzero_si512();
	for (int64_t b = 0; b < blocks; b++, w += stride, a += 4 * fields) {
		decoder d[TILES];
#pragma GCC unroll 4
		for (int t = 0; t < tiles && form != KEPT; t++) {
			d[t] = decode(form, w + t * TILE_BYTES);
			_mm_prefetch((const char *)w + t * TILE_BYTES + AHEAD, _MM_HINT_T0);
			if (form == T2_AFFINE) /* Intel's; two rows and more wait for memory there */
				_mm_prefetch((const char *)w + t * TILE_BYTES + AHEAD_FAR, _MM_HINT_T1);
		}
#pragma GCC unroll 5
		for (int f = 0; f < fields; f++) {
			__m512i u[TILES];
#pragma GCC unroll 4
			for (int t = 0; t < tiles; t++) {
				u[t] = form == KEPT ? _mm512_load_si512(w + (f * tiles + t) * TILE_BYTES) :
						      decoded(form, f, &d[t]);
				if (kept)
					_mm512_store_si512(kept + (f * tiles + t) * TILE_BYTES, u[t]);
			}
#pragma GCC unroll 12
			for (int r = 0; r < rows; r++) {
				const __m512i x = BROADCAST(a + r * lda + 4 * f);
#pragma GCC unroll 4
				for (int t = 0; t < tiles; t++)
					s[t][r] = _mm512_dpbusd_epi32(s[t][r], u[t], x);
			}
		}
		if (kept)
			kept += fields * tiles * TILE_BYTES;
	}
	if (kept) /* the steps become whole fours */
		memset(kept, 0, (size_t)((-blocks * fields & 3) * tiles * TILE_BYTES));
#pragma GCC unroll 12
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
		for (int t = 0; t < tiles; t++)
			store(out + r * PANEL + t * LANES, s[t][r], add);
}

enum { PAIR = 2, FEW_ROWS = 4 /* rows, of which four tiles' sums are in registers */ };

/* Returns how many tiles it was. */
#define MANY(form, n) \
	static int rows_TERN_##form##_##n(const uint8_t *w, int64_t stride, int tiles, const int8_t *a, int64_t lda, \
					  int64_t blocks, int32_t *out, int add) \
	{ \
		if (n <= FEW_ROWS && tiles == TILES) { \
			many_rows(form, w, stride, TILES, a, lda, n, blocks, out, add, NULL); \
			return TILES; \
		} \
		if (tiles > 1) \
			many_rows(form, w, stride, PAIR, a, lda, n, blocks, out, add, NULL); \
		else \
			many_rows(form, w, stride, 1, a, lda, n, blocks, out, add, NULL); \
		return PAIR; \
	}
#define COUNTS_FROM_5(form, X) X(form, 5) X(form, 6) X(form, 7) X(form, 8) X(form, 9) X(form, 10) X(form, 11) X(form, 12)
#define COUNTS(form, X) X(form, 2) X(form, 3) X(form, 4) COUNTS_FROM_5(form, X)
COUNTS(T2_MASKED, MANY)
COUNTS(T2_AFFINE, MANY)
COUNTS(T5_LOOKED_UP, MANY)
COUNTS_FROM_5(KEPT, MANY)
typedef int many_kernel(const uint8_t *, int64_t, int, const int8_t *, int64_t, int64_t, int32_t *, int);
#define NAME(form, n) rows_TERN_##form##_##n,
static many_kernel *const many_kernels[][ROWS + 1] = {
	{ NULL, NULL, COUNTS(T2_MASKED, NAME) },
	{ NULL, NULL, COUNTS(T2_AFFINE, NAME) },
	{ NULL, NULL, COUNTS(T5_LOOKED_UP, NAME) },
	{ NULL, NULL, NULL, NULL, NULL, COUNTS_FROM_5(KEPT, NAME) },
};

static inline enum form form_of(int layout) { return layout == TERN_T5 ? T5_LOOKED_UP : on_intel() ? T2_AFFINE : T2_MASKED; }

static void micro(int layout, const uint8_t *w, int tiles, const int8_t *a, int64_t lda, int rows, int64_t blocks,
		  int32_t *out, int add)
{
	if (rows <= 1) {
		(layout == TERN_T5 ? sums_one_row_TERN_T5 : sums_one_row_TERN_T2)(w, tiles, a, blocks, out, add);
		return;
	}
	many_kernel *kernel = many_kernels[form_of(layout)][rows];
	for (int t = 0; t < tiles;)
		t += kernel(w + t * TILE_BYTES, tiles * TILE_BYTES, tiles - t, a, lda, blocks, out + t * LANES, add);
}

/* What the first rows decode of a pair of tiles lies as it is multiplied: [step][tile], a step 4 activations. */
#define KEEPS_FIELDS
enum { KEPT_FIRST = 8 /* rows */, KEPT_FROM = ROWS + 1 };
enum { KEPT_BLOCKS = 40 /* decoded at a time: in the first cache, for what is written goes to the second slowly */ };
enum { KEPT_BYTES = KEPT_BLOCKS * 5 * PAIR * TILE_BYTES };

#define KEEP(form, tiles) \
	static void keep_##form##_##tiles(const uint8_t *w, int64_t stride, const int8_t *a, int64_t lda, int64_t blocks, \
					  int32_t *out, int add, uint8_t *kept) \
	{ \
		many_rows(form, w, stride, tiles, a, lda, KEPT_FIRST, blocks, out, add, kept); \
	}
KEEP(T2_MASKED, 1) KEEP(T2_MASKED, 2) KEEP(T2_AFFINE, 1) KEEP(T2_AFFINE, 2) KEEP(T5_LOOKED_UP, 1) KEEP(T5_LOOKED_UP, 2)
typedef void keep_kernel(const uint8_t *, int64_t, const int8_t *, int64_t, int64_t, int32_t *, int, uint8_t *);
static keep_kernel *const keep_kernels[][PAIR] = {
	{ keep_T2_MASKED_1, keep_T2_MASKED_2 },
	{ keep_T2_AFFINE_1, keep_T2_AFFINE_2 },
	{ keep_T5_LOOKED_UP_1, keep_T5_LOOKED_UP_2 },
};

/* As micro(), for many rows and a pair of tiles: 13 rows are 8 and 5. */
static void micro_kept(int layout, const uint8_t *w, int64_t stride, int tiles, const int8_t *a, int64_t lda, int64_t rows,
		       int64_t blocks, int32_t *out, int add, uint8_t *kept)
{
	const int64_t steps = ceil_div(blocks * block_weights(layout) / 4, 4);
	keep_kernels[form_of(layout)][tiles - 1](w, stride, a, lda, blocks, out, add, kept);
	for (int64_t r = KEPT_FIRST, parts = ceil_div(rows - r, ROWS); r < rows; parts--) {
		const int some = (int)ceil_div(rows - r, parts);
		many_kernels[KEPT][some](kept, 4 * tiles * TILE_BYTES, tiles, a + r * lda, lda, steps, out + r * PANEL, add);
		r += some;
	}
}
