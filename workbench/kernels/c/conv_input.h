/* The input of a convolution as int8 [height + padding][width + padding][channels], one scale a sample. */

typedef int8_t bytes16 __attribute__((vector_size(16), aligned(1), may_alias));
enum { SQUARE = 16 };

#if defined(__clang__) || __GNUC__ >= 12
#define MIX(type, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MIX(type, a, b, ...) __builtin_shuffle(a, b, (type){ __VA_ARGS__ })
#endif

static inline int64_t wide(const tern_conv_shape *c) { return c->width + 2 * c->padding[1]; }
static inline int64_t high(const tern_conv_shape *c) { return c->height + 2 * c->padding[0]; }

/* Rows to columns: four times, each vector is interleaved with the one half the square below it. */
static inline void turn_square(bytes16 v[SQUARE])
{
	for (int round = 0; round < 4; round++) {
		bytes16 next[SQUARE];
		for (int i = 0; i < SQUARE / 2; i++) {
			const bytes16 a = v[i], b = v[i + SQUARE / 2];
			next[2 * i] = MIX(bytes16, a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
			next[2 * i + 1] = MIX(bytes16, a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
		}
		for (int i = 0; i < SQUARE; i++)
			v[i] = next[i];
	}
}

/* Up to 16 pixels from `first` on, all channels: planes [channel][pixel] to where each pixel lies in `out`. */
static void place_pixels(const tern_conv_shape *c, const int8_t *planes, int64_t first, int8_t *out)
{
	const int64_t area = c->height * c->width;
	const int count = area - first < SQUARE ? (int)(area - first) : SQUARE;
	int8_t *place[SQUARE];
	for (int64_t i = 0, h = first / c->width, v = first % c->width; i < count; i++) {
		place[i] = out + ((h + c->padding[0]) * wide(c) + v + c->padding[1]) * c->channels;
		if (++v == c->width)
			v = 0, h++;
	}
	for (int64_t channel = 0; channel < c->channels; channel += SQUARE) {
		const int64_t some = c->channels - channel < SQUARE ? c->channels - channel : SQUARE;
		bytes16 v[SQUARE] = { { 0 } };
		for (int64_t i = 0; i < some; i++)
			v[i] = *(const bytes16 *)(planes + (channel + i) * area + first);
		turn_square(v);
		for (int i = 0; i < count; i++)
			if (some == SQUARE)
				*(bytes16 *)(place[i] + channel) = v[i];
			else
				memcpy(place[i] + channel, &v[i], (size_t)some);
	}
}

/* The channels of a sample as integers [channel][pixel]; NULL: it is zero, or failed. What goes to `out` is cleared where
 * it is not all written then. */
static int8_t *quantized_planes(const convolution *p, int64_t n, void *out, size_t bytes)
{
	const tern_conv_shape *c = p->c;
	const int64_t each = c->channels * c->height * c->width;
	const float *x = p->x + n * each;
	int8_t *planes = scratch_take(SCRATCH_CHUNK, (size_t)(each + SQUARE));
	const float s = p->scale[n] = scale_of(x, each);
	if (!planes)
		atomic_store(p->failed, 1);
	if (!planes || !(s > 0) || c->padding[0] || c->padding[1])
		memset(out, 0, bytes);
	if (!planes || !(s > 0))
		return NULL;
	quantize_run8(x, each, s, planes);
	return planes;
}

static void channels_last(const void *job, int64_t n)
{
	const convolution *p = job;
	int8_t *out = (int8_t *)p->input + n * p->sample;
	const int8_t *planes = quantized_planes(p, n, out, (size_t)p->sample * sizeof *out);
	for (int64_t first = 0; planes && first < p->c->height * p->c->width; first += SQUARE)
		place_pixels(p->c, planes, first, out);
}

/* Take memory for the input and fill it. Kernels read up to 64 bytes beyond a sample. */
static int take_input(convolution *p, int threads)
{
	const tern_conv_shape *c = p->c;
	p->sample = high(c) * wide(c) * c->channels;
	const int64_t bytes = ceil_div(c->batch * p->sample + 64, 64) * 64, scales = ceil_div(c->batch * 4, 64) * 64;
	p->input = scratch_take(SCRATCH_CALL, (size_t)(bytes + scales));
	if (!p->input)
		return 0;
	p->scale = (float *)((int8_t *)p->input + bytes);
	memset((int8_t *)p->input + bytes - 64, 0, 64);
	run_chunks(channels_last, p, c->batch, threads);
	return 1;
}
