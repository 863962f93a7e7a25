/* Convolution as rows times matrix: channels side by side, the neighbours of a pixel copied into one row. */

enum { GATHER_BYTES = 128 * 1024, MOST_PIXELS = 96 };

static inline int64_t wide(const tern_conv_shape *c) { return c->width + 2 * c->padding[1]; }

/* One sample to int8 [height + padding][width + padding][channels]. */
static void channels_last(const void *job, int64_t n)
{
	const convolution *p = job;
	const tern_conv_shape *c = p->c;
	const int64_t plane = c->height * c->width;
	const float *x = p->x + n * c->channels * plane;
	int8_t *out = (int8_t *)p->input + n * p->sample;
	const float s = p->scale[n] = scale_of(x, c->channels * plane);
	memset(out, 0, (size_t)p->sample);
	for (int64_t h = 0; h < c->height && s > 0; h++) {
		int8_t *row = out + ((h + c->padding[0]) * wide(c) + c->padding[1]) * c->channels;
		for (int64_t i = 0; i < c->channels; i++) {
			const float *from = x + i * plane + h * c->width;
			for (int64_t v = 0; v < c->width; v++)
				row[v * c->channels + i] = (int8_t)round_even(from[v] / s);
		}
	}
}

/* The neighbours of output pixel (oy, ox) in one group, ordered [tap][channel]. */
static void gather(const convolution *p, const int8_t *input, int64_t group, int64_t oy, int64_t ox, int8_t *row)
{
	const tern_conv_shape *c = p->c;
	const int64_t channels = c->channels / c->groups, pitch = wide(c) * c->channels;
	const int8_t *from = input + oy * c->stride[0] * pitch + ox * c->stride[1] * c->channels + group * channels;
	const int joined = c->groups == 1 && c->dilation[1] == 1;
	const int64_t run = joined ? channels * c->kernel[1] : channels, runs = joined ? 1 : c->kernel[1];
	for (int64_t ky = 0; ky < c->kernel[0]; ky++)
		for (int64_t kx = 0; kx < runs; kx++, row += run)
			memcpy(row, from + ky * c->dilation[0] * pitch + kx * c->dilation[1] * c->channels, (size_t)run);
}

/* Sums of a few pixels with one panel, scaled and turned so that the pixels of an output lie side by side. */
static void write_pixels(const convolution *p, const rows *a, int64_t n, int64_t group, int64_t first, int64_t pixel,
			 int64_t row, int count, const int32_t *sums)
{
	const int64_t area = p->out_h * p->out_w, lanes = p->w->n - first < PANEL ? p->w->n - first : PANEL;
	for (int64_t i = 0; i < lanes; i++) {
		const int64_t output = group * p->w->n + first + i;
		float *y = p->y + (n * p->c->outputs + output) * area + pixel;
		const float s = p->scale[n] * p->w_scale[output], b = p->bias ? p->bias[output] : 0.0f;
		for (int r = 0; r < count; r++)
			y[r] = (float)(sums[r * PANEL + i] - a->sums[row + r]) * s + b;
		activate(y, count, p->activation);
	}
}

static void gather_block(const convolution *p, const rows *a, int64_t n, int64_t group, int64_t pixel, int64_t count)
{
	const int8_t *input = (const int8_t *)p->input + n * p->sample;
	const int64_t padded = padded_length(p->w);
	for (int64_t r = 0; r < count; r++) {
		int8_t *row = a->q + r * a->stride;
		gather(p, input, group, (pixel + r) / p->out_w, (pixel + r) % p->out_w, row);
		memset(row + p->w->k, 0, (size_t)(padded - p->w->k));
		int32_t sum = 0;
		for (int64_t i = 0; i < p->w->k; i++)
			sum += row[i];
		a->sums[r] = sum;
	}
}

/* A block of pixels of one sample and group, all its outputs. */
static void pixels_chunk(const void *job, int64_t chunk)
{
	const convolution *p = job;
	const int64_t pixel = chunk % p->blocks * p->block, group = chunk / p->blocks % p->c->groups;
	const int64_t n = chunk / p->blocks / p->c->groups, area = p->out_h * p->out_w;
	const int64_t count = area - pixel < p->block ? area - pixel : p->block;
	void *memory = scratch_take(SCRATCH_CHUNK, rows_bytes(p->w, p->block));
	if (!memory) {
		atomic_store(p->failed, 1);
		return;
	}
	rows a = rows_place(p->w, p->block, memory);
	multiply m = { .w = p->w, .data = p->w->data + (size_t)group * matrix_bytes(p->w), .a = a };
	int32_t sums[ROWS * PANEL] __attribute__((aligned(64)));
	gather_block(p, &a, n, group, pixel, count);
	for (int64_t first = 0; first < p->w->n; first += PANEL)
		for (int64_t row = 0, parts = ceil_div(count, ROWS); row < count; parts--) {
			const int some = (int)ceil_div(count - row, parts);
			group_sums(&m, first, row, some, 0, sums);
			write_pixels(p, &a, n, group, first, pixel + row, row, some, sums);
			row += some;
		}
}

static int run_gemm(convolution *p, int threads)
{
	const tern_conv_shape *c = p->c;
	p->sample = (c->height + 2 * c->padding[0]) * wide(c) * c->channels;
	p->input = scratch_take(SCRATCH_CALL, (size_t)(c->batch * p->sample) + (size_t)c->batch * sizeof(float) + 64);
	if (!p->input)
		return TERN_EMEMORY;
	p->scale = (float *)((int8_t *)p->input + ceil_div(c->batch * p->sample, 64) * 64);
	p->block = GATHER_BYTES / row_stride(padded_length(p->w)) / ROWS * ROWS;
	p->block = p->block < ROWS ? ROWS : p->block > MOST_PIXELS ? MOST_PIXELS : p->block;
	p->blocks = ceil_div(p->out_h * p->out_w, p->block);
	run_chunks(channels_last, p, c->batch, threads);
	run_chunks(pixels_chunk, p, c->batch * c->groups * p->blocks, threads);
	return TERN_OK;
}
