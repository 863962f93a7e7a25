/* Floats to int8 in registers, rne(x / s) + 128, with AVX-512 VBMI (and VNNI, which what uses it needs).
 *
 * x / s + 384.5 as a float has bits of 2^-15: in bits 15 to 22 the nearest integer plus 128, below them how far the
 * fraction is beyond a half. Multiplying by 1 / s instead of dividing is off by less than the last of them, so it finds the
 * same integer unless all 15 are 0; then the quotient decides.
 */
#if defined(__AVX512VBMI__) && defined(__AVX512VNNI__) && !defined(TERN_GENERIC)
#define ROUND_AVX512
#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))
enum { FLOATS = 16 /* in a vector */ };

/* The first lanes of a vector, so many. */
INLINE __mmask16 first_lanes(int64_t count)
{
	return count >= FLOATS ? 0xffff : count > 0 ? (__mmask16)((1 << count) - 1) : 0;
}

INLINE __m512 floats_of(const float *x, const int some, __mmask16 lanes)
{
	return some ? _mm512_maskz_loadu_ps(lanes, x) : _mm512_loadu_ps(x); /* a mask costs an instruction more */
}

/* Four vectors, element by element side by side; `near` becomes the least of their 15 bits, shifted up. */
INLINE __m512i round_four(const float *x, const int64_t step[4], const int some, __mmask16 lanes, __m512 reciprocal, __m512i *near)
{
	const __m512i bits = _mm512_set1_epi64(0x2f2f2f2f0f0f0f0f);
	const __m512 whole = _mm512_set1_ps(384.5f);
	__m512i r[4];
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++)
		r[i] = _mm512_castps_si512(_mm512_fmadd_ps(floats_of(x + step[i], some, lanes), reciprocal, whole));
	const __m512i low = _mm512_min_epu32(_mm512_slli_epi32(r[0], 17), _mm512_slli_epi32(r[1], 17));
	const __m512i high = _mm512_min_epu32(_mm512_slli_epi32(r[2], 17), _mm512_slli_epi32(r[3], 17));
	*near = _mm512_min_epu32(*near, _mm512_min_epu32(low, high));
	__m512i y = _mm512_multishift_epi64_epi8(bits, r[0]);
	y = _mm512_mask_multishift_epi64_epi8(y, 0x2222222222222222, bits, r[1]);
	y = _mm512_mask_multishift_epi64_epi8(y, 0x4444444444444444, bits, r[2]);
	return _mm512_mask_multishift_epi64_epi8(y, 0x8888888888888888, bits, r[3]);
}

/* The same by division. */
INLINE __m512i divide_four(const float *x, const int64_t step[4], const int some, __mmask16 lanes, float s)
{
	__m512i y = _mm512_setzero_si512();
	for (int i = 0; i < 4; i++) {
		const __m512 v = _mm512_div_ps(floats_of(x + step[i], some, lanes), _mm512_set1_ps(s));
		const __m512i q = _mm512_cvt_roundps_epi32(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
		const __m512i byte = _mm512_and_si512(_mm512_add_epi32(q, _mm512_set1_epi32(128)), _mm512_set1_epi32(255));
		y = _mm512_or_si512(y, _mm512_sllv_epi32(byte, _mm512_set1_epi32(8 * i)));
	}
	return y;
}

/* 64 floats that lie side by side, in their order. `divide`: the reciprocal of a denormal scale is infinite. */
INLINE __m512i round_64(const float *x, float s, __m512 reciprocal, int divide)
{
	static const uint8_t in_order[64] __attribute__((aligned(64))) = {
#define ORDER4(i) (i), (i) + 4, (i) + 8, (i) + 12
#define ORDER16(i) ORDER4(i), ORDER4((i) + 16), ORDER4((i) + 32), ORDER4((i) + 48)
		ORDER16(0), ORDER16(1), ORDER16(2), ORDER16(3)
	};
	static const int64_t step[4] = { 0, FLOATS, 2 * FLOATS, 3 * FLOATS };
	__m512i near = _mm512_set1_epi32(-1), q = round_four(x, step, 0, 0xffff, reciprocal, &near);
	if (__builtin_expect(_mm512_testn_epi32_mask(near, near) | divide, 0))
		q = divide_four(x, step, 0, 0xffff, s);
	return _mm512_permutexvar_epi8(_mm512_load_si512(in_order), q);
}
#endif
