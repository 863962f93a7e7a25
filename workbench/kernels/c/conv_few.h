/* One tap of every pixel to at most 16 outputs: channels are rounded in registers, four at a time, and multiplied there;
 * nothing in between is stored.
 * Sums are dot(q + 128, t), from which 128 sum(t) is taken. */
#ifdef ROUND_AVX512
#define CONV_FEW

enum { FEW = 16, FEW_VECTORS = 5 /* of pixels, at most */, AHEAD_CHANNELS = 12 };
enum { ONE_ABREAST = 8 /* channels */, ONE_VECTORS = 64 /* of pixels, at most, where there is one output */ };
enum { FEW_CHANNELS = 8 /* at least; with less to round, planes are as fast */ };

/* What the chunks of a call share: channels four by four, as offsets into a sample and as weights. */
typedef struct few_weights {
	int32_t offset[FEW]; /* of each sum */
	int64_t channels, *at; /* those that count; behind the last, up to AHEAD_CHANNELS more */
	int32_t *t; /* [channels / 4][width] of four signed bytes; `width` outputs, the last of which may be 0 */
} few_weights;

static inline int few_width(int64_t outputs) { return outputs <= 2 ? (int)outputs : (int)ceil_div(outputs, 4) * 4; }

/* S8: four channels of all outputs lie side by side; output by output they become words. */
static void few_signs(const tern_matrix *w, int width, few_weights *out)
{
	uint8_t from[64] = { 0 };
	const int n = (int)w->n;
	for (int i = 0; i < 4 * n; i++)
		from[i] = (uint8_t)(i % 4 * n + i / 4);
	const __m512i order = _mm512_loadu_si512(from);
	const __mmask64 real = _cvtu64_mask64(4 * n < 64 ? (UINT64_C(1) << 4 * n) - 1 : UINT64_MAX);
	__m512i offset = _mm512_setzero_si512();
	int32_t *to = out->t;
	for (int64_t k = 0; k < w->k; k += 4, to += width) {
		const int64_t left = (w->k - k) * n;
		const __mmask64 some = left < 64 ? _cvtu64_mask64((UINT64_C(1) << left) - 1) : real;
		const __m512i v = _mm512_maskz_loadu_epi8(some & real, w->data + k * n);
		const __m512i t = _mm512_maskz_permutexvar_epi8(real, order, v);
		_mm512_storeu_si512(to, t); /* what is too much, the next overwrites */
		offset = _mm512_dpbusd_epi32(offset, _mm512_set1_epi8((char)128), t);
	}
	_mm512_storeu_si512(out->offset, offset);
}

/* T2: a field of a lane is four channels of an output already. */
static void few_fields(const tern_matrix *w, int width, few_weights *out)
{
	const __m512i three = _mm512_set1_epi8(3), one = _mm512_set1_epi8(1);
	__m512i offset = _mm512_setzero_si512();
	int32_t *to = out->t;
	for (int64_t b = 0; b < group_blocks(w); b++) {
		__m512i v = _mm512_loadu_si512(w->data + b * TILE_BYTES);
		for (int f = 0; f < 4; f++, to += width, v = _mm512_srli_epi16(v, 2)) {
			const __m512i t = _mm512_sub_epi8(_mm512_and_si512(v, three), one);
			_mm512_storeu_si512(to, t);
			offset = _mm512_dpbusd_epi32(offset, _mm512_set1_epi8((char)128), t);
		}
	}
	_mm512_storeu_si512(out->offset, offset);
}

/* One output: a third or more of the channels has no weight, and is left out. */
static int64_t few_that_count(const tern_matrix *w, int64_t area, int8_t *t, int64_t *at)
{
	__m512i place = _mm512_mullo_epi64(_mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0), _mm512_set1_epi64(area));
	int64_t count = 0;
	for (int64_t k = 0; k < w->k; k += 8, place = _mm512_add_epi64(place, _mm512_set1_epi64(8 * area))) {
		const __m128i eight = _mm_loadl_epi64((const __m128i_u *)(t + k));
		const __mmask8 real = (__mmask8)(w->k - k < 8 ? (1 << (w->k - k)) - 1 : 0xff);
		const __mmask8 some = real & (__mmask8)_mm_test_epi8_mask(eight, eight);
		const uint64_t bytes = (uint64_t)_mm_cvtsi128_si64(_mm_movm_epi8(some));
		const uint64_t kept = _pext_u64((uint64_t)_mm_cvtsi128_si64(eight), bytes);
		memcpy(t + count, &kept, sizeof kept);
		_mm512_storeu_si512(at + count, _mm512_maskz_compress_epi64(some, place));
		count += __builtin_popcount(some);
	}
	return count;
}

