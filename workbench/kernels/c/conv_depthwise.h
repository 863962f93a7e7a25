/* Depthwise convolution of narrow images: lanes are channels, which lie side by side, a vector of 16-bit sums a pixel;
 * what becomes of them is turned back, 16 pixels by 16 channels at a time.
 *
 * Input and weights are int16 [channels / VECTOR][pixel or tap][VECTOR]: what a chunk reads lies in one piece. */

typedef int16_t words32 __attribute__((vector_size(64), aligned(2), may_alias));
enum { VECTOR = 32 /* channels */, FEWEST = 5 /* of them, that a vector is worth it */, NARROW = 32 };
enum { BATCH = 64 /* pixels, at most */ };
#ifdef __AVX512BW__
enum { ABREAST = 6, MOST_ABREAST = 8 }; /* pixels: each weight is loaded once for them; the most where that leaves no rest */
#else
enum { ABREAST = 4, MOST_ABREAST = 4 };
#endif

/* Up to 16 pixels from `first` on, all channels: planes [channel][pixel] to where each pixel lies in `out`. */
static void place_words(const tern_conv_shape *c, const int8_t *planes, int64_t first, int16_t *out)
{
	const int64_t area = c->height * c->width, block = high(c) * wide(c) * VECTOR;
	const int count = area - first < SQUARE ? (int)(area - first) : SQUARE;
	int16_t *place[SQUARE];
	for (int64_t i = 0, h = first / c->width, v = first % c->width; i < count; i++) {
		place[i] = out + ((h + c->padding[0]) * wide(c) + v + c->padding[1]) * VECTOR;
		if (++v == c->width)
			v = 0, h++;
	}
	for (int64_t channel = 0; channel < c->channels; channel += SQUARE) {
		const int64_t some = c->channels - channel < SQUARE ? c->channels - channel : SQUARE;
		const int64_t at = channel / VECTOR * block + channel % VECTOR;
		bytes16 v[SQUARE] = { { 0 } };
		for (int64_t i = 0; i < some; i++)
			v[i] = *(const bytes16 *)(planes + (channel + i) * area + first);
		turn_square(v);
		for (int i = 0; i < count; i++)
			*(words16 *)(place[i] + at) = __builtin_convertvector(v[i], words16);
	}
}

static void words_chunk(const void *job, int64_t n)
{
	const convolution *p = job;
	int16_t *out = (int16_t *)p->input + n * p->sample;
	const int8_t *planes = quantized_planes(p, n, out, (size_t)p->sample * sizeof *out);
	for (int64_t first = 0; planes && first < p->c->height * p->c->width; first += SQUARE)
		place_words(p->c, planes, first, out);
}

/* Sums of some pixels, wherever they lie, VECTOR channels each. */
static inline __attribute__((always_inline)) void narrow_sums(const convolution *p, const int16_t *const *pixel, const int abreast,
							      const int16_t *weights, int16_t *sums)
{
	const tern_conv_shape *c = p->c;
	words32 s[MOST_ABREAST] = { { 0 } };
	for (int64_t ky = 0; ky < c->kernel[0]; ky++) {
		int64_t at = ky * c->dilation[0] * wide(c) * VECTOR;
		for (int64_t kx = 0; kx < c->kernel[1]; kx++, weights += VECTOR, at += c->dilation[1] * VECTOR) {
			const words32 w = *(const words32 *)weights;
#pragma GCC unroll 8
			for (int r = 0; r < abreast; r++)
				s[r] += *(const words32 *)(pixel[r] + at) * w;
		}
	}
#pragma GCC unroll 8
	for (int r = 0; r < abreast; r++)
		*(words32 *)(sums + r * VECTOR) = s[r];
}

/* Sums of 16 pixels and 16 channels, pixel by pixel, to floats whose pixels lie side by side: rows to columns as in
 * turn_square(). Of the floats only the first `count` pixels and `lanes` channels are written. */
