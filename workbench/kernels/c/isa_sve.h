/* SVE, for vectors of any length: as many lanes at a time as fit, the rest under a predicate. */
#include <arm_sve.h>

#define TERN_ISA "sve"
#define INLINE static inline __attribute__((always_inline))
enum { ROWS = 4 };

#define SIGNED(u) svreinterpret_s8_u8(u)

INLINE svint8_t four_bytes(const int8_t *a)
{
	int32_t bytes;
	memcpy(&bytes, a, 4);
	return svreinterpret_s8_s32(svdup_s32(bytes));
}

/* Field f of T2 as bytes 0..2. */
INLINE svuint8_t field_t2(svbool_t on, svuint8_t v, const int f)
{
	return svand_n_u8_x(on, f ? svlsr_n_u8_x(on, v, (uint8_t)(2 * f)) : v, 3);
}

/* x - quotient * by, with the quotient from the upper half of a product: exact for the few values there are. */
#define REST(on, x, quotient, by) svmls_n_u8_x(on, x, quotient, by)

#define ADD_FIELD(f, u) \
	do { \
		const svint8_t weights = SIGNED(u); \
		s0 = svdot_s32(s0, weights, four_bytes(a + 4 * (f))); \
		if (rows > 1) \
			s1 = svdot_s32(s1, weights, four_bytes(a + lda + 4 * (f))); \
		if (rows > 2) \
			s2 = svdot_s32(s2, weights, four_bytes(a + 2 * lda + 4 * (f))); \
		if (rows > 3) \
			s3 = svdot_s32(s3, weights, four_bytes(a + 3 * lda + 4 * (f))); \
	} while (0)

INLINE void keep(svbool_t on, int32_t *out, svint32_t sum, int add)
{
	svst1_s32(on, out, add ? svadd_s32_x(on, svld1_s32(on, out), sum) : sum);
}

/* The lanes from byte `off` of each block on, as many as a vector holds. */
INLINE void some_lanes(const int layout, const uint8_t *w, int64_t stride, int64_t off, const int8_t *a, int64_t lda,
		       const int rows, int64_t blocks, int32_t *out, int add)
{
	const svbool_t on = svwhilelt_b8(off, stride), lanes = svwhilelt_b32(off / 4, stride / 4);
	svint32_t s0 = svdup_s32(0), s1 = s0, s2 = s0, s3 = s0;
	for (int64_t b = 0; b < blocks; b++, w += stride, a += block_weights(layout)) {
		const svuint8_t v = svld1_u8(on, w + off);
		if (layout == TERN_T2) {
			ADD_FIELD(0, field_t2(on, v, 0));
			ADD_FIELD(1, field_t2(on, v, 1));
			ADD_FIELD(2, field_t2(on, v, 2));
			ADD_FIELD(3, svlsr_n_u8_x(on, v, 6));
			continue;
		}
		const svuint8_t g = svmulh_n_u8_x(on, svlsr_n_u8_x(on, v, 2), 37), r = REST(on, v, g, 28);
		const svuint8_t t2 = svmulh_n_u8_x(on, r, 29), s = REST(on, r, t2, 9), t1 = svmulh_n_u8_x(on, s, 86);
		const svuint8_t t4 = svmulh_n_u8_x(on, g, 86);
		ADD_FIELD(0, REST(on, s, t1, 3));
		ADD_FIELD(1, t1);
		ADD_FIELD(2, t2);
		ADD_FIELD(3, REST(on, g, t4, 3));
		ADD_FIELD(4, t4);
	}
	keep(lanes, out + off / 4, s0, add);
	if (rows > 1)
		keep(lanes, out + PANEL + off / 4, s1, add);
	if (rows > 2)
		keep(lanes, out + 2 * PANEL + off / 4, s2, add);
	if (rows > 3)
		keep(lanes, out + 3 * PANEL + off / 4, s3, add);
}

static void micro(int layout, const uint8_t *w, int tiles, const int8_t *a, int64_t lda, int rows, int64_t blocks,
		  int32_t *out, int add)
{
	const int64_t stride = tiles * TILE_BYTES;
#define CASE(n) \
	case n: \
		if (layout == TERN_T5) \
			some_lanes(TERN_T5, w, stride, off, a, lda, n, blocks, out, add); \
		else \
			some_lanes(TERN_T2, w, stride, off, a, lda, n, blocks, out, add); \
		break;
	for (int64_t off = 0; off < stride; off += (int64_t)svcntb())
		switch (rows) {
			CASE(1) CASE(2) CASE(3) CASE(4)
		}
#undef CASE
}