static void few_channels(const tern_matrix *w, int width, int64_t area, int64_t block, few_weights *out)
{
	int8_t *t = (int8_t *)out->t;
	int64_t *at = out->at;
	int64_t count = width == 1 ? few_that_count(w, area, t, at) : w->k;
	for (int64_t k = 0; k < w->k && width > 1; k++)
		at[k] = k * area;
	for (int i = 0; i < AHEAD_CHANNELS; i++) { /* the last again, its weight 0 */
		at[count + i] = count ? at[count - 1] : 0;
		if (width == 1 && i < ONE_ABREAST)
			t[count + i] = 0;
	}
	for (int64_t i = 0, rest = ceil_div(count, 4) * 4; i < 4 && i < count && width > 1; i++)
		at[rest + i] = at[i] + block; /* these are only asked for: the first channels of the next chunk */
	out->channels = count;
}

/* A chunk's pixels: vectors side by side, but for the last, which ends where they do if it can. */
typedef struct few_pixels {
	const float *x; /* the first of them, of the first channel */
	int64_t last, area; /* how far the last vector lies behind the first */
	__mmask16 lanes;
	float s;
} few_pixels;

/* sums[vector][output] of `vectors` and `width` of them. */
INLINE void few_sums(const few_pixels *p, const few_weights *w, const int vectors, const int width, const int some,
		     __m512i *sums)
{
	const __m512 reciprocal = _mm512_set1_ps(1.0f / p->s);
	const int divide = isinf(1.0f / p->s); /* a denormal scale */
	const int32_t *t = w->t;
	const float *x = p->x;
	const int64_t last = p->last;
	__m512i s[16], q[FEW_VECTORS];
#pragma GCC unroll 16
	for (int i = 0; i < vectors * width; i++)
		s[i] = _mm512_setzero_si512();
	for (const int64_t *step = w->at, *end = step + w->channels; step < end; step += 4, t += width) {
		__m512i near = _mm512_set1_epi32(-1);
#pragma GCC unroll 5
		for (int v = 0; v < vectors; v++) {
			const int64_t at = v + 1 < vectors ? v * LANES : last;
			for (int i = 0; i < 4; i++) /* a channel's next pixels are another chunk's: nothing foresees these */
				__builtin_prefetch(x + step[4 + i] + at);
			q[v] = round_four(x + at, step, some, p->lanes, reciprocal, &near);
		}
		if (__builtin_expect(_mm512_testn_epi32_mask(near, near) | divide, 0)) {
			const float *again = x; /* or gcc would keep all that was read, and nothing else, in registers */
			__asm__("" : "+r"(again));
#pragma GCC unroll 5
			for (int v = 0; v < vectors; v++)
				q[v] = divide_four(again + (v + 1 < vectors ? v * LANES : last), step, some, p->lanes, p->s);
		}
#pragma GCC unroll 5
		for (int v = 0; v < vectors; v++)
#pragma GCC unroll 16
			for (int o = 0; o < width; o++)
				DOT(s[v * width + o], q[v], _mm512_set1_epi32(t[o]));
	}
#pragma GCC unroll 16
	for (int i = 0; i < vectors * width; i++)
		sums[i] = s[i];
}

#define FEW_OF(vectors, width) \
	static void few_##vectors##_##width(const few_pixels *p, const few_weights *w, __m512i *sums) \
	{ \
		few_sums(p, w, vectors ? vectors : 1, width, !vectors, sums); \
	}
#define FEW_NAME(vectors, width) few_##vectors##_##width,
/* By width from 2 on; vectors as there are registers for their sums, and 0: fewer than 16 pixels. */
#define FEW_EACH(X) \
	X(0, 2) X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) \
	X(0, 4) X(1, 4) X(2, 4) X(3, 4) X(4, 4) X(0, 8) X(1, 8) X(2, 8) X(0, 12) X(1, 12) \
	X(0, 16) X(1, 16)
FEW_EACH(FEW_OF)
typedef void few_kernel(const few_pixels *, const few_weights *, __m512i *);
static few_kernel *const few_kernels[] = { FEW_EACH(FEW_NAME) };
static inline int few_vectors(int width) { return width == 1 ? ONE_VECTORS : width == 2 ? 5 : width <= 8 ? 16 / width : 1; }
static inline few_kernel *few_kernel_of(int vectors, int width)
{
	const int first = width == 2 ? 0 : width == 4 ? 6 : width == 8 ? 11 : width == 12 ? 14 : 16;
	return few_kernels[first + vectors];
}

/* Where a vector begins. The first and the last begin and end where the chunk does, the others follow `start` pixels behind the
 * first. */
static inline int64_t few_place(const few_pixels *p, int64_t start, int vector, int vectors)
{
	return vector + 1 == vectors ? p->last : vector ? start + (vector - 1) * LANES : 0;
}

