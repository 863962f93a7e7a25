/* Convolution as rows times matrix: the activations that a segment of the kernel meets already lie side by side, so a
 * row is a place in the input, and the next pixel's row begins a few bytes further.
 */

enum { MOST_PIXELS = 96 };

/* Where segment `g` of output pixel (oy, ox) begins. */
static inline const int8_t *segment_at(const convolution *p, int64_t n, int64_t group, int64_t oy, int64_t ox, int64_t g)
{
	const tern_conv_shape *c = p->c;
	const int64_t ky = joined(c) ? g : g / c->kernel[1], kx = joined(c) ? 0 : g % c->kernel[1];
	const int64_t h = oy * c->stride[0] + ky * c->dilation[0], v = ox * c->stride[1] + kx * c->dilation[1];
	return (const int8_t *)p->input + n * p->sample + (h * wide(c) + v) * c->channels +
	       group * (c->channels / c->groups);
}

/* A few pixels of one line, all outputs of one group. */
static void pixels_chunk(const void *job, int64_t chunk)
{
	const convolution *p = job;
	const int64_t ox = chunk % p->blocks * p->block, oy = chunk / p->blocks % p->out_h;
	const int64_t group = chunk / p->blocks / p->out_h % p->c->groups, n = chunk / p->blocks / p->out_h / p->c->groups;
	const int64_t count = p->out_w - ox < p->block ? p->out_w - ox : p->block, step = p->c->stride[1] * p->c->channels;
	const int64_t padded = padded_length(p->w), blocks = group_blocks(p->w);
	const uint8_t *data = p->w->data + (size_t)group * matrix_bytes(p->w);
	int32_t offset[MOST_PIXELS] = { 0 }, sums[ROWS * PANEL] __attribute__((aligned(64)));
	/* What pads a segment has code 1: it counts whatever bytes follow, and so must the offset. */
	for (int64_t g = 0; g < p->w->groups; g++)
		for (int64_t r = 0; r < count; r++)
			offset[r] += sum_of(segment_at(p, n, group, oy, ox + r, g), padded);
	for (int64_t first = 0; first < p->w->n; first += PANEL) {
		const int tiles = panel_tiles(p->w, first);
		finish f;
		finish_of(p, n, group * p->w->n + first, p->w->n - first < PANEL ? p->w->n - first : PANEL, &f);
		for (int64_t row = 0; row < count; row += ROWS) {
			const int some = count - row < ROWS ? (int)(count - row) : ROWS;
			const uint8_t *w = data + panel_offset(p->w, first);
			for (int64_t g = 0; g < p->w->groups; g++, w += blocks * tiles * TILE_BYTES)
				micro(TERN_T2, w, tiles, segment_at(p, n, group, oy, ox + row, g), step, some, blocks, sums,
				      g > 0);
			write_pixels(p, &f, oy * p->out_w + ox + row, some, sums, offset + row);
		}
	}
}

/* A kernel of one tap that visits every pixel sees one long line. */
static inline int pointwise(const tern_conv_shape *c)
{
	return taps(c) == 1 && c->stride[0] == 1 && c->stride[1] == 1 && !c->padding[0] && !c->padding[1];
}

static int run_gemm(convolution *p, int threads)
{
	if (group_blocks(p->w) > BLOCKS_AT_ONCE)
		return TERN_ESHAPE; /* a row of the kernel with more than 131072 weights */
	if (!take_input(p, threads))
		return TERN_EMEMORY;
	if (pointwise(p->c))
		p->out_w *= p->out_h, p->out_h = 1;
	p->block = MOST_PIXELS / ROWS * ROWS;
	p->blocks = ceil_div(p->out_w, p->block);
	run_chunks(pixels_chunk, p, p->c->batch * p->c->groups * p->out_h * p->blocks, threads);
	return TERN_OK;
}
