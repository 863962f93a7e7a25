/* Depthwise convolution of narrow images: lanes are channels, which lie side by side, a vector of 16-bit sums a pixel. */

typedef int8_t bytes32 __attribute__((vector_size(32), aligned(1), may_alias));
typedef int16_t words32 __attribute__((vector_size(64), aligned(2), may_alias));
enum { VECTOR = 32 /* channels */, ABREAST = 4 /* pixels: each weight is loaded once for them */, NARROW = 32 };

/* Sums of up to ABREAST neighbouring pixels of one line, VECTOR channels. */
static inline void narrow_sums(const convolution *p, const int8_t *input, const int16_t *weights, const int pixels,
			       int32_t *sums)
{
	const tern_conv_shape *c = p->c;
	const int64_t step = c->stride[1] * c->channels;
	words32 s[ABREAST] = { { 0 } };
	for (int64_t ky = 0; ky < c->kernel[0]; ky++)
		for (int64_t kx = 0; kx < c->kernel[1]; kx++, weights += c->channels) {
			const int8_t *at = input + (ky * c->dilation[0] * wide(c) + kx * c->dilation[1]) * c->channels;
			const words32 w = *(const words32 *)weights;
			for (int r = 0; r < pixels; r++)
				s[r] += __builtin_convertvector(*(const bytes32 *)(at + r * step), words32) * w;
		}
	for (int r = 0; r < pixels; r++)
		for (int i = 0; i < VECTOR; i++)
			sums[r * PANEL + i] = s[r][i];
}

/* All pixels of one sample, VECTOR channels; written ROWS at a time, whichever lines they are of. */
static void channels_chunk(const void *job, int64_t chunk)
{
	static const int32_t nothing[ROWS];
	const convolution *p = job;
	const tern_conv_shape *c = p->c;
	const int64_t n = chunk / p->blocks, first = chunk % p->blocks * VECTOR;
	const int8_t *input = (const int8_t *)p->input + n * p->sample + first;
	int32_t sums[ROWS * PANEL] __attribute__((aligned(64)));
	int64_t pixel = 0;
	int filled = 0;
	finish f;
	finish_of(p, n, first, c->channels - first < VECTOR ? c->channels - first : VECTOR, &f);
	for (int64_t oy = 0; oy < p->out_h; oy++)
		for (int64_t ox = 0, some; ox < p->out_w; ox += some) {
			const int8_t *at = input + (oy * c->stride[0] * wide(c) + ox * c->stride[1]) * c->channels;
			some = p->out_w - ox < ABREAST ? p->out_w - ox : ABREAST;
			some = ROWS - filled < some ? ROWS - filled : some;
			if (some == ABREAST)
				narrow_sums(p, at, p->weights + first, ABREAST, sums + filled * PANEL);
			else
				narrow_sums(p, at, p->weights + first, (int)some, sums + filled * PANEL);
			filled += (int)some;
			if (filled < ROWS && (oy + 1 < p->out_h || ox + some < p->out_w))
				continue;
			write_pixels(p, &f, pixel, filled, sums, nothing);
			pixel += filled, filled = 0;
		}
}

static inline int narrow(const convolution *p)
{
	const tern_conv_shape *c = p->c;
	return p->w->n == 1 && c->channels == c->groups && p->out_w < NARROW;
}

static int run_depthwise(convolution *p, int threads)
{
	const int64_t weights = p->w->k * p->c->channels;
	p->weights = take_input(p, (size_t)(weights + VECTOR) * sizeof *p->weights, threads);
	if (!p->weights)
		return TERN_EMEMORY;
	for (int64_t i = 0; i < weights; i++)
		p->weights[i] = ((const int8_t *)p->w->data)[i];
	memset(p->weights + weights, 0, VECTOR * sizeof *p->weights);
	p->blocks = ceil_div(p->c->channels, VECTOR);
	run_chunks(channels_chunk, p, p->c->batch * p->blocks, threads);
	return TERN_OK;
}
