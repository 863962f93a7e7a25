/* Convolution with few outputs a group (depthwise above all): whole planes are added and subtracted.
 *
 * A ternary weight is an addition, a subtraction or nothing, so for one output every tap that is not 0 costs one
 * 16-bit vector operation for as many pixels as a vector holds. To keep those side by side under a stride, the padded
 * input is split into stride x stride phases; a tap is then an offset into one of them, for all pixels at once.
 */

typedef int16_t pixels __attribute__((vector_size(64), aligned(2), may_alias));
enum { RUN = 64 /* pixels added up at a time, two vectors */, BAND = 8192 /* pixels whose sums are kept */ };

/* Rows and columns of one phase, and elements of the phases of one channel. */
static inline int64_t phase_rows(const tern_conv_shape *c)
{
	return ceil_div(c->height + 2 * c->padding[0], c->stride[0]);
}
static inline int64_t phase_pitch(const tern_conv_shape *c) { return ceil_div(wide(c), c->stride[1]); }
static inline int64_t channel_elements(const tern_conv_shape *c)
{
	return c->stride[0] * c->stride[1] * phase_rows(c) * phase_pitch(c);
}

/* Where padded position (h, v) lies among the phases of its channel. */
static inline int64_t phase_place(const tern_conv_shape *c, int64_t h, int64_t v)
{
	const int64_t phase = h % c->stride[0] * c->stride[1] + v % c->stride[1];
	return (phase * phase_rows(c) + h / c->stride[0]) * phase_pitch(c) + v / c->stride[1];
}

static void quantize_run(const float *x, int64_t count, float s, int16_t *out)
{
	for (int64_t v = 0; v < count; v++)
		out[v] = (int16_t)round_even(x[v] / s);
}

static void spread_run(const tern_conv_shape *c, const float *x, float s, int64_t h, int16_t *planes)
{
	for (int64_t v = 0; v < c->width; v++)
		planes[phase_place(c, h, v + c->padding[1])] = (int16_t)round_even(x[v] / s);
}

static void split_planes(const void *job, int64_t n)
{
	const convolution *p = job;
	const tern_conv_shape *c = p->c;
	const int64_t plane = c->height * c->width;
	const float *x = p->x + n * c->channels * plane;
	int16_t *out = (int16_t *)p->input + n * p->sample;
	const float s = p->scale[n] = scale_of(x, c->channels * plane);
	memset(out, 0, (size_t)p->sample * sizeof *out);
	for (int64_t i = 0; i < c->channels && s > 0; i++, out += channel_elements(c))
		for (int64_t h = 0; h < c->height; h++, x += c->width) {
			const int64_t row = h + c->padding[0];
			if (c->stride[1] == 1)
				quantize_run(x, c->width, s, out + phase_place(c, row, c->padding[1]));
			else
				spread_run(c, x, s, row, out);
		}
}

/* The taps of one output that are not 0, as offsets: those to add, then those to subtract. */
typedef struct tap_list {
	int64_t at[DIRECT_WEIGHTS];
	int plus, all;
} tap_list;

static void list_taps(const convolution *p, int64_t output, tap_list *list)
{
	const tern_conv_shape *c = p->c;
	const int64_t channels = c->channels / c->groups, group = output / p->w->n;
	list->all = 0;
	for (int sign = 1; sign >= -1; sign -= 2) {
		const int8_t *t = (const int8_t *)p->w->data + output * p->w->k;
		for (int64_t i = 0; i < channels; i++)
			for (int64_t ky = 0; ky < c->kernel[0]; ky++)
				for (int64_t kx = 0; kx < c->kernel[1]; kx++)
					if (*t++ == sign)
						list->at[list->all++] =
							(group * channels + i) * channel_elements(c) +
							phase_place(c, ky * c->dilation[0], kx * c->dilation[1]);
		if (sign > 0)
			list->plus = list->all;
	}
}

