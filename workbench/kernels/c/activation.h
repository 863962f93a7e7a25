/* What follows the sum: none, relu, gelu, silu, on a short run of floats. Written so that compilers vectorize it. */

/* e^x by 2^n times a polynomial of degree 6 on [-ln2/2, ln2/2]; relative error below 3e-7. */
static inline float exp_fast(float x)
{
	x = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
	int32_t n = round_even(x * 1.44269504f);
	float r = x - (float)n * 0.693359375f + (float)n * 2.12194440e-4f;
	float p = 1.0f + r * (1.0f + r * (0.5f + r * (1.66666667e-1f + r * (4.16666667e-2f + r * (8.3333333e-3f +
		  r * 1.3888889e-3f)))));
	return p * bits_float((uint32_t)(n + 127) << 23);
}

/* 1 / (1 + e^-x) */
static inline float sigmoid(float x) { return 1.0f / (1.0f + exp_fast(-x)); }

/* erf by Abramowitz and Stegun 7.1.26; absolute error below 5e-7. */
static inline float erf_fast(float x)
{
	float a = fabsf(x), t = 1.0f / (1.0f + 0.3275911f * a);
	float p = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
	return copysignf(1.0f - p * exp_fast(-a * a), x);
}

static inline float gelu(float x) { return 0.5f * x * (1.0f + erf_fast(x * 0.70710678f)); }

/* A NaN stays one: comparisons let it pass. */
static void activate(float *y, int64_t n, int activation)
{
	if (activation == TERN_RELU)
		for (int64_t i = 0; i < n; i++)
			y[i] = y[i] < 0 ? 0.0f : y[i];
	else if (activation == TERN_GELU)
		for (int64_t i = 0; i < n; i++)
			y[i] = gelu(y[i]);
	else if (activation == TERN_SILU)
		for (int64_t i = 0; i < n; i++)
			y[i] = y[i] * sigmoid(y[i]);
}
