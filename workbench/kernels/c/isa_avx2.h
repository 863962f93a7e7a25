/* AVX2: vpmaddubsw multiplies unsigned by signed bytes and adds neighbours, into 16 bits; those are widened before they
 * can overflow.
 *
 * One row: fields are masked at bits 0 and 2 of the byte and of the byte shifted by 4, so only one shift is needed; what
 * was masked at bit 2 counts fourfold, is summed apart, and fits 16 bits for 8 blocks. A few rows: 8 lanes by up to 8
 * rows stay in registers, decoded once. Either way a panel is passed through in the order it lies in memory. More rows
 * multiply fields that were decoded before they began: half as many loads of activations, and no decoding in between.
 */
#include <immintrin.h>

#define TERN_ISA "avx2"
#define INLINE static inline __attribute__((always_inline))
enum { ROWS = 8, AHEAD = 4096, HALF = 32 /* bytes, 8 lanes */ };

typedef int32_t __attribute__((aligned(1), may_alias)) int32_t_any;
#define BROADCAST(p) _mm256_set1_epi32(*(const int32_t_any *)(p))
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define TABLE(...) _mm256_broadcastsi128_si256(_mm_setr_epi8(__VA_ARGS__))

/* g = byte / 28 from the upper four bits, whose table also says at which byte the next g begins (255: in no byte of
 * these); the rest r < 27 by comparisons and tables. */
INLINE void decode_t5(__m256i v, __m256i u[5])
{
	const __m256i begin = TABLE(0, 0, 1, 1, 2, 2, 3, 4, 4, 5, 5, 6, 6, 7, 8, 8);
	const __m256i next = TABLE(-1, 28, -1, 56, -1, 84, 112, -1, -116, -1, -88, -1, -60, -32, -1, -1);
	const __m256i times28 = TABLE(0, 28, 56, 84, 112, -116, -88, -60, -32, 0, 0, 0, 0, 0, 0, 0);
	const __m256i low3 = TABLE(0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0);
	const __m256i high3 = TABLE(0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0);
	const __m256i upper = _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(15));
	const __m256i reached = _mm256_cmpeq_epi8(_mm256_max_epu8(v, _mm256_shuffle_epi8(next, upper)), v);
	const __m256i g = _mm256_sub_epi8(_mm256_shuffle_epi8(begin, upper), reached);
	const __m256i r = _mm256_sub_epi8(v, _mm256_shuffle_epi8(times28, g));
	const __m256i above8 = _mm256_cmpgt_epi8(r, _mm256_set1_epi8(8)), above17 = _mm256_cmpgt_epi8(r, _mm256_set1_epi8(17));
	const __m256i nine = _mm256_set1_epi8(9);
	const __m256i s = _mm256_sub_epi8(_mm256_sub_epi8(r, _mm256_and_si256(above8, nine)), _mm256_and_si256(above17, nine));
	u[0] = _mm256_shuffle_epi8(low3, s);
	u[1] = _mm256_shuffle_epi8(high3, s);
	u[2] = _mm256_abs_epi8(_mm256_add_epi8(above8, above17));
	u[3] = _mm256_shuffle_epi8(low3, g);
	u[4] = _mm256_shuffle_epi8(high3, g);
}

INLINE __m256i widen(__m256i sum16) { return _mm256_madd_epi16(sum16, _mm256_set1_epi16(1)); }

INLINE void add_to(int32_t *out, __m256i sum)
{
	_mm256_storeu_si256((__m256i *)out, _mm256_add_epi32(LOAD(out), sum));
}

/* s += u . a in 16 bits, here and now: left alone, gcc adds products to one another first and spills them all. */
#define DOT16(s, u, a) \
	do { \
		s = _mm256_add_epi16(s, _mm256_maddubs_epi16(u, a)); \
		__asm__("" : "+x"(s)); \
	} while (0)

