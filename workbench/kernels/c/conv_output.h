/* Sums [pixel][output] to floats whose pixels lie side by side. */

typedef int16_t words16 __attribute__((vector_size(32), aligned(2), may_alias));
typedef float floats16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t ints16 __attribute__((vector_size(64), aligned(4), may_alias));

/* out[i * pitch + r] = in[r][i] for `lanes`. */
#ifdef __AVX512BW__
/* In each quarter 4 by 4: out[i] has columns i, 4 + i, 8 + i, 12 + i. */
static inline __attribute__((always_inline)) void turn_quarters(const floats16 in[4], __m512 out[4])
{
	const __m512 a = (__m512)in[0], b = (__m512)in[1], c = (__m512)in[2], d = (__m512)in[3];
	const __m512 ab0 = _mm512_unpacklo_ps(a, b), ab1 = _mm512_unpackhi_ps(a, b);
	const __m512 cd0 = _mm512_unpacklo_ps(c, d), cd1 = _mm512_unpackhi_ps(c, d);
	out[0] = _mm512_shuffle_ps(ab0, cd0, 0x44), out[1] = _mm512_shuffle_ps(ab0, cd0, 0xee);
	out[2] = _mm512_shuffle_ps(ab1, cd1, 0x44), out[3] = _mm512_shuffle_ps(ab1, cd1, 0xee);
}

static inline void turn_four(const floats16 in[4], float *out, int64_t pitch, int64_t lanes)
{
	__m512 turned[4];
	turn_quarters(in, turned);
#define QUARTER(q) \
	_Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) if (4 * q + i < lanes) \
		_mm_storeu_ps(out + (4 * q + i) * pitch, _mm512_extractf32x4_ps(turned[i], q));
	QUARTER(0) QUARTER(1) QUARTER(2) QUARTER(3)
}

/* 16 by 16: every line of the output is written at once, for lines an image apart may all compete for the same few places
 * of a cache. */
static inline __attribute__((always_inline)) void turn_sixteen(const floats16 in[16], float *out, int64_t pitch,
								const int64_t lanes)
{
	__m512 turned[4][4];
#pragma GCC unroll 4
	for (int r = 0; r < 4; r++)
		turn_quarters(in + 4 * r, turned[r]);
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		const __m512 a = turned[0][i], b = turned[1][i], c = turned[2][i], d = turned[3][i];
		const __m512 ab0 = _mm512_shuffle_f32x4(a, b, 0x44), ab1 = _mm512_shuffle_f32x4(a, b, 0xee);
		const __m512 cd0 = _mm512_shuffle_f32x4(c, d, 0x44), cd1 = _mm512_shuffle_f32x4(c, d, 0xee);
		if (i < lanes)
			_mm512_storeu_ps(out + i * pitch, _mm512_shuffle_f32x4(ab0, cd0, 0x88));
		if (4 + i < lanes)
			_mm512_storeu_ps(out + (4 + i) * pitch, _mm512_shuffle_f32x4(ab0, cd0, 0xdd));
		if (8 + i < lanes)
			_mm512_storeu_ps(out + (8 + i) * pitch, _mm512_shuffle_f32x4(ab1, cd1, 0x88));
		if (12 + i < lanes)
			_mm512_storeu_ps(out + (12 + i) * pitch, _mm512_shuffle_f32x4(ab1, cd1, 0xdd));
	}
}
#else
typedef float four_floats __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t four_ints __attribute__((vector_size(16)));

static inline void turn_four(const floats16 in[4], float *out, int64_t pitch, int64_t lanes)
{
	int64_t i = 0;
	for (; i + 4 <= lanes; i += 4, out += 4 * pitch) {
		four_floats row[4];
		for (int r = 0; r < 4; r++)
			memcpy(&row[r], (const float *)&in[r] + i, sizeof row[r]);
		const four_floats ab0 = MIX(four_ints, row[0], row[1], 0, 4, 1, 5);
		const four_floats ab1 = MIX(four_ints, row[0], row[1], 2, 6, 3, 7);
		const four_floats cd0 = MIX(four_ints, row[2], row[3], 0, 4, 1, 5);
		const four_floats cd1 = MIX(four_ints, row[2], row[3], 2, 6, 3, 7);
		*(four_floats *)out = MIX(four_ints, ab0, cd0, 0, 1, 4, 5);
		*(four_floats *)(out + pitch) = MIX(four_ints, ab0, cd0, 2, 3, 6, 7);
		*(four_floats *)(out + 2 * pitch) = MIX(four_ints, ab1, cd1, 0, 1, 4, 5);
		*(four_floats *)(out + 3 * pitch) = MIX(four_ints, ab1, cd1, 2, 3, 6, 7);
	}
	for (; i < lanes; i++, out += pitch)
		for (int r = 0; r < 4; r++)
			out[r] = ((const float *)&in[r])[i];
}
#endif

