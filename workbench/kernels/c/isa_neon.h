/* NEON with dot products (sdot), and with the matrix product of i8mm (smmla) where the processor has it.
 *
 * A vector holds 4 lanes of 4 bytes, a tile is 4 vectors. smmla multiplies 2 rows by 2 lanes over 8 weights: two fields
 * side by side are the 8 weights of a lane once their 32-bit halves are interleaved.
 */
#include <arm_neon.h>

#ifdef __ARM_FEATURE_MATMUL_INT8
#define TERN_ISA "neon-i8mm"
#else
#define TERN_ISA "neon-dotprod"
#endif
#define INLINE static inline __attribute__((always_inline))
enum { ROWS = 4, VECTORS = 4 /* of a tile */ };

static const uint8_t quotient28[64] = { 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 3,
					3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 6, 6,
					6, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8, 8, 8 };
static const uint8_t low3[16] = { 0, 1, 2, 0, 1, 2, 0, 1, 2 }, high3[16] = { 0, 0, 0, 1, 1, 1, 2, 2, 2 };

/* The fields of 16 bytes as bytes 0..2. */
INLINE void decode(const int layout, uint8x16_t v, int8x16_t u[5])
{
	if (layout == TERN_T2) {
		const uint8x16_t three = vdupq_n_u8(3);
		u[0] = vreinterpretq_s8_u8(vandq_u8(v, three));
		u[1] = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(v, 2), three));
		u[2] = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(v, 4), three));
		u[3] = vreinterpretq_s8_u8(vshrq_n_u8(v, 6));
		return;
	}
	const uint8x16x4_t table = { { vld1q_u8(quotient28), vld1q_u8(quotient28 + 16), vld1q_u8(quotient28 + 32),
				       vld1q_u8(quotient28 + 48) } };
	const uint8x16_t low = vld1q_u8(low3), high = vld1q_u8(high3);
	const uint8x16_t g = vqtbl4q_u8(table, vshrq_n_u8(v, 2)), r = vmlsq_u8(v, g, vdupq_n_u8(28));
	const uint8x16_t above8 = vcgtq_u8(r, vdupq_n_u8(8)), above17 = vcgtq_u8(r, vdupq_n_u8(17));
	const uint8x16_t nines = vsubq_u8(vdupq_n_u8(0), vaddq_u8(above8, above17)); /* 0, 1 or 2 */
	const uint8x16_t s = vmlsq_u8(r, nines, vdupq_n_u8(9));
	u[0] = vreinterpretq_s8_u8(vqtbl1q_u8(low, s));
	u[1] = vreinterpretq_s8_u8(vqtbl1q_u8(high, s));
	u[2] = vreinterpretq_s8_u8(nines);
	u[3] = vreinterpretq_s8_u8(vqtbl1q_u8(low, g));
	u[4] = vreinterpretq_s8_u8(vqtbl1q_u8(high, g));
}

INLINE int8x16_t four_bytes(const int8_t *a)
{
	int32_t bytes;
	memcpy(&bytes, a, 4);
	return vreinterpretq_s8_s32(vdupq_n_s32(bytes));
}

INLINE void keep(int32_t *out, int32x4_t sum, int add) { vst1q_s32(out, add ? vaddq_s32(vld1q_s32(out), sum) : sum); }

/* One row, T2: as in isa_avx512.h, except that the top field is shifted, for it would be a negative byte. */
INLINE void one_row_t2(const uint8_t *w, int64_t stride, const int8_t *a, int64_t blocks, int32_t *out, int add)
{
	const uint8x16_t m0 = vdupq_n_u8(0x03), m1 = vdupq_n_u8(0x0c), m2 = vdupq_n_u8(0x30);
	int32x4_t s[VECTORS][4];
	for (int i = 0; i < VECTORS; i++)
		s[i][0] = s[i][1] = s[i][2] = s[i][3] = vdupq_n_s32(0);
	for (int64_t b = 0; b < blocks; b++, w += stride, a += 16) {
		const int8x16_t x = vld1q_s8(a);
		const int32x4_t x4 = vreinterpretq_s32_s8(x);
		const int8x16_t a0 = vreinterpretq_s8_s32(vdupq_laneq_s32(x4, 0)), a1 = vreinterpretq_s8_s32(vdupq_laneq_s32(x4, 1)),
				a2 = vreinterpretq_s8_s32(vdupq_laneq_s32(x4, 2)), a3 = vreinterpretq_s8_s32(vdupq_laneq_s32(x4, 3));
#pragma GCC unroll 4
		for (int i = 0; i < VECTORS; i++) {
			const uint8x16_t v = vld1q_u8(w + 16 * i);
			s[i][0] = vdotq_s32(s[i][0], vreinterpretq_s8_u8(vandq_u8(v, m0)), a0);
			s[i][1] = vdotq_s32(s[i][1], vreinterpretq_s8_u8(vandq_u8(v, m1)), a1);
			s[i][2] = vdotq_s32(s[i][2], vreinterpretq_s8_u8(vandq_u8(v, m2)), a2);
			s[i][3] = vdotq_s32(s[i][3], vreinterpretq_s8_u8(vshrq_n_u8(v, 6)), a3);
		}
	}
	for (int i = 0; i < VECTORS; i++) {
		int32x4_t low = vaddq_s32(s[i][0], vshrq_n_s32(s[i][1], 2));
		keep(out + 4 * i, vaddq_s32(low, vaddq_s32(vshrq_n_s32(s[i][2], 4), s[i][3])), add);
	}
}