/* One row, T2, the 16 lanes of a tile. 8 blocks of 2 * 4 * 2 * 2 * 128 reach -2^15 and no further. */
static void one_row_t2(const uint8_t *w, int64_t stride, const int8_t *a, int64_t blocks, int32_t *out)
{
	const __m256i three = _mm256_set1_epi8(3), twelve = _mm256_set1_epi8(12);
	__m256i once0 = _mm256_setzero_si256(), once1 = once0, four0 = once0, four1 = once0;
	for (int64_t b = 0; b < blocks; b++, w += stride, a += 16) {
		const __m256i a0 = BROADCAST(a), a1 = BROADCAST(a + 4), a2 = BROADCAST(a + 8), a3 = BROADCAST(a + 12);
		const __m256i v0 = LOAD(w), v1 = LOAD(w + HALF);
		const __m256i high0 = _mm256_srli_epi16(v0, 4), high1 = _mm256_srli_epi16(v1, 4);
		_mm_prefetch((const char *)w + AHEAD, _MM_HINT_T0);
		DOT16(once0, _mm256_and_si256(v0, three), a0);
		DOT16(once1, _mm256_and_si256(v1, three), a0);
		DOT16(four0, _mm256_and_si256(v0, twelve), a1);
		DOT16(four1, _mm256_and_si256(v1, twelve), a1);
		DOT16(once0, _mm256_and_si256(high0, three), a2);
		DOT16(once1, _mm256_and_si256(high1, three), a2);
		DOT16(four0, _mm256_and_si256(high0, twelve), a3);
		DOT16(four1, _mm256_and_si256(high1, twelve), a3);
	}
	add_to(out, _mm256_add_epi32(widen(once0), _mm256_srai_epi32(widen(four0), 2)));
	add_to(out + 8, _mm256_add_epi32(widen(once1), _mm256_srai_epi32(widen(four1), 2)));
}

enum { LATE = 2 /* products asked for before the one that is added */ };

/* Where they stand they stay: gcc would add products to one another first, and spill all sums. */
#define MULTIPLY(product, u, a) __asm__ volatile("vpmaddubsw %2, %1, %0" : "=x"(product) : "x"(u), "x"(a))
#define ADD(s, product) __asm__ volatile("vpaddw %1, %0, %0" : "+x"(s) : "x"(product))

/* Field f of 8 lanes as bytes 0..2; those of T5 come all at once. */
INLINE void decode(const int layout, const int f, const uint8_t *w, __m256i *u)
{
	if (layout == TERN_T2)
		u[f] = _mm256_and_si256(f ? _mm256_srli_epi16(LOAD(w), 2 * f) : LOAD(w), _mm256_set1_epi8(3));
	else if (f == 0)
		decode_t5(LOAD(w), u);
}

/* The products of a block, field after field, row after row. The next field is decoded before this one's products, and some of
 * these are made before one is added: 4 % less time than each when it is needed, and 3 % more than if the processor never waited.
 * The first products are the sums: 1 % less than adding them to 0. */
INLINE void add_block(const int layout, const uint8_t *w, const int8_t *a, int64_t lda, const int rows, __m256i *s,
		      const int first)
{
	const int fields = block_weights(layout) / 4, products = fields * rows;
	__m256i u[5], product[LATE + 1];
	_mm_prefetch((const char *)w + AHEAD, _MM_HINT_T0);
	decode(layout, 0, w, u);
#pragma GCC unroll 48
	for (int i = 0; i < products + LATE; i++) {
		const int f = i / rows, r = i % rows, ready = i - LATE;
		if (r == 0 && f + 1 < fields)
			decode(layout, f + 1, w, u);
		if (i < products)
			MULTIPLY(product[i % (LATE + 1)], u[f], BROADCAST(a + r * lda + 4 * f));
		if (ready >= 0 && ready < rows && first)
			s[ready] = product[ready % (LATE + 1)];
		else if (ready >= 0)
			ADD(s[ready % rows], product[ready % (LATE + 1)]);
	}
}

