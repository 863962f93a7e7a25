/* Convolution with few outputs a group (wide depthwise above all): whole planes are added and subtracted.
 *
 * A ternary weight is an addition, a subtraction or nothing, so for one output every tap that is not 0 costs one
 * 16-bit vector operation for as many pixels as a vector holds. conv_phases.h keeps those side by side under a stride.
 */

/* The taps of one output that are not 0, as offsets: those to add, then those to subtract. */
typedef struct tap_list {
	int64_t at[DIRECT_WEIGHTS + 1];
	int plus, all;
} tap_list;

static void list_taps(const convolution *p, int64_t output, tap_list *list)
{
	const int64_t outputs = p->c->outputs;
	const int8_t *t = (const int8_t *)p->w->data + output;
	int64_t minus[DIRECT_WEIGHTS + 1];
	int plus = 0, others = 0;
	for (int64_t k = 0; k < p->w->k; k++, t += outputs) { /* no branch could be foretold */
		list->at[plus] = minus[others] = p->offsets[k];
		plus += *t > 0, others += *t < 0;
	}
	memcpy(list->at + plus, minus, (size_t)others * sizeof *minus);
	list->plus = plus, list->all = plus + others;
}

static void tap_offsets(const convolution *p, int64_t *offsets)
{
	const tern_conv_shape *c = p->c;
	for (int64_t i = 0; i < c->channels / c->groups; i++)
		for (int64_t ky = 0; ky < c->kernel[0]; ky++)
			for (int64_t kx = 0; kx < c->kernel[1]; kx++)
				*offsets++ = i * p->channel + phase_place(p, ky * c->dilation[0], kx * c->dilation[1]);
}

/* One run of `vectors`: each in a register while all taps pass. */
static inline __attribute__((always_inline)) void add_run(const int16_t *planes, const tap_list *list, const int vectors,
							  int16_t *sums)
{
	pixels s[LONG_RUN];
#pragma GCC unroll 8
	for (int v = 0; v < vectors; v++)
		s[v] = (pixels){ 0 };
	for (int t = 0; t < list->plus; t++) {
		const pixels *from = (const pixels *)(planes + list->at[t]);
#pragma GCC unroll 8
		for (int v = 0; v < vectors; v++)
			s[v] += from[v];
	}
	for (int t = list->plus; t < list->all; t++) {
		const pixels *from = (const pixels *)(planes + list->at[t]);
#pragma GCC unroll 8
		for (int v = 0; v < vectors; v++)
			s[v] -= from[v];
	}
#pragma GCC unroll 8
	for (int v = 0; v < vectors; v++)
		((pixels *)sums)[v] = s[v];
}

static void add_planes(const int16_t *planes, const tap_list *list, int64_t count, int16_t *sums)
{
	int64_t i = 0;
	for (; i + LONG_RUN * VECTOR_PIXELS < count + RUN; i += LONG_RUN * VECTOR_PIXELS)
		add_run(planes + i, list, LONG_RUN, sums + i);
	for (; i < count; i += RUN)
		add_run(planes + i, list, 2, sums + i);
}

/* Sums of one row, scaled; the last vector overlaps the one before it. */
static void scale_row(const int16_t *sums, int64_t count, float s, float b, float *y)
{
	if (count < 16) {
		for (int64_t i = 0; i < count; i++)
			y[i] = (float)sums[i] * s + b;
		return;
	}
	for (int64_t i = 0; i < count; i += 16) {
		const int64_t at = i + 16 <= count ? i : count - 16;
		*(floats16 *)(y + at) = __builtin_convertvector(*(const words16 *)(sums + at), floats16) * s + b;
	}
}

/* Working memory of one chunk. */
typedef struct plane_scratch {
	int16_t *sums, *flat, *planes; /* planes: of one group, where a chunk splits its own */
} plane_scratch;

static int take_planes(const convolution *p, int64_t planes, plane_scratch *mine)
{
	const size_t out = (size_t)band_room(p->pitch), in = (size_t)band_room(p->c->width), all = (size_t)planes + RUN;
	mine->sums = scratch_take(SCRATCH_CHUNK, (out + in + all) * sizeof(int16_t));
	if (!mine->sums) {
		atomic_store(p->failed, 1);
		return 0;
	}
	mine->flat = mine->sums + out;
	mine->planes = mine->flat + in;
	return 1;
}

static void one_output(const convolution *p, int64_t n, int64_t output, const int16_t *planes, const tap_list *list,
		       const plane_scratch *mine)
{
	const tern_conv_shape *c = p->c;
	const int64_t pitch = p->pitch, band = band_rows(pitch);
	const float s = p->scale[n] * p->w_scale[output], b = p->bias ? p->bias[output] : 0.0f;
	float *y = p->y + (n * c->outputs + output) * p->out_h * p->out_w;
	for (int64_t top = 0; top < p->out_h; top += band, y += band * p->out_w) {
		const int64_t rows = p->out_h - top < band ? p->out_h - top : band;
		add_planes(planes + top * pitch, list, (rows - 1) * pitch + p->out_w, mine->sums);
		for (int64_t r = 0; r < rows; r++)
			scale_row(mine->sums + r * pitch, p->out_w, s, b, y + r * p->out_w);
		activate(y, rows * p->out_w, p->activation);
	}
}

static void find_scale(const void *job, int64_t n)
{
	const convolution *p = job;
	const int64_t size = p->c->channels * p->c->height * p->c->width;
	p->scale[n] = scale_of(p->x + n * size, size);
}