/* sums[vector][output] of the pixels from `first` on. */
static void few_write(const convolution *p, const few_pixels *at, int64_t n, int64_t first, int64_t start, int vectors, int width,
		      const __m512i *sums)
{
	const few_weights *w = p->input;
	for (int o = 0; o < (int)p->c->outputs; o++) {
		const __m512 scale = _mm512_set1_ps(p->scale[n] * p->w_scale[o]), bias = _mm512_set1_ps(p->bias ? p->bias[o] : 0.0f);
		const __m512i offset = _mm512_set1_epi32(w->offset[o]);
		float *y = p->y + (n * p->c->outputs + o) * at->area + first, some[LANES];
		for (int v = 0; v < vectors; v++) {
			const __m512i sum = _mm512_sub_epi32(sums[v * width + o], offset);
			__m512 out = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale), bias);
			if (p->activation) {
				_mm512_storeu_ps(some, out);
				activate(some, LANES, p->activation);
				out = _mm512_loadu_ps(some);
			}
			_mm512_mask_storeu_ps(y + few_place(at, start, v, vectors), at->lanes, out);
		}
	}
}

static void one_chunk(const convolution *p, int64_t n, int64_t block);

/* The pixels of one block of a sample. */
static void few_block(const convolution *p, int64_t n, int64_t block)
{
	const few_weights *w = p->input;
	const int64_t area = p->out_h * p->out_w, begin = block * p->block - p->lead;
	const int64_t first = begin > 0 ? begin : 0, end = begin + p->block < area ? begin + p->block : area;
	const int width = few_width(p->c->outputs), vectors = (int)ceil_div(end - first, LANES);
	if (width == 1) {
		one_chunk(p, n, block);
		return;
	}
	few_pixels at = { .x = p->x + n * p->c->channels * area + first, .area = area, .s = p->scale[n],
			  .lanes = first_lanes(area) };
	__m512i sums[FEW];
	at.last = (end >= LANES ? end - LANES : 0) - first;
	for (int i = 0; i < vectors * width && !(at.s > 0); i++)
		sums[i] = _mm512_setzero_si512();
	if (at.s > 0)
		few_kernel_of(area < LANES ? 0 : vectors, width)(&at, w, sums);
	few_write(p, &at, n, first, LANES, vectors, width, sums);
}

static void few_chunk(const void *job, int64_t chunk)
{
	const convolution *p = job;
	few_block(p, chunk / p->blocks, chunk % p->blocks);
}

/* A whole sample, which is still near when what was read for its scale is read again. */
static void few_sample(const void *job, int64_t n)
{
	const convolution *p = job;
	find_scale(p, n);
	for (int64_t i = 0; i < p->blocks; i++)
		few_block(p, n, i);
}

static inline int few_outputs(const tern_conv_shape *c)
{
	return pointwise(c) && c->groups == 1 && c->outputs <= FEW && c->channels >= FEW_CHANNELS;
}

static int take_few(convolution *p, int width)
{
	const int64_t scales = ceil_div(p->c->batch, 16) * 16, words = ceil_div(p->w->k, 16) * 4 * width + FEW;
	p->scale = scratch_take(SCRATCH_CALL, (size_t)(scales + words) * 4 + sizeof(few_weights) +
						      (size_t)(p->w->k + AHEAD_CHANNELS) * sizeof(int64_t));
	if (!p->scale)
		return 0;
	few_weights *w = p->input = p->scale + scales;
	w->at = (int64_t *)(w + 1);
	w->t = (int32_t *)(w->at + p->w->k + AHEAD_CHANNELS);
	if (p->w->layout == TERN_T2)
		few_fields(p->w, width, w);
	else
		few_signs(p->w, width, w);
	few_channels(p->w, width, p->out_h * p->out_w, p->block, w);
	return 1;
}

static int run_few(convolution *p, int threads)
{
	const int width = few_width(p->c->outputs);
	const int64_t vectors = ceil_div(p->out_h * p->out_w, LANES);
	const int64_t wanted = p->c->batch < threads ? (int64_t)threads * CHUNKS_A_THREAD : 1;
	const int64_t parts = ceil_div(vectors, few_vectors(width)) > wanted ? ceil_div(vectors, few_vectors(width)) : wanted;
	p->block = ceil_div(vectors, parts) * LANES;
	if (!take_few(p, width))
		return TERN_EMEMORY;
	p->lead = width > 1 ? pixels_before(p->x, p->out_h * p->out_w) : 0;
	p->blocks = ceil_div(p->out_h * p->out_w + p->lead, p->block);
	if (p->c->batch >= threads) {
		run_chunks(few_sample, p, p->c->batch, threads);
		return TERN_OK;
	}
	run_chunks(find_scale, p, p->c->batch, threads);
	run_chunks(few_chunk, p, p->c->batch * p->blocks, threads);
	return TERN_OK;
}
#endif
