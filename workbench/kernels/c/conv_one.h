/* One tap of every pixel to one output: sums lie in memory, so that eight channels pass all pixels, as they lie. Channels without
 * a weight are left out. The last channels come first, for they are still near from when they were read for the scale. */
#ifdef CONV_FEW

/* By division; a function of its own, or gcc would keep for it what the loop needs registers for. */
static __attribute__((noinline)) __m512i divide_again(const few_pixels *p, const float *x, const int64_t *step)
{
	return divide_four(x, step, 1, p->lanes, p->s);
}

INLINE void one_sums(const few_pixels *p, const few_weights *w, int64_t start, const int vectors, const int some, __m512i *sums)
{
	const __m512 reciprocal = _mm512_set1_ps(1.0f / p->s);
	const __m512i least = _mm512_set1_epi32(isinf(1.0f / p->s) ? 0 : -1); /* 0: a denormal scale, always divide */
	for (int64_t k = ceil_div(w->channels, ONE_ABREAST) * ONE_ABREAST - ONE_ABREAST; k >= 0; k -= ONE_ABREAST) {
		const __m512i t0 = _mm512_set1_epi32(w->t[k / 4]), t1 = _mm512_set1_epi32(w->t[k / 4 + 1]);
		const int64_t *step = w->at + k;
		for (int i = 0; i < ONE_ABREAST && k; i++) { /* the next ones' first lines; the processor foresees the others */
			__builtin_prefetch(p->x + step[i - ONE_ABREAST]);
			__builtin_prefetch(p->x + step[i - ONE_ABREAST] + LANES);
		}
		for (int v = 0; v < vectors; v++) {
			const float *x = p->x + few_place(p, start, v, vectors);
			__m512i near = least;
			__m512i q0 = round_four(x, step, some, p->lanes, reciprocal, &near);
			__m512i q1 = round_four(x, step + 4, some, p->lanes, reciprocal, &near);
			if (__builtin_expect(_mm512_testn_epi32_mask(near, near), 0)) {
				q0 = divide_again(p, x, step);
				q1 = divide_again(p, x, step + 4);
			}
			DOT(sums[v], q0, t0);
			DOT(sums[v], q1, t1);
		}
	}
}

static __attribute__((noinline)) void one_output_sums(const few_pixels *p, const few_weights *w, int64_t start, int vectors,
						      __m512i *sums)
{
	if (p->area < LANES)
		one_sums(p, w, start, 1, 1, sums);
	else
		one_sums(p, w, start, vectors, 0, sums);
}

/* The pixels of one block of a sample. */
static void one_chunk(const convolution *p, int64_t n, int64_t block)
{
	const int64_t area = p->out_h * p->out_w, first = block * p->block;
	const int64_t count = area - first < p->block ? area - first : p->block;
	few_pixels at = { .x = p->x + n * p->c->channels * area + first, .area = area, .s = p->scale[n],
			  .last = area < LANES ? 0 : count - LANES, .lanes = first_lanes(area) };
	const int64_t beyond = (int64_t)((uintptr_t)at.x % 64); /* the line that the block begins in, of every channel the same */
	const int64_t start = area % LANES || beyond % 4 || !beyond ? LANES : (64 - beyond) / 4;
	const int vectors = count <= LANES ? 1 : (int)(1 + ceil_div(count - start, LANES));
	__m512i sums[ONE_VECTORS + 1];
	for (int v = 0; v < vectors; v++)
		sums[v] = _mm512_setzero_si512();
	if (at.s > 0)
		one_output_sums(&at, p->input, start, vectors, sums);
	few_write(p, &at, n, first, start, vectors, 1, sums);
}
#endif
