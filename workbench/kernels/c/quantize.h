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

/* The scale of x[0..k): NaN when an element is NaN or Inf, whose bits exceed those of every number. */
static float scale_of(const float *x, int64_t k)
{
	int32_t top = 0;
	for (int64_t i = 0; i < k; i++) {
		int32_t bits = (int32_t)(float_bits(x[i]) & 0x7fffffff);
		top = bits > top ? bits : top;
	}
	if (top >= 0x7f800000)
		return NAN;
	float s = bits_float((uint32_t)top) / 127.0f;
	return s > 0 ? s : 1.0f; /* also where the quotient of a denormal is 0 */
}

/* Round to nearest, ties to even, for |v| < 2^22: the sum has no bits left behind the point. */
static inline int32_t round_even(float v) { return (int32_t)(float_bits(v + 12582912.0f) - 0x4b400000u); }

/* q[0..k) and zeros up to `padded`; returns the sum of q. */
static int32_t quantize(const float *x, int64_t k, int64_t padded, float s, int8_t *q)
{
	int32_t sum = 0;
	if (!(s > 0)) {
		memset(q, 0, (size_t)padded);
		return 0;
	}
	for (int64_t i = 0; i < k; i++) {
		int32_t r = round_even(x[i] / s);
		q[i] = (int8_t)r;
		sum += r;
	}
	memset(q + k, 0, (size_t)(padded - k));
	return sum;
}

float tern_quantize_row(const float *x, int64_t k, int8_t *q)
{
	float s = scale_of(x, k);
	quantize(x, k, k, s, q);
	return s;
}