/* What follows the sums of up to PANEL outputs of one sample. */
typedef struct finish {
	float scale[PANEL], bias[PANEL];
	int64_t lanes;
	float *y; /* of the first of them */
} finish;

static void finish_of(const convolution *p, int64_t n, int64_t output, int64_t lanes, finish *f)
{
	f->lanes = lanes;
	f->y = p->y + (n * p->c->outputs + output) * p->out_h * p->out_w;
	for (int64_t i = 0; i < PANEL; i++) {
		f->scale[i] = i < lanes ? p->scale[n] * p->w_scale[output + i] : 0.0f;
		f->bias[i] = i < lanes && p->bias ? p->bias[output + i] : 0.0f;
	}
}

enum { NEAR = 1 << 19 /* bytes of a sample's output, which will be in a second-level cache */ };
/* Outputs lie an image apart, too far for the processor to foresee the next line of each. */
static inline void fetch_pixels(const convolution *p, const finish *f, int64_t pixel)
{
	const int64_t area = p->out_h * p->out_w, size = area * p->c->outputs * (int64_t)sizeof(float);
	for (int64_t i = 0; i < f->lanes && size > NEAR; i++)
		__builtin_prefetch(f->y + i * area + pixel, 1);
}

/* LANES outputs of `rows` pixels, at most 4, scaled and activated. */
static inline __attribute__((always_inline)) void finish_tile(const finish *f, int64_t lane, const int32_t *sums,
							      const int32_t *offset, const int rows, int activation,
							      floats16 tile[4])
{
	const floats16 scale = *(const floats16 *)(f->scale + lane), bias = *(const floats16 *)(f->bias + lane);
	for (int r = 0; r < rows; r++) {
		const ints16 sum = *(const ints16 *)(sums + r * PANEL + lane) - offset[r];
		tile[r] = __builtin_convertvector(sum, floats16) * scale + bias;
		if (activation == TERN_RELU)
			tile[r] = (floats16)((ints16)tile[r] & ~(ints16)(tile[r] < 0));
	}
	if (activation > TERN_RELU) {
		floats16 copy[4]; /* only this has an address; the tile stays in registers */
		for (int r = 0; r < rows; r++)
			copy[r] = tile[r];
		activate((float *)copy, rows * LANES, activation);
		for (int r = 0; r < rows; r++)
			tile[r] = copy[r];
	}
}

/* LANES outputs of `count` pixels, of which `lanes` exist. */
static void write_lanes(const finish *f, int64_t lane, const int32_t *sums, const int32_t *offset, int count,
			int activation, float *y, int64_t area)
{
	const int64_t lanes = f->lanes - lane < LANES ? f->lanes - lane : LANES;
	floats16 tile[16];
	int r = 0;
#ifdef __AVX512BW__
	for (; r + 16 <= count; r += 16) {
#pragma GCC unroll 4
		for (int part = 0; part < 16; part += 4)
			finish_tile(f, lane, sums + (r + part) * PANEL, offset + r + part, 4, activation, tile + part);
		if (lanes == LANES) /* a number the compiler knows */
			turn_sixteen(tile, y + r, area, LANES);
		else
			turn_sixteen(tile, y + r, area, lanes);
	}
#endif
	for (; r + 4 <= count; r += 4) {
		finish_tile(f, lane, sums + r * PANEL, offset + r, 4, activation, tile);
		turn_four(tile, y + r, area, lanes);
	}
	for (; r < count; r++) {
		finish_tile(f, lane, sums + r * PANEL, offset + r, 1, activation, tile);
		for (int64_t i = 0; i < lanes; i++)
			y[i * area + r] = ((const float *)tile)[i];
	}
}

/* `count` pixels from `pixel` on: rows of sums, PANEL apart, from each of which its offset is taken. */
static void write_pixels(const convolution *p, const finish *f, int64_t pixel, int count, const int32_t *sums,
			 const int32_t *offset)
{
	const int64_t area = p->out_h * p->out_w;
	for (int64_t i = 0; i < f->lanes; i += LANES)
		write_lanes(f, i, sums, offset, count, p->activation, f->y + i * area + pixel, area);
}
