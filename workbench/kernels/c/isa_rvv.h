/* RISC-V V 1.0, for vectors of any length. There is no dot product of bytes: each byte position of a lane is summed on
 * its own, in 16 bits widened before they overflow, and the four positions of a lane are added at the end.
 */
#include <riscv_vector.h>

#ifdef __riscv_v_intrinsic
#define RVV(name) __riscv_##name
#else
#define RVV(name) name /* clang up to 15 */
#endif
#define TERN_ISA "rvv"
#define INLINE static inline __attribute__((always_inline))
enum { ROWS = 4 };

#define SHIFT(v, bits) RVV(vsrl_vx_u8m1)(v, bits, vl)
#define THREE(v) RVV(vand_vx_u8m1)(v, 3, vl)
/* Quotient from the upper half of a product: exact for the few values there are; and what remains. */
#define QUOTIENT(v, by) RVV(vmulhu_vx_u8m1)(v, by, vl)
#define REST(v, quotient, by) RVV(vsub_vv_u8m1)(v, RVV(vmul_vx_u8m1)(quotient, by, vl), vl)

INLINE vint8m1_t four_bytes(const int8_t *a, size_t vl)
{
	int32_t bytes;
	memcpy(&bytes, a, 4);
	return RVV(vreinterpret_v_i32m1_i8m1)(RVV(vmv_v_x_i32m1)(bytes, (vl + 3) / 4));
}

#define ADD_FIELD(f, u) \
	do { \
		const vint8m1_t weights = RVV(vreinterpret_v_u8m1_i8m1)(u); \
		s0 = RVV(vwmacc_vv_i16m2)(s0, weights, four_bytes(a + 4 * (f), vl), vl); \
		if (rows > 1) \
			s1 = RVV(vwmacc_vv_i16m2)(s1, weights, four_bytes(a + lda + 4 * (f), vl), vl); \
		if (rows > 2) \
			s2 = RVV(vwmacc_vv_i16m2)(s2, weights, four_bytes(a + 2 * lda + 4 * (f), vl), vl); \
		if (rows > 3) \
			s3 = RVV(vwmacc_vv_i16m2)(s3, weights, four_bytes(a + 3 * lda + 4 * (f), vl), vl); \
	} while (0)

INLINE void widen_to(int32_t *sums, vint16m2_t s, size_t vl)
{
	RVV(vse32_v_i32m4)(sums, RVV(vwadd_wv_i32m4)(RVV(vle32_v_i32m4)(sums, vl), s, vl), vl);
}

/* vl bytes of each block; sums[row][byte]. 32 blocks of 4 * 2 * 128 reach -2^15 and no further, 25 of 5 as much. */
INLINE void some_bytes(const int layout, const uint8_t *w, int64_t stride, size_t vl, const int8_t *a, int64_t lda,
		       const int rows, int64_t blocks, int32_t *sums)
{
	const int step = block_weights(layout), flush = layout == TERN_T5 ? 25 : 32;
	for (int64_t b = 0; b < blocks;) {
		vint16m2_t s0 = RVV(vmv_v_x_i16m2)(0, vl), s1 = s0, s2 = s0, s3 = s0;
		for (const int64_t end = b + flush < blocks ? b + flush : blocks; b < end; b++, w += stride, a += step) {
			const vuint8m1_t v = RVV(vle8_v_u8m1)(w, vl);
			if (layout == TERN_T2) {
				ADD_FIELD(0, THREE(v));
				ADD_FIELD(1, THREE(SHIFT(v, 2)));
				ADD_FIELD(2, THREE(SHIFT(v, 4)));
				ADD_FIELD(3, SHIFT(v, 6));
				continue;
			}
			const vuint8m1_t g = QUOTIENT(SHIFT(v, 2), 37), r = REST(v, g, 28), t2 = QUOTIENT(r, 29);
			const vuint8m1_t s = REST(r, t2, 9), t1 = QUOTIENT(s, 86), t4 = QUOTIENT(g, 86);
			ADD_FIELD(0, REST(s, t1, 3));
			ADD_FIELD(1, t1);
			ADD_FIELD(2, t2);
			ADD_FIELD(3, REST(g, t4, 3));
			ADD_FIELD(4, t4);
		}
		widen_to(sums, s0, vl);
		if (rows > 1)
			widen_to(sums + 4 * PANEL, s1, vl);
		if (rows > 2)
			widen_to(sums + 8 * PANEL, s2, vl);
		if (rows > 3)
			widen_to(sums + 12 * PANEL, s3, vl);
	}
}

static void micro(int layout, const uint8_t *w, int tiles, const int8_t *a, int64_t lda, int rows, int64_t blocks,
		  int32_t *out, int add)
{
	const int64_t stride = tiles * TILE_BYTES;
	int32_t sums[ROWS][4 * PANEL];
	memset(sums, 0, sizeof sums);
#define CASE(n) \
	case n: \
		if (layout == TERN_T5) \
			some_bytes(TERN_T5, w + off, stride, vl, a, lda, n, blocks, sums[0] + off); \
		else \
			some_bytes(TERN_T2, w + off, stride, vl, a, lda, n, blocks, sums[0] + off); \
		break;
	for (int64_t off = 0, vl; off < stride; off += vl) {
		vl = (int64_t)RVV(vsetvl_e8m1)((size_t)(stride - off));
		switch (rows) {
			CASE(1) CASE(2) CASE(3) CASE(4)
		}
	}
#undef CASE
	for (int r = 0; r < rows; r++)
		for (int i = 0; i < tiles * LANES; i++) {
			const int32_t *four = sums[r] + 4 * i, sum = four[0] + four[1] + four[2] + four[3];
			out[r * PANEL + i] = add ? out[r * PANEL + i] + sum : sum;
		}
}
