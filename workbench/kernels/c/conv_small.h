/* Depthwise convolution of images of at most 63 pixels, each of which is one vector of bytes q + 128, the last of them padding:
 * a table look-up makes the windows of conv_windows.h out of it, those of 16 outputs at a time, whichever rows they are of.
 * Look-ups are the same for all channels, of which four pass at a time. */
#ifdef ROUND_AVX512
enum { SMALL = 64 /* bytes of a vector, and most outputs */, SMALL_CHANNELS = 4, SMALL_VECTORS = SMALL / LANES };

/* What the channels of a call share. */
typedef struct small_plan {
	window_weights w;
	int64_t vectors;	 /* of outputs */
	__m512i *from;		 /* [step][vector]: which pixel is which byte of a window */
	const float *safe, *end; /* the last place from which 64 floats can be read; behind the last float */
} small_plan;

static inline int small(const convolution *p)
{
	const tern_conv_shape *c = p->c;
	return p->w->n == 1 && c->channels == c->groups && c->height * c->width < SMALL && p->out_h * p->out_w <= SMALL;
}

/* Every look-up: a step is a row of the kernel and four of its taps. */
static void small_lookups(const convolution *p, const small_plan *plan)
{
	const tern_conv_shape *c = p->c;
	const int height = (int)c->height, width = (int)c->width;
	int top[SMALL], left[SMALL]; /* of each output's kernel */
	for (int64_t i = 0, row = 0, column = 0; i < SMALL; i++) {
		top[i] = (int)(row * c->stride[0] - c->padding[0]), left[i] = (int)(column * c->stride[1] - c->padding[1]);
		if (++column == p->out_w)
			column = 0, row++;
	}
	uint8_t *from = (uint8_t *)plan->from;
	for (int64_t step = 0; step < plan->w.steps; step++) {
		const int down = (int)(step / plan->w.parts * c->dilation[0]), across = (int)(step % plan->w.parts * 4 * c->dilation[1]);
		for (int64_t i = 0; i < plan->vectors * 64; i++) {
			const int row = top[i / 4] + down, column = left[i / 4] + across + i % 4 * (int)c->dilation[1];
			const int inside = (row >= 0) & (row < height) & (column >= 0) & (column < width);
			*from++ = (uint8_t)(inside ? row * width + column : SMALL - 1);
		}
	}
}

/* The pixels of a channel, and some of what follows them. */
static inline __m512i small_plane(const small_plan *plan, const float *x, float s)
{
	const __m512 reciprocal = _mm512_set1_ps(1.0f / s);
	float rest[SMALL] = { 0 };
	if (x > plan->safe) {
		memcpy(rest, x, (size_t)(plan->end - x) * sizeof *rest);
		x = rest;
	}
	return _mm512_mask_blend_epi8(UINT64_C(1) << (SMALL - 1), round_64(x, s, reciprocal, isinf(1.0f / s)),
				      _mm512_set1_epi8((char)128));
}

/* Four channels, which may be the same one. */
INLINE void small_channels(const convolution *p, const small_plan *plan, int64_t n, const int64_t channel[SMALL_CHANNELS],
			   const int vectors)
{
	const int64_t pixels = p->c->height * p->c->width, area = p->out_h * p->out_w;
	const float s = p->scale[n];
	__m512i plane[SMALL_CHANNELS], sums[SMALL_CHANNELS][SMALL_VECTORS];
	for (int i = 0; i < SMALL_CHANNELS; i++)
		plane[i] = s > 0 ? small_plane(plan, p->x + (n * p->c->channels + channel[i]) * pixels, s) :
				   _mm512_set1_epi8((char)128);
#pragma GCC unroll 4
	for (int i = 0; i < SMALL_CHANNELS; i++)
#pragma GCC unroll 4
		for (int v = 0; v < vectors; v++)
			sums[i][v] = _mm512_setzero_si512();
	const __m512i *from = plan->from;
	const int32_t *weights = plan->w.words;
	for (int64_t step = 0; step < plan->w.steps; step++, weights += plan->w.all)
#pragma GCC unroll 4
		for (int v = 0; v < vectors; v++, from++) {
			const __m512i order = *from;
#pragma GCC unroll 4
			for (int i = 0; i < SMALL_CHANNELS; i++)
				DOT(sums[i][v], _mm512_permutexvar_epi8(order, plane[i]), _mm512_set1_epi32(weights[channel[i]]));
		}
	const __mmask16 end = first_lanes(area - (vectors - 1) * LANES);
	for (int i = 0; i < SMALL_CHANNELS; i++) {
		float *y = p->y + (n * p->c->channels + channel[i]) * area;
		const __m512 scale = _mm512_set1_ps(s * p->w_scale[channel[i]]);
		const __m512 bias = _mm512_set1_ps(p->bias ? p->bias[channel[i]] : 0.0f);
		const __m512i offset = _mm512_set1_epi32(plan->w.offset[channel[i]]);
#pragma GCC unroll 4
		for (int v = 0; v < vectors; v++) {
			const __m512 out = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sums[i][v], offset)), scale);
			_mm512_mask_storeu_ps(y + v * LANES, v + 1 < vectors ? 0xffff : end, _mm512_add_ps(out, bias));
		}
	}
}

static void small_chunk(const void *job, int64_t chunk)
{
	const convolution *p = job;
	const small_plan *plan = p->input;
	const int64_t n = chunk / p->blocks, begin = chunk % p->blocks * p->block, area = p->out_h * p->out_w;
	const int64_t end = begin + p->block < p->c->channels ? begin + p->block : p->c->channels;
	for (int64_t first = begin; first < end; first += SMALL_CHANNELS) {
		int64_t channel[SMALL_CHANNELS];
		for (int i = 0; i < SMALL_CHANNELS; i++)
			channel[i] = first + i < end ? first + i : end - 1;
		switch (plan->vectors) { /* numbers the compiler knows */
		case 1:
			small_channels(p, plan, n, channel, 1);
			break;
		case 2:
			small_channels(p, plan, n, channel, 2);
			break;
		case 3:
			small_channels(p, plan, n, channel, 3);
			break;
		default:
			small_channels(p, plan, n, channel, 4);
		}
	}
	activate(p->y + (n * p->c->channels + begin) * area, (end - begin) * area, p->activation);
}

static int run_small(convolution *p, int threads)
{
	const tern_conv_shape *c = p->c;
	const int64_t all = c->batch * c->channels * c->height * c->width, scales = ceil_div(c->batch, 16) * 16;
	small_plan plan = { .w = window_sizes(c), .vectors = ceil_div(p->out_h * p->out_w, LANES), .safe = p->x + all - SMALL,
			    .end = p->x + all };
	const int64_t lookups = plan.w.steps * plan.vectors;
	p->scale = scratch_take(SCRATCH_CALL, (size_t)(scales * 4 + lookups * 64) + window_bytes(&plan.w));
	if (!p->scale)
		return TERN_EMEMORY;
	p->input = &plan;
	plan.from = (__m512i *)(p->scale + scales);
	pack_windows(p, &plan.w, plan.from + lookups);
	small_lookups(p, &plan);
	p->block = ceil_div(c->channels, threads > 1 ? (int64_t)threads * CHUNKS_A_THREAD : 1);
	p->blocks = ceil_div(c->channels, p->block);
	run_chunks(find_scale, p, c->batch, threads);
	run_chunks(small_chunk, p, c->batch * p->blocks, threads);
	return TERN_OK;
}
#endif