static void add_planes(const int16_t *planes, const tap_list *list, int64_t count, int16_t *sums)
{
	for (int64_t i = 0; i < count; i += RUN) {
		pixels low = { 0 }, high = { 0 };
		for (int t = 0; t < list->plus; t++) {
			const pixels *from = (const pixels *)(planes + list->at[t] + i);
			low += from[0], high += from[1];
		}
		for (int t = list->plus; t < list->all; t++) {
			const pixels *from = (const pixels *)(planes + list->at[t] + i);
			low -= from[0], high -= from[1];
		}
		((pixels *)(sums + i))[0] = low, ((pixels *)(sums + i))[1] = high;
	}
}

static void one_output(const convolution *p, int64_t n, int64_t output, int16_t *sums)
{
	const tern_conv_shape *c = p->c;
	const int64_t pitch = phase_pitch(c), band = pitch > BAND ? 1 : BAND / pitch;
	const int16_t *planes = (const int16_t *)p->input + n * p->sample;
	const float s = p->scale[n] * p->w_scale[output], b = p->bias ? p->bias[output] : 0.0f;
	float *y = p->y + (n * c->outputs + output) * p->out_h * p->out_w;
	tap_list list;
	list_taps(p, output, &list);
	for (int64_t top = 0; top < p->out_h; top += band) {
		const int64_t rows = p->out_h - top < band ? p->out_h - top : band;
		add_planes(planes + top * pitch, &list, (rows - 1) * pitch + p->out_w, sums);
		for (int64_t r = 0; r < rows; r++)
			for (int64_t v = 0; v < p->out_w; v++)
				y[(top + r) * p->out_w + v] = (float)sums[r * pitch + v] * s + b;
	}
	activate(y, p->out_h * p->out_w, p->activation);
}

static void outputs_chunk(const void *job, int64_t chunk)
{
	const convolution *p = job;
	const int64_t n = chunk / p->blocks, begin = chunk % p->blocks * p->block;
	const int64_t pitch = phase_pitch(p->c), kept = (pitch > BAND ? pitch : BAND) + RUN;
	int16_t *sums = scratch_take(SCRATCH_CHUNK, (size_t)kept * sizeof *sums);
	if (!sums) {
		atomic_store(p->failed, 1);
		return;
	}
	for (int64_t o = begin; o < begin + p->block && o < p->c->outputs; o++)
		one_output(p, n, o, sums);
}

static int run_direct(convolution *p, int threads)
{
	const tern_conv_shape *c = p->c;
	p->sample = c->channels * channel_elements(c);
	const size_t bytes = (size_t)(c->batch * p->sample + RUN) * sizeof(int16_t); /* the last run reads beyond */
	p->input = scratch_take(SCRATCH_CALL, bytes + (size_t)c->batch * sizeof(float) + 64);
	if (!p->input)
		return TERN_EMEMORY;
	p->scale = (float *)((char *)p->input + (bytes + 63) / 64 * 64);
	p->block = ceil_div(c->outputs, threads > 1 ? (int64_t)threads * CHUNKS_A_THREAD : 1);
	p->blocks = ceil_div(c->outputs, p->block);
	run_chunks(split_planes, p, c->batch, threads);
	run_chunks(outputs_chunk, p, c->batch * p->blocks, threads);
	return TERN_OK;
}

int tern_conv(const tern_matrix *w, const tern_conv_shape *c, const float *w_scale, const float *bias, const float *x,
	      float *y, int activation, int threads)
{
	tern_matrix expected;
	int error = tern_conv_matrix(c, &expected);
	if (error || !c->batch)
		return error;
	if (w->layout != expected.layout)
		return TERN_ELAYOUT;
	if (w->n != expected.n || w->k != expected.k || w->count != expected.count || w->groups != 1)
		return TERN_ESHAPE;
	_Atomic int failed = 0;
	convolution p = { .w = w, .c = c, .w_scale = w_scale, .bias = bias, .x = x, .y = y,
			  .out_h = output_size(c, 0), .out_w = output_size(c, 1), .activation = activation,
			  .failed = &failed };
	error = w->layout == TERN_S8 ? run_direct(&p, threads) : run_gemm(&p, threads);
	return error ? error : failed ? TERN_EMEMORY : TERN_OK;
}
