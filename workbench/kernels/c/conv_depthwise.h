/* Depthwise convolution of narrow images: lanes are channels, which lie side by side, a vector of 16-bit sums a pixel;
 * what becomes of them is turned back, 16 pixels by 16 channels at a time. */

typedef int8_t bytes32 __attribute__((vector_size(32), aligned(1), may_alias));
typedef int16_t words32 __attribute__((vector_size(64), aligned(2), may_alias));
enum { VECTOR = 32 /* channels */, NARROW = 24, BATCH = 64 /* pixels, at most */ };
#ifdef __AVX512BW__
enum { ABREAST = 6 /* pixels: each weight is loaded once for them */ };
#define WORDS(p) ((words32)_mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(p)))) /* gcc 12 takes four steps */
#else
enum { ABREAST = 4 };
#define WORDS(p) __builtin_convertvector(*(const bytes32 *)(p), words32)
#endif

/* Sums of ABREAST pixels, wherever they lie, VECTOR channels each. */
static inline void narrow_sums(const convolution *p, const int8_t *const *pixel, const int16_t *weights, int16_t *sums)
{
	const tern_conv_shape *c = p->c;
	words32 s[ABREAST] = { { 0 } };
	for (int64_t ky = 0; ky < c->kernel[0]; ky++) {
		int64_t at = ky * c->dilation[0] * wide(c) * c->channels;
		for (int64_t kx = 0; kx < c->kernel[1]; kx++, weights += c->channels, at += c->dilation[1] * c->channels) {
			const words32 w = *(const words32 *)weights;
#pragma GCC unroll 8
			for (int r = 0; r < ABREAST; r++)
				s[r] += WORDS(pixel[r] + at) * w;
		}
	}
#pragma GCC unroll 8
	for (int r = 0; r < ABREAST; r++)
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
	const int64_t step = c->stride[1] * c->channels, line = c->stride[0] * wide(c) * c->channels - p->out_w * step;
	const int64_t batch = ceil_div(pixels, ceil_div(pixels, BATCH));
	const int8_t *at = (const int8_t *)p->input + n * p->sample + first, *place[ABREAST];
	int16_t sums[(BATCH + ABREAST) * VECTOR] __attribute__((aligned(64)));
	finish f;
	finish_of(p, n, first, c->channels - first < VECTOR ? c->channels - first : VECTOR, &f);
	for (int64_t pixel = 0, ox = 0; pixel < pixels; pixel += batch) {
		const int count = (int)(pixels - pixel < batch ? pixels - pixel : batch);
		for (int r = 0; r < count; r += ABREAST) {
			for (int i = 0; i < ABREAST; i++) {
				place[i] = at;
				if (r + i + 1 >= count && i + 1 < ABREAST)
					continue; /* behind the last one: that one again */
				at += step;
				if (++ox == p->out_w)
					ox = 0, at += line;
			}
			narrow_sums(p, place, p->weights + first, sums + r * VECTOR);
		}
		write_batch(&f, sums, pixel, count, pixels);
	}
	for (int64_t i = 0; i < f.lanes && p->activation; i++)
		activate(f.y + i * pixels, pixels, p->activation);
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
