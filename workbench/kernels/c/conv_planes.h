/* Convolution with few outputs a group (wide depthwise above all): whole planes are added and subtracted.
 *
 * A ternary weight is an addition, a subtraction or nothing, so for one output every tap that is not 0 costs one
 * 16-bit vector operation for as many pixels as a vector holds. To keep those side by side under a stride, the padded
 * input is split into stride x stride phases; a tap is then an offset into one of them, for all pixels at once.
 */

/* Unsigned, for what lies behind the last pixel is added up too, and may wrap. */
typedef uint16_t pixels __attribute__((vector_size(64), aligned(2), may_alias));
enum { RUN = 64 /* pixels added up at a time, two vectors */, BAND_PIXELS = 8192 };

/* Where padded position (h, v) lies among the phases of its channel. Divisions: not for inner loops. */
static inline int64_t phase_place(const convolution *p, int64_t h, int64_t v)
{
	const int64_t *stride = p->c->stride, phase = h % stride[0] * stride[1] + v % stride[1];
	return phase * p->phase + h / stride[0] * p->pitch + v / stride[1];
}

/* to[i] = from[i * step], with the usual step known to the compiler. */
static void take_every(const int16_t *from, int64_t step, int64_t count, int16_t *to)
{
	if (step == 2)
		for (int64_t i = 0; i < count; i++)
			to[i] = from[2 * i];
	else
		for (int64_t i = 0; i < count; i++)
			to[i] = from[step * i];
}

/* Rows of a channel, the first at padded height h, to the phases of their rows and columns. */
static void spread_rows(const convolution *p, const int16_t *from, int64_t rows, int64_t h, int16_t *planes)
{
	const tern_conv_shape *c = p->c;
	const int64_t down = c->stride[0], step = c->stride[1], left = c->padding[1];
	int64_t vertical = h % down, row = h / down;
	for (int64_t r = 0; r < rows; r++, from += c->width) {
		int16_t *to = planes + vertical * step * p->phase + row * p->pitch;
		int64_t phase = left % step, column = left / step;
		if (step == 1)
			memcpy(to + left, from, (size_t)c->width * sizeof *from);
		else
			for (int64_t first = 0; first < step && first < c->width; first++) {
				const int64_t count = step == 2 ? (c->width - first + 1) / 2 : ceil_div(c->width - first, step);
				take_every(from + first, step, count, to + phase * p->phase + column);
				if (++phase == step)
					phase = 0, column++;
			}
		if (++vertical == down)
			vertical = 0, row++;
	}
}

static void split_planes(const void *job, int64_t n)
{
	const convolution *p = job;
	const tern_conv_shape *c = p->c;
	const int64_t plane = c->height * c->width, band = c->width > BAND_PIXELS ? 1 : BAND_PIXELS / c->width;
	const float *x = p->x + n * c->channels * plane;
	int16_t *out = (int16_t *)p->input + n * p->sample;
	int16_t *flat = scratch_take(SCRATCH_CHUNK, (size_t)(band * c->width) * sizeof *flat);
	const float s = p->scale[n] = scale_of(x, c->channels * plane);
	if (!flat)
		atomic_store(p->failed, 1);
	for (int64_t i = 0; i < c->channels; i++, out += p->channel) {
		memset(out, 0, (size_t)p->channel * sizeof *out);
		for (int64_t top = 0; top < c->height && flat && s > 0; top += band) {
			const int64_t rows = c->height - top < band ? c->height - top : band;
			quantize_run16(x + i * plane + top * c->width, rows * c->width, s, flat);
			spread_rows(p, flat, rows, top + c->padding[0], out);
		}
	}
}

/* The taps of one output that are not 0, as offsets: those to add, then those to subtract. */
typedef struct tap_list {
	int64_t at[DIRECT_WEIGHTS];
	int plus, all;
} tap_list;