/* One group: its channels serve all outputs, so they are split once and kept for the whole call. */
static void split_sample(const void *job, int64_t n)
{
	const convolution *p = job;
	const int64_t size = p->c->channels * p->c->height * p->c->width;
	int16_t *planes = (int16_t *)p->input + n * p->sample;
	plane_scratch mine;
	memset(planes, 0, (size_t)p->sample * sizeof *planes);
	if (take_planes(p, 0, &mine))
		split_channels(p, p->x + n * size, p->c->channels, p->scale[n], mine.flat, planes);
}

static void outputs_chunk(const void *job, int64_t chunk)
{
	const convolution *p = job;
	const int64_t begin = chunk * p->block;
	plane_scratch mine;
	tap_list list;
	if (!take_planes(p, 0, &mine))
		return;
	for (int64_t o = begin; o < begin + p->block && o < p->c->outputs; o++) {
		list_taps(p, o, &list);
		for (int64_t n = 0; n < p->c->batch; n++)
			one_output(p, n, o, (const int16_t *)p->input + n * p->sample, &list, &mine);
	}
}

/* Many groups: each is split when its outputs are due, so that its planes never leave the nearest caches. */
static void groups_chunk(const void *job, int64_t chunk)
{
	const convolution *p = job;
	const tern_conv_shape *c = p->c;
	const int64_t n = chunk / p->blocks, begin = chunk % p->blocks * p->block, channels = c->channels / c->groups;
	plane_scratch mine;
	tap_list list;
	if (!take_planes(p, p->sample, &mine))
		return;
	memset(mine.planes, 0, (size_t)p->sample * sizeof *mine.planes); /* each group overwrites all but the padding */
	for (int64_t g = begin; g < begin + p->block && g < c->groups; g++) {
		const float *x = p->x + (n * c->channels + g * channels) * c->height * c->width;
		split_channels(p, x, channels, p->scale[n], mine.flat, mine.planes);
		for (int64_t o = g * p->w->n; o < (g + 1) * p->w->n; o++) {
			list_taps(p, o, &list);
			one_output(p, n, o, mine.planes, &list, &mine);
		}
	}
}

/* One tap that visits every pixel: some of them, whose planes stay in the first cache while all outputs pass. */
static void bands_chunk(const void *job, int64_t chunk)
{
	const convolution *p = job;
	const tern_conv_shape *c = p->c;
	const int64_t n = chunk / p->blocks, first = chunk % p->blocks * p->block, area = p->out_h * p->out_w;
	const int64_t count = area - first < p->block ? area - first : p->block;
	const float *x = p->x + n * c->channels * area + first, s = p->scale[n];
	plane_scratch mine;
	tap_list list;
	if (!take_planes(p, c->channels * p->block, &mine))
		return;
	const int64_t lines = p->block == area ? 1 : c->channels, length = p->block == area ? c->channels * area : count;
	for (int64_t i = 0; i < lines && s > 0; i++)
		quantize_run16(x + i * area, length, s, mine.planes + i * p->block);
	if (!(s > 0))
		memset(mine.planes, 0, (size_t)(c->channels * p->block) * sizeof *mine.planes);
	for (int64_t o = 0; o < c->outputs; o++) {
		float *y = p->y + (n * c->outputs + o) * area + first;
		list_taps(p, o, &list);
		add_planes(mine.planes, &list, count, mine.sums);
		scale_row(mine.sums, count, s * p->w_scale[o], p->bias ? p->bias[o] : 0.0f, y);
		activate(y, count, p->activation);
	}
}

static int run_bands(convolution *p, int threads)
{
	const int64_t area = p->out_h * p->out_w, stay = BAND_PIXELS / p->c->channels / RUN * RUN;
	const int64_t most = stay > 4 * RUN ? stay : 4 * RUN;
	int64_t offsets[DIRECT_WEIGHTS];
	p->scale = scratch_take(SCRATCH_CALL, (size_t)p->c->batch * sizeof *p->scale);
	if (!p->scale)
		return TERN_EMEMORY;
	p->block = p->pitch = p->phase = p->channel = area < most ? area : most;
	p->blocks = ceil_div(area, p->block);
	p->offsets = offsets;
	tap_offsets(p, offsets);
	run_chunks(find_scale, p, p->c->batch, threads);
	run_chunks(bands_chunk, p, p->c->batch * p->blocks, threads);
	return TERN_OK;
}

static int run_planes(convolution *p, int threads)
{
	const tern_conv_shape *c = p->c;
	const int64_t parts = c->groups > 1 ? c->groups : c->outputs;
	int64_t offsets[DIRECT_WEIGHTS];
	p->pitch = ceil_div(wide(c), c->stride[1]);
	p->phase = ceil_div(high(c), c->stride[0]) * p->pitch;
	p->channel = c->stride[0] * c->stride[1] * p->phase;
	p->sample = c->channels / c->groups * p->channel;
	const size_t scales = (size_t)ceil_div(c->batch, 16) * 64; /* the last run reads beyond the planes */
	const size_t planes = c->groups > 1 ? 0 : (size_t)(c->batch * p->sample + RUN) * sizeof(int16_t);
	p->scale = scratch_take(SCRATCH_CALL, scales + planes);
	if (!p->scale)
		return TERN_EMEMORY;
	p->input = (char *)p->scale + scales;
	p->offsets = offsets;
	tap_offsets(p, offsets);
	p->block = ceil_div(parts, threads > 1 ? (int64_t)threads * CHUNKS_A_THREAD : 1);
	p->blocks = ceil_div(parts, p->block);
	run_chunks(find_scale, p, c->batch, threads);
	if (c->groups == 1)
		run_chunks(split_sample, p, c->batch, threads);
	if (c->groups > 1)
		run_chunks(groups_chunk, p, c->batch * p->blocks, threads);
	else
		run_chunks(outputs_chunk, p, p->blocks, threads);
	return TERN_OK;
}