/* Several rows (or one, T5), 8 lanes. 16 blocks of 4 * 2 * 2 * 128 reach -2^15, 12 blocks of 5 as much do not. */
INLINE void half_tile(const int layout, const uint8_t *w, int64_t stride, const int8_t *a, int64_t lda, const int rows,
		      int64_t blocks, int32_t *out)
{
	__m256i s[ROWS];
	add_block(layout, w, a, lda, rows, s, 1);
	for (int64_t b = 1; b < blocks; b++)
		add_block(layout, w += stride, a += block_weights(layout), lda, rows, s, 0);
#pragma GCC unroll 8
	for (int r = 0; r < rows; r++)
		add_to(out + r * PANEL, widen(s[r]));
}

/* A panel, so many blocks at a time that 16 bits hold their sums; calling for each half a tile would cost a tenth. */
INLINE void many_rows(const int layout, const uint8_t *w, int tiles, const int8_t *a, int64_t lda, const int rows, int64_t blocks,
		      int32_t *out)
{
	const int64_t stride = tiles * TILE_BYTES, at_once = layout == TERN_T5 ? 12 : 16;
	for (; blocks > 0; blocks -= at_once, w += at_once * stride, a += at_once * block_weights(layout)) {
		const int64_t now = blocks < at_once ? blocks : at_once;
		for (int half = 0; half < 2 * tiles; half++)
			half_tile(layout, w + half * HALF, stride, a, lda, rows, now, out + half * LANES / 2);
	}
}

#define EACH(layout, X) X(layout, 1) X(layout, 2) X(layout, 3) X(layout, 4) X(layout, 5) X(layout, 6) X(layout, 7) X(layout, 8)
#define MANY(layout, n) \
	static void rows_##layout##_##n(const uint8_t *w, int tiles, const int8_t *a, int64_t lda, int64_t blocks, int32_t *out) \
	{ \
		many_rows(layout, w, tiles, a, lda, n, blocks, out); \
	}
#define NAME(layout, n) rows_##layout##_##n,
EACH(TERN_T2, MANY)
EACH(TERN_T5, MANY)
typedef void many_kernel(const uint8_t *, int, const int8_t *, int64_t, int64_t, int32_t *);
static many_kernel *const many_t2[] = { NULL, EACH(TERN_T2, NAME) }; /* by rows */
static many_kernel *const many_t5[] = { NULL, EACH(TERN_T5, NAME) };

static void one_row(const uint8_t *w, int tiles, const int8_t *a, int64_t blocks, int32_t *out)
{
	const int64_t stride = tiles * TILE_BYTES, at_once = 8;
	for (; blocks > 0; blocks -= at_once, w += at_once * stride, a += at_once * 16)
		for (int t = 0; t < tiles; t++)
			one_row_t2(w + t * TILE_BYTES, stride, a, blocks < at_once ? blocks : at_once, out + t * LANES);
}

static void micro(int layout, const uint8_t *w, int tiles, const int8_t *a, int64_t lda, int rows, int64_t blocks,
		  int32_t *out, int add)
{
	if (!add)
		memset(out, 0, (size_t)rows * PANEL * sizeof *out);
	if (rows == 1 && layout == TERN_T2)
		one_row(w, tiles, a, blocks, out);
	else
		(layout == TERN_T5 ? many_t5 : many_t2)[rows](w, tiles, a, lda, blocks, out);
}

/* What was decoded of a pair of tiles: [step][tile], a step 4 activations. Zeros make the steps whole fours. */
#define KEEPS_FIELDS
enum { PAIR = 2, KEPT_FROM = ROWS + 1, KEPT_BLOCKS = 12 /* whose sums fit 16 bits */, KEPT_ROWS_ABREAST = 6 };
enum { KEPT_BYTES = KEPT_BLOCKS * 5 * PAIR * TILE_BYTES };