/* Up to 4 rows by one tile; a field is decoded once for all of them. */
INLINE void rows_by_dot(const int layout, const uint8_t *w, int64_t stride, const int8_t *a, int64_t lda, const int rows,
			int64_t blocks, int32_t *out, int add)
{
	const int step = block_weights(layout), fields = step / 4;
	int32x4_t s[ROWS][VECTORS];
	for (int r = 0; r < rows; r++)
		for (int i = 0; i < VECTORS; i++)
			s[r][i] = vdupq_n_s32(0);
	for (int64_t b = 0; b < blocks; b++, w += stride, a += step)
#pragma GCC unroll 4
		for (int i = 0; i < VECTORS; i++) {
			int8x16_t u[5];
			decode(layout, vld1q_u8(w + 16 * i), u);
#pragma GCC unroll 5
			for (int f = 0; f < fields; f++)
#pragma GCC unroll 4
				for (int r = 0; r < rows; r++)
					s[r][i] = vdotq_s32(s[r][i], u[f], four_bytes(a + r * lda + 4 * f));
		}
	for (int r = 0; r < rows; r++)
		for (int i = 0; i < VECTORS; i++)
			keep(out + r * PANEL + 4 * i, s[r][i], add);
}

#ifdef __ARM_FEATURE_MATMUL_INT8
/* 8 activations of each of two rows; `count` of them, the rest zeros. */
INLINE int8x16_t two_rows(const int8_t *a, int64_t lda, int count)
{
	int8_t bytes[16] = { 0 };
	memcpy(bytes, a, (size_t)count);
	memcpy(bytes + 8, a + lda, (size_t)count);
	return vld1q_s8(bytes);
}

/* 2 or 4 rows by one tile with smmla: s[pair][i][half] = 2 rows by 2 lanes. */
INLINE void rows_by_matrix(const int layout, const uint8_t *w, int64_t stride, const int8_t *a, int64_t lda,
			   const int pairs, int64_t blocks, int32_t *out, int add)
{
	const int step = block_weights(layout), fields = step / 4;
	int32x4_t s[ROWS / 2][VECTORS][2];
	for (int p = 0; p < pairs; p++)
		for (int i = 0; i < VECTORS; i++)
			s[p][i][0] = s[p][i][1] = vdupq_n_s32(0);
	for (int64_t b = 0; b < blocks; b++, w += stride, a += step)
#pragma GCC unroll 4
		for (int i = 0; i < VECTORS; i++) {
			int8x16_t u[6];
			decode(layout, vld1q_u8(w + 16 * i), u);
			u[fields] = vdupq_n_s8(0); /* the partner of an odd last field */
#pragma GCC unroll 3
			for (int f = 0; f < fields; f += 2) {
				const int32x4_t even = vreinterpretq_s32_s8(u[f]), odd = vreinterpretq_s32_s8(u[f + 1]);
				const int8x16_t first = vreinterpretq_s8_s32(vzip1q_s32(even, odd));
				const int8x16_t second = vreinterpretq_s8_s32(vzip2q_s32(even, odd));
#pragma GCC unroll 2
				for (int p = 0; p < pairs; p++) {
					const int8x16_t x = two_rows(a + 2 * p * lda + 4 * f, lda, fields - f > 1 ? 8 : 4);
					s[p][i][0] = vmmlaq_s32(s[p][i][0], x, first);
					s[p][i][1] = vmmlaq_s32(s[p][i][1], x, second);
				}
			}
		}
	for (int p = 0; p < pairs; p++)
		for (int i = 0; i < VECTORS; i++) {
			const int32x4_t x = s[p][i][0], y = s[p][i][1];
			keep(out + 2 * p * PANEL + 4 * i, vcombine_s32(vget_low_s32(x), vget_low_s32(y)), add);
			keep(out + (2 * p + 1) * PANEL + 4 * i, vcombine_s32(vget_high_s32(x), vget_high_s32(y)), add);
		}
}
#endif

INLINE void tile(const int layout, const uint8_t *w, int64_t stride, const int8_t *a, int64_t lda, int rows,
		 int64_t blocks, int32_t *out, int add)
{
#ifdef __ARM_FEATURE_MATMUL_INT8
	if (rows >= 2) {
		if (rows >= 4)
			rows_by_matrix(layout, w, stride, a, lda, 2, blocks, out, add);
		else
			rows_by_matrix(layout, w, stride, a, lda, 1, blocks, out, add);
		const int done = rows / 2 * 2;
		a += done * lda, out += done * PANEL, rows -= done;
	}
#endif
	if (rows == 1 && layout == TERN_T2)
		one_row_t2(w, stride, a, blocks, out, add);
	else if (rows == 1)
		rows_by_dot(layout, w, stride, a, lda, 1, blocks, out, add);
	else if (rows == 2)
		rows_by_dot(layout, w, stride, a, lda, 2, blocks, out, add);
	else if (rows == 3)
		rows_by_dot(layout, w, stride, a, lda, 3, blocks, out, add);
	else if (rows == 4)
		rows_by_dot(layout, w, stride, a, lda, 4, blocks, out, add);
}

static void micro(int layout, const uint8_t *w, int tiles, const int8_t *a, int64_t lda, int rows, int64_t blocks,
		  int32_t *out, int add)
{
	for (int t = 0; t < tiles; t++, w += TILE_BYTES, out += LANES)
		if (layout == TERN_T5)
			tile(TERN_T5, w, tiles * TILE_BYTES, a, lda, rows, blocks, out, add);
		else
			tile(TERN_T2, w, tiles * TILE_BYTES, a, lda, rows, blocks, out, add);
}
