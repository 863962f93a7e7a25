/* Sums [pixel][output] to floats whose pixels lie side by side. */

typedef int16_t words16 __attribute__((vector_size(32), aligned(2), may_alias));
typedef float floats16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef float four_floats __attribute__((vector_size(16), aligned(4), may_alias));

typedef int32_t four_ints __attribute__((vector_size(16)));

/* out[i * pitch + r] = in[r * PANEL + i] for 4 by 4. */
static inline void turn(const float *in, float *out, int64_t pitch)
{
	const four_floats *a = (const four_floats *)in, *b = (const four_floats *)(in + PANEL),
			  *c = (const four_floats *)(in + 2 * PANEL), *d = (const four_floats *)(in + 3 * PANEL);
	const four_floats ab0 = MIX(four_ints, *a, *b, 0, 4, 1, 5), ab1 = MIX(four_ints, *a, *b, 2, 6, 3, 7);
	const four_floats cd0 = MIX(four_ints, *c, *d, 0, 4, 1, 5), cd1 = MIX(four_ints, *c, *d, 2, 6, 3, 7);
	*(four_floats *)out = MIX(four_ints, ab0, cd0, 0, 1, 4, 5);
	*(four_floats *)(out + pitch) = MIX(four_ints, ab0, cd0, 2, 3, 6, 7);
	*(four_floats *)(out + 2 * pitch) = MIX(four_ints, ab1, cd1, 0, 1, 4, 5);
	*(four_floats *)(out + 3 * pitch) = MIX(four_ints, ab1, cd1, 2, 3, 6, 7);
}

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

/* `count` <= ROWS pixels from `pixel` on: rows of sums, PANEL apart, from each of which its offset is taken. */
static void write_pixels(const convolution *p, const finish *f, int64_t pixel, int count, const int32_t *sums,
			 const int32_t *offset)
{
	const int64_t area = p->out_h * p->out_w, lanes = ceil_div(f->lanes, LANES) * LANES;
	const int rows = count / 4 * 4;
	float scaled[ROWS * PANEL] __attribute__((aligned(64))), *y = f->y + pixel;
	for (int r = 0; r < count; r++) {
		for (int64_t i = 0; i < lanes; i++)
			scaled[r * PANEL + i] = (float)(sums[r * PANEL + i] - offset[r]) * f->scale[i] + f->bias[i];
		if (p->activation)
			activate(scaled + r * PANEL, f->lanes, p->activation);
	}
	for (int64_t i = 0; i < f->lanes; i++) {
		if (i % 4 == 0 && i + 4 <= f->lanes)
			for (int r = 0; r < rows; r += 4)
				turn(scaled + r * PANEL + i, y + i * area + r, area);
		for (int r = i < f->lanes / 4 * 4 ? rows : 0; r < count; r++)
			y[i * area + r] = scaled[r * PANEL + i];
	}
}