INLINE void keep_pair(const int layout, const uint8_t *w, int64_t stride, int tiles, int64_t blocks, uint8_t *kept)
{
	const int fields = block_weights(layout) / 4;
	const __m256i three = _mm256_set1_epi8(3);
	for (int64_t b = 0; b < blocks; b++, w += stride, kept += fields * tiles * TILE_BYTES)
		for (int half = 0; half < 2 * tiles; half++) {
			const __m256i v = LOAD(w + half * HALF);
			__m256i u[5];
			if (half % 2 == 0)
				_mm_prefetch((const char *)w + half * HALF + AHEAD, _MM_HINT_T0);
			if (layout == TERN_T5)
				decode_t5(v, u);
#pragma GCC unroll 5
			for (int f = 0; f < fields; f++) {
				if (layout == TERN_T2)
					u[f] = _mm256_and_si256(f ? _mm256_srli_epi16(v, 2 * f) : v, three);
				_mm256_store_si256((__m256i *)(kept + f * tiles * TILE_BYTES + half * HALF), u[f]);
			}
		}
	memset(kept, 0, (size_t)((-blocks * fields & 3) * tiles * TILE_BYTES));
}

/* A tile; `stride`: bytes from step to step. */
INLINE void kept_rows(const uint8_t *kept, int64_t stride, const int8_t *a, int64_t lda, const int rows, int64_t fours,
		      int32_t *out, int add)
{
	__m256i s[2][KEPT_ROWS_ABREAST];
#pragma GCC unroll 6
	for (int r = 0; r < rows; r++)
		s[0][r] = s[1][r] = _mm256_setzero_si256();
	for (int64_t four = 0; four < fours; four++, a += 16)
#pragma GCC unroll 4
		for (int f = 0; f < 4; f++, kept += stride) {
			const __m256i u0 = LOAD(kept), u1 = LOAD(kept + HALF);
#pragma GCC unroll 6
			for (int r = 0; r < rows; r++) {
				const __m256i x = BROADCAST(a + r * lda + 4 * f);
				DOT16(s[0][r], u0, x);
				DOT16(s[1][r], u1, x);
			}
		}
#pragma GCC unroll 6
	for (int r = 0; r < rows; r++)
		for (int half = 0; half < 2; half++) {
			int32_t *to = out + r * PANEL + half * LANES / 2;
			const __m256i sum = widen(s[half][r]);
			_mm256_storeu_si256((__m256i *)to, add ? _mm256_add_epi32(sum, LOAD(to)) : sum);
		}
}

#define KEPT(n) \
	static void kept_rows_##n(const uint8_t *kept, int64_t stride, const int8_t *a, int64_t lda, int64_t fours, int32_t *out, \
				  int add) \
	{ \
		kept_rows(kept, stride, a, lda, n, fours, out, add); \
	}
KEPT(2) KEPT(3) KEPT(4) KEPT(5) KEPT(6)
typedef void kept_kernel(const uint8_t *, int64_t, const int8_t *, int64_t, int64_t, int32_t *, int);
static kept_kernel *const kept_kernels[] = { NULL, NULL, kept_rows_2, kept_rows_3, kept_rows_4, kept_rows_5, kept_rows_6 };

/* As micro(), for many rows and a pair of tiles. */
static void micro_kept(int layout, const uint8_t *w, int64_t stride, int tiles, const int8_t *a, int64_t lda, int64_t rows,
		       int64_t blocks, int32_t *out, int add, uint8_t *kept)
{
	const int64_t fours = ceil_div(blocks * block_weights(layout) / 4, 4);
	if (layout == TERN_T5)
		keep_pair(TERN_T5, w, stride, tiles, blocks, kept);
	else
		keep_pair(TERN_T2, w, stride, tiles, blocks, kept);
	for (int64_t r = 0, parts = ceil_div(rows, KEPT_ROWS_ABREAST); r < rows; parts--) {
		const int64_t some = ceil_div(rows - r, parts);
		for (int t = 0; t < tiles; t++)
			kept_kernels[some](kept + t * TILE_BYTES, tiles * TILE_BYTES, a + r * lda, lda, fours,
					   out + r * PANEL + t * LANES, add);
		r += some;
	}
}