static void list_taps(const convolution *p, int64_t output, tap_list *list)
{
	const int64_t outputs = p->c->outputs, group = output / p->w->n * (p->c->channels / p->c->groups);
	const int8_t *t = (const int8_t *)p->w->data + output;
	list->all = 0;
	for (int sign = 1; sign >= -1; sign -= 2) {
		for (int64_t k = 0; k < p->w->k; k++)
			if (t[k * outputs] == sign)
				list->at[list->all++] = group * p->channel + p->offsets[k];
		if (sign > 0)
			list->plus = list->all;
	}
}

static void tap_offsets(const convolution *p, int64_t *offsets)
{
	const tern_conv_shape *c = p->c;
	for (int64_t i = 0; i < c->channels / c->groups; i++)
		for (int64_t ky = 0; ky < c->kernel[0]; ky++)
			for (int64_t kx = 0; kx < c->kernel[1]; kx++)
				*offsets++ = i * p->channel + phase_place(p, ky * c->dilation[0], kx * c->dilation[1]);
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

static void one_output(const convolution *p, int64_t n, int64_t output, int16_t *sums, float *scaled)
{
	const tern_conv_shape *c = p->c;
	const int64_t pitch = p->pitch, band = pitch > BAND_PIXELS ? 1 : BAND_PIXELS / pitch;
	const int16_t *planes = (const int16_t *)p->input + n * p->sample;
	const float s = p->scale[n] * p->w_scale[output], b = p->bias ? p->bias[output] : 0.0f;
	float *y = p->y + (n * c->outputs + output) * p->out_h * p->out_w;
	tap_list list;
	list_taps(p, output, &list);
	for (int64_t top = 0; top < p->out_h; top += band) {
		const int64_t rows = p->out_h - top < band ? p->out_h - top : band, count = (rows - 1) * pitch + p->out_w;
		add_planes(planes + top * pitch, &list, count, sums);
		for (int64_t i = 0; i < count; i++) /* also what lies between rows: one long run is faster */
			scaled[i] = (float)sums[i] * s + b;
		activate(scaled, count, p->activation);
		for (int64_t r = 0; r < rows; r++)
			memcpy(y + (top + r) * p->out_w, scaled + r * pitch, (size_t)p->out_w * sizeof *y);
	}
}

static void outputs_chunk(const void *job, int64_t chunk)
{
	const convolution *p = job;
	const int64_t n = chunk / p->blocks, begin = chunk % p->blocks * p->block, pitch = p->pitch;
	const size_t kept = (size_t)(pitch > BAND_PIXELS ? pitch : BAND_PIXELS) + RUN;
	float *scaled = scratch_take(SCRATCH_CHUNK, kept * (sizeof(float) + sizeof(int16_t)));
	if (!scaled) {
		atomic_store(p->failed, 1);
		return;
	}
	for (int64_t o = begin; o < begin + p->block && o < p->c->outputs; o++)
		one_output(p, n, o, (int16_t *)(scaled + kept), scaled);
}

static int run_planes(convolution *p, int threads)
{
	const tern_conv_shape *c = p->c;
	int64_t offsets[DIRECT_WEIGHTS];
	p->pitch = ceil_div(wide(c), c->stride[1]);
	p->phase = ceil_div(high(c), c->stride[0]) * p->pitch;
	p->channel = c->stride[0] * c->stride[1] * p->phase;
	p->sample = c->channels * p->channel;
	const size_t bytes = (size_t)(c->batch * p->sample + RUN) * sizeof(int16_t); /* the last run reads beyond */
	p->input = scratch_take(SCRATCH_CALL, bytes + (size_t)c->batch * sizeof(float) + 64);
	if (!p->input)
		return TERN_EMEMORY;
	p->scale = (float *)((char *)p->input + (bytes + 63) / 64 * 64);
	p->offsets = offsets;
	tap_offsets(p, offsets);
	p->block = ceil_div(c->outputs, threads > 1 ? (int64_t)threads * CHUNKS_A_THREAD : 1);
	p->blocks = ceil_div(c->outputs, p->block);
	run_chunks(split_planes, p, c->batch, threads);
	run_chunks(outputs_chunk, p, c->batch * p->blocks, threads);
	return TERN_OK;
}
