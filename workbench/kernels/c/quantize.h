/* Activations to int8: s = max|x| / 127, q = rne(x / s), one row at a time. */
#include <math.h>

static inline uint32_t float_bits(float x)
{
	uint32_t bits;
	memcpy(&bits, &x, 4);
	return bits;
}

static inline float bits_float(uint32_t bits)
{
	float x;
	memcpy(&x, &bits, 4);
	return x;
}

/* The greatest of the bits of |x[0..k)|, which exceed those of every number where one is NaN or Inf. */
#ifdef ROUND_AVX512
enum { STRETCH = 2048 /* floats, two pages */ };

INLINE __m512i greater_bits(__m512i top, const float *x, __mmask16 lanes)
{
	return _mm512_max_epi32(top, _mm512_and_si512(_mm512_maskz_loadu_epi32(lanes, x), _mm512_set1_epi32(0x7fffffff)));
}

/* Loads begin where a cache line does, for across two of them they cost twice as much, and where there is enough to read, at two
 * places at once: 1.3 times as fast from memory and the third cache on Intel's processors. */
static int32_t greatest_bits(const float *x, int64_t k)
{
	const int64_t ahead = (int64_t)(-(uintptr_t)x % 64 / sizeof *x);
	__m512i top[4] = { _mm512_setzero_si512() };
	top[0] = greater_bits(top[0], x, first_lanes(k < ahead ? k : ahead));
	int64_t i = ahead;
	for (; i + 2 * STRETCH <= k; i += STRETCH)
		for (const int64_t end = i + STRETCH; i < end; i += 2 * FLOATS)
#pragma GCC unroll 4
			for (int v = 0; v < 4; v++)
				top[v] = greater_bits(top[v], x + i + v % 2 * FLOATS + v / 2 * STRETCH, 0xffff);
	for (; i + 4 * FLOATS <= k; i += 4 * FLOATS)
#pragma GCC unroll 4
		for (int v = 0; v < 4; v++)
			top[v] = greater_bits(top[v], x + i + v * FLOATS, 0xffff);
	for (; i < k; i += FLOATS)
		top[0] = greater_bits(top[0], x + i, first_lanes(k - i));
	return _mm512_reduce_max_epi32(_mm512_max_epi32(_mm512_max_epi32(top[0], top[1]), _mm512_max_epi32(top[2], top[3])));
}
#else
static int32_t greatest_bits(const float *x, int64_t k)
{
	int32_t top = 0;
	for (int64_t i = 0; i < k; i++) {
		int32_t bits = (int32_t)(float_bits(x[i]) & 0x7fffffff);
		top = bits > top ? bits : top;
	}
	return top;
}
#endif

/* The scale of x[0..k): NaN when an element is NaN or Inf. */
static float scale_of(const float *x, int64_t k)
{
	const int32_t top = greatest_bits(x, k);
	if (top >= 0x7f800000)
		return NAN;
	float s = bits_float((uint32_t)top) / 127.0f;
	return s > 0 ? s : 1.0f; /* also where the quotient of a denormal is 0 */
}

/* Round to nearest, ties to even, for |v| < 2^22: the sum has no bits left behind the point. */
static inline int32_t round_even(float v) { return (int32_t)(float_bits(v + 12582912.0f) - 0x4b400000u); }

enum { SPAN = 1024, NEAR_HALF = 0x3efffac2 /* the bits of 0.49996 */ };

/* q[i] = rne(x[i] / s) for up to SPAN of them. Multiplying by 1 / s is several times as fast and differs from the quotient
 * by less than 2^-15, so it rounds the same way unless one comes that close to a half: then all are divided. */
#define QUANTIZE_SPAN(name, type) \
	static inline void name(const float *x, int64_t count, float s, type *q) \
	{ \
		const float reciprocal = 1.0f / s; \
		int32_t worst = 0; \
		for (int64_t i = 0; i < count; i++) { \
			const float v = x[i] * reciprocal, r = (v + 12582912.0f) - 12582912.0f; \
			const int32_t off = (int32_t)(float_bits(v - r) & 0x7fffffff); /* also large for NaN */ \
			worst = off > worst ? off : worst; \
			q[i] = (type)round_even(v); \
		} \
		if (worst > NEAR_HALF) \
			for (int64_t i = 0; i < count; i++) \
				q[i] = (type)round_even(x[i] / s); \
	}
QUANTIZE_SPAN(quantize_span8, int8_t)
QUANTIZE_SPAN(quantize_span16, int16_t)

static void quantize_run8(const float *x, int64_t count, float s, int8_t *q)
{
	int64_t i = 0;
#ifdef ROUND_AVX512
	const __m512 reciprocal = _mm512_set1_ps(1.0f / s);
	const __m512i sign = _mm512_set1_epi8((char)128);
	const int divide = isinf(1.0f / s);
	for (; i + 64 <= count; i += 64)
		_mm512_storeu_si512(q + i, _mm512_xor_si512(round_64(x + i, s, reciprocal, divide), sign));
#endif
	for (; i < count; i += SPAN)
		quantize_span8(x + i, count - i < SPAN ? count - i : SPAN, s, q + i);
}

static void quantize_run16(const float *x, int64_t count, float s, int16_t *q)
{
	for (int64_t i = 0; i < count; i += SPAN)
		quantize_span16(x + i, count - i < SPAN ? count - i : SPAN, s, q + i);
}

#ifdef ROUND_AVX512
static inline int32_t sum_of(const int8_t *q, int64_t count)
{
	const __m512i ones = _mm512_set1_epi8(1);
	__m512i sum = _mm512_setzero_si512();
	for (; count >= 64; q += 64, count -= 64)
		sum = _mm512_dpbusd_epi32(sum, ones, _mm512_loadu_si512(q));
	if (count > 0)
		sum = _mm512_dpbusd_epi32(sum, ones, _mm512_maskz_loadu_epi8(UINT64_MAX >> (64 - count), q));
	return _mm512_reduce_add_epi32(sum);
}
#else
typedef int16_t byte_pairs __attribute__((vector_size(64), aligned(1), may_alias));
enum { SUM_STEPS = 127 /* * 2 * 128 < 2^15 */ };

static inline int32_t sum_of(const int8_t *q, int64_t count)
{
	int32_t sum = 0;
	while (count >= 64) {
		byte_pairs pairs = { 0 };
		for (int step = 0; step < SUM_STEPS && count >= 64; step++, q += 64, count -= 64) {
			const byte_pairs both = *(const byte_pairs *)q;
			pairs += (both << 8 >> 8) + (both >> 8);
		}
		for (int i = 0; i < 32; i++)
			sum += pairs[i];
	}
	for (int64_t i = 0; i < count; i++)
		sum += q[i];
	return sum;
}
#endif

/* q[0..k) and zeros up to `padded`; returns the sum of q. */
static int32_t quantize(const float *x, int64_t k, int64_t padded, float s, int8_t *q)
{
	if (!(s > 0)) {
		memset(q, 0, (size_t)padded);
		return 0;
	}
	quantize_run8(x, k, s, q);
	memset(q + k, 0, (size_t)(padded - k));
	return sum_of(q, k);
}

/* The way back, for outputs that lie side by side: y = float(sum - offset) * (s * w_scale). */
typedef struct scaling {
	float s;
	int32_t offset; /* what codes t + 1 count too much: the sum of q */
	const float *w_scale;
	float *y;
} scaling;

float tern_quantize_row(const float *x, int64_t k, int8_t *q)
{
	float s = scale_of(x, k);
	quantize(x, k, k, s, q);
	return s;
}