static void write_square(const finish *f, int64_t channel, const int16_t *sums, int count, int64_t lanes, float *y,
			 int64_t area)
{
	words16 v[SQUARE];
	for (int i = 0; i < SQUARE; i++)
		v[i] = *(const words16 *)(sums + i * VECTOR);
	for (int round = 0; round < 4; round++) {
		words16 next[SQUARE];
		for (int i = 0; i < SQUARE / 2; i++) {
			const words16 a = v[i], b = v[i + SQUARE / 2];
			next[2 * i] = MIX(words16, a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
			next[2 * i + 1] = MIX(words16, a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
		}
		for (int i = 0; i < SQUARE; i++)
			v[i] = next[i];
	}
	for (int i = 0; i < lanes; i++, y += area) {
		const floats16 scaled = __builtin_convertvector(v[i], floats16) * f->scale[channel + i] + f->bias[channel + i];
		if (count == SQUARE)
			*(floats16 *)y = scaled;
		else
			memcpy(y, &scaled, (size_t)count * sizeof *y);
	}
}

/* `count` pixels from `pixel` on; the last square overlaps the one before it where it can. */
static void write_batch(const finish *f, const int16_t *sums, int64_t pixel, int count, int64_t area)
{
	for (int first = 0; first < count; first += SQUARE) {
		const int at = first + SQUARE <= count || count < SQUARE ? first : count - SQUARE;
		const int some = count < SQUARE ? count : SQUARE;
		for (int64_t channel = 0; channel < f->lanes; channel += SQUARE)
			write_square(f, channel, sums + at * VECTOR + channel, some,
				     f->lanes - channel < SQUARE ? f->lanes - channel : SQUARE,
				     f->y + channel * area + pixel + at, area);
	}
}

/* All pixels of one sample, VECTOR channels, in batches of about the same size, whichever lines they are of. */
static void channels_chunk(const void *job, int64_t chunk)
{
	const convolution *p = job;
	const tern_conv_shape *c = p->c;
	const int64_t n = chunk / p->blocks, first = chunk % p->blocks * VECTOR, pixels = p->out_h * p->out_w;
	const int64_t step = c->stride[1] * VECTOR, line = c->stride[0] * wide(c) * VECTOR - p->out_w * step;
	const int64_t batch = ceil_div(pixels, ceil_div(pixels, BATCH));
	const int16_t *at = (const int16_t *)p->input + n * p->sample + first * high(c) * wide(c), *place[MOST_ABREAST];
	int16_t sums[(BATCH + MOST_ABREAST) * VECTOR] __attribute__((aligned(64)));
	const int abreast = batch % MOST_ABREAST ? ABREAST : MOST_ABREAST;
	finish f;
	finish_of(p, n, first, c->channels - first < VECTOR ? c->channels - first : VECTOR, &f);
	for (int64_t pixel = 0, ox = 0; pixel < pixels; pixel += batch) {
		const int count = (int)(pixels - pixel < batch ? pixels - pixel : batch);
		for (int r = 0; r < count; r += abreast) {
			for (int i = 0; i < abreast; i++) {
				place[i] = at;
				if (r + i + 1 >= count && i + 1 < abreast)
					continue; /* behind the last one: that one again */
				at += step;
				if (++ox == p->out_w)
					ox = 0, at += line;
			}
			if (abreast == MOST_ABREAST) /* numbers the compiler knows */
				narrow_sums(p, place, MOST_ABREAST, p->weights + first * p->w->k, sums + r * VECTOR);
			else
				narrow_sums(p, place, ABREAST, p->weights + first * p->w->k, sums + r * VECTOR);
		}
		write_batch(&f, sums, pixel, count, pixels);
	}
	for (int64_t i = 0; i < f.lanes && p->activation; i++)
		activate(f.y + i * pixels, pixels, p->activation);
}

static inline int narrow(const convolution *p)
{
	const tern_conv_shape *c = p->c;
	return p->w->n == 1 && c->channels == c->groups && c->channels >= FEWEST && p->out_w < NARROW;
}

static int run_depthwise(convolution *p, int threads)
{
	const tern_conv_shape *c = p->c;
	const int64_t all = ceil_div(c->channels, VECTOR) * VECTOR, scales = ceil_div(c->batch, 16) * 16;
	p->sample = high(c) * wide(c) * all;
	const int64_t input = c->batch * p->sample, weights = p->w->k * all;
	p->scale = scratch_take(SCRATCH_CALL, (size_t)scales * sizeof(float) + (size_t)(input + weights) * sizeof(int16_t));
	if (!p->scale)
		return TERN_EMEMORY;
	p->input = p->scale + scales;
	p->weights = (int16_t *)p->input + input;
	int16_t *to = p->weights;
	for (int64_t first = 0; first < c->channels; first += VECTOR) {
		const int64_t some = c->channels - first < VECTOR ? c->channels - first : VECTOR;
		const int8_t *from = (const int8_t *)p->w->data + first;
		for (int64_t tap = 0; tap < p->w->k; tap++, from += c->channels, to += VECTOR)
			if (some == VECTOR) /* a number the compiler knows */
				for (int i = 0; i < VECTOR; i++)
					to[i] = from[i];
			else
				for (int i = 0; i < VECTOR; i++)
					to[i] = i < some ? from[i] : 0;
	}
	run_chunks(words_chunk, p, c->batch, threads);
	p->blocks = all / VECTOR;
	run_chunks(channels_chunk, p, c->batch * p->blocks, threads);
	return TERN_OK;
}
